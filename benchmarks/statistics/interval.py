"""A mean over seeds with its interval over seeds and patients, and the p-values that go with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.statistics.quantile import Parts, one_sided_p, quantile
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95
POWER = 0.80
"""Share of experiments in which a difference that is called detectable would be shown."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval, and the parts that the interval is made of."""

    estimate: float
    """Mean over the seeds on the test set itself."""
    low: float
    high: float
    se_seeds: float | None
    """Standard error between seeds (of their mean); None with one seed."""
    se_patients: float
    """Standard error from which patients are in the test set."""
    se_interaction: float | None
    """Standard error from what single seeds make of single patients: both of the above hold it. None with one seed."""
    se: float
    """Combined standard error, never below `se_patients`."""
    quantile: float
    """Half the width in combined standard errors: between Student's t over the patients and over the seeds."""
    percentile: tuple[float, float]
    """Plain percentile interval of the hierarchical bootstrap, too narrow with few seeds; for reference."""
    note: str | None = None


def mean_interval(
    values: NDArray[np.float64], draws: NDArray[np.float64], *, n_groups: float, freedom: float | None = None, seed: int
) -> Interval:
    """95 % interval of a mean over seeds, for new seeds *and* new patients.

    Seeds and patients are crossed: with value = mean + seed effect + patient effect + interaction, the variance of the
    grand mean over S seeds has three parts. Two estimates hold the interaction: V_between = var(values) / S over S - 1,
    and V_patients, the variance of the resampled seed mean. V_interaction is the variance of the resampled seed
    contrasts, summed and divided by S (S - 1). Adding the first two whole would count it twice (Owen 2007):

        V = max(V_between - V_interaction, 0) + max(V_patients, V_interaction)

    The first term is what the seeds add, on S - 1 degrees of freedom, the second what the patients alone make of it,
    on `freedom` ones. So an interval is never narrower than its patients make it, however alike a few seeds happen to
    come out. The interval is

        estimate +/- q sqrt(V),  q = (q_Cochran + q_Satterthwaite) / 2
        q_Cochran = w t(S - 1) + (1 - w) t(d),  w = share of the first term in V
        q_Satterthwaite = t(f),  1 / f = w^2 / (S - 1) + (1 - w)^2 / d

    (`benchmarks.statistics.quantile`). Resampled variances over P patients are multiplied by P / (P - 1), which the
    bootstrap leaves out. `python -m benchmarks.calibrate` measures the coverage on simulated films; the plain
    percentile interval covers 73 % at 3 seeds where seeds are the noise.

    Parameters
    ----------
    values : (S,) on the test set itself.
    draws : (S, B) on resamples of the patients, shared by all seeds.
    n_groups : P, the number of patients, or their effective number (`benchmarks.statistics.support.Support`); infinite
        where the draws are scaled by P / (P - 1) already.
    freedom : d; P - 1 when left out.

    Raises
    ------
    Unavailable
        With fewer than two patients: nothing says how much they differ.

    Notes
    -----
    With one seed there is no variance between seeds: the interval covers patients alone, and says so.
    """
    estimate, spread = float(values.mean()), half_width(values, draws, n_groups=n_groups, freedom=freedom)
    return Interval(
        estimate,
        estimate - spread.half,
        estimate + spread.half,
        spread.se_seeds,
        spread.se_patients,
        spread.se_interaction,
        spread.se,
        spread.quantile,
        _percentile(draws, seed=seed),
        "one seed: the interval covers the choice of patients, not of seeds" if len(values) == 1 else None,
    )


class Spread(NamedTuple):
    """Half the width of an interval, and what it is made of; see `Interval`."""

    half: float
    se_seeds: float | None
    se_patients: float
    quantile: float
    se: float
    """Combined standard error: half = quantile * se."""
    parts: Parts
    """Share of the combined variance and degrees of freedom: the seeds (share 0 with one), the patients."""
    se_interaction: float | None = None

    def detectable(self, *, power: float = POWER) -> float:
        """The true difference that an experiment like this one calls different from 0 in a share `power` of repeats.

        (quantile(1 - (1 - level) / 2) + quantile(power)) standard errors: half a width to get past, and a margin for
        the estimate's own luck.
        """
        return self.half + quantile(power, self.parts) * self.se


def half_width(
    values: NDArray[np.float64],
    draws: NDArray[np.float64],
    *,
    n_groups: float,
    freedom: float | None = None,
    level: float = LEVEL,
) -> Spread:
    """Half the width of `mean_interval`, by its formula, at any level.

    Raises
    ------
    Unavailable
        With fewer than two patients.
    """
    if n_groups < 2:
        raise Unavailable(f"an interval needs two patients or more; those of the test set count as {n_groups:.3g}")
    n_seeds, n_draws = draws.shape
    mean_draws = draws.mean(axis=0)
    unbiased = 1.0 if math.isinf(n_groups) else n_groups / (n_groups - 1)
    v_patients = unbiased * float(mean_draws.var(ddof=1)) if n_draws > 1 else 0.0
    v_between, v_interaction, tail = 0.0, 0.0, 0.5 + level / 2
    if n_seeds > 1:
        v_between = float(values.var(ddof=1)) / n_seeds
        contrasts = unbiased * (draws - mean_draws).var(axis=1, ddof=1).sum() if n_draws > 1 else 0.0
        v_interaction = float(contrasts) / (n_seeds * (n_seeds - 1))
    v_seeds, v_rest = max(v_between - v_interaction, 0.0), max(v_patients, v_interaction)
    v = v_seeds + v_rest
    share = v_seeds / v if v > 0 else 0.0
    parts = ((share, n_seeds - 1.0), (1 - share, n_groups - 1.0 if freedom is None else freedom))
    q = quantile(tail, parts)
    se_seeds, se_interaction = (math.sqrt(v_between), math.sqrt(v_interaction)) if n_seeds > 1 else (None, None)
    return Spread(q * math.sqrt(v), se_seeds, math.sqrt(v_patients), q, math.sqrt(v), parts, se_interaction)


def interval_p(
    values: NDArray[np.float64], draws: NDArray[np.float64], *, n_groups: float, freedom: float | None = None
) -> float:
    """Two-sided p of a mean difference of 0 for new seeds and new patients: 1 less the widest level that excludes it.

    The sign-flip p asks about new seeds on *these* patients, and is too small where an arm suits some patients better
    than others; this one is below 0.05 exactly where the 95 % interval excludes 0.

    Parameters
    ----------
    values, draws, n_groups, freedom : as for `mean_interval`.
    """
    spread = half_width(values, draws, n_groups=n_groups, freedom=freedom)
    return min(1.0, 2 * one_sided_p(abs(float(values.mean())), spread.se, spread.parts))


def _percentile(draws: NDArray[np.float64], *, seed: int) -> tuple[float, float]:
    """Percentile interval with seeds resampled too: draws (S, B) -> (low, high)."""
    n_seeds, n_draws = draws.shape
    rng = np.random.default_rng(seed_from(seed, "bootstrap", "seeds"))
    weights = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_draws).T / n_seeds
    low, high = np.quantile((weights * draws).sum(axis=0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sign_flip_p(differences: NDArray[np.float64], *, seed: int) -> float:
    """Two-sided sign-flip p of the mean of n paired differences: smallest possible value 2 / 2^n.

    Exact up to 16 pairs (every pattern of signs); beyond that 65,536 random patterns drawn from `seed`.
    """
    from scipy.stats import permutation_test

    if len(differences) < 2 or not np.any(differences):
        return 1.0
    result = permutation_test(
        (differences, np.zeros_like(differences)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**16,
        batch=2**11,
        rng=np.random.default_rng(seed_from(seed, "sign flip")),
    )
    return float(result.pvalue)
