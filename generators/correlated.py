"""Noise whose neighbouring values resemble each other: structure-preserving draws of a spatial latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_kernel(width: float) -> Tensor:  # -> float64 (2 r + 1,), squares sum to 1
    """A Gaussian, scaled so that white noise keeps its variance under convolution with it.

    Parameters
    ----------
    width : standard deviation in latent pixels; the Gaussian is cut at r = ceil(3 width). 0 gives the single value 1.
    """
    radius = math.ceil(3 * width)
    if not radius:
        return torch.ones(1, dtype=torch.float64)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-x.square() / (2 * width**2))
    return kernel / kernel.square().sum().sqrt()


def white_side(side: int, width: float) -> int:
    """Side of the square of white noise that `correlate` turns into one of `side`."""
    return side + 2 * math.ceil(3 * width)


def correlate(white: Tensor, width: float) -> Tensor:  # (N, C, s + 2 r, s + 2 r) -> (N, C, s, s)
    """Convolve white noise of unit variance with the Gaussian kernel along both axes, without padding.

    Every value of the result has unit variance, at the border as in the middle, and two values d latent pixels
    apart correlate by about exp(-d^2 / (4 width^2)). Channels stay independent.
    """
    if width == 0:
        return white
    kernel = gaussian_kernel(width).to(white)
    n, channels, height, length = white.shape
    rows = F.conv1d(white.reshape(-1, 1, length), kernel[None, None])
    rows = rows.reshape(n, channels, height, -1).transpose(2, 3)
    both = F.conv1d(rows.reshape(-1, 1, height), kernel[None, None])
    return both.reshape(n, channels, rows.shape[2], -1).transpose(2, 3)
