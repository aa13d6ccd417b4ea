"""Which rows each optimiser step sees."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from synthworth.keys import seed_from


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


class Ahead:
    """The rows of an order on a GPU, those of many steps copied there at a time: a step then waits for nothing.

    Parameters
    ----------
    order : `order(step)` gives int64 (batch,), the same number for every step.
    n_steps : steps there are.
    """

    STEPS = 1024

    def __init__(self, order: Callable[[int], Tensor], *, n_steps: int, device: torch.device) -> None:
        self.order, self.n_steps, self.device = order, n_steps, device
        self._block, self._rows = -1, torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int) -> Tensor:  # int64 (batch,), on the device
        """Rows of step `step`."""
        block, offset = divmod(step, self.STEPS)
        if block != self._block:
            steps = range(block * self.STEPS, min((block + 1) * self.STEPS, self.n_steps))
            self._block, self._rows = block, torch.stack([self.order(t) for t in steps]).to(self.device)
        return self._rows[offset]
