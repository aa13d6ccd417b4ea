"""Improved precision and recall, density and coverage: overlap of two sets through nearest-neighbour balls."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.frechet import check_features
from benchmarks.metrics.neighbours import centre_of, exact_squared, nearest, squared_distances
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MIN_N = 50
"""Fewest images a side for a number in a record."""
K = 5
NOISE = 1e-5  # bound on float32's error in a squared distance, relative to the squared norms


class PRDC(NamedTuple):
    """The four numbers; all but density lie in 0..1."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(*, real: NDArray[np.floating], fake: NDArray[np.floating], k: int = K) -> PRDC:
    """Precision, recall, density and coverage of two feature sets.

    With B(x, r_k(x)) the open ball around x that reaches to its k-th nearest neighbour within its own set:

    - precision: share of fake points inside some real ball; recall: share of real points inside some fake ball
      (Kynkaanniemi et al. 2019, equations 1 to 3);
    - density: number of real balls around a fake point, divided by k, averaged over the fake points; coverage:
      share of real balls that hold a fake point (Naeem et al. 2020, equations 2 and 3).

    Balls are open, as in the authors' package `prdc`: what lies exactly on the edge is outside.

    A collapsed set has precision near 1 and recall near 0, over-wide noise the reverse.

    Distances come from float32 matrix products in chunks; radii, and every pair too close to a radius for
    float32 to tell, are computed again in float64 from the differences. So a copied image is at distance 0, and
    a copy that lies exactly on a ball's edge is outside it, always.

    Raises
    ------
    Unavailable
        When a set has not more than k points, for features that are not finite, or where every real point has k twins:
        no real ball then has an inside, and all four would be 0 even of copies.
    ValueError
        For features of different D, or k below 1.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    check_features(real=real, fake=fake, minimum=k + 1)
    import torch

    centre = centre_of(real)  # near the origin float32 cancels less
    x = torch.from_numpy(np.asarray(real, dtype=np.float64) - centre)
    y = torch.from_numpy(np.asarray(fake, dtype=np.float64) - centre)
    radius_x, radius_y = _squared_radii(x, k), _squared_radii(y, k)
    if not radius_x.any():
        raise Unavailable(f"every real image has {k} others with the same features: no ball around one has an inside")
    in_some_real = torch.zeros(len(y), dtype=torch.bool)
    in_some_fake = torch.zeros(len(x), dtype=torch.bool)
    covered = torch.zeros(len(x), dtype=torch.bool)
    margin = NOISE * sum(float((points * points).sum(dim=1).max()) for points in (x, y))
    n_balls = 0
    for rows, squared in squared_distances(x, y):
        in_real = _below(squared, radius_x[rows, None], x[rows], y, margin)
        in_some_real |= in_real.any(dim=0)
        covered[rows] = in_real.any(dim=1)
        n_balls += int(torch.count_nonzero(in_real))
        in_some_fake[rows] = _below(squared, radius_y[None, :], x[rows], y, margin).any(dim=1)
    return PRDC(
        precision=in_some_real.double().mean().item(),
        recall=in_some_fake.double().mean().item(),
        density=n_balls / (k * len(y)),
        coverage=covered.double().mean().item(),
    )


def _squared_radii(points: Tensor, k: int) -> Tensor:
    """Squared distance to the k-th nearest other point, float64 (N,)."""
    return nearest(points, points, k=k, same=True).squared[:, k - 1]


def _below(squared: Tensor, limit: Tensor, a: Tensor, b: Tensor, margin: float) -> Tensor:
    """Whether ||a_i - b_j||^2 < limit (bool, shape of `squared`).

    In float32 where it is farther than `margin` from the limit, float64 elsewhere.
    """
    below = squared < (limit - margin).float()
    unsure = (squared <= (limit + margin).float()).logical_xor_(below).nonzero()
    if len(unsure):
        i, j = unsure.unbind(dim=1)
        below[i, j] = exact_squared(a, b, i, j) < limit.expand(squared.shape)[i, j]
    return below


QUANTITIES = (
    Quantity("manifold_precision", "higher", title="precision", moves_with_n=False),
    Quantity("manifold_recall", "higher", title="recall"),
    Quantity("density", "higher", moves_with_n=False),
    Quantity("coverage", "higher"),
)
"""In the order of `PRDC`. Precision and density ask each fake point alone; the balls of recall shrink, and those that
coverage counts fill, with more fake points."""


@metric(*QUANTITIES, minimum_n=MIN_N, by_class=True)
def measure_prdc(*, real: NDArray[np.floating], fake: NDArray[np.floating], k: int = K) -> dict[str, Value]:
    """`manifold_precision`, `manifold_recall`, `density`, `coverage` as Values; null with a note below `MIN_N`."""
    numbers = prdc(real=real, fake=fake, k=k)
    extra = {"k": k, "n_real": len(real), "n_fake": len(fake)}
    return {q.name: q.value(x, len(fake), extra=extra) for q, x in zip(QUANTITIES, numbers, strict=True)}
