"""Several trainings in a folder of records from several settings: each is compared with its own real images alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.records.store import Records
from benchmarks.verdicts.over_trainings import entries_of, pooled_sentences

REFERENCE = Path(__file__).resolve().parent.parent / "results/reference"


def test_the_committed_trainings_are_pooled_in_whatever_order_the_records_lie() -> None:
    kept = Records(REFERENCE)
    records = [r for r in kept if r["status"] == "ok"]
    assert len({r["spec"]["dataset"] for r in records}) > 1
    for order in (records, records[::-1]):
        said = {sentence.partition(" against")[0] for sentence in pooled_sentences(entries_of(kept, order))}
        assert said == {
            "NO DIFFERENCE SHOWN. latent_ddpm add 1, 3 trainings: AUROC -0.0011 [-0.0112, +0.0091]",
            "NO DIFFERENCE SHOWN. latent_ddpm add 1, 3 trainings: AUROC +0.0011 [-0.0065, +0.0087]",
            "HELPS. latent_ddpm add 4, 3 trainings: AUROC +0.0119 [+0.0045, +0.0192]",
            "HELPS. latent_ddpm only 1, 3 trainings: AUROC +0.0137 [+0.0015, +0.0258]",
        }


def test_a_method_below_the_margin_or_beside_a_failed_control_says_so() -> None:
    kept = Records(REFERENCE)
    records = [r for r in kept if r["spec"]["dataset"] == "phantom"]
    failed = {
        "name": "holdout_real add 1", "run_id": "x", "shown": False, "difference": -0.07, "low": -0.17, "high": 0.03,
        "p_interval": 0.2, "n_seeds": 6, "detectable": 0.1,
    }  # fmt: skip
    told = [{**r, "positive_control": failed} for r in records]
    (sentence,) = pooled_sentences(entries_of(kept, told))
    assert "POSITIVE CONTROL NOT SHOWN TO HELP: holdout_real add 1" in sentence
