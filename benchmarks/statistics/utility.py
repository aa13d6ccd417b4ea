"""Every utility metric but AUROC, of every seed of an arm, on the resamples of the patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.calibration import no_probabilities, temper
from benchmarks.metrics.utility import NEEDED, SIDES, one_sided, one_vs_rest, too_few, youden_threshold
from benchmarks.statistics.auroc import check_scores
from benchmarks.statistics.one_arm import MEANS
from benchmarks.statistics.resamples import Resamples, n_threads
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from benchmarks.statistics.weighted import (
    Column,
    average_precision,
    brier,
    calibration_error,
    rates,
    recalls_of_first_choice,
)
from data.images import marks_of
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Label = tuple[str, str | None]
"""A metric and the class it is of; None for the macro."""


def val_thresholds(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Youden's threshold on val for each seed and question; questions as in `one_vs_rest`.

    Parameters
    ----------
    truth : (N,) or (N, K) of val.
    scores : (S, N, K) of val.

    Returns
    -------
    (S, Q); NaN where val has none to choose.
    """
    rows = []
    for one in np.asarray(scores):
        problem = one_vs_rest(truth, one)
        row = np.full(len(problem.names), np.nan)
        for q in range(len(row)):
            if one_sided(problem.truth[:, q]) is None:
                row[q] = youden_threshold(problem.truth[:, q], problem.scores[:, q])
        rows.append(row)
    return np.stack(rows)


def sample_utility(
    scores: ArrayLike,
    truth: ArrayLike,
    resamples: Resamples,
    *,
    thresholds: NDArray[np.float64] | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, Sampled]:
    """Every utility metric but AUROC, by name, of every seed on the test set and on each resample of its patients.

    Each number is the metric's own definition (`benchmarks.metrics.utility`) on the resample written out; a macro is
    the mean over the classes that the resample defines. A metric that the test set itself does not define for every
    seed has no entry.

    Parameters
    ----------
    scores : (S, N, K) probabilities.
    truth : int (N,) or 0/1 (N, K).
    resamples : of the N images' patients.
    thresholds : (S, Q) of `val_thresholds`; without them there are no rates at a threshold.

    Raises
    ------
    ValueError
        For shapes that do not fit or scores that are not finite.
    """
    stack, labels = check_scores(scores, resamples), np.asarray(truth)
    problems = [one_vs_rest(labels, one, classes) for one in stack]
    yes, names = problems[0].truth, problems[0].names
    all_names = tuple(classes) if classes is not None else tuple(str(c) for c in range(stack.shape[2]))
    every = marks_of(labels, n_classes=stack.shape[2]).astype(bool)
    judged = {sides: judged_classes(yes, resamples, sides) for sides in {SIDES, *NEEDED.values()}}
    chosen = judged_classes(every, resamples, NEEDED["recall"])

    def measure(s: int) -> dict[Label, Column]:
        found = _ranked(problems[s].scores, yes, names, resamples, judged[SIDES])
        found |= _probable(labels, stack[s], all_names, resamples)
        if labels.ndim == 1:
            label = ("balanced_accuracy_argmax", None)
            recalls = only(recalls_of_first_choice(labels, stack[s], resamples), chosen)
            found[label] = with_macro(label[0], all_names, recalls)[label]
        if thresholds is not None:
            found |= _decided(problems[s].scores, yes, thresholds[s], names, resamples, judged)
        return found

    def support(metric: str, label: str | None) -> Support:
        if metric in MEANS:
            return Support.of(resamples.patient)
        kinds = NEEDED.get(metric, SIDES)
        told, said, usable = yes, names, judged[kinds]
        if metric == "balanced_accuracy_argmax":
            told, said, usable, kinds = every, all_names, chosen, NEEDED["recall"]
        rows = [q for q in np.flatnonzero(usable) if label in (None, said[q])]
        return Support.of(resamples.patient, told[:, rows], [said[q] for q in rows], kinds)

    return by_name(measure, len(problems), resamples, resamples.design(yes, names), support)


def sample_calibrated(
    scores: ArrayLike,
    truth: ArrayLike,
    resamples: Resamples,
    *,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    classes: Sequence[str],
) -> dict[str, Sampled]:
    """`brier_calibrated` and `ece_calibrated` after each seed's own temperature.

    With `[<finding>]` where findings co-occur; empty where no temperature can be fitted. The temperatures are fitted
    once: val is not resampled, as it is not for the thresholds.

    Parameters
    ----------
    scores : (S, N, K) on test.
    truth : (N,) or (N, K).
    val_truth, val_scores : the same of val.
    """
    labels = np.asarray(truth)
    try:
        tempered, _ = temper(scores=scores, val_truth=val_truth, val_scores=val_scores)
    except Unavailable:
        return {}
    yes = marks_of(labels, n_classes=tempered.shape[2]).astype(bool)

    def measure(s: int) -> dict[Label, Column]:
        found: dict[Label, Column] = {}
        for metric, table in _of_probabilities(labels, tempered[s], resamples).items():
            name = f"{metric}_calibrated"
            found |= with_macro(name, classes if labels.ndim == 2 else (), table)
        return found

    design = resamples.design(yes, tuple(classes))
    return by_name(measure, len(tempered), resamples, design, lambda metric, label: Support.of(resamples.patient))


def judged_classes(yes: NDArray[np.bool_], resamples: Resamples, sides: Sequence[str]) -> NDArray[np.bool_]:
    """(Q,): which classes have patients enough on these sides."""
    return np.array([too_few(one, resamples.patient, sides) is None for one in yes.T])


def only(table: Column, classes: NDArray[np.bool_]) -> Column:
    """The rows (Q, 1 + B) of these classes; the others are not defined."""
    return Column(table.draws, table.valid & classes[:, None])


def by_name(
    measure: Callable[[int], Mapping[Label, Column]],
    n_seeds: int,
    resamples: Resamples,
    design: str,
    support: Callable[[str, str | None], Support],
) -> dict[str, Sampled]:
    """What `measure` gives for each seed, seeds together; what some seed lacks is left out."""
    with ThreadPoolExecutor(n_threads()) as pool:
        by_seed = list(pool.map(measure, range(n_seeds)))
    table = {}
    for metric, label in (key for key in by_seed[0] if all(key in found for found in by_seed)):
        columns = [found[metric, label] for found in by_seed]
        draws = np.stack([c.draws for c in columns])
        valid: NDArray[np.bool_] = np.stack([c.valid for c in columns]).min(axis=0)
        if valid[0]:
            one = Sampled(
                metric, draws[:, 0], draws[:, 1:], valid[1:], support(metric, label), resamples.seed, design,
                label=label,
            )  # fmt: skip
            table[one.name] = one
    return table


def with_macro(metric: str, names: Sequence[str], table: Column) -> dict[Label, Column]:
    """Each row of (Q, 1 + B) under its class's name, and their mean over the classes that are defined.

    Parameters
    ----------
    names : Q of them, or none where the single row is the macro itself.
    """
    n = table.valid.sum(axis=0)
    macro = Column(np.where(table.valid, table.draws, 0.0).sum(axis=0) / np.maximum(n, 1), n > 0)
    rows: dict[Label, Column] = {(metric, name): Column(table.draws[q], table.valid[q]) for q, name in enumerate(names)}
    return {(metric, None): macro, **rows}


def _ranked(
    scores: NDArray[np.float64],
    yes: NDArray[np.bool_],
    names: Sequence[str],
    resamples: Resamples,
    judged: NDArray[np.bool_],
) -> dict[Label, Column]:
    columns = [average_precision(scores[:, q], yes[:, q], resamples) for q in range(len(names))]
    table = Column(np.stack([c.draws for c in columns]), np.stack([c.valid for c in columns]))
    return with_macro("auprc", names, only(table, judged))


def _of_probabilities(truth: NDArray[Any], scores: NDArray[np.float64], resamples: Resamples) -> dict[str, Column]:
    """Brier score and calibration error: (1, 1 + B) for one class an image, (K, 1 + B) for findings."""
    return {
        "brier": brier(truth, scores, resamples),
        "ece": calibration_error(truth, scores, resamples),
    }


def _probable(
    truth: NDArray[Any], scores: NDArray[np.float64], names: Sequence[str], resamples: Resamples
) -> dict[Label, Column]:
    """What is asked of the probabilities themselves; nothing of scores that are none."""
    multilabel = truth.ndim == 2
    if no_probabilities(scores, multilabel=multilabel):
        return {}
    found: dict[Label, Column] = {}
    for metric, table in _of_probabilities(truth, scores, resamples).items():
        found |= with_macro(metric, names if multilabel else (), table)
    return found


def _decided(
    scores: NDArray[np.float64],
    yes: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    names: Sequence[str],
    resamples: Resamples,
    judged: Mapping[tuple[str, ...], NDArray[np.bool_]],
) -> dict[Label, Column]:
    """The rates at this seed's thresholds (Q,).

    None of a class without a threshold, or with too few patients on a side that the rate is of: `judged` (Q,) by side.
    """
    chosen = np.isfinite(thresholds)
    found: dict[Label, Column] = {}
    for rate, table in rates(yes, scores >= np.where(chosen, thresholds, np.inf), resamples).items():
        found |= with_macro(rate, names, only(table, judged[NEEDED[rate]] & chosen))
    return found
