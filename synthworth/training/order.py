"""Which rows each optimiser step sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from synthworth.keys import seed_from
from synthworth.training.near import upload


class BatchOrder:
    """Which rows step t looks at: an endless sequence of seeded permutations, cut into batches.

    Stateless (row indices are a function of seed and step), so a resumed loop needs no data position.
    """

    def __init__(self, n: int, batch: int, *, seed: int) -> None:
        self.n, self.batch, self.seed = n, batch, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            maker = torch.Generator().manual_seed(seed_from(self.seed, "epoch", epoch))
            self._epoch, self._order = epoch, torch.randperm(self.n, generator=maker)
        return self._order

    def __call__(self, step: int) -> Tensor:  # int64 (batch,)
        """Rows of step `step`; a batch may run over the end of one epoch into the next."""
        rows: list[Tensor] = []
        position, missing = step * self.batch, self.batch
        while missing:
            epoch, offset = divmod(position, self.n)
            rows.append(self._permutation(epoch)[offset : offset + missing])
            position, missing = position + len(rows[-1]), missing - len(rows[-1])
        return torch.cat(rows)


AHEAD = 256
"""Steps whose rows go to an accelerator together: a copy for each step would make it wait for the step before."""


class Near:
    """The rows of an order on a device: the same numbers, copied there for `AHEAD` steps at a time.

    Parameters
    ----------
    order : `order(step)` gives int64 (batch,), as `BatchOrder` does; of one length for every step.
    """

    def __init__(self, order: Callable[[int], Tensor], *, device: Any) -> None:
        self.order, self.device = order, torch.device(device)
        self._chunk, self._rows = -1, torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int) -> Tensor:  # int64 (batch,), on the device
        """Rows of step `step`."""
        if self.device.type == "cpu":
            return self.order(step)
        chunk, within = divmod(step, AHEAD)
        if chunk != self._chunk:
            rows = torch.stack([self.order(chunk * AHEAD + k) for k in range(AHEAD)])
            self._chunk, self._rows = chunk, upload(rows, self.device)
        return self._rows[within]
