"""What grows with the arms of a request: comparisons with the controls, Holm's correction, records on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.speed.growth import SIZES, Growth, Stage, grow
from benchmarks.speed.growth_films import judged
from benchmarks.speed.row import SEED

if TYPE_CHECKING:
    from benchmarks.records.store import Records

N_TEST, N_SEEDS, N_CONTROLS = 300, 6, 4
Work = Callable[[], object]


def arms_rows(sizes: Sequence[int] = ()) -> list[Growth]:
    """Each stage at 10 and 100 arms, or at other sizes."""
    return grow("arms", __name__, sizes=sizes or SIZES["arms"])


def _samples(folder: Path, n: int) -> Work:
    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.resamples import Resamples

    groups, truth, scores = judged(N_TEST, N_SEEDS)
    resamples = Resamples.draw(groups, seed=SEED)

    def work() -> None:
        for _ in range(n):
            sample_auroc(scores, truth, resamples)

    return work


def _comparisons(folder: Path, n: int) -> Work:
    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.compare import compare
    from benchmarks.statistics.multiple import holm
    from benchmarks.statistics.resamples import Resamples

    groups, truth, scores = judged(N_TEST, N_SEEDS)
    resamples, rng = Resamples.draw(groups, seed=SEED), np.random.default_rng(SEED)
    arms = [
        sample_auroc(scores + 0.05 * rng.standard_normal(scores.shape), truth, resamples)["auroc"]
        for _ in range(N_CONTROLS + 1)
    ]

    def work() -> None:
        found = [
            compare(arms[-1], control, name_a=f"arm {k}", name_b="control")
            for k in range(n)
            for control in arms[:N_CONTROLS]
        ]
        holm([one.p_interval for one in found])

    return work


def failed_records(n: int) -> list[dict[str, Any]]:
    """Records of runs that did not finish: whole, and without anything that was measured."""
    from benchmarks.records.provenance import provenance
    from benchmarks.records.store import SCHEMA
    from benchmarks.request.spec import RunSpec
    from synthworth.work import Budget

    where = provenance()
    specs = (
        RunSpec(
            dataset="phantom", data={"size": 32}, data_version=1, fingerprint=f"{k:064x}", generator="noise", gen={},
            generator_version=1, fit=Budget(steps=1), classifier="resnet18", clf={"arch": "resnet18"},
            classifier_version=1, train=Budget(steps=1), shard=4,
        )
        for k in range(n)
    )  # fmt: skip
    return [
        {
            "schema": SCHEMA, "status": "failed", "run_id": spec.run_id, "name": spec.name, "spec": spec.to_json(),
            "error": "growth", "provenance": where,
        }
        for spec in specs
    ]  # fmt: skip


def written(folder: Path, n: int) -> Records:
    """Records, written below a folder."""
    from benchmarks.records.store import Records

    records = Records(folder)
    for record in failed_records(n):
        records.write(record, {})
    return records


def _write(folder: Path, n: int) -> Work:
    return lambda: written(folder / "written", n)


def _read(folder: Path, n: int) -> Work:
    return written(folder / "read", n).read


STAGES = {
    "samples of an arm": Stage(_samples, f"{N_SEEDS} seeds, {N_TEST} test films, 2,000 resamples"),
    "comparisons": Stage(_comparisons, f"with {N_CONTROLS} controls, and Holm's correction"),
    "records written": Stage(_write, "without predictions"),
    "records read": Stage(_read, "without predictions; tests/chaos/growth.py has the leaderboard"),
}
