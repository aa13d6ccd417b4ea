"""Differentiable augmentation of what a discriminator sees, real and drawn alike (DiffAugment, Zhao 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

TRANSLATION = 1 / 8
"""Furthest shift along each axis, as a share of the image."""
CUTOUT = 1 / 2
"""Side of the square that is cut out, as a share of the image."""


def augment(images: Tensor, policy: Sequence[str]) -> Tensor:  # float (N, C, S, S), -1..1 -> the same
    """Apply the operations named, in order; each image has draws of its own, from torch's global generator.

    Gradients reach the images. Values may leave -1..1, as in the source. No operation flips: a chest has its heart
    on one side.
    """
    for name in policy:
        images = OPERATIONS[name](images)
    return images


def change_colour(images: Tensor) -> Tensor:
    """Brightness by -0.5..0.5; saturation by 0..2 where there are colours; contrast by 0.5..1.5."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + (brightness - 0.5)
    if images.shape[1] > 1:
        grey = images.mean(1, keepdim=True)
        images = (images - grey) * (2 * saturation) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = (images - mean) * (contrast + 0.5) + mean
    return changed


def translate(images: Tensor) -> Tensor:
    """Shift by up to an eighth along each axis; mid-grey comes in from outside."""
    n, _, side, _ = images.shape
    reach = int(side * TRANSLATION + 0.5)
    down, right = torch.randint(-reach, reach + 1, (2, n, 1, 1), device=images.device)
    pixel = torch.arange(side, device=images.device)
    rows, columns = (pixel + reach)[None, :, None] - down, (pixel + reach)[None, None, :] - right
    which = torch.arange(n, device=images.device)[:, None, None]
    padded = F.pad(images, (reach,) * 4).permute(0, 2, 3, 1)
    moved: Tensor = padded[which, rows, columns]
    return moved.permute(0, 3, 1, 2).contiguous()


def cut_out(images: Tensor) -> Tensor:
    """Grey out a square of half the side, its centre anywhere in the image."""
    n, _, side, _ = images.shape
    cut = int(side * CUTOUT + 0.5)
    pixel = torch.arange(side, device=images.device)
    corners = torch.randint(0, side + 1 - cut % 2, (2, n, 1), device=images.device) - cut // 2
    inside_y, inside_x = (pixel >= corners) & (pixel < corners + cut)
    hole: Tensor = inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return images * ~hole


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": change_colour,
    "translation": translate,
    "cutout": cut_out,
}
