"""Net benefit: what deciding by a classifier is worth to a clinic with a stated share of patients with a finding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.calibration import TEMPERATURES, logits_of, no_probabilities
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

    The logit l = log(p / (1 - p)) of a question (a finding, or a class against the rest) is moved twice:

        logit p' = s l + a + logit(pi) - logit(b)

    b is the share of positives on val; s and a, the slope and the intercept, make sigmoid(s l + a) most likely there
    (Cox 1958, Platt 1999). So the probabilities are right on val, whatever mixture a classifier was trained on. The
    rest is Bayes' rule for another prevalence (Elkan 2001, theorem 2; Saerens, Latinne & Decaestecker 2002, equation
    2.4): what a positive and a negative film look like is taken to stay. A temperature alone would take a wrong mean
    for too much certainty, and change the slope to mend it.
    """

    base: NDArray[np.float64]
    """(Q,): b of each question."""
    slope: NDArray[np.float64]
    """(Q,): s of each question, within 1 / `TEMPERATURES`."""
    intercept: NDArray[np.float64]
    """(Q,): a of each question; slope and intercept are NaN where val has no image on a side."""

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
        if not len(np.asarray(truth)):
            raise Unavailable("no image in val to calibrate by")
        problem = questions(truth, scores)
        fitted = [_fit_line(yes, of) for yes, of in zip(problem.truth.T, logits(problem).T, strict=True)]
        slope, intercept = np.array(fitted, dtype=np.float64).T
        return cls(problem.truth.mean(axis=0), slope, intercept)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(Q,): which questions val can move."""
        return np.isfinite(self.intercept)

    def cut(self, prevalence: float, threshold: float) -> NDArray[np.float64]:
        """The logit l, (Q,), from which p' is `threshold` or more at this prevalence.

        At `threshold` = `prevalence` it is the same for every prevalence. NaN where val cannot move a question.
        """
        base = np.where(self.known, self.base, 0.5)
        wanted = _logit(threshold) - _logit(prevalence) + np.log(base / (1 - base))
        cut: NDArray[np.float64] = (wanted - self.intercept) / self.slope
        return cut

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        lines = {"slope": self.slope, "intercept": self.intercept}
        plain = {name: [float(x) if math.isfinite(x) else None for x in part] for name, part in lines.items()}
        return {"base": [float(b) for b in self.base], **plain}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Moved:
        """As `to_json` gave it."""
        slope, intercept = ([math.nan if x is None else x for x in held[name]] for name in ("slope", "intercept"))
        return cls(*(np.array(part, dtype=np.float64) for part in (held["base"], slope, intercept)))


def questions(
    truth: ArrayLike, scores: ArrayLike, classes: Sequence[str] | None = None, patients: Sequence[Any] | None = None
) -> Problem:
    """The yes-or-no questions of `one_vs_rest`, of scores that are probabilities.

    Raises
    ------
    Unavailable
        Where they are none.
    ValueError
        As `one_vs_rest`.
    """
    problem = one_vs_rest(truth, scores, classes, patients)
    if reason := no_probabilities(np.asarray(scores, dtype=np.float64), multilabel=np.ndim(truth) == 2):
        raise Unavailable(reason)
    return problem


def logits(problem: Problem) -> NDArray[np.float64]:
    """log(p / (1 - p)) of each question, (N, Q)."""
    return logits_of(problem.scores, multilabel=True)


def called(problem: Problem, moved: Moved, *, prevalence: float, threshold: float) -> NDArray[np.bool_]:
    """Which images (N, Q) are called positive; none of a question that val cannot move."""
    return logits(problem) >= np.where(moved.known, moved.cut(prevalence, threshold), np.inf)


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
    problem = questions(truth, scores, classes, patients)
    said = called(problem, moved, prevalence=prevalence, threshold=prevalence)
    rows = []
    for q, name in enumerate(problem.names):
        yes = problem.truth[:, q]
        note = None if moved.known[q] else f"{_one_sided(moved.base[q])} in val to calibrate by"
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
        problem = questions(truth, one, classes, patients)
        yes, names = problem.truth, problem.names
        judged = np.array([too_few(side, problem.patient) is None for side in yes.T]) & how.known
        n_yes, n_no = np.maximum(yes.sum(axis=0), 1), np.maximum((~yes).sum(axis=0), 1)
        points = []
        for threshold in THRESHOLDS:
            said = called(problem, how, prevalence=prevalence, threshold=threshold)
            rates = (said & yes).sum(axis=0) / n_yes, (said & ~yes).sum(axis=0) / n_no
            points.append(net_benefit_of(*rates, prevalence=prevalence, threshold=threshold))
        by_seed.append(np.stack(points, axis=1))
    table = np.mean(by_seed, axis=0)
    return {name: [float(x) for x in table[q]] if judged[q] else None for q, name in enumerate(names)}


def _fit_line(yes: NDArray[np.bool_], of: NDArray[np.float64]) -> tuple[float, float]:
    """The slope s and intercept a with which sigmoid(s l + a) makes `yes` most likely; NaN without either side.

    For each s the best a is the one with which the mean of sigmoid(s l + a) is the share of `yes`. The likelihood of s
    with that a has one maximum, looked for within 1 / `TEMPERATURES`: where val is told apart without an error, or
    upside down, it lies at an end.
    """
    from scipy.optimize import brentq, minimize_scalar
    from scipy.special import expit

    if one_sided(yes) is not None:
        return math.nan, math.nan
    share, largest = float(yes.mean()), float(np.abs(of).max())

    def intercept(slope: float) -> float:
        reach = slope * largest + abs(_logit(share)) + 1.0
        return float(brentq(lambda a: float(expit(slope * of + a).mean()) - share, -reach, reach, xtol=1e-10))

    def loss(log_slope: float) -> float:
        z = math.exp(log_slope) * of + intercept(math.exp(log_slope))
        return float(np.logaddexp(0, np.where(yes, -z, z)).mean())

    ends = -math.log(TEMPERATURES[1]), -math.log(TEMPERATURES[0])
    slope = math.exp(float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6}).x))
    return slope, intercept(slope)


def _one_sided(base: float) -> str:
    return "no positive image" if base == 0 else "no negative image"


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
