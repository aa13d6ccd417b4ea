"""Upsampling by two that a GPU repeats bit for bit, without leaving its memory format."""

from __future__ import annotations

from typing import Any

from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn


def double(x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, 2 H, 2 W), channels last
    """Every pixel four times: what nearest-neighbour interpolation gives, as a copy.

    Its gradient is a sum over views, where torch's repeatable gradient of an interpolation sorts indices.
    """
    n, c, h, w = x.shape
    last = x.permute(0, 2, 3, 1)[:, :, None, :, None, :]
    return last.expand(n, h, 2, w, 2, c).reshape(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


class Doubling(Upsample2D):
    """diffusers' upsampling, which on a GPU doubles by `double`."""

    def forward(self, hidden_states: Tensor, output_size: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """(N, C, H, W) -> (N, C', 2 H, 2 W), or of `output_size`."""
        plain = self.interpolate and self.use_conv and self.norm is None and not self.use_conv_transpose
        if output_size is not None or not plain or not on_gpu(hidden_states):
            return super().forward(hidden_states, output_size, *args, **kwargs)
        convolve = self.conv if self.name == "conv" else self.Conv2d_0
        found: Tensor = convolve(double(hidden_states))
        return found


def on_gpu(x: Tensor) -> bool:
    """Whether a tensor is on an NVIDIA GPU."""
    return x.is_cuda


def make_repeatable(net: nn.Module) -> None:
    """Let every upsampling of a UNet of diffusers be a `Doubling`. Weights and their names stay."""
    for module in net.modules():
        if type(module) is Upsample2D:
            module.__class__ = Doubling
