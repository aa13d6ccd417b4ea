"""The interval of one arm's number, where the width depends on the number itself: an AUROC near 1, a rate near 0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.statistics.interval import Spread
    from benchmarks.statistics.support import Support

    Model = Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Variance, up to a factor, of an estimate whose true value is in 0..1."""

GRID = 1001
"""Values between the estimate and a limit, among which the end of the interval is looked for first."""
PRIOR = 2.0
"""Degrees of freedom that the model's variance counts as, beside those of the test set's own."""
MEANS = frozenset({"brier", "brier_calibrated", "ece", "ece_calibrated", "net_benefit"})
"""Numbers that are no ranking and no rate: their width has no known shape."""


def score_interval(metric: str, estimate: float, spread: Spread, support: Support) -> tuple[float, float]:
    """The true values in 0..1 that an estimate does not contradict: a score interval (Wilson 1927).

    A symmetric interval asks how far the estimate strays if the truth lies where the estimate is. Near 1 that is the
    wrong place: the truth is likelier to lie below, where estimates scatter more. So every value t is asked in turn,
    with the variance that it would give:

        |estimate - t| <= q sqrt(r h(t)),  r = (d V + 2 h(e)) / (d + 2) / h(e)

    h is the variance that so many patients give by a model (`variance_model`), and serves for its shape in t. V, q and
    d are the combined variance, quantile and degrees of freedom of the patients as everywhere
    (`benchmarks.statistics.interval.half_width`), e the estimate, kept half a pair of images away from 0 and 1. The
    model counts as two degrees of freedom: with many patients V alone speaks, and with five who are all ranked right
    (V = 0) the interval is not a point.

    Coverage of 95 % intervals by simulation: `python -m benchmarks.calibrate`. The symmetric interval covers 81 to
    90 % at an AUROC of .95 to .995.

    Parameters
    ----------
    metric : `auroc`, or a rate of `benchmarks.metrics.utility`.
    estimate : in 0..1.
    spread : at the level of the interval.
    support : with sides.

    Returns
    -------
    low, high : within 0..1 and around the estimate.
    """
    h = variance_model(metric, support)
    pairs = max(float(min(math.prod(side) for side in support.sides)), 1.0)
    inside = np.array([(estimate * pairs + 0.5) / (pairs + 1)])
    model = float(h(inside)[0])
    freedom, variance = support.freedom, spread.se**2
    factor = (freedom * variance + PRIOR * model) / (freedom + PRIOR) / model

    def beyond(t: NDArray[np.float64]) -> NDArray[np.float64]:  # above 0 where t is contradicted
        return np.abs(t - estimate) - spread.quantile * np.sqrt(factor * h(t))

    return _end(beyond, estimate, 0.0), _end(beyond, estimate, 1.0)


def _end(beyond: Model, estimate: float, limit: float) -> float:
    """Where the interval around the estimate ends on the way to a limit, 0 or 1; the limit, if nowhere before."""
    from scipy.optimize import brentq

    path = np.linspace(estimate, limit, GRID)
    out = np.flatnonzero(beyond(path) > 0)
    if not len(out):
        return limit
    ends = path[out[0] - 1], path[out[0]]
    return float(brentq(lambda t: float(beyond(np.array([t]))[0]), *ends))


def has_model(metric: str, support: Support) -> bool:
    """Whether `score_interval` applies: a ranking or a rate, with sides."""
    return metric not in MEANS and bool(support.sides)


def variance_model(metric: str, support: Support) -> Model:
    """The variance of an estimate from so many patients with one image each, as a function of the true value t.

    AUROC: with scores that are normal with equal variance on both sides,

        h(t) = (t (1 - t) + (m + n - 2) c(t)) / (m n),  c(t) = P(X < z, Y < z) - t^2,  z = quantile of t

    for m and n patients on the two sides; X and Y standard normal with correlation 1/2 are two pairs that share an
    image, so both sides have one c. (Hanley & McNeil 1982 take exponential scores, with another c for each side.) A
    rate: t (1 - t) / k, k the patients of its side; a mean of two rates a quarter of the sum of both. Several classes:
    the mean of them, taken as independent.

    Parameters
    ----------
    support : with sides.
    """
    counts = np.array(support.sides, dtype=np.float64)
    if metric == "auroc":
        m, n = counts.T
        pairs, shared = float((1 / (m * n)).mean()), float(((m + n - 2) / (m * n)).mean())
        return lambda t: (t * (1 - t) * pairs + _shared(t) * shared) / len(counts)
    if metric == "auprc":
        weight = float((1 / counts[:, 0]).mean())  # the positives limit it
    else:  # a rate of one side, or the mean of a rate of each
        weight = float((1 / counts).sum(axis=1).mean()) / counts.shape[1] ** 2
    return lambda t: t * (1 - t) * weight / len(counts)


def _shared(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """c(t) of `variance_model`, never below 0: by Owen's T, P(X < z, Y < z) = t - 2 T(z, sqrt(1 / 3))."""
    from scipy.special import ndtri, owens_t  # ndtri is norm.ppf, without what it asks of its arguments

    z = ndtri(np.clip(t, 1e-12, 1 - 1e-12))
    found: NDArray[np.float64] = np.maximum(t - 2 * owens_t(z, np.sqrt(1 / 3)) - t**2, 0.0)
    return found
