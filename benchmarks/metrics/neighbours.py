"""Nearest neighbours among feature vectors: in chunks, exact where it matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CHUNK = 1 << 23  # distances held at once (32 MiB)
SPARE = 4  # neighbours beyond the k-th whose distance is computed again in float64


class Neighbours(NamedTuple):
    """The k nearest points of another set, nearest first."""

    squared: Tensor
    """float64 (N, k): squared Euclidean distances."""
    index: Tensor
    """int64 (N, k): rows of the other set."""


def centre_of(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where to move the origin before distances are taken: the mean, rounded to float32.

    Taking a float32 from float32 features leaves a float64 without rounding (unless one is 2^29 times the other), so
    pairs that are equally far apart stay so.

    Parameters
    ----------
    points : (N, D).

    Returns
    -------
    (D,)
    """
    return np.asarray(points, dtype=np.float64).mean(axis=0).astype(np.float32).astype(np.float64)


def nearest(points: Tensor, others: Tensor, *, k: int = 1, same: bool = False) -> Neighbours:
    """The k nearest of `others` to each of `points`.

    Candidates are found by float32 matrix products, chunk by chunk, so memory does not grow with N times M; the
    distances of the k nearest and of a few more are then computed in float64 from the differences, so that a copy is at
    distance 0 and ties within float32's error are told apart. Move both sets near the origin first.

    Parameters
    ----------
    points, others : float64 (N, D) and (M, D).
    same : they are one set, and no point is its own neighbour.

    Raises
    ------
    ValueError
        When there are not k others.
    """

    there = len(others) - same
    if not 1 <= k <= there:
        raise ValueError(f"{k} nearest of {there} points were asked for")
    n_near = min(k + SPARE, there)
    found = _within(points, n_near) if same else _across(points, others, n_near)
    ordered = _exact_to(points, others, found).sort(dim=1)
    index = found.gather(1, ordered.indices)[:, :k]
    return Neighbours(ordered.values[:, :k].cpu(), index.cpu())


def _across(points: Tensor, others: Tensor, n_near: int) -> Tensor:
    """Candidates among other points by float32 distance: int64 (N, n_near), in no order."""
    import torch

    index = torch.empty((len(points), n_near), dtype=torch.int64, device=points.device)
    for rows, chunk in squared_distances(points, others):  # into one tensor: small ones between chunks split the heap
        index[rows] = chunk.topk(n_near, dim=1, largest=False, sorted=False).indices
    return index


def _within(points: Tensor, n_near: int) -> Tensor:
    """Candidates among the other points of the set itself.

    Every distance is computed once and serves both its ends: chunks hold the columns from their own first row on.
    """
    import torch

    n, device = len(points), points.device
    squared = torch.full((n, n_near), torch.inf, device=device)
    index = torch.zeros((n, n_near), dtype=torch.int64, device=device)

    def keep(rows: slice, distances: Tensor, first: int) -> None:
        near = distances.topk(min(n_near, distances.shape[1]), dim=1, largest=False, sorted=False)
        values = torch.cat([squared[rows], near.values], dim=1)
        kept = values.topk(n_near, dim=1, largest=False, sorted=False)
        squared[rows] = kept.values
        index[rows] = torch.cat([index[rows], near.indices + first], dim=1).gather(1, kept.indices)

    points32, norm = points.float(), (points * points).sum(dim=1).float()
    start = 0
    while start < n:
        stop = min(n, start + max(1, CHUNK // (n - start)))
        chunk = torch.addmm(norm[start:], points32[start:stop], points32[start:].T, alpha=-2.0)
        chunk.add_(norm[start:stop, None])
        own = torch.arange(stop - start, device=device)
        chunk[own, own] = torch.inf
        keep(slice(start, stop), chunk, start)
        if stop < n:
            keep(slice(stop, n), chunk[:, stop - start :].T, start)
        start = stop
    return index


def squared_distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Chunks of rows of ||a_i - b_j||^2 in float32, with the rows they are."""
    import torch

    a32, b32 = a.float(), b.float()
    norm_a, norm_b = (a * a).sum(dim=1).float(), (b * b).sum(dim=1).float()
    step = max(1, CHUNK // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, min(start + step, len(a)))
        yield rows, torch.addmm(norm_b, a32[rows], b32.T, alpha=-2.0).add_(norm_a[rows, None])


def _exact_to(points: Tensor, others: Tensor, index: Tensor) -> Tensor:
    """`exact_squared` of each point and its k others, (n, k), without a copy of the points for each."""
    import torch

    n, k = index.shape
    step = max(1, CHUNK // (8 * k * points.shape[1]))
    parts = []
    for start in range(0, n, step):
        near = others[index[start : start + step].reshape(-1)]
        near.view(-1, k, near.shape[1]).sub_(points[start : start + step, None])
        parts.append(near.square_().sum(dim=1))
    return torch.cat(parts).view(n, k)


def exact_squared(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """||a_i - b_j||^2 in float64 for pairs of indices of any one shape; symmetric to the last bit."""
    import torch

    i, j = i.reshape(-1), j.reshape(-1)
    step = max(1, CHUNK // (4 * a.shape[1]))
    parts = [(a[i[s : s + step]] - b[j[s : s + step]]).square_().sum(dim=1) for s in range(0, len(i), step)]
    return torch.cat(parts) if parts else a.new_zeros(0)
