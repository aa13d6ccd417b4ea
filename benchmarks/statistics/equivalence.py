"""Equivalence: whether a difference is shown to lie within a stated margin, by two one-sided tests."""

from __future__ import annotations

from typing import Any

from benchmarks.statistics.quantile import one_sided_p
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import FEW
from benchmarks.statistics.word import MIN_SEEDS

MARGIN = 0.01
"""AUROC that is taken to make no difference in use, unless another margin is stated."""
LEVEL = 0.90
"""Two one-sided tests at 5 % are a 90 % interval inside the margin."""


def equivalence(apart: Sampled, *, margin: float = MARGIN) -> dict[str, Any]:
    """Two one-sided tests (Schuirmann 1987) of |difference| >= margin, at 5 % each: plain JSON values.

    The interval is the one of `benchmarks.statistics.interval.mean_interval` at 90 %, over new seeds and new patients;
    both tests reject exactly when it lies inside -margin..margin, and `p_value` is the larger of their p.

    Parameters
    ----------
    apart : the paired difference of two arms, `Sampled.minus`.
    margin : above 0, in the unit of the differences.

    Returns
    -------
    margin, low, high, p_value, equivalent, few, sentence. As with the verdict, fewer than `MIN_SEEDS` seeds never say
    equivalent. Nor do fewer than `FEW` patients on a side (their number is in `few`): two arms that rank five patients
    right do not scatter, and would look alike whatever they are.

    Raises
    ------
    ValueError
        For a margin of 0 or less.
    Unavailable
        With fewer than two patients, or when too few resamples can be judged.
    """
    if not margin > 0:
        raise ValueError(f"a margin of {margin} was stated; it must be above 0")
    estimate, n_seeds, spread = apart.mean, apart.n_seeds, apart.spread(level=LEVEL)
    low, high = estimate - spread.half, estimate + spread.half
    p = one_sided_p(margin - abs(estimate), spread.se, spread.parts)
    side = apart.support.smallest_side
    few = side if side is not None and side < FEW else None
    equivalent = n_seeds >= MIN_SEEDS and few is None and -margin < low and high < margin
    found = {"margin": margin, "low": low, "high": high, "p_value": p, "equivalent": equivalent, "few": few}
    return {**found, "sentence": sentence(found, n_seeds=n_seeds)}


def sentence(found: dict[str, Any], *, n_seeds: int) -> str:
    """`EQUIVALENT within +-0.01`, or that it is not shown to be."""
    if found["equivalent"]:
        return f"EQUIVALENT within +-{found['margin']:g}"
    reason = f" (screening: {n_seeds} seeds)" if n_seeds < MIN_SEEDS else ""
    if not reason and found.get("few") is not None:
        reason = f" ({found['few']} patients on the smaller side)"
    return f"not shown to be equivalent within +-{found['margin']:g}{reason}"
