"""What grows with the seeds of an arm: its samples and a comparison of two arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.speed.growth import SIZES, Growth, Stage, grow
from benchmarks.speed.growth_films import judged
from benchmarks.speed.row import SEED

N_TEST = 300
Work = Callable[[], object]


def seeds_rows(sizes: Sequence[int] = ()) -> list[Growth]:
    """Each stage at 20 and 200 seeds, or at other sizes."""
    return grow("seeds", __name__, sizes=sizes or SIZES["seeds"])


def _samples(folder: Path, n: int) -> Work:
    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.resamples import Resamples

    groups, truth, scores = judged(N_TEST, n)
    resamples = Resamples.draw(groups, seed=SEED)
    return lambda: sample_auroc(scores, truth, resamples)


def _comparison(folder: Path, n: int) -> Work:
    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.compare import compare
    from benchmarks.statistics.resamples import Resamples

    groups, truth, scores = judged(N_TEST, n)
    resamples = Resamples.draw(groups, seed=SEED)
    a, b = (sample_auroc(part, truth, resamples)["auroc"] for part in (scores, scores[::-1].copy()))
    return lambda: compare(a, b, name_a="a", name_b="b")


STAGES = {
    "samples of an arm": Stage(_samples, f"{N_TEST} test films, 2,000 resamples"),
    "comparison of two arms": Stage(_comparison, "exact signs up to 16 seeds, 65,536 random ones beyond"),
}
