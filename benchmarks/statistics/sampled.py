"""One number of one arm, by seed, on the test set and on every resample of its patients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.statistics.interval import LEVEL, Interval, Spread, half_width, interval_p, mean_interval
from benchmarks.statistics.one_arm import has_model, score_interval
from benchmarks.statistics.support import Support
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HIGHEST = {"brier": 2.0, "brier_calibrated": 2.0}
"""The largest value of the metrics whose largest is not 1."""
MIN_RESAMPLES = 100
"""Fewest resamples that an interval is made of."""


@dataclass(frozen=True)
class Sampled:
    """One metric of one arm: on the test set as it is, and on every resample of its patients."""

    metric: str
    """For instance `f1`."""
    values: NDArray[np.float64]
    """(S,): of each seed on the test set itself."""
    draws: NDArray[np.float64]
    """(S, B): of each seed on each resample; 0 where `valid` is False."""
    valid: NDArray[np.bool_]
    """(B,): whether the resample defines it for every seed."""
    support: Support
    """The patients that it rests on."""
    seed: int
    """What the resamples are derived from."""
    design: str
    """`Resamples.design`: two arms can be paired only where it is equal."""
    label: str | None = None
    """The class; None for the macro."""
    n_incomplete: int = 0
    """Resamples in which some class could not be judged and was left out of the macro."""
    left_out: tuple[str, ...] = ()
    """Classes that the test set itself cannot judge, each with the reason."""
    ends: tuple[float, float] | None = None
    """What the number lies within, where that is neither 0 to 1 nor in `HIGHEST`."""

    @property
    def name(self) -> str:
        """As in the table of utility: `f1` (the macro), or `f1[effusion]`."""
        return self.metric if self.label is None else f"{self.metric}[{self.label}]"

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return self.support.n

    @property
    def n_seeds(self) -> int:
        """Number of classifier seeds, S."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean over the seeds on the test set itself."""
        return float(self.values.mean())

    @property
    def kept(self) -> NDArray[np.float64]:
        """(S, n): the draws on the resamples that define the metric.

        Raises
        ------
        Unavailable
            When fewer than `MIN_RESAMPLES` (or than there are, if these are fewer) do.
        """
        n, least = int(self.valid.sum()), min(MIN_RESAMPLES, len(self.valid))
        if n < max(least, 1):
            raise Unavailable(f"only {n} of {len(self.valid)} resamples of the patients define it, {least} are needed")
        return self.draws[:, self.valid]

    def pairs_with(self, other: Sampled) -> bool:
        """Whether the two share test set, patients, resamples and number of seeds."""
        return self.design == other.design and self.draws.shape == other.draws.shape

    def minus(self, other: Sampled) -> Sampled:
        """The paired difference, seed by seed and resample by resample.

        Raises
        ------
        ValueError
            When the two cannot be paired.
        """
        if not self.pairs_with(other):
            raise ValueError(
                f"{self.name} cannot be paired: both arms need one test set, one bootstrap seed and the same "
                f"classifier seeds ({self.n_seeds} and {other.n_seeds} seeds given)"
            )
        return replace(
            self,
            values=self.values - other.values,
            draws=self.draws - other.draws,
            valid=self.valid & other.valid,
            support=self.support.weaker(other.support),
        )

    def interval(self) -> Interval:
        """Mean over the seeds with its 95 % interval over seeds and patients, within its range.

        A ranking or a rate has `benchmarks.statistics.one_arm.score_interval`; a mean like the Brier score has
        `difference_interval`, cut at the ends of its range.

        Raises
        ------
        Unavailable
            With fewer than two patients, or when too few resamples define it.
        """
        found = self.difference_interval()
        lowest, highest = self.ends or (0.0, HIGHEST.get(self.metric, 1.0))
        low, high = max(found.low, lowest), min(found.high, highest)
        if has_model(self.metric, self.support):
            low, high = score_interval(self.metric, self.mean, self.spread(level=LEVEL), self.support)
        return replace(found, low=low, high=high)

    def difference_interval(self) -> Interval:
        """The symmetric interval of `mean_interval`: for a difference, which has no end at 0.

        Raises
        ------
        Unavailable
            As `interval`.
        """
        return mean_interval(self.values, self.kept, **self._patients, seed=self.seed)

    def p_interval(self) -> float:
        """Two-sided p that belongs to `difference_interval`: below 0.05 where it excludes 0.

        Raises
        ------
        Unavailable
            As `interval`.
        """
        return interval_p(self.values, self.kept, **self._patients)

    def spread(self, *, level: float) -> Spread:
        """Half the width of the interval at any level, and what it is made of.

        Raises
        ------
        Unavailable
            As `interval`.
        """
        return half_width(self.values, self.kept, **self._patients, level=level)

    @property
    def _patients(self) -> dict[str, float]:
        return {"n_groups": self.support.effective, "freedom": self.support.freedom}


def mixed(weights: NDArray[np.float64], parts: Sequence[Sampled]) -> Sampled:
    """The sum of weights (P,) times parts, seed by seed and resample by resample; the parts are paired."""
    return replace(
        parts[0],
        values=weights @ np.stack([part.values for part in parts]),
        draws=np.tensordot(weights, np.stack([part.draws for part in parts]), axes=1),
        valid=np.stack([part.valid for part in parts]).all(axis=0),
    )
