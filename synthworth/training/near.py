"""Where the data of a training lie: on the device where they fit, else where they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

RESIDENT_BYTES = 8 << 30
"""What a training keeps on its device unless it says otherwise: 8 GiB."""


def hold(*tensors: Tensor, device: Any, limit: int = RESIDENT_BYTES) -> tuple[Tensor, ...]:
    """The tensors on the device if they take at most `limit` bytes in all; else as they are (a memory map, for one)."""
    fits = sum(t.numel() * t.element_size() for t in tensors) <= limit
    return tuple(t.to(device) if fits else t for t in tensors)


def half_of_free(device: str) -> int:
    """Half the bytes that are free on a CUDA device; 0 for any other, where holding data gains nothing."""
    if not device.startswith("cuda"):
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return free // 2


def upload(tensor: Tensor, device: Any) -> Tensor:
    """A small tensor of the host on the device, without waiting for what the device has to do before."""
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Resident:
    """Tensors of equal length, kept near the device (`hold`), from which rows are taken.

    What is larger than `limit` bytes in all stays where it is and moves batch by batch.
    """

    def __init__(self, *tensors: Tensor, device: Any, limit: int = RESIDENT_BYTES) -> None:
        self.device = device
        self.tensors = hold(*tensors, device=device, limit=limit)

    def is_near(self) -> bool:
        """Whether all of them lie on the device."""
        return all(t.device.type == torch.device(self.device).type for t in self.tensors)

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:  # int64 (n,) -> each tensor's rows, on the device
        """The rows, in that order."""
        return tuple(t[rows.to(t.device)].to(self.device) for t in self.tensors)
