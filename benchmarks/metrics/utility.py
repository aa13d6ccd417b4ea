"""Utility: how well a classifier's scores rank and decide, from truth and scores alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

AUROC = Quantity("auroc", "higher", title="AUROC")
AUPRC = Quantity("auprc", "higher", title="AUPRC")
RATES = {
    "balanced_accuracy": Quantity("balanced_accuracy", "higher", title="bal. accuracy"),
    "precision": Quantity("precision", "higher"),
    "recall": Quantity("recall", "higher"),
    "f1": Quantity("f1", "higher", title="F1"),
    "specificity": Quantity("specificity", "higher"),
}
ARGMAX_ACCURACY = Quantity("balanced_accuracy_argmax", "higher")
SIDES = ("positive", "negative")
NEEDED = {
    "balanced_accuracy": SIDES, "precision": SIDES[:1], "recall": SIDES[:1], "f1": SIDES[:1], "specificity": SIDES[1:],
}  # fmt: skip
"""The sides of a class that each of `RATES` is a rate of."""
LEAST_PATIENTS = 2
"""Patients with, and patients without, a class below which the class is not judged: one says nothing of another."""


@dataclass(frozen=True)
class Problem:
    """Truth and scores as one or more yes-or-no questions, one column each."""

    truth: NDArray[np.bool_]
    """(N, Q)"""
    scores: NDArray[np.float64]
    """(N, Q); a higher score says yes."""
    names: tuple[str, ...]
    """Q class names."""
    patient: NDArray[np.intp]
    """(N,) index of the patient of each image."""

    def too_few(self, q: int) -> str | None:
        """Why question `q` cannot be ranked on these patients, or None."""
        return too_few(self.truth[:, q], self.patient)


def one_vs_rest(
    truth: ArrayLike,
    scores: ArrayLike,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> Problem:
    """Cast either kind of labels into columns of yes-or-no questions.

    Parameters
    ----------
    truth : int (N,) for one class an image, or 0/1 (N, K) for findings that co-occur.
    scores : (N, K) probabilities.
    classes : K names; `0`, `1`, ... when left out.
    patients : the patient of each image; when left out, each image is a patient of its own.

    Returns
    -------
    One column a class. Two classes of which each image has one are a single question, class 1 against class 0.

    Raises
    ------
    ValueError
        For shapes that do not fit, labels outside the classes, or scores that are not finite.
    """
    y, s = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or len(y) != len(s) or y.ndim not in (1, 2) or (y.ndim == 2 and y.shape != s.shape):
        raise ValueError(f"truth {y.shape} and scores {s.shape} do not fit: (N,) or (N, K) and (N, K)")
    if not np.isfinite(s).all():
        raise ValueError("scores hold NaN or infinity: the classifier that made them is broken")
    n_classes = s.shape[1]
    names = tuple(classes) if classes is not None else tuple(str(c) for c in range(n_classes))
    if len(names) != n_classes:
        raise ValueError(f"{len(names)} class names for {n_classes} columns of scores")
    if not np.isin(y, np.arange(n_classes) if y.ndim == 1 else (0, 1)).all():
        raise ValueError(f"truth holds labels other than {'0..' + str(n_classes - 1) if y.ndim == 1 else '0 and 1'}")
    patient = np.arange(len(y)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    if len(patient) != len(y):
        raise ValueError(f"{len(patient)} patients for {len(y)} images")
    if y.ndim == 2:
        return Problem(y.astype(bool), s, names, patient)
    if n_classes == 2:
        return Problem((y == 1)[:, None], s[:, 1:], names[1:], patient)
    return Problem(y[:, None] == np.arange(n_classes), s, names, patient)


@metric(AUROC)
def auroc(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> dict[str, Value]:
    """Area under the ROC curve: `auroc` (macro) and `auroc[<class>]`, one class against the rest.

    Ties count one half (Mann-Whitney). A class with fewer than `LEAST_PATIENTS` patients on a side is null with a
    note, and the macro is the mean over the others.

    Parameters
    ----------
    truth, scores, classes, patients : as for `one_vs_rest`.

    Raises
    ------
    ValueError
        As `one_vs_rest`.
    """
    from sklearn.metrics import roc_auc_score

    return _by_class(AUROC, roc_auc_score, one_vs_rest(truth, scores, classes, patients))


@metric(AUPRC)
def auprc(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> dict[str, Value]:
    """Average precision (area under the precision-recall curve, not interpolated): `auprc`, `auprc[<class>]`.

    Its floor is the prevalence, given in `extra` for each class. Missing classes as in `auroc`.
    """
    from sklearn.metrics import average_precision_score

    return _by_class(AUPRC, average_precision_score, one_vs_rest(truth, scores, classes, patients))


def _by_class(
    quantity: Quantity, score: Callable[[NDArray[np.bool_], NDArray[np.float64]], float], problem: Problem
) -> dict[str, Value]:
    rows = []
    for q, name in enumerate(problem.names):
        yes = problem.truth[:, q]
        reason = problem.too_few(q)
        if reason:
            rows.append(quantity.missing(reason, len(yes), label=name))
            continue
        extra = {"n_positive": int(yes.sum()), "prevalence": float(yes.mean())}
        rows.append(quantity.value(float(score(yes, problem.scores[:, q])), len(yes), label=name, extra=extra))
    return {quantity.name: macro(quantity, rows), **{row.name: row for row in rows}}


def one_sided(yes: NDArray[np.bool_]) -> str | None:
    """Why a ranking of these images says nothing, or None."""
    if not yes.any():
        return "no positive image"
    if yes.all():
        return "no negative image"
    return None


def too_few(yes: NDArray[np.bool_], patient: NDArray[np.intp], sides: Sequence[str] = SIDES) -> str | None:
    """Why these images say nothing of other patients, or None.

    Parameters
    ----------
    yes, patient : (N,): which images are positive, and the index of each one's patient.
    sides : those that the number is of; a ranking is of both.
    """
    for side in sides:
        n = len(np.unique(patient[yes if side == "positive" else ~yes]))
        if n == 0:
            return f"no {side} image"
        if n < LEAST_PATIENTS:
            return f"{n} {side} patient: {LEAST_PATIENTS} are needed"
    return None


def macro(quantity: Quantity, rows: Sequence[Value]) -> Value:
    """Mean of the rows, one a class, that have a number; the note names the classes that have none."""
    n = max((row.n for row in rows), default=0)
    numbers = [row.value for row in rows if row.value is not None]
    left_out = [f"{row.label} ({row.note})" for row in rows if row.value is None]
    if not numbers:
        return quantity.missing(f"no class has one: {'; '.join(left_out)}", n)
    note = f"mean of {len(numbers)} of {len(rows)} classes; without {'; '.join(left_out)}" if left_out else None
    return quantity.value(float(np.mean(numbers)), n, note=note)


def youden_threshold(yes: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The score t that maximises J = sensitivity + specificity - 1 of the rule `score >= t` (Youden 1950).

    J is compared in whole counts, tp n_neg - fp n_pos, which is J n_pos n_neg: as a difference of two rates, equal J
    differ by rounding, and rounding would choose. Among equal maxima the highest t, the fewest alarms.

    Parameters
    ----------
    yes, scores : (N,)

    Returns
    -------
    One of the scores.

    Raises
    ------
    Unavailable
        When there is no positive or no negative image to choose on.
    """
    reason = one_sided(yes)
    if reason:
        raise Unavailable(f"{reason} in val to choose a threshold on")
    levels, level = np.unique(-scores, return_inverse=True)  # the highest score first
    hits = np.bincount(level.reshape(-1), weights=yes, minlength=len(levels)).cumsum().astype(np.int64)
    called = np.bincount(level.reshape(-1), minlength=len(levels)).cumsum()
    n_pos = int(yes.sum())
    n_neg = len(yes) - n_pos
    return float(-levels[np.argmax(hits * n_neg - (called - hits) * n_pos)])  # the first of equal maxima


class Counts(NamedTuple):
    """The four cells of a yes-or-no table."""

    true_pos: int
    false_pos: int
    false_neg: int
    true_neg: int

    def rates(self) -> dict[str, float | str]:
        """Each of `RATES`, in 0..1, or the reason why it is undefined."""
        tp, fp, fn, tn = self
        no_yes, no_no = "no positive image", "no negative image"
        return {
            "balanced_accuracy": (
                (tp / (tp + fn) + tn / (tn + fp)) / 2 if tp + fn and tn + fp else no_no if tp + fn else no_yes
            ),
            "precision": tp / (tp + fp) if tp + fp else "nothing was called positive",
            "recall": tp / (tp + fn) if tp + fn else no_yes,
            "f1": 2 * tp / (2 * tp + fp + fn) if tp + fn else no_yes,
            "specificity": tn / (tn + fp) if tn + fp else no_no,
        }


def count(yes: NDArray[np.bool_], called: NDArray[np.bool_]) -> Counts:
    """Cells of the table of truth against decision, both bool (N,)."""
    return Counts(
        int((yes & called).sum()),
        int((~yes & called).sum()),
        int((yes & ~called).sum()),
        int((~yes & ~called).sum()),
    )


@metric(*RATES.values(), ARGMAX_ACCURACY)
def operating_point(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> dict[str, Value]:
    """Rates of `RATES` at thresholds chosen on val (Youden's J), per class and macro.

    Each class is one question with its own threshold, which stands in `extra` of the class's values. A rate of
    fewer than `LEAST_PATIENTS` patients (`NEEDED` says of which side) is null. Where every image has one class,
    `balanced_accuracy_argmax` is also given: mean recall when the highest score decides.

    Parameters
    ----------
    truth, scores, classes, patients : as for `one_vs_rest`.
    val_truth, val_scores : the same of val.

    Raises
    ------
    ValueError
        As `one_vs_rest`.
    """
    test = one_vs_rest(truth, scores, classes, patients)
    val = one_vs_rest(val_truth, val_scores, classes)
    rows: dict[str, list[Value]] = {rate: [] for rate in RATES}
    for q, name in enumerate(test.names):
        for rate, row in _at_threshold(test, val, q, name).items():
            rows[rate].append(row)
    found = {name: macro(rate, rows[name]) for name, rate in RATES.items()}
    found |= {row.name: row for rate in RATES for row in rows[rate]}
    if np.ndim(truth) == 1:
        found[ARGMAX_ACCURACY.name] = argmax_accuracy(np.asarray(truth), np.asarray(scores), classes, test.patient)
    return found


def _at_threshold(test: Problem, val: Problem, q: int, name: str) -> dict[str, Value]:
    n = len(test.truth)
    try:
        threshold = youden_threshold(val.truth[:, q], val.scores[:, q])
    except Unavailable as reason:
        return {key: rate.missing(reason, n, label=name) for key, rate in RATES.items()}
    counts = count(test.truth[:, q], test.scores[:, q] >= threshold)
    extra = {"threshold": threshold, **counts._asdict()}
    values = {}
    for rate, number in counts.rates().items():
        few = too_few(test.truth[:, q], test.patient, NEEDED[rate])
        note = few or (number if isinstance(number, str) else None)
        value = None if note or isinstance(number, str) else number
        values[rate] = RATES[rate].value(value, n, label=name, note=note, extra=extra)
    return values


def argmax_accuracy(
    truth: NDArray[np.integer],
    scores: NDArray[np.floating],
    classes: Sequence[str] | None,
    patient: NDArray[np.intp] | None = None,
) -> Value:
    """`balanced_accuracy_argmax`: mean recall over the classes that there are, when the highest score decides.

    Parameters
    ----------
    truth : int (N,).
    scores : (N, K); of equal scores the first class decides.
    patient : (N,) index of the patient of each image; each image is one of its own when left out.
    """
    patient = np.arange(len(truth)) if patient is None else patient
    called = scores.argmax(axis=1)
    names = classes if classes is not None else [str(c) for c in range(scores.shape[1])]
    rows = []
    for c, name in enumerate(names):
        yes = truth == c
        note = too_few(yes, patient, NEEDED["recall"])
        recall = None if note else float((called[yes] == c).mean())
        rows.append(ARGMAX_ACCURACY.value(recall, len(truth), label=name, note=note))
    return macro(ARGMAX_ACCURACY, rows)
