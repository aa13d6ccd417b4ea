"""What the training of every generator shares: images near the device, AdamW with warm-up and cosine decay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

RESIDENT_BYTES = 8 << 30


class Resident:
    """Tensors of equal length, kept on the device where they fit, drawn from by row.

    What is larger than `limit` bytes in all stays where it is (a memory map, for one) and moves batch by batch.
    """

    def __init__(self, *tensors: Tensor, device: str, limit: int = RESIDENT_BYTES) -> None:
        self.device = device
        fits = sum(t.numel() * t.element_size() for t in tensors) <= limit
        self.tensors = tuple(t.to(device) if fits else t for t in tensors)

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:  # int64 (n,) -> each tensor's rows, on the device
        """The rows, in that order."""
        return tuple(t[rows.to(t.device)].to(self.device) for t in self.tensors)


def make_adamw(
    parameters: Iterable[nn.Parameter], *, lr: float, n_steps: int, warmup: int, weight_decay: float = 0.0
) -> tuple[AdamW, LambdaLR]:
    """Fused AdamW whose rate rises linearly over `warmup` steps and then falls to zero as half a cosine.

    The warm-up is at most a tenth of the training. The rate depends on the step's number alone.
    """
    warmup = max(1, min(warmup, n_steps // 10))

    def rate(step: int) -> float:
        rising = min(1.0, (step + 1) / warmup)
        return rising * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / max(1, n_steps))))

    optimiser = AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)
    return optimiser, LambdaLR(optimiser, rate)


N = TypeVar("N", bound=nn.Module)


def place(net: N, device: str) -> N:
    """Move a network to the device; on an accelerator in channels_last, which its convolutions prefer (on a CPU
    the small ones here are no faster for it)."""
    if device.startswith("cuda"):
        net.to(memory_format=torch.channels_last)
    return net.to(device)
