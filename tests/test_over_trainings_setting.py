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
        (sentence,) = pooled_sentences(entries_of(kept, order))
        assert sentence.startswith(
            "NO DIFFERENCE SHOWN. latent_ddpm add 1, 3 trainings: AUROC +0.0014 [-0.0181, +0.0208]"
        )
