"""Utility: how well a classifier's scores rank and decide, from truth and scores alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.metrics.registry import Value
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RATES = ("balanced_accuracy", "precision", "recall", "f1", "specificity")


@dataclass(frozen=True)
class Problem:
    """Truth and scores as one or more yes-or-no questions, one column each."""

    truth: NDArray[np.bool_]
    """(N, Q)"""
    scores: NDArray[np.float64]
    """(N, Q); a higher score says yes."""
    names: tuple[str, ...]
    """Q class names."""


def one_vs_rest(truth: ArrayLike, scores: ArrayLike, classes: Sequence[str] | None = None) -> Problem:
    """Cast either kind of labels into columns of yes-or-no questions.

    Parameters
    ----------
    truth : int (N,) for one class an image, or 0/1 (N, K) for findings that co-occur.
    scores : (N, K) probabilities.
    classes : K names; `0`, `1`, ... when left out.

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
    if y.ndim == 2:
        return Problem(y.astype(bool), s, names)
    if n_classes == 2:
        return Problem((y == 1)[:, None], s[:, 1:], names[1:])
    return Problem(y[:, None] == np.arange(n_classes), s, names)


def auroc(*, truth: ArrayLike, scores: ArrayLike, classes: Sequence[str] | None = None) -> dict[str, Value]:
    """Area under the ROC curve: `auroc` (macro) and `auroc[<class>]`, one class against the rest.

    Ties count one half (Mann-Whitney). A class without positives or without negatives is null with a note, and
    the macro is the mean over the others. Arguments and errors as for `one_vs_rest`.
    """
    from sklearn.metrics import roc_auc_score

    return _by_class("auroc", roc_auc_score, one_vs_rest(truth, scores, classes))


def auprc(*, truth: ArrayLike, scores: ArrayLike, classes: Sequence[str] | None = None) -> dict[str, Value]:
    """Average precision (area under the precision-recall curve, not interpolated): `auprc`, `auprc[<class>]`.

    Its floor is the prevalence, given in `extra` for each class. Missing classes as in `auroc`.
    """
    from sklearn.metrics import average_precision_score

    return _by_class("auprc", average_precision_score, one_vs_rest(truth, scores, classes))


def _by_class(
    metric: str, score: Callable[[NDArray[np.bool_], NDArray[np.float64]], float], problem: Problem
) -> dict[str, Value]:
    rows = []
    for q, name in enumerate(problem.names):
        yes = problem.truth[:, q]
        label, n = f"{metric}[{name}]", len(yes)
        reason = one_sided(yes)
        if reason:
            rows.append(Value.missing(label, reason, n=n, direction="higher"))
            continue
        extra = {"n_positive": int(yes.sum()), "prevalence": float(yes.mean())}
        rows.append(Value(label, float(score(yes, problem.scores[:, q])), n, "higher", extra=extra))
    return {metric: macro(metric, rows), **{row.name: row for row in rows}}


def one_sided(yes: NDArray[np.bool_]) -> str | None:
    """Why a ranking of these images says nothing, or None."""
    if not yes.any():
        return "no positive image"
    if yes.all():
        return "no negative image"
    return None


def macro(name: str, rows: Sequence[Value]) -> Value:
    """Mean over the classes that have a number; the note names those that have none."""
    n = max((row.n for row in rows), default=0)
    numbers = [row.value for row in rows if row.value is not None]
    left_out = [f"{row.name.partition('[')[2].rstrip(']')} ({row.note})" for row in rows if row.value is None]
    if not numbers:
        reason = f"no class has one: {'; '.join(left_out)}"
        return Value.missing(name, reason, n=n, direction="higher")
    note = f"mean of {len(numbers)} of {len(rows)} classes; without {'; '.join(left_out)}" if left_out else None
    return Value(name, float(np.mean(numbers)), n, "higher", note=note)


def youden_threshold(yes: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The score t that maximises J = sensitivity + specificity - 1 of the rule `score >= t` (Youden 1950).

    Among equal maxima the highest t, the fewest alarms.

    Raises
    ------
    Unavailable
        When there is no positive or no negative image to choose on.
    """
    from sklearn.metrics import roc_curve

    reason = one_sided(yes)
    if reason:
        raise Unavailable(f"{reason} in val to choose a threshold on")
    false_alarms, hits, thresholds = roc_curve(yes, scores, drop_intermediate=False)
    return float(thresholds[1 + np.argmax((hits - false_alarms)[1:])])  # the first is infinite: never say yes


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


def operating_point(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    classes: Sequence[str] | None = None,
) -> dict[str, Value]:
    """Rates of `RATES` at thresholds chosen on val (Youden's J), per class and macro.

    Each class is one question with its own threshold, which stands in `extra` of the class's values. Where every
    image has one class, `balanced_accuracy_argmax` is also given: mean recall when the highest score decides.
    Arguments and errors as for `one_vs_rest`.
    """
    test = one_vs_rest(truth, scores, classes)
    val = one_vs_rest(val_truth, val_scores, classes)
    rows: dict[str, list[Value]] = {rate: [] for rate in RATES}
    for q, name in enumerate(test.names):
        for rate, row in _at_threshold(test, val, q, name).items():
            rows[rate].append(row)
    found = {rate: macro(rate, rows[rate]) for rate in RATES}
    found |= {row.name: row for rate in RATES for row in rows[rate]}
    if np.ndim(truth) == 1:
        found["balanced_accuracy_argmax"] = _argmax_accuracy(np.asarray(truth), np.asarray(scores), classes)
    return found


def _at_threshold(test: Problem, val: Problem, q: int, name: str) -> dict[str, Value]:
    n = len(test.truth)
    try:
        threshold = youden_threshold(val.truth[:, q], val.scores[:, q])
    except Unavailable as reason:
        return {r: Value.missing(f"{r}[{name}]", reason, n=n, direction="higher") for r in RATES}
    counts = count(test.truth[:, q], test.scores[:, q] >= threshold)
    extra = {"threshold": threshold, **counts._asdict()}
    values = {}
    for rate, number in counts.rates().items():
        value, note = (None, number) if isinstance(number, str) else (number, None)
        values[rate] = Value(f"{rate}[{name}]", value, n, "higher", note=note, extra=extra)
    return values


def _argmax_accuracy(truth: NDArray[np.integer], scores: NDArray[np.floating], classes: Sequence[str] | None) -> Value:
    called = scores.argmax(axis=1)
    names = classes if classes is not None else [str(c) for c in range(scores.shape[1])]
    metric = "balanced_accuracy_argmax"
    rows = []
    for c, name in enumerate(names):
        yes = truth == c
        recall = float((called[yes] == c).mean()) if yes.any() else None
        rows.append(
            Value(f"{metric}[{name}]", recall, len(truth), "higher", note=None if yes.any() else "no positive image")
        )
    return macro(metric, rows)


def measure_utility(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    classes: Sequence[str] | None = None,
) -> dict[str, Value]:
    """`auroc`, `auprc` and `operating_point` of one classifier in one table."""
    return (
        auroc(truth=truth, scores=scores, classes=classes)
        | auprc(truth=truth, scores=scores, classes=classes)
        | operating_point(truth=truth, scores=scores, val_truth=val_truth, val_scores=val_scores, classes=classes)
    )
