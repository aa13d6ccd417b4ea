"""Utility metrics from the number of times each patient is drawn, each by its own definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.metrics.calibration import N_BINS, outcomes
from benchmarks.statistics.resamples import CHUNK, Resamples, accumulate
from data.images import marks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Column(NamedTuple):
    """A number on each of B resamples, and where it is defined; 0 where it is not."""

    draws: NDArray[np.float64]
    valid: NDArray[np.bool_]


def divide(above: NDArray[np.float64], below: NDArray[np.float64], *, only: NDArray[np.bool_] | None = None) -> Column:
    """Quotient above / below where below is positive (and `only` allows it)."""
    shape = np.broadcast(above, below).shape
    valid = np.broadcast_to(below > 0 if only is None else (below > 0) & only, shape)
    return Column(np.divide(above, below, out=np.zeros(shape), where=valid), valid)


def average_precision(scores: NDArray[np.float64], yes: NDArray[np.bool_], resamples: Resamples) -> Column:
    """Average precision as scikit-learn defines it, of one question.

    With u_1 > u_2 > ... the distinct scores of the positives, P_g the weight of the positives at u_g, and TP_g, FP_g
    the weights of the positives and of the negatives with a score of u_g or more:

        AP = sum_g P_g TP_g / (TP_g + FP_g) / sum_g P_g

    Scores that no positive has add nothing, as recall does not rise there. Undefined without positives or negatives.

    Parameters
    ----------
    scores, yes : (N,).

    Returns
    -------
    (B,).
    """
    from scipy.sparse import csr_array

    descending, level = np.unique(-scores[yes], return_inverse=True)
    n_patients, n_replicates = resamples.counts.shape
    shape = (len(descending), n_patients)
    hits = csr_array((np.ones(len(level)), (level, resamples.patient[yes])), shape=shape)
    rows = np.searchsorted(descending, -scores[~yes], side="left")  # the first level that calls this negative positive
    inside = rows < len(descending)
    alarms = csr_array((np.ones(int(inside.sum())), (rows[inside], resamples.patient[~yes][inside])), shape=shape)
    found, n_yes = np.empty(n_replicates), np.empty(n_replicates)
    for start in range(0, n_replicates, CHUNK):
        part = slice(start, start + CHUNK)
        weights = np.ascontiguousarray(resamples.counts[:, part])
        gained = hits @ weights
        true_pos, called = gained.copy(), alarms @ weights
        called += gained
        accumulate(true_pos)
        accumulate(called)
        np.divide(true_pos, called, out=true_pos, where=called > 0)  # where nothing is called yet both are 0
        found[part] = np.einsum("gb,gb->b", gained, true_pos)
        n_yes[part] = gained.sum(axis=0)
    return divide(found, n_yes, only=resamples.total(~yes) > 0)


def rates(yes: NDArray[np.bool_], called: NDArray[np.bool_], resamples: Resamples) -> dict[str, Column]:
    """The rates of `benchmarks.metrics.utility.Counts` for Q questions.

    Parameters
    ----------
    yes, called : (N, Q).

    Returns
    -------
    (Q, B) each.
    """
    n_yes, n_no = resamples.total(yes), resamples.total(~yes)
    true_pos, n_called = resamples.total(yes & called), resamples.total(called)
    false_pos = n_called - true_pos
    recall, specificity = divide(true_pos, n_yes), divide(n_no - false_pos, n_no)
    both = recall.valid & specificity.valid
    return {
        "balanced_accuracy": Column(np.where(both, (recall.draws + specificity.draws) / 2, 0.0), both),
        "precision": divide(true_pos, n_called),
        "recall": recall,
        "f1": divide(2 * true_pos, n_yes + n_called, only=n_yes > 0),
        "specificity": specificity,
    }


def recalls_of_first_choice(truth: NDArray[np.integer], scores: NDArray[np.float64], resamples: Resamples) -> Column:
    """Recall of each class when the highest score decides.

    Parameters
    ----------
    truth : (N,).
    scores : (N, K).

    Returns
    -------
    (K, B).
    """
    yes = marks_of(truth, n_classes=scores.shape[1]).astype(bool)
    hit = scores.argmax(axis=1) == truth
    return divide(resamples.total(yes & hit[:, None]), resamples.total(yes))


def brier(truth: NDArray[np.integer], scores: NDArray[np.float64], resamples: Resamples) -> Column:
    """`benchmarks.metrics.calibration.brier`: (1, B), summed over the classes, for truth (N,), else (K, B)."""
    squares = (scores - marks_of(truth, n_classes=scores.shape[1])) ** 2
    if truth.ndim == 1:
        squares = squares.sum(axis=1, keepdims=True)
    return divide(resamples.total(squares), resamples.total(np.ones((len(truth), 1))))


def calibration_error(truth: NDArray[np.integer], scores: NDArray[np.float64], resamples: Resamples) -> Column:
    """`benchmarks.metrics.calibration.ece`: (1, B) of the first choice for truth (N,), else (K, B) of each finding.

    In `N_BINS` bins of the confidence: sum over bins of |sum over its images of (confidence - came true)| / n.
    """
    said, right = outcomes(truth, scores)
    n_images = resamples.total(np.ones(len(truth)))
    place = np.clip(np.ceil(said * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    found = []
    for q in range(said.shape[1]):
        gaps = np.zeros((len(truth), N_BINS))
        gaps[np.arange(len(truth)), place[:, q]] = said[:, q] - right[:, q]
        found.append(np.abs(resamples.total(gaps)).sum(axis=0))
    return divide(np.stack(found), n_images[None])
