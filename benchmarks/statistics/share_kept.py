"""How much of one gain another arm keeps: the ratio of two gains over the same zero line, with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.statistics.interval import LEVEL
from benchmarks.statistics.sampled import Sampled, mixed
from benchmarks.statistics.word import too_few_seeds

FARTHEST = 2.0**20
"""Share beyond which no end of an interval is looked for."""


@dataclass(frozen=True)
class Kept:
    """A share of a gain; null where the gain itself is not shown, and where too few seeds show anything."""

    kept: float | None
    """Gain of the arm / gain that it is measured by; 1: all of it, 0: none, below 0: the arm is worse than nothing."""
    low: float | None
    high: float | None
    gain: float
    """Of the arm over the zero line."""
    full: float
    """The gain that it is measured by."""
    full_low: float
    full_high: float
    note: str = ""
    """Why the share is null."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def share_kept(arm: Sampled, full: Sampled, alone: Sampled) -> Kept:
    """Which share of the gain of `full` over `alone` an arm keeps, for new seeds and new patients.

    The share is k where arm - alone = k (full - alone). The interval holds every k at which the difference
    arm - k full - (1 - k) alone may be 0 by the interval of every other difference
    (`benchmarks.statistics.interval.mean_interval`): Fieller's (1954) set for a ratio of means, which keeps its level
    where the ratio's own distribution is skewed. It is one interval where the gain below the line is shown, and
    without that gain there is nothing to take a share of.

    Parameters
    ----------
    arm, full, alone : one metric of three arms on one test set, row s of each from classifier seed s.

    Raises
    ------
    ValueError
        When they cannot be paired.
    Unavailable
        With fewer than two patients, or when too few resamples can be judged.
    """
    gain, whole = arm.minus(alone), full.minus(alone)
    measured = whole.difference_interval()
    numbers = {"gain": gain.mean, "full": measured.estimate, "full_low": measured.low, "full_high": measured.high}
    if few := too_few_seeds(whole.n_seeds):
        return Kept(None, None, None, **numbers, note=f"screening only, {few}")
    if measured.low <= 0:
        note = (
            f"what it would be a share of is not shown: {measured.estimate:+.4f} "
            f"[{measured.low:+.4f}, {measured.high:+.4f}]"
        )
        return Kept(None, None, None, **numbers, note=note)

    def outside(k: float) -> float:
        """Below 0 where k is in the set."""
        apart = mixed(np.array([1.0, -k]), [gain, whole])
        return abs(apart.mean) - apart.spread(level=LEVEL).half

    kept = gain.mean / measured.estimate
    return Kept(kept, _end(outside, kept, -1.0), _end(outside, kept, 1.0), **numbers)


def _end(outside: Callable[[float], float], inside: float, direction: float) -> float | None:
    """Where the set around `inside` ends; None where it does not end within `FARTHEST`."""
    from scipy.optimize import brentq

    step = 1 / 64
    while outside(inside + direction * step) <= 0:
        step *= 2
        if step > FARTHEST:
            return None
    if outside(inside) >= 0:  # nothing scatters: the set is the estimate itself
        return inside
    found: float = brentq(outside, inside, inside + direction * step, xtol=1e-6)
    return found
