"""Images between their own size and the size a network works at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pad_signed(images: Tensor, size: int) -> Tensor:  # uint8 (N, C, S, S) -> float32 (N, C, size, size), -1..1
    """Scale to -1..1 and repeat the edge on all sides up to `size` pixels."""
    from torch.nn import functional as F

    from synthworth.images import to_signed

    signed = to_signed(images)
    missing = size - images.shape[-1]
    if not missing:
        return signed
    before, after = missing // 2, missing - missing // 2
    return F.pad(signed, (before, after, before, after), mode="replicate")


def cut_signed(images: Tensor, size: int) -> Tensor:  # float (N, C, P, P) -> uint8 (N, C, size, size), on the CPU
    """Invert `pad_signed`: cut the middle out and round to bytes."""
    from synthworth.images import from_signed

    before = (images.shape[-1] - size) // 2
    return from_signed(images[..., before : before + size, before : before + size]).cpu()
