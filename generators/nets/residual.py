"""The residual block of the autoencoders, told the label or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def norm(width: int) -> nn.GroupNorm:
    """GroupNorm with at most 16 groups of whole size."""
    groups = next(g for g in (16, 8, 4, 2, 1) if width % g == 0)
    return nn.GroupNorm(groups, width)


class Modulation(nn.Module):
    """Scale and shift of what a norm left, by channel, from the label's vector (Perez 2018, FiLM)."""

    def __init__(self, label_width: int, width: int) -> None:
        super().__init__()
        self.both = nn.Linear(label_width, 2 * width)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:  # (N, width, H, W), (N, label_width)
        """Apply it."""
        scale, shift = self.both(label)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(x + shift, x, scale)


class ResBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))); starts as the identity where the width stays.

    Parameters
    ----------
    label_width : length of the label's vector, which then scales and shifts the second norm's output; 0 for none.
    """

    def __init__(self, width_in: int, width_out: int, *, label_width: int = 0) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(width_in), nn.SiLU(), nn.Conv2d(width_in, width_out, 3, padding=1))
        self.norm = norm(width_out)
        self.label = Modulation(label_width, width_out) if label_width else None
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(width_out, width_out, 3, padding=1))
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)
        nn.init.zeros_(self.second[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.second[1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:  # (N, width_in, H, W) -> (N, width_out, H, W)
        """Apply the block."""
        h = self.norm(self.first(x))
        if self.label is not None:
            h = self.label(h, label)
        out: Tensor = self.skip(x) + self.second(h)
        return out
