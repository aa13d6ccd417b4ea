"""Worth: how many real images would have bought what the synthetic ones bought, read off a learning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.statistics.interval import LEVEL
from benchmarks.statistics.sampled import Sampled, mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

Where = Literal["on the curve", "beyond the curve", "below the curve", "on a flat curve"]
GRID = 201
"""Sizes, evenly spaced in log n, at which the arm is compared with the curve."""


@dataclass(frozen=True)
class CurvePoint:
    """Real images alone: how many, and the AUROC they reach with its 95 % interval."""

    n: int
    auroc: float
    low: float
    high: float
    fitted: float
    """On the monotone curve."""


@dataclass(frozen=True)
class Worth:
    """What an arm's synthetic images were worth in real images.

    Parameters
    ----------
    n_equivalent : real images that reach the arm's AUROC; None beyond or below the measured range, and on a flat curve.
    n_low, n_high : its 95 % confidence set (hull); None where it leaves the measured range on that side.
    worth, low, high : (n - n_real) / n_synthetic of the same three: 1 says that a synthetic image is worth a real one,
        0 that it is worth nothing, below 0 that it does harm.
    """

    n_real: int
    n_synthetic: int
    where: Where
    n_equivalent: float | None
    n_low: float | None
    n_high: float | None
    worth: float | None
    low: float | None
    high: float | None
    note: str
    curve: tuple[CurvePoint, ...]
    advice: str = ""
    """What would make it readable, where it is not: a number, or an end of its interval, that the curve does not reach.
    """

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure_worth(arm: Sampled, curve: Sequence[tuple[int, Sampled]], *, n_real: int, n_synthetic: int) -> Worth:
    """Invert the learning curve of real images alone at the arm's AUROC.

    The curve is the isotonic regression of mean AUROC on log n (never falling), with straight lines between its
    points. At every size n its height is a fixed linear combination of the measured arms, so arm minus curve is a
    paired difference over seeds and patients like any other: n belongs to the confidence set when the 95 % interval
    of that difference (`benchmarks.statistics.interval.mean_interval`) holds 0. This is Fieller's way of inverting a
    regression (1954), and keeps the coverage of the interval it inverts.

    Parameters
    ----------
    arm : AUROC of the arm to be valued.
    curve : (number of real images, their AUROC), at least two sizes, all on the test set, seeds and resamples of the
        arm.
    n_real, n_synthetic : images in the arm's own training set.

    Raises
    ------
    ValueError
        For fewer than two sizes, arms that cannot be paired, or an arm without synthetic images.
    """
    points = sorted(curve, key=lambda point: point[0])
    sizes = np.array([n for n, _ in points])
    if len(set(sizes.tolist())) < 2 or n_synthetic < 1:
        raise ValueError("worth needs a learning curve of two sizes or more, and an arm with synthetic images")
    if any(not r.pairs_with(arm) for _, r in points):
        raise ValueError("the arm and the curve cannot be paired: they need one test set and the same seeds")
    values = np.stack([r.values for _, r in points])
    pooling = isotonic_weights(values.mean(1))
    fitted = pooling @ values.mean(1)
    shown = tuple(
        CurvePoint(int(n), i.estimate, i.low, i.high, float(f))
        for n, i, f in zip(sizes, (r.interval() for _, r in points), fitted, strict=True)
    )
    rise = points[-1][1].minus(points[0][1]).difference_interval()
    if rise.low <= 0:
        note = (
            f"real images alone gain {rise.estimate:+.4f} [{rise.low:+.4f}, {rise.high:+.4f}] from {sizes[0]} to "
            f"{sizes[-1]}: the curve is not shown to rise, and nothing can be read off it"
        )
        apart = f"--curve {sizes[0] / n_real / 2:.3g} {2 * sizes[-1] / n_real:.3g}" if n_real else "--curve"
        advice = f"Measure points further apart ({apart}), with more steps or on a larger test set"
        return _answer(n_real, n_synthetic, "on a flat curve", None, None, None, note, shown, advice)
    estimate, where = _invert(arm.mean, sizes, fitted)
    low, high = _confidence_set(arm, points, pooling, estimate, where)
    note = {
        "on the curve": "",
        "beyond the curve": f"better than {sizes[-1]} real images, the most that were measured",
        "below the curve": f"worse than {sizes[0]} real images, the fewest that were measured",
    }[where]
    return _answer(
        n_real,
        n_synthetic,
        where,
        estimate,
        low,
        high,
        note,
        shown,
        _advice(where, low, high, ends=(int(sizes[0]), int(sizes[-1])), n_real=n_real),
    )


def _confidence_set(
    arm: Sampled,
    points: Sequence[tuple[int, Sampled]],
    pooling: NDArray[np.float64],
    estimate: float | None,
    where: Where,
) -> tuple[float | None, float | None]:
    """The ends of the sizes at which arm minus curve may be 0; None where they leave the measured range.

    Parameters
    ----------
    points : the curve, P sizes in ascending order.
    pooling : (P, P) of `isotonic_weights`.
    """
    sizes = np.array([n for n, _ in points])
    grid = np.exp(np.linspace(math.log(sizes[0]), math.log(sizes[-1]), GRID))
    if estimate is not None:
        grid = np.unique(np.append(grid, estimate))
    measured = [r for _, r in points]
    inside = np.array([_holds_zero(_heights(n, sizes) @ pooling, measured, arm) for n in grid])
    if inside.any():  # the set reaches up to its neighbours on the grid, which are not in it
        members = np.flatnonzero(inside)
        low = None if inside[0] else float(grid[members[0] - 1])
        return low, None if inside[-1] else float(grid[members[-1] + 1])
    return (
        float(sizes[-1]) if where == "beyond the curve" else None,
        float(sizes[0]) if where == "below the curve" else None,
    )


def _advice(where: Where, low: float | None, high: float | None, *, ends: tuple[int, int], n_real: int) -> str:
    """What to measure where the curve leaves the number or an end of its interval open; empty where it does not.

    `--curve` counts in the arm's own real images: of an arm that has none no value is named.
    """
    said, (smallest, largest) = [], ends
    if where == "beyond the curve" or high is None:
        end = "the arm's own" if largest <= n_real else f"{largest}"
        further = f"--curve {max(2, 2 * round(largest / n_real))}" if n_real else "--curve"
        said.append(
            f"The curve ends at {end} real images: a point beyond ({further}) would say more, and takes real images "
            "that no arm trains on"
        )
    if where == "below the curve" or low is None:
        smaller = f"--curve {smallest / n_real / 2:.3g}" if n_real else "--curve"
        said.append(f"A smaller point ({smaller}) would close it below")
    return "; ".join(said)


def _answer(
    n_real: int,
    n_synthetic: int,
    where: Where,
    n: float | None,
    low: float | None,
    high: float | None,
    note: str,
    curve: tuple[CurvePoint, ...],
    advice: str = "",
) -> Worth:
    worth, worth_low, worth_high = (None if x is None else (x - n_real) / n_synthetic for x in (n, low, high))
    return Worth(n_real, n_synthetic, where, n, low, high, worth, worth_low, worth_high, note, curve, advice)


def isotonic_weights(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix (P, P) that takes heights to their isotonic regression: block averages by pooling adjacent violators."""
    blocks: list[list[int]] = []
    for k in range(len(heights)):
        blocks.append([k])
        while len(blocks) > 1 and heights[blocks[-2]].mean() > heights[blocks[-1]].mean():
            last = blocks.pop()
            blocks[-1] += last
    weights = np.zeros((len(heights), len(heights)))
    for block in blocks:
        weights[np.ix_(block, block)] = 1 / len(block)
    return weights


def _heights(n: float, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (P,) of the points in the straight line between them at size n, in log n."""
    return np.array([np.interp(math.log(n), np.log(sizes), unit) for unit in np.eye(len(sizes))])


def _holds_zero(weights: NDArray[np.float64], points: Sequence[Sampled], arm: Sampled) -> bool:
    """Whether arm minus curve may be 0 at a size whose height is `weights` (P,) of the points."""
    apart = arm.minus(mixed(weights, points))
    return abs(apart.mean) <= apart.spread(level=LEVEL).half


def _invert(height: float, sizes: NDArray[np.int64], fitted: NDArray[np.float64]) -> tuple[float | None, Where]:
    """The size at which the fitted curve has this height: the middle (in log n) of a plateau."""
    if height > fitted[-1]:
        return None, "beyond the curve"
    if height < fitted[0]:
        return None, "below the curve"
    logs = np.log(sizes)
    left = _first_at(height, logs, fitted)
    right = -_first_at(-height, -logs[::-1], -fitted[::-1])
    return float(np.exp((left + right) / 2)), "on the curve"


def _first_at(height: float, logs: NDArray[np.float64], fitted: NDArray[np.float64]) -> float:
    """The first log n at which the curve is as high."""
    k = int(np.argmax(fitted >= height))
    if k == 0:
        return float(logs[k])
    share = (height - fitted[k - 1]) / (fitted[k] - fitted[k - 1])
    return float(logs[k - 1] + share * (logs[k] - logs[k - 1]))
