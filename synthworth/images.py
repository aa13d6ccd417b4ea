"""The boundary of images: uint8 NCHW between packages, floats inside; the only place that converts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synthworth.errors import Diverged

if TYPE_CHECKING:
    from torch import Tensor


def check_batch(images: Tensor, *, what: str = "images") -> None:
    """Refuse anything but a batch of images.

    Parameters
    ----------
    images : uint8 (N, C, H, W) with 1 or 3 channels.

    Raises
    ------
    TypeError, ValueError
        Unless `images` is such a tensor.
    """
    import torch

    if not isinstance(images, torch.Tensor):
        raise TypeError(f"{what} must be a uint8 tensor, not {type(images).__name__}{from_array(images)}")
    if images.dtype != torch.uint8:
        raise TypeError(f"{what} must be a uint8 tensor, not {images.dtype}")
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"{what} must be (N, C, H, W) with C 1 or 3, not {tuple(images.shape)}")


def from_array(value: object) -> str:
    """How to make a tensor of a numpy array, in words; "" for anything else."""
    return ": torch.from_numpy makes one of it" if isinstance(value, np.ndarray) else ""


def to_signed(images: Tensor) -> Tensor:  # uint8 (N, C, H, W) 0..255 -> float32, -1..1
    """Scale bytes to -1..1, what generators learn in."""
    return images.float().div_(127.5).sub_(1.0)


def from_signed(images: Tensor) -> Tensor:  # float (N, C, H, W), about -1..1 -> uint8 0..255
    """Clamp to -1..1 and round to bytes; the inverse of `to_signed` (every byte value comes back).

    Raises
    ------
    Diverged
        When an image holds NaN or infinity, which would be black or white.
    """
    import torch

    require_finite(images)
    return images.float().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().to(torch.uint8)


def from_levels(images: Tensor) -> Tensor:  # float (N, C, H, W), about 0..255 -> uint8
    """Round grey levels to bytes and clamp to 0..255.

    Raises
    ------
    Diverged
        When an image holds NaN or infinity.
    """
    import torch

    require_finite(images)
    return images.round().clamp(0, 255).to(torch.uint8)


def require_finite(images: Tensor) -> None:
    """Refuse floats that cannot become bytes.

    Parameters
    ----------
    images : float (N, ...).

    Raises
    ------
    Diverged
        When one is NaN or infinite; the message counts the images that hold it.
    """
    finite = images.isfinite()
    if finite.all():
        return
    each = finite.reshape(len(images), -1).all(1) if images.ndim > 1 else finite.reshape(1, -1).all(1)
    held = "NaN" if images.isnan().any() else "infinity"
    raise Diverged(f"{int((~each).sum())} of {len(each)} images hold {held}: what made them diverged")


def to_unit(images: Tensor) -> Tensor:  # uint8 (N, C, H, W) 0..255 -> float32, 0..1
    """Scale bytes to 0..1."""
    return images.float().div_(255.0)


def to_rgb(images: Tensor) -> Tensor:  # (N, 1 or 3, H, W) -> (N, 3, H, W), dtype kept
    """Repeat grey to three channels, for networks that want RGB; three channels pass through."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def resize(images: Tensor, size: int) -> Tensor:  # uint8 (N, C, H, W) -> uint8 (N, C, size, size)
    """Antialiased bilinear resize (the shape becomes square), in float32 and rounded to bytes."""
    import torch

    if images.shape[-2:] == (size, size):
        return images
    floats = torch.nn.functional.interpolate(
        images.float(), (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return from_levels(floats)
