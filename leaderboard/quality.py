"""Quality against usefulness: how far a fidelity number tells what images are worth, over the arms of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from benchmarks.request.spec import NONE
from leaderboard.rank import Standing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 5
"""Fewest arms for a rank correlation: with four its interval holds nearly everything."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho over n arms with its 95 % interval, signed so that +1 is perfect agreement with usefulness."""

    rho: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Agreement:
    """One fidelity number of a table: over every arm that has it, and over those that are no controls."""

    name: str
    n: int
    every: Correlation | None
    generators: Correlation | None


def agreements(standings: Sequence[Standing]) -> tuple[Agreement, ...]:
    """Agreement of every fidelity number with the gain in AUROC over real images alone, by name.

    A Frechet distance depends on n, which is part of its name, so arms of one ratio are compared with each other.
    """
    rows = [(s, gain["difference"]) for s in standings if (gain := s.against.get(NONE)) is not None]
    found: dict[str, list[tuple[float, float, bool]]] = {}
    for standing, gain in rows:
        for name, value in standing.entry.record["fidelity"].items():
            if value["value"] is not None:
                sign = -1.0 if value["direction"] == "lower" else 1.0
                found.setdefault(name, []).append((sign * value["value"], gain, standing.entry.record["is_control"]))
    made = []
    for name, points in sorted(found.items()):
        generators = [p for p in points if not p[2]]
        made.append(Agreement(name, len(points), correlate(points), correlate(generators)))
    return tuple(a for a in made if a.every is not None)


def correlate(points: Sequence[tuple[float, float, bool]] | Sequence[tuple[float, float]]) -> Correlation | None:
    """Spearman's rank correlation of the first two of each point; None below `LEAST` points, or where one is constant.

    Notes
    -----
    The interval is Fisher's z with the variance of Bonett & Wright (2000), (1 + rho^2 / 2) / (n - 3).
    """
    import numpy as np

    first, second = [p[0] for p in points], [p[1] for p in points]
    if len(points) < LEAST or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    rho = float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])  # scipy.stats takes a second to import
    inside = min(max(rho, -0.999999), 0.999999)
    half = NormalDist().inv_cdf(0.975) * math.sqrt((1 + rho * rho / 2) / (len(points) - 3))
    low, high = math.tanh(math.atanh(inside) - half), math.tanh(math.atanh(inside) + half)
    return Correlation(rho, low, high, len(points))


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Ranks from 1 on; equal values share the mean of theirs."""
    import numpy as np

    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: NDArray[np.float64] = (last - (count - 1) / 2)[place]
    return ranks
