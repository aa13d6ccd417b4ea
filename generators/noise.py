"""Noise that a request starts from: row i is the same whatever the length of the request and the batch size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


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
