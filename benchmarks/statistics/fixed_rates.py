"""Operating points of every seed of an arm, on the resamples of the patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.metrics.fixed_rates import POINTS, FixedPoint, held_threshold
from benchmarks.metrics.utility import one_vs_rest
from benchmarks.statistics.auroc import check_scores
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.support import Support
from benchmarks.statistics.utility import Label, by_name, judged_classes, only, with_macro
from benchmarks.statistics.weighted import Column, divide
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from benchmarks.statistics.sampled import Sampled


def sample_fixed(
    scores: ArrayLike,
    truth: ArrayLike,
    resamples: Resamples,
    *,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    classes: Sequence[str],
) -> dict[str, Sampled]:
    """`benchmarks.metrics.fixed_rates` by name, with `[<class>]`, of every seed on test and on each resample.

    The thresholds are chosen once, on val as it is. What val cannot hold, or the test set does not define for every
    seed, has no entry.

    Parameters
    ----------
    scores : (S, N, K) on test.
    truth : (N,) or (N, K).
    val_truth, val_scores : the same of val.

    Raises
    ------
    ValueError
        For shapes that do not fit or scores that are not finite.
    """
    stack, labels = check_scores(scores, resamples), np.asarray(truth)
    problems = [one_vs_rest(labels, one, classes) for one in stack]
    on_val = [one_vs_rest(val_truth, one, classes) for one in np.asarray(val_scores)]
    yes, names = problems[0].truth, problems[0].names
    points = {point.name: point for point in POINTS}
    judged = {point: judged_classes(yes, resamples, point.sides) for point in POINTS}

    def measure(s: int) -> dict[Label, Column]:
        found: dict[Label, Column] = {}
        for point in POINTS:
            thresholds = _thresholds(on_val[s].truth, on_val[s].scores, point)
            chosen = np.isfinite(thresholds)
            called = problems[s].scores >= np.where(chosen, thresholds, np.inf)
            side, right = (yes, called) if point.gives == "sensitivity" else (~yes, ~called)
            table = divide(resamples.total(side & right), resamples.total(side))
            found |= with_macro(point.name, names, only(table, judged[point] & chosen))
        return found

    def support(metric: str, label: str | None) -> Support:
        point = points[metric]
        rows = [q for q in np.flatnonzero(judged[point]) if label in (None, names[q])]
        return Support.of(resamples.patient, yes[:, rows], [names[q] for q in rows], point.sides)

    return by_name(measure, len(problems), resamples, resamples.design(yes, names), support)


def _thresholds(yes: NDArray[np.bool_], scores: NDArray[np.float64], point: FixedPoint) -> NDArray[np.float64]:
    """(Q,) of val; NaN where it cannot hold the rate."""
    found = np.full(yes.shape[1], np.nan)
    for q in range(len(found)):
        try:
            found[q] = held_threshold(yes[:, q], scores[:, q], point)
        except Unavailable:
            continue  # the table of utility holds the null with its reason
    return found
