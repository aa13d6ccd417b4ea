"""Kernel distance between two sets of features (KID, when the features are Inception's)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.frechet import check_features
from benchmarks.metrics.value import Value
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_N = 50
"""Fewest images a side for a number in a record."""
N_SUBSETS = 100
SUBSET_SIZE = 1000
CHUNK = 1024  # rows of the kernel matrix held at once


class KernelDistance(NamedTuple):
    """Mean and standard deviation over the subsets, and the size of each subset."""

    mean: float
    std: float
    subset_size: int


def kernel_distance(
    *,
    real: NDArray[np.floating],
    fake: NDArray[np.floating],
    seed: int,
    n_subsets: int = N_SUBSETS,
    subset_size: int | None = None,
) -> KernelDistance:
    """Unbiased squared MMD with the cubic kernel k(x, y) = (x'y / D + 1)^3, averaged over random subsets.

        MMD^2 = sum_{i != j} k(x_i, x_j) / m(m-1) + sum_{i != j} k(y_i, y_j) / m(m-1) - 2 sum_{i,j} k(x_i, y_j) / m^2

    (Binkowski et al. 2018, section 4 and appendix.) In float64. Every kernel value is computed once and serves
    all subsets, so memory is bounded by `CHUNK` rows. A value slightly below 0 is right: it is unbiased.

    Parameters
    ----------
    real, fake : (N, D) and (M, D), any float type.
    seed : root of the two generators that draw the subsets (without replacement).
    subset_size : m; 1000 as in the literature, or half of the smaller set where that is less (subsets as large
        as the set would all be the same one, and their standard deviation an empty 0).

    Raises
    ------
    Unavailable
        With fewer than four images on a side, or features that are not finite.
    ValueError
        For features of different D, or a `subset_size` larger than a set.
    """
    check_features(real=real, fake=fake, minimum=4)
    smaller = min(len(real), len(fake))
    m = subset_size if subset_size is not None else min(SUBSET_SIZE, smaller // 2)
    if not 2 <= m <= smaller:
        raise ValueError(f"subset_size must be between 2 and {smaller}, not {m}")
    x, y = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    in_x = draw_subsets(len(x), m, n_subsets, seed=seed_from(seed, "kernel distance", "real"))
    in_y = draw_subsets(len(y), m, n_subsets, seed=seed_from(seed, "kernel distance", "fake"))
    within = _sum_kernel(x, x, in_x, in_x, diagonal=False) + _sum_kernel(y, y, in_y, in_y, diagonal=False)
    across = _sum_kernel(x, y, in_x, in_y, diagonal=True)
    mmd2 = within / (m * (m - 1)) - 2.0 * across / m**2
    return KernelDistance(float(mmd2.mean()), float(mmd2.std()), m)


def draw_subsets(n: int, size: int, n_subsets: int, *, seed: int) -> NDArray[np.float64]:
    """Indicator matrix (n, n_subsets), 0 or 1: column s marks the `size` rows that subset s holds."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros((n, n_subsets))
    for subset in range(n_subsets):
        chosen[rng.choice(n, size, replace=False), subset] = 1.0
    return chosen


def _sum_kernel(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    in_a: NDArray[np.float64],
    in_b: NDArray[np.float64],
    *,
    diagonal: bool,
) -> NDArray[np.float64]:
    """Sum of k over the pairs of each subset, (n_subsets,); without i = j unless `diagonal`."""
    total = np.zeros(in_a.shape[1])
    for start in range(0, len(a), CHUNK):
        rows = slice(start, start + CHUNK)
        kernel = a[rows] @ b.T
        kernel /= a.shape[1]
        kernel += 1.0
        kernel = kernel * kernel * kernel
        if not diagonal:
            own = np.arange(len(kernel))
            kernel[own, start + own] = 0.0
        total += np.einsum("is,is->s", in_a[rows], kernel @ in_b)
    return total


KD = Quantity("kd", "lower", title="KD", alias="kid", moves_with_n=False)


@metric(KD, minimum_n=MIN_N, by_class=True)
def measure_kernel(*, real: NDArray[np.floating], fake: NDArray[np.floating], seed: int) -> dict[str, Value]:
    """`kd` as a Value, its standard deviation over subsets in `extra`; null with a note below `MIN_N`."""
    mean, std, size = kernel_distance(real=real, fake=fake, seed=seed)
    extra = {"std": std, "subset_size": size, "n_subsets": N_SUBSETS, "n_real": len(real), "n_fake": len(fake)}
    return {KD.name: KD.value(mean, len(fake), extra=extra)}
