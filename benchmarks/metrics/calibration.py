"""Calibration: whether probabilities come true, as the classifier gives them and after temperature scaling on val."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.utility import macro, one_vs_rest
from benchmarks.metrics.value import Value
from data.images import marks_of
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

N_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017)."""
TEMPERATURES = (0.05, 20.0)
"""Where a temperature is looked for."""
SMALLEST = float(np.finfo(np.float32).tiny)
LARGEST = 1 - float(np.finfo(np.float32).epsneg)
"""Probabilities are float32: beyond these two a logit cannot be told from its neighbours, and is cut here."""
TOLERANCE = 0.01
"""How far the probabilities of an image with one class may sum from 1: rounding of half precision, and no more."""


BRIER, ECE = Quantity("brier", "lower"), Quantity("ece", "lower")
CALIBRATED = {BRIER: Quantity("brier_calibrated", "lower"), ECE: Quantity("ece_calibrated", "lower")}
"""The same of the probabilities after the temperature."""

# -- the two numbers ----------------------------------------------------------------------------------------------


@metric(BRIER)
def brier(*, truth: ArrayLike, scores: ArrayLike, classes: Sequence[str] | None = None) -> dict[str, Value]:
    """Brier score, the mean squared error of the probabilities (Brier 1950): 0 is perfect.

    One class an image: the sum over the classes of (p - y)^2, averaged over the images, in 0..2; with two classes it
    is twice scikit-learn's `brier_score_loss` of the second, as in Brier's paper. Findings that co-occur: (p - y)^2
    averaged over the images, in 0..1, for each finding as `brier[<finding>]`, and `brier` is the mean over the
    findings. A finding that no image has counts too: its probabilities ought to be 0. Null where scores are no
    probabilities.

    Parameters
    ----------
    truth, scores, classes : as for `benchmarks.metrics.utility.one_vs_rest`.

    Raises
    ------
    ValueError
        As `one_vs_rest`.
    """
    return _measure(BRIER, truth, scores, classes, as_quantity=BRIER)


@metric(ECE)
def ece(*, truth: ArrayLike, scores: ArrayLike, classes: Sequence[str] | None = None) -> dict[str, Value]:
    """Expected calibration error over `N_BINS` equal bins (lower, upper] of [0, 1] (Naeini 2015, Guo 2017).

        ECE = sum over bins of (n_bin / n) |mean confidence - share that came true|

    One class an image: the confidence is the highest probability, and it comes true where that class is the image's.
    Findings that co-occur: the confidence is the probability of the finding, `ece[<finding>]`, and `ece` is the mean
    over the findings. An estimate from n images lies above the truth by an amount that falls with n: compare it only
    at one test set. Null where `brier` is.

    Parameters
    ----------
    truth, scores, classes : as for `brier`.

    Raises
    ------
    ValueError
        As `brier`.
    """
    return _measure(ECE, truth, scores, classes, as_quantity=ECE)


@metric(*CALIBRATED.values())
def after_temperature(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    classes: Sequence[str] | None = None,
) -> dict[str, Value]:
    """`brier_calibrated` and `ece_calibrated`: the same of the probabilities after `fit_temperature` on val.

    The temperature stands in `extra`, and in the note where val holds it at an end of `TEMPERATURES`.
    """
    found = fit_temperature(truth=val_truth, scores=val_scores)
    test = apply_temperature(scores, found.value, multilabel=np.ndim(truth) == 2)
    table: dict[str, Value] = {}
    for plain, calibrated in CALIBRATED.items():
        table |= _measure(plain, truth, test, classes, as_quantity=calibrated)

    def with_temperature(value: Value) -> Value:
        note = "; ".join(part for part in (value.note, found.note) if part) or None
        return replace(value, note=note, extra={**value.extra, "temperature": found.value})

    return {name: with_temperature(value) for name, value in table.items()}


def _measure(
    plain: Quantity, truth: ArrayLike, scores: ArrayLike, classes: Sequence[str] | None, *, as_quantity: Quantity
) -> dict[str, Value]:
    """`BRIER` or `ECE` of probabilities, given as `as_quantity`."""
    one_vs_rest(truth, scores, classes)  # raises for shapes and labels that do not fit
    y, p = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    n = len(y)
    reason = no_probabilities(p, multilabel=y.ndim == 2) or ("no image" if not n else None)
    if reason:
        raise Unavailable(reason)
    if plain is BRIER:
        squares = (p - marks_of(y, n_classes=p.shape[1])) ** 2
        numbers = squares.mean(axis=0) if y.ndim == 2 else squares.sum(axis=1).mean(keepdims=True)
    else:
        confidence, correct = outcomes(y, p)
        bins = [Bins.of(confidence[:, q], correct[:, q]) for q in range(confidence.shape[1])]
        numbers = np.array([one.ece for one in bins])
    if y.ndim == 1:
        return {as_quantity.name: as_quantity.value(float(numbers[0]), n)}
    names = classes if classes is not None else [str(k) for k in range(p.shape[1])]
    rows = [as_quantity.value(float(x), n, label=k) for k, x in zip(names, numbers, strict=True)]
    return {as_quantity.name: macro(as_quantity, rows), **{row.name: row for row in rows}}


def no_probabilities(scores: NDArray[np.float64], *, multilabel: bool) -> str | None:
    """Why scores (N, K) cannot be read as probabilities, or None."""
    if scores.size and (scores.min() < 0 or scores.max() > 1 + TOLERANCE):
        return f"scores from {scores.min():.3g} to {scores.max():.3g} are no probabilities"
    sums = scores.sum(axis=1)
    if not multilabel and scores.size and np.abs(sums - 1).max() > TOLERANCE:
        return f"scores of an image sum to {sums[np.abs(sums - 1).argmax()]:.3g}, not 1: they are no probabilities"
    return None


# -- confidence and what came of it -------------------------------------------------------------------------------


def outcomes(truth: NDArray[Any], scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence and whether it came true, (N, 1) for one class an image and (N, K) for findings: see `ece`."""
    if truth.ndim == 2:
        return scores, truth.astype(bool)
    return scores.max(axis=1, keepdims=True), (scores.argmax(axis=1) == truth)[:, None]


@dataclass(frozen=True)
class Bins:
    """What a reliability curve is drawn from: `N_BINS` equal bins of the confidence."""

    n: NDArray[np.int64]
    """(N_BINS,): predictions in each bin."""
    confidence: NDArray[np.float64]
    """(N_BINS,): sum of their confidences."""
    correct: NDArray[np.float64]
    """(N_BINS,): how many came true."""

    @classmethod
    def of(cls, confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Bins:
        """Fill the bins (lower, upper] with confidences of any shape; 0 belongs to the first."""
        said, right = confidence.ravel(), correct.ravel()
        place = np.clip(np.ceil(said * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
        return cls(
            np.bincount(place, minlength=N_BINS),
            np.bincount(place, weights=said, minlength=N_BINS).astype(np.float64),
            np.bincount(place, weights=right, minlength=N_BINS).astype(np.float64),
        )

    @property
    def ece(self) -> float:
        """Expected calibration error of these predictions taken together."""
        return float(np.abs(self.confidence - self.correct).sum() / self.n.sum())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; an empty bin has null means."""
        means = [
            [float(total / n) if n else None for total, n in zip(sums, self.n, strict=True)]
            for sums in (self.confidence, self.correct)
        ]
        return {"n": self.n.tolist(), "confidence": means[0], "correct": means[1]}


# -- temperature --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by: above 1 where the classifier is too sure of itself."""

    value: float
    note: str | None = None


def fit_temperature(*, truth: ArrayLike, scores: ArrayLike) -> Temperature:
    """The temperature T that minimises the negative log-likelihood of softmax(z / T) or sigmoid(z / T) (Guo 2017).

    One T for all classes or findings, looked for within `TEMPERATURES`. The logits z come back from the probabilities:
    log p, which is z up to a constant that a softmax does not see, or log(p / (1 - p)).

    Parameters
    ----------
    truth : int (N,) or 0/1 (N, K), of val.
    scores : (N, K) probabilities on val.

    Raises
    ------
    Unavailable
        Without images, or where scores are no probabilities.
    """
    from scipy.optimize import minimize_scalar

    y, p = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    multilabel = y.ndim == 2
    reason = "no image in val to fit a temperature on" if not len(y) else no_probabilities(p, multilabel=multilabel)
    if reason:
        raise Unavailable(reason)
    z = logits_of(p, multilabel=multilabel)
    margins = np.where(y.astype(bool), z, -z) if multilabel else z - z[np.arange(len(y)), y][:, None]

    def loss(log_t: float) -> float:
        scaled = margins * np.exp(-log_t)
        losses = np.logaddexp(0, -scaled) if multilabel else np.logaddexp.reduce(scaled, axis=1)
        return float(losses.mean())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    if high - found.x < 1e-3:
        return Temperature(TEMPERATURES[1], f"temperature held at {TEMPERATURES[1]:g}: on val the scores say nothing")
    if found.x - low < 1e-3:
        note = f"temperature held at {TEMPERATURES[0]:g}: on val hardly an answer is wrong"
        return Temperature(TEMPERATURES[0], note)
    return Temperature(float(np.exp(found.x)))


def logits_of(scores: NDArray[np.float64], *, multilabel: bool) -> NDArray[np.float64]:
    """Logits (N, K) of probabilities (N, K), up to a constant an image where `multilabel` is False."""
    if not multilabel:
        return np.log(np.maximum(scores, SMALLEST))
    p = np.clip(scores, SMALLEST, LARGEST)
    return np.log(p) - np.log1p(-p)


def apply_temperature(scores: ArrayLike, temperature: float, *, multilabel: bool) -> NDArray[np.float64]:
    """Probabilities (N, K) of the logits of `scores` divided by the temperature.

    Raises
    ------
    Unavailable
        Where scores are no probabilities.
    """
    from scipy.special import expit, softmax

    p = np.asarray(scores, dtype=np.float64)
    reason = no_probabilities(p, multilabel=multilabel)
    if reason:
        raise Unavailable(reason)
    z = logits_of(p, multilabel=multilabel) / temperature
    tempered: NDArray[np.float64] = expit(z) if multilabel else softmax(z, axis=1)
    return tempered


# -- an arm -------------------------------------------------------------------------------------------------------


def temper(
    *, scores: ArrayLike, val_truth: ArrayLike, val_scores: ArrayLike
) -> tuple[NDArray[np.float64], tuple[Temperature, ...]]:
    """Test probabilities (S, N, K) of an arm after each seed's own temperature, and these.

    Parameters
    ----------
    scores : (S, N, K) on test.
    val_truth : (M,) or (M, K).
    val_scores : (S, M, K).

    Raises
    ------
    Unavailable
        As `fit_temperature`.
    """
    stack, val = np.asarray(scores), np.asarray(val_scores)
    found = tuple(fit_temperature(truth=val_truth, scores=one) for one in val)
    multilabel = np.ndim(val_truth) == 2
    return np.stack(
        [apply_temperature(p, t.value, multilabel=multilabel) for p, t in zip(stack, found, strict=True)]
    ), found


def describe_calibration(
    *, truth: ArrayLike, scores: ArrayLike, val_truth: ArrayLike, val_scores: ArrayLike
) -> dict[str, Any]:
    """What a record keeps of an arm's calibration beside its numbers, as plain JSON values.

    Parameters
    ----------
    truth : of test.
    scores, val_truth, val_scores : as for `temper`.

    Returns
    -------
    of : whose confidence it is.
    temperature : of each seed.
    as_given, calibrated : `Bins.to_json` of the predictions of all seeds (and findings) together, before and after the
        temperature.
    note : why they are null.
    """
    y, stack = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    row: dict[str, Any] = {
        "of": "each finding" if y.ndim == 2 else "the most probable class",
        "temperature": None,
        "as_given": None,
        "calibrated": None,
        "note": None,
    }
    try:
        tempered, found = temper(scores=stack, val_truth=val_truth, val_scores=val_scores)
    except Unavailable as reason:
        return {**row, "note": str(reason)}
    for name, probabilities in (("as_given", stack), ("calibrated", tempered)):
        parts = [outcomes(y, one) for one in probabilities]
        bins = Bins.of(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
        row[name] = bins.to_json()
    notes = dict.fromkeys(t.note for t in found if t.note)
    return {**row, "temperature": [t.value for t in found], "note": "; ".join(notes) or None}
