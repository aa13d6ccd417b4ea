"""The residual generator and discriminator of R3GAN (Huang 2024): no normalisation, no noise, grouped convolutions."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generators.nets.dcgan import Known, Ladder

SLOPE = 0.2
"""Of the leaky ReLU below 0."""


def widths(ladder: Ladder, base: int, limit: int) -> list[int]:
    """Channels at each resolution from `ladder.start` to `ladder.end`, where they are `base`; doubled below."""
    return [min(limit, base * 2 ** (ladder.n_doublings - k)) for k in range(ladder.n_doublings + 1)]


def start_at(layer: nn.Conv2d | nn.Linear, gain: float) -> Any:
    """Draw the weights of a layer from N(0, gain^2 / inputs), its bias 0, and give it back."""
    inputs = layer.weight[0].numel()
    if gain:
        nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(inputs))
    else:
        nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """x + project(f(mix(f(expand(x))))): 1 x 1 to more channels, grouped 3 x 3, 1 x 1 back; f is the leaky ReLU.

    Fix-up initialisation (Zhang 2019), which stands in for normalisation: `project` begins at 0, so that the network
    begins as one without blocks, and the other two are drawn L^(-1/4) times as wide as He's, L blocks being in the
    network (L^(-1 / (2 m - 2)) for m = 3 layers in a block).

    Parameters
    ----------
    expansion : channels inside, as a multiple of `width`.
    group : channels of a group, as near as `width` allows.
    n_blocks : L.
    """

    def __init__(self, width: int, *, expansion: int, group: int, n_blocks: int) -> None:
        super().__init__()
        inside = width * expansion
        groups = math.gcd(inside, max(1, inside // group))
        gain = math.sqrt(2 / (1 + SLOPE**2)) * n_blocks**-0.25
        self.expand = start_at(nn.Conv2d(width, inside, 1), gain)
        self.mix = start_at(nn.Conv2d(inside, inside, 3, padding=1, groups=groups), gain)
        self.project = start_at(nn.Conv2d(inside, width, 1, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:  # (N, width, H, W) -> the same
        """The images' features, a little further."""
        inside = F.leaky_relu(self.mix(F.leaky_relu(self.expand(x), SLOPE)), SLOPE)
        moved: Tensor = x + self.project(inside)
        return moved


def double(x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, 2 H, 2 W)
    """Bilinear interpolation, edges repeated, as sums of slices: what a GPU repeats bit for bit, gradient and all."""
    for axis in (2, 3):
        n = x.shape[axis]
        before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, n - 1)], axis)
        after = torch.cat([x.narrow(axis, 1, n - 1), x.narrow(axis, n - 1, 1)], axis)
        x = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1).flatten(axis, axis + 1)
    return x


def halve(x: Tensor) -> Tensor:  # (N, C, 2 H, 2 W) -> (N, C, H, W)
    """Bilinear interpolation: the mean of four pixels."""
    return F.avg_pool2d(x, 2)


class Painter(nn.Module):
    """The generator: (noise, label) -> start x start -> ... -> end x end. What it gives is not bounded.

    A learned picture of `start` pixels a side and widths[0] channels, each scaled by a linear function of the noise
    and the label's vector; at each resolution `blocks` blocks; between two a 1 x 1 convolution (where the channels
    change) and bilinear doubling.
    """

    def __init__(
        self, ladder: Ladder, known: Known, *, noise: int, channels: int, base: int, limit: int, blocks: int,
        expansion: int, group: int,
    ) -> None:  # fmt: skip
        super().__init__()
        steps = widths(ladder, base, limit)
        self.label = known.embedding(noise, spread=known.n_classes**-0.5) if known.tells else None
        self.basis = nn.Parameter(torch.randn(steps[0], ladder.start, ladder.start))
        self.scales = start_at(nn.Linear(noise * (1 + known.tells), steps[0], bias=False), 1.0)
        self.stages = _stages(steps, blocks=blocks, expansion=expansion, group=group)
        self.changes = nn.ModuleList(_change(a, b) for a, b in pairwise(steps))
        self.last = start_at(nn.Conv2d(steps[-1], channels, 1), 1.0)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:  # (N, noise), labels -> (N, C, end, end)
        """Images of the labels, about -1..1."""
        z = noise if self.label is None else torch.cat([noise, self.label(labels)], 1)
        x = self.stages[0](self.scales(z)[:, :, None, None] * self.basis)
        for change, stage in zip(self.changes, list(self.stages)[1:], strict=True):
            x = stage(double(change(x)))
        images: Tensor = self.last(x)
        return images


class Critic(nn.Module):
    """The discriminator: the generator's mirror image, bilinear halving in the place of doubling.

    At the bottom a depthwise convolution over the whole picture and a linear layer give a vector h. The label enters
    as an inner product: D(x, y) = <h, v + e(y)>, e(y) the label's vector (of several findings the sum) and v one that
    every image has, so that an image without a finding has a product too. Without labels h is one number.
    """

    def __init__(
        self, ladder: Ladder, known: Known, *, noise: int, channels: int, base: int, limit: int, blocks: int,
        expansion: int, group: int, eyes: nn.Module,
    ) -> None:  # fmt: skip
        super().__init__()
        self.eyes = eyes
        steps = widths(ladder, base, limit)[::-1]
        self.first = start_at(nn.Conv2d(channels, steps[0], 1), 1.0)
        self.stages = _stages(steps, blocks=blocks, expansion=expansion, group=group)
        self.changes = nn.ModuleList(_change(a, b) for a, b in pairwise(steps))
        self.basis = start_at(nn.Conv2d(steps[-1], steps[-1], ladder.start, groups=steps[-1], bias=False), 1.0)
        self.read = start_at(nn.Linear(steps[-1], noise if known.tells else 1, bias=False), 1.0)
        self.label = known.embedding(noise, spread=noise**-0.5) if known.tells else None
        self.common = nn.Parameter(torch.randn(noise) * noise**-0.5) if known.tells else None

    def compile(self, *args: Any, **options: Any) -> None:
        """Leave it as it is: its gradient is differentiated, which torch.compile does not do."""

    def forward(self, images: Tensor, labels: Tensor, slopes: bool = False) -> Any:
        """How real the images look with these labels: only differences mean something.

        Parameters
        ----------
        images : float (N, C, end, end); they are looked at through `eyes`.
        slopes : whether ||grad_x D(x, y)||^2 of each image is asked for too, to be differentiated again. It is taken in
            here, where Fabric does not forbid a gradient of its own.

        Returns
        -------
        Logits, float32 (N,); with `slopes` also those, float32 (N,).
        """
        if not slopes:
            return self._judged(images, labels)
        images = images.detach().requires_grad_()
        logits = self._judged(images, labels)
        return logits, squared_gradients(logits, images)

    def _judged(self, images: Tensor, labels: Tensor) -> Tensor:
        x = self.stages[0](self.first(self.eyes(images)))
        for change, stage in zip(self.changes, list(self.stages)[1:], strict=True):
            x = stage(change(halve(x)))
        h = self.read(self.basis(x).flatten(1)).float()
        if self.label is None or self.common is None:
            return h[:, 0]  # type: ignore[no-any-return]
        return (h * (self.label(labels) + self.common)).sum(1)  # type: ignore[no-any-return]


def squared_gradients(logits: Tensor, images: Tensor) -> Tensor:  # (N,), (N, C, S, S) -> (N,)
    """||grad_x D(x)||^2 of each image, which can itself be differentiated.

    Parameters
    ----------
    logits : of the images, each of its own alone.
    """
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.square().sum((1, 2, 3))


def _stages(steps: list[int], *, blocks: int, expansion: int, group: int) -> nn.ModuleList:
    """The blocks of each resolution."""
    n = blocks * len(steps)
    return nn.ModuleList(
        nn.Sequential(*(Block(width, expansion=expansion, group=group, n_blocks=n) for _ in range(blocks)))
        for width in steps
    )


def _change(before: int, after: int) -> nn.Module:
    """From so many channels to so many."""
    if before == after:
        return nn.Identity()
    return start_at(nn.Conv2d(before, after, 1, bias=False), 1.0)  # type: ignore[no-any-return]
