"""The peer denoising-diffusion-pytorch: a network of our size, and the step of its trainer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

from benchmarks.speed.loops import batches, count, gflop, timed
from benchmarks.speed.pictures import phantom_films

if TYPE_CHECKING:
    from torch import nn

WITHIN = 0.05
"""How far the number of parameters of the peer's network may lie from ours."""
GRIDS = 16, 8, 4
"""Multiples that the channels of the peer's network are looked for on: convolutions are fast on multiples of 16."""


def network_of_size(make: Callable[..., nn.Module], n: int, *, n_levels: int) -> tuple[nn.Module, str]:
    """The peer's UNet with so many levels and nearest to n parameters, and what it was asked for.

    Sizes are counted without memory for them.

    Raises
    ------
    ValueError
        When none comes within `WITHIN` of n.
    """
    import torch

    found = []
    for grid in GRIDS:
        for rest in combinations_with_replacement((1, 2, 3, 4), n_levels - 1):
            for dim in range(grid, 257, grid):
                with torch.device("meta"):
                    made = count(make(dim=dim, dim_mults=(1, *rest), channels=1))
                found.append((abs(made / n - 1), dim, (1, *rest)))
                if made > n:
                    break
        off, dim, multiples = min(found)
        if off <= WITHIN:
            return make(dim=dim, dim_mults=multiples, channels=1), f"dim {dim}, dim_mults {multiples}"
    raise ValueError(f"no network of {n:,} parameters: the nearest is {off:.1%} away")


class PeerLoop:
    """The step of denoising-diffusion-pytorch's Trainer: its Unet, GaussianDiffusion, Adam, clipping and EMA.

    As in its Trainer, but from tensors in memory in the place of image files, which is in its favour. It is told no
    label.
    """

    def __init__(self, package: Any, unet: nn.Module, *, device: str, precision: str, side: int, batch: int) -> None:
        import torch

        self.device, self.precision = device, precision
        self.n_parameters = count(unet)
        one = torch.zeros(1, dtype=torch.int64)
        self.gflop = gflop(unet, torch.zeros(1, 1, side, side), one)
        self.diffusion = package.GaussianDiffusion(unet, image_size=side).to(device)
        self.optimiser = torch.optim.Adam(self.diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
        module = package.denoising_diffusion_pytorch
        self.average = module.EMA(self.diffusion, beta=0.995, update_every=10).to(device)
        self.batches = batches(phantom_films(side=side).images.float() / 255, size=batch)

    def seconds(self, n_steps: int) -> float:
        """Of so many further steps."""
        self.diffusion.train()
        return timed(self.step, n_steps, self.device)

    def step(self) -> float:
        """One optimiser step; returns the loss."""
        import torch

        from synthworth.devices import autocast

        (images,) = next(self.batches)
        with autocast(self.device, self.precision):
            loss = self.diffusion(images.to(self.device))
        total: float = loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.diffusion.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update()
        return total
