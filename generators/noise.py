"""Random numbers: noise that a request starts from, row i whatever its length; the noise levels of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def stratified(n: int, device: Any) -> Tensor:
    """One number of each n-th part of 0..1, in order: float32 (n,), from torch's global generator.

    The distribution of a batch's noise levels stays uniform, and its average is quieter.
    """
    import torch

    return (torch.arange(n, device=device) + torch.rand(n, device=device)) / n


def draw_chunks(n: int, shape: tuple[int, ...], *, seed: int, chunk: int) -> Iterator[tuple[slice, Tensor]]:
    """Standard normal noise for rows 0 .. n - 1, at most `chunk` rows at a time: (rows, float32 (k, *shape)).

    Row i depends on `seed` and i alone. numpy's generator fills strictly in order, so how the rows are cut does
    not matter; torch's redraws the end of a block, so there it would.
    """
    import torch

    rng = np.random.default_rng(seed)
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        noise = rng.standard_normal((rows.stop - start, *shape), dtype=np.float32)
        yield rows, torch.from_numpy(noise)
