"""One number of one arm on two test sets whose patients are others: the difference, with its interval."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.statistics.interval import LEVEL, half_width, interval_p
from benchmarks.statistics.sampled import MIN_RESAMPLES, Sampled
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Apart:
    """A number here minus the same number there: the same classifiers, other patients."""

    difference: float
    """Mean over the seeds on the test sets themselves."""
    low: float
    high: float
    p_interval: float
    """Two-sided p that belongs to the interval: below 0.05 where it excludes 0."""
    n_seeds: int
    by_seed: tuple[float, ...]
    se_here: float
    """Standard error from which patients are in the test set here."""
    se_there: float
    freedom: float
    """Of the patients of both, by Welch and Satterthwaite."""
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "by_seed": list(self.by_seed)}


def apart(here: Sampled, there: Sampled) -> Apart:
    """A number of one arm on one test set minus that on another, for new seeds and new patients of both.

    The seeds are paired: classifier s predicted on both sets. The patients are not, and the two sets of resamples are
    drawn independently. So resample b of the one less resample b of the other is a resample of the difference, and its
    variance is the sum of both. With P patients each set's draws are spread by sqrt(P / (P - 1)) about its own value,
    which the bootstrap leaves out. Then the interval is that of `benchmarks.statistics.interval.mean_interval`, with as
    degrees of freedom of the patients (Welch 1947, Satterthwaite 1946)

        d = (V_here + V_there)^2 / (V_here^2 / d_here + V_there^2 / d_there)

    V the resampled variances of the seed mean, d_here and d_there the freedom of each set's patients
    (`benchmarks.statistics.support.Support.freedom`). `tests/test_apart.py` measures its coverage by simulation.

    Parameters
    ----------
    here, there : of the same classifier seeds in the same order; also paired differences (`Sampled.minus`), whose
        difference is how far a gain here is from the gain there.

    Raises
    ------
    Unavailable
        Where the macro of one is over other classes than that of the other, with fewer than two patients in either, or
        when too few resamples define both.
    ValueError
        For another number of seeds or of resamples.
    """
    if here.draws.shape != there.draws.shape or here.metric != there.metric:
        raise ValueError(f"{here.name} {here.draws.shape} and {there.name} {there.draws.shape} are not of one arm")
    if here.support.names != there.support.names:
        raise Unavailable(
            f"the macro is over other classes: without {_named(here.left_out)} here and without "
            f"{_named(there.left_out)} there"
        )
    for one in (here, there):
        if one.support.effective < 2:
            raise Unavailable(
                f"an interval needs two patients or more; {one.support.n} count as {one.support.effective:.3g}"
            )
    both = here.valid & there.valid
    least = min(MIN_RESAMPLES, len(both))
    if both.sum() < max(least, 1):
        raise Unavailable(f"only {int(both.sum())} of {len(both)} resamples define it on both, {least} are needed")
    mine, its = _spread(here, both), _spread(there, both)
    v_mine, v_its = (float(draws.mean(axis=0).var(ddof=1)) if draws.shape[1] > 1 else 0.0 for draws in (mine, its))
    freedom = _welch((v_mine, here.support.freedom), (v_its, there.support.freedom))
    values = here.values - there.values
    patients = {"n_groups": math.inf, "freedom": freedom}
    estimate, half = float(values.mean()), half_width(values, mine - its, **patients, level=LEVEL).half
    notes = ["one seed: the interval covers the choice of patients, not of seeds"] if len(values) == 1 else []
    notes += [f"{where}: {one.support.note}" for where, one in (("here", here), ("there", there)) if one.support.note]
    return Apart(
        difference=estimate,
        low=estimate - half,
        high=estimate + half,
        p_interval=interval_p(values, mine - its, **patients),
        n_seeds=len(values),
        by_seed=tuple(float(value) for value in values),
        se_here=math.sqrt(v_mine),
        se_there=math.sqrt(v_its),
        freedom=freedom,
        note="; ".join(notes) or None,
    )


def _spread(one: Sampled, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(S, n): the draws, spread about the values by what the bootstrap leaves out."""
    n, middle = one.support.effective, one.values[:, None]
    spread: NDArray[np.float64] = middle + math.sqrt(n / (n - 1)) * (one.draws[:, kept] - middle)
    return spread


def _welch(*parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of independent variances, each with its own; the smaller of all where none varies."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return min(freedom for _, freedom in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def _named(left_out: tuple[str, ...]) -> str:
    return "; ".join(left_out) or "none"
