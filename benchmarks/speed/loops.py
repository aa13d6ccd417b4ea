"""What the peers' loops share: batches from memory, the time of steps, parameters and FLOPs of a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.speed.row import SEED

if TYPE_CHECKING:
    from torch import Tensor, nn


def count(net: nn.Module) -> int:
    """Parameters that are trained."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def gflop(net: nn.Module, *inputs: Tensor) -> float:
    """Of the products and convolutions of one forward pass, in units of 1e9 (an addition and a product count two)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(*inputs)
    return counter.get_total_flops() / 1e9


def batches(*tensors: Tensor, size: int) -> Iterator[tuple[Tensor, ...]]:
    """Shuffled batches without end, as a DataLoader over tensors in memory gives them."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(
        TensorDataset(*tensors), size, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(SEED)
    )
    while True:
        yield from loader


def timed(step: Callable[[], Any], n_steps: int, device: str) -> float:
    """Seconds of n steps; of a GPU, until it has done them."""
    from synthworth.devices import wait_for

    began = time.perf_counter()
    for _ in range(n_steps):
        step()
    wait_for(device)
    return time.perf_counter() - began
