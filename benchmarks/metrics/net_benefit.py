"""Net benefit: what deciding by a classifier is worth to a clinic with a stated share of patients with a finding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.calibration import apply_temperature, fit_temperature, logits_of
from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.utility import SIDES, Problem, macro, one_sided, one_vs_rest, too_few
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NET_BENEFIT = Quantity("net_benefit", "higher", title="net benefit")
THRESHOLDS = tuple(k / 100 for k in range(1, 51))
"""Threshold probabilities of a decision curve."""


def net_benefit_of(sensitivity: Any, false_alarms: Any, *, prevalence: float, threshold: float) -> Any:
    """Net benefit at a threshold probability pt (Vickers & Elkin 2006), in true positives a patient.

        NB(pt) = TPR pi - FPR (1 - pi) pt / (1 - pt)

    Treating nobody is worth 0, treating everybody pi - (1 - pi) pt / (1 - pt). At pt = pi it is pi (TPR - FPR).

    Parameters
    ----------
    sensitivity, false_alarms : TPR and FPR, numbers or arrays in 0..1.
    prevalence : pi, above 0 and below 1.
    threshold : pt, above 0 and below 1.
    """
    return sensitivity * prevalence - false_alarms * (1 - prevalence) * threshold / (1 - threshold)


@dataclass(frozen=True)
class Moved:
    """How one classifier's probabilities are brought to a stated prevalence; all of it is learned on val.

    The logit l of a question (a finding, or a class against the rest) after the temperature of
    `benchmarks.metrics.calibration.fit_temperature` is moved twice:

        logit p = l + a + logit(pi) - logit(b)

    b is the share of positives on val, and a the number with which the mean of sigmoid(l + a) over val is b. So the
    probabilities are right on val in the mean, whatever mixture a classifier was trained on. The rest is Bayes' rule
    for another prevalence (Elkan 2001, theorem 2; Saerens, Latinne & Decaestecker 2002, equation 2.4): what a
    positive and a negative film look like is taken to stay.
    """

    temperature: float
    base: NDArray[np.float64]
    """(Q,): b of each question."""
    intercept: NDArray[np.float64]
    """(Q,): a of each question; NaN where val has no image on a side."""

    @classmethod
    def fit(cls, *, truth: ArrayLike, scores: ArrayLike) -> Moved:
        """Learn it on val.

        Parameters
        ----------
        truth : int (M,) or 0/1 (M, K), of val.
        scores : (M, K) probabilities on val.

        Raises
        ------
        Unavailable
            Without images, or where scores are no probabilities.
        """
        temperature = fit_temperature(truth=truth, scores=scores).value
        problem = tempered(truth, scores, temperature)
        logits = logits_of(problem.scores, multilabel=True)
        shifts = [_intercept(yes, of) for yes, of in zip(problem.truth.T, logits.T, strict=True)]
        return cls(temperature, problem.truth.mean(axis=0), np.array(shifts))

    def cut(self, prevalence: float, threshold: float) -> NDArray[np.float64]:
        """The logit l after the temperature, (Q,), from which p is `threshold` or more at this prevalence.

        At `threshold` = `prevalence` it is the same for every prevalence. NaN where a is.
        """
        known = np.isfinite(self.intercept)
        base = np.where(known, self.base, 0.5)
        return np.where(
            known, _logit(threshold) - _logit(prevalence) + np.log(base / (1 - base)) - self.intercept, np.nan
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        shifts = [float(a) if math.isfinite(a) else None for a in self.intercept]
        return {"temperature": self.temperature, "base": [float(b) for b in self.base], "intercept": shifts}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Moved:
        """As `to_json` gave it."""
        shifts = [math.nan if a is None else a for a in held["intercept"]]
        return cls(held["temperature"], np.array(held["base"], dtype=np.float64), np.array(shifts, dtype=np.float64))


def tempered(
    truth: ArrayLike,
    scores: ArrayLike,
    temperature: float,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> Problem:
    """Yes-or-no questions (`one_vs_rest`) of the probabilities after a temperature.

    Raises
    ------
    Unavailable
        Where scores are no probabilities.
    ValueError
        As `one_vs_rest`.
    """
    one_vs_rest(truth, scores, classes, patients)
    moved = apply_temperature(scores, temperature, multilabel=np.ndim(truth) == 2)
    return one_vs_rest(truth, moved, classes, patients)


def called(problem: Problem, moved: Moved, *, prevalence: float, threshold: float) -> NDArray[np.bool_]:
    """Which images (N, Q) are called positive; none of a question that val cannot move."""
    logits = logits_of(problem.scores, multilabel=True)
    cut = moved.cut(prevalence, threshold)
    return logits >= np.where(np.isfinite(cut), cut, np.inf)


@metric(NET_BENEFIT)
def net_benefit(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    prevalence: float,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> dict[str, Value]:
    """Net benefit at the stated prevalence, deciding there: pi (TPR - FPR), `net_benefit[<class>]` and their mean.

    From -pi to pi; treating everybody and treating nobody are both worth 0 at this threshold. `extra` has TPR and FPR.
    With several classes, or findings, each is taken at that prevalence in turn. Null where val has no image on a side,
    and with fewer than two patients on a side of test.

    Parameters
    ----------
    truth, scores, classes, patients : as for `benchmarks.metrics.utility.one_vs_rest`.
    val_truth, val_scores : the same of val.
    prevalence : pi, above 0 and below 1.

    Raises
    ------
    ValueError
        As `one_vs_rest`.
    """
    moved = Moved.fit(truth=val_truth, scores=val_scores)
    problem = tempered(truth, scores, moved.temperature, classes, patients)
    said = called(problem, moved, prevalence=prevalence, threshold=prevalence)
    rows = []
    for q, name in enumerate(problem.names):
        yes = problem.truth[:, q]
        note = None if np.isfinite(moved.intercept[q]) else f"{_one_sided(moved.base[q])} in val to calibrate by"
        if note := note or too_few(yes, problem.patient, SIDES):
            rows.append(NET_BENEFIT.missing(note, len(yes), label=name))
            continue
        true, false = float(said[yes, q].mean()), float(said[~yes, q].mean())
        value = net_benefit_of(true, false, prevalence=prevalence, threshold=prevalence)
        extra = {"prevalence": prevalence, "sensitivity": true, "false_alarms": false}
        rows.append(NET_BENEFIT.value(float(value), len(yes), label=name, extra=extra))
    whole = macro(NET_BENEFIT, rows)
    return {NET_BENEFIT.name: replace(whole, extra={"prevalence": prevalence}), **{row.name: row for row in rows}}


def describe_decision(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    prevalence: float,
    classes: Sequence[str],
    patients: Sequence[Any],
) -> dict[str, Any]:
    """What a record keeps of an arm's decisions beside their net benefit, as plain JSON values.

    Parameters
    ----------
    truth, classes, patients : of test.
    scores, val_scores : (S, N, K) and (S, M, K), by seed.
    val_truth : of val.
    prevalence : pi.

    Returns
    -------
    prevalence : pi.
    moved : `Moved.to_json` of each seed.
    thresholds : `THRESHOLDS`.
    curves : by class or finding, net benefit at each threshold, mean over the seeds; null where it cannot be judged.
    mean : of the curves; null without one.
    treat_all : of treating everybody. Treating nobody is 0.
    note : why all is null.
    """
    everybody = [float(net_benefit_of(1.0, 1.0, prevalence=prevalence, threshold=t)) for t in THRESHOLDS]
    row: dict[str, Any] = {
        "prevalence": prevalence, "moved": None, "thresholds": list(THRESHOLDS), "curves": {}, "mean": None,
        "treat_all": everybody, "note": None,
    }  # fmt: skip
    try:
        moved = [Moved.fit(truth=val_truth, scores=one) for one in np.asarray(val_scores)]
    except Unavailable as reason:
        return {**row, "note": str(reason)}
    curves = curves_of(
        truth=truth, scores=scores, moved=moved, prevalence=prevalence, classes=classes, patients=patients
    )
    there = [curve for curve in curves.values() if curve is not None]
    mean = [float(x) for x in np.mean(there, axis=0)] if there else None
    return {**row, "moved": [one.to_json() for one in moved], "curves": curves, "mean": mean}


def curves_of(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    moved: Sequence[Moved],
    prevalence: float,
    classes: Sequence[str],
    patients: Sequence[Any],
) -> dict[str, list[float] | None]:
    """Decision curves by class or finding: net benefit at `THRESHOLDS`, mean over seeds; null for too few patients."""
    by_seed, names, judged = [], (), np.zeros(0, dtype=bool)
    for one, how in zip(np.asarray(scores), moved, strict=True):
        problem = tempered(truth, one, how.temperature, classes, patients)
        yes, names = problem.truth, problem.names
        judged = np.array([too_few(side, problem.patient) is None for side in yes.T]) & np.isfinite(how.intercept)
        n_yes, n_no = np.maximum(yes.sum(axis=0), 1), np.maximum((~yes).sum(axis=0), 1)
        points = []
        for threshold in THRESHOLDS:
            said = called(problem, how, prevalence=prevalence, threshold=threshold)
            rates = (said & yes).sum(axis=0) / n_yes, (said & ~yes).sum(axis=0) / n_no
            points.append(net_benefit_of(*rates, prevalence=prevalence, threshold=threshold))
        by_seed.append(np.stack(points, axis=1))
    table = np.mean(by_seed, axis=0)
    return {name: [float(x) for x in table[q]] if judged[q] else None for q, name in enumerate(names)}


def _intercept(yes: NDArray[np.bool_], logits: NDArray[np.float64]) -> float:
    """The a with which the mean of sigmoid(logits + a) is the share of `yes`; NaN where that is 0 or 1."""
    from scipy.optimize import brentq
    from scipy.special import expit

    if one_sided(yes) is not None:
        return math.nan
    share = float(yes.mean())
    reach = float(np.abs(logits).max()) + abs(_logit(share)) + 1.0
    return float(brentq(lambda a: float(expit(logits + a).mean()) - share, -reach, reach, xtol=1e-10))


def _one_sided(base: float) -> str:
    return "no positive image" if base == 0 else "no negative image"


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
