"""What counts as a near-copy of a training image, how many there are by chance, and how sure a share of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_OUTSIDERS = 20
"""Fewest held-out images for a bound: with 20, one in 21 fresh real images counts as a near-copy, by chance."""
COPY = 0.01
"""Share of fresh real images that count as near-copies, by chance, where there are held-out images enough."""
N_REPLICATES = 2000
CELLS = 1 << 22  # weights held at once (32 MiB)


def chance(n: int) -> float:
    """Share of fresh real images nearer to a training image than the `copy_bound` of n held-out ones: on average.

    `COPY`; with fewer than 99 of them 1 / (n + 1), the least that n images can tell.
    """
    return max(COPY, 1 / (n + 1))


def copy_bound(held_out: NDArray[np.float64]) -> float:
    """Distance below which an image is a near-copy of a training image: see `are_copies`.

    The `chance(n)` quantile of `held_out` at the position chance (n + 1) among the n sorted distances, so that a share
    of `chance(n)` fresh real images lies below it, averaged over the held-out images that might have been drawn
    (Weibull 1939; the position of `numpy.quantile`'s default, chance (n - 1) + 1, lets through twice as many where
    n = 100). With fewer than 99 images it is the smallest distance of them all.

    Parameters
    ----------
    held_out : (n,) distances of held-out real images to their nearest training image.

    Raises
    ------
    Unavailable
        With fewer than `MIN_OUTSIDERS`; where half of them lie on a training image, which says that these features (or
        pixels) cannot tell images apart; with distances that are not finite.
    """
    n = len(held_out)
    if n < MIN_OUTSIDERS:
        raise Unavailable(f"needs {MIN_OUTSIDERS} held-out real images; there are {n}")
    if not np.isfinite(held_out).all():
        raise Unavailable("distances of held-out images hold NaN or infinity: the features are broken")
    if not np.median(held_out):
        raise Unavailable("half of the held-out images lie exactly on a training image: these features tell no copies")
    position = max(1.0, COPY * (n + 1))
    below = int(position)
    low, high = np.partition(held_out, [below - 1, below])[below - 1 : below + 1]
    return float(low + (position - below) * (high - low))


def are_copies(distance: NDArray[np.float64], bound: float) -> NDArray[np.bool_]:
    """Whether each is nearer than `bound`; distance 0 always is."""
    return np.asarray((distance < bound) | (distance == 0))


def share_interval(k: int, n: int) -> tuple[float, float]:
    """95 % interval of a share that came out at k of n (Jeffreys): 0 where k is 0, 1 where k is n."""
    from scipy.stats import beta

    low, high = beta.ppf((0.025, 0.975), k + 0.5, n - k + 0.5)
    return (float(low) if k else 0.0), (float(high) if k < n else 1.0)


def copy_interval(
    distance: NDArray[np.float64], held_out: NDArray[np.float64], patients: NDArray[np.int64], *, seed: int
) -> tuple[float, float]:
    """95 % interval of the share of near-copies that the generator draws, `are_copies(distance, copy_bound(held_out))`.

    Two things are uncertain. The bound: the true share of real distances below the r-th smallest of n held-out ones is
    Beta(r, n + 1 - r), whatever their law. Each replicate draws these shares (as sums of exponential weights, one a
    patient, and one for what lies above the largest: the Bayesian bootstrap) and puts the bound where they pass
    `chance(n)`, on the line between two distances; below the smallest on the line to 0, which puts it too low rather
    than too high wherever near distances are rarer than less near ones. So few held-out images make a wide interval,
    not a wrong one. The synthetic images: k of n below the bound leave Beta(k + 1/2, n - k + 1/2) (Jeffreys).

    Parameters
    ----------
    distance : (N,) of the synthetic images to their nearest training image.
    held_out : (n,) of the held-out ones.
    patients : (n,) whose they are, as 0, 1, ...

    Returns
    -------
    Lower and upper end, 0..1.
    """
    weights, rates = (np.random.default_rng(seed_from(seed, part)) for part in ("weights", "rates"))
    order = np.argsort(held_out, kind="stable")
    # a place for 0 before the smallest distance; what lies above the largest gets the weight of a mean patient
    points, owner = np.concatenate([[0.0], held_out[order]]), patients[order]
    n, n_patients = len(held_out), int(patients.max()) + 1
    share, sorted_distance, n_exact = chance(n), np.sort(distance), int((distance == 0).sum())
    draws = []
    for start in range(0, N_REPLICATES, step := max(1, CELLS // (n + n_patients))):
        weight = weights.exponential(size=(min(step, N_REPLICATES - start), n_patients + 1))
        reached = np.zeros((len(weight), n + 1))
        np.cumsum(weight[:, owner], axis=1, out=reached[:, 1:])
        reached /= (reached[:, -1] + weight[:, -1] * n / n_patients)[:, None]
        after = np.clip((reached < share).sum(axis=1), 1, n)
        rows = np.arange(len(weight))
        low, high = reached[rows, after - 1], reached[rows, after]
        along = np.clip((share - low) / (high - low), 0.0, 1.0)
        bound = points[after - 1] + along * (points[after] - points[after - 1])
        copies = np.maximum(np.searchsorted(sorted_distance, bound, side="left"), n_exact)
        draws.append(rates.beta(copies + 0.5, len(distance) - copies + 0.5))
    found = np.quantile(np.concatenate(draws), (0.025, 0.975))
    copies = int(are_copies(distance, copy_bound(held_out)).sum())
    # at 0 of N nothing is known against 0, and at N of N nothing against 1
    return (0.0 if not copies else float(found[0])), (1.0 if copies == len(distance) else float(found[1]))
