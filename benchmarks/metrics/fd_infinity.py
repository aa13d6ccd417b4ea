"""Frechet distance extrapolated to infinitely many images: what is left of it when the bias of few is taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.frechet import check_features, frechet_distance
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_DIMENSION = 4
"""Images a side for each feature dimension, at least: with fewer the bias does not go with 1/n (see `minimum`)."""
MIN_N = 400
"""Fewest images a side, however few the dimensions."""
N_SIZES = 8
SMALLEST = 0.25  # smallest subsample, as a share of all


class Extrapolation(NamedTuple):
    """A line through the distances of subsamples over 1/n, and how well it fits."""

    intercept: float
    """The distance at 1/n = 0."""
    slope: float
    """Distance times images: the bias of n images is slope / n."""
    residual: float
    """Root mean square of what the line leaves, in units of the distance."""
    sizes: tuple[int, ...]
    """Synthetic images in each subsample."""
    distances: tuple[float, ...]
    """Frechet distance of each."""


def minimum(dim: int) -> int:
    """Images a side below which nothing is extrapolated."""
    return max(MIN_N, PER_DIMENSION * dim)


def fd_infinity(*, real: NDArray[np.floating], fake: NDArray[np.floating], seed: int) -> Extrapolation:
    """Frechet distance at 1/n = 0 of a line fitted by least squares to the distances of random subsamples.

        E[ FD_n ] = FD_infinity + slope / n

    (Chong & Forsyth 2020, section 4.) They hold the real statistics fixed, at 50,000 images, and subsample what was
    drawn. A medical train split has a hundredth of that, and its own bias is as large: here both sides are
    subsampled by one share, eight from a quarter to all, each with rows of its own drawn without replacement. The
    bias of either side goes with 1 / its size, so the line stays one. The result is not cut at 0: real images
    against real images give a value on either side of it.

    Raises
    ------
    Unavailable
        With fewer than `minimum(D)` images on a side, or features that are not finite.
    ValueError
        For different D.
    """
    check_features(real=real, fake=fake, minimum=1)
    least = minimum(real.shape[1])
    if min(len(real), len(fake)) < least:
        raise Unavailable(
            f"needs {least} images a side in {real.shape[1]} dimensions; there are {len(real)} real and {len(fake)} "
            "synthetic, and below that the bias does not go with 1/n"
        )
    shares = 1 / np.linspace(1 / SMALLEST, 1, N_SIZES)  # evenly spaced over 1/n
    sizes, distances = [], []
    for number, share in enumerate(shares):
        parts = []
        for side, features in (("real", real), ("fake", fake)):
            rng = np.random.default_rng(seed_from(seed, "fd infinity", side, number))
            parts.append(features[rng.permutation(len(features))[: round(share * len(features))]])
        sizes.append(len(parts[1]))
        distances.append(frechet_distance(real=parts[0], fake=parts[1]))
    inverse = 1 / np.array(sizes)
    slope, intercept = np.polyfit(inverse, distances, 1)
    left = np.array(distances) - (intercept + slope * inverse)
    return Extrapolation(
        float(intercept), float(slope), float(np.sqrt(np.mean(left**2))), tuple(sizes), tuple(distances)
    )


FD_INFINITY = Quantity("fd_infinity", "lower", alias="fid_infinity", moves_with_n=False)


@metric(FD_INFINITY)
def measure_fd_infinity(*, real: NDArray[np.floating], fake: NDArray[np.floating], seed: int) -> dict[str, Value]:
    """`fd_infinity` as a Value, slope, residual and points of the line in `extra`; null below `minimum`."""
    found = fd_infinity(real=real, fake=fake, seed=seed)
    extra = {
        "slope": found.slope, "residual": found.residual, "sizes": found.sizes, "distances": found.distances,
        "n_real": len(real), "n_fake": len(fake),
    }  # fmt: skip
    return {FD_INFINITY.name: FD_INFINITY.value(found.intercept, len(fake), extra=extra)}
