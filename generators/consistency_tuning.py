"""Consistency tuning: what a denoiser learns in order to draw in few steps, and how it then draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from generators.karras import Preconditioned, denoise, log_normal, noise_by_row

MEAN, SPREAD = -1.1, 2.0
"""Of the log of the larger noise in training (Song & Dhariwal 2023, table 1)."""
HUBER = 0.00054
"""c of the pseudo-Huber metric over the root of the numbers in an image (Song & Dhariwal 2023, section 3.3)."""
NEARING, SLOPE = 8.0, 1.0
"""k and b of n(s) = 1 + k sigmoid(-b s) (Geng 2024, eq. 11)."""


class ConsistencyTuning:
    """Two noises s > r on one film and one e: f(x + s e; s) is drawn to f(x + r e; r), which is held.

    f = D of Karras 2022, which is the image itself where there is no noise. Minimised is E h(f_s - f_r) / (s - r), with
    h(d) = sqrt(||d||^2 + c^2) - c. How near the two are is a schedule: r = s (1 - n(s) / 2^k), where
    n(s) = 1 + 8 sigmoid(-s), and k rises from 1 to `stages` in equal parts of the training (Geng 2024, "Consistency
    Models Made Easy"): from nearly what the denoiser has learned already, r = 0, to pairs that hardly differ.

    Parameters
    ----------
    lowest : the least r.
    progress : the share of the training that is done, 0 to 1.
    """

    def __init__(self, known: Preconditioned, *, lowest: float, stages: int, progress: Callable[[], float]) -> None:
        self.known, self.lowest, self.stages, self.progress = known, lowest, stages, progress

    def noised(self, clean: Tensor, rows: Tensor, *, drop: float) -> tuple[Tensor, ...]:
        """Images with both noises, the noises, and who is dropped (`denoising.Process`)."""
        s = log_normal(len(clean), mean=MEAN, spread=SPREAD, device=clean.device).clamp(min=2 * self.lowest)
        r = self.nearer(s)
        noise = torch.randn_like(clean)
        dropped = torch.rand(len(clean), device=clean.device) < drop
        wide = [level.view(-1, *[1] * (clean.ndim - 1)) for level in (s, r)]
        return clean + wide[0] * noise, clean + wide[1] * noise, s, r, dropped

    def nearer(self, s: Tensor) -> Tensor:
        """The smaller noise of each pair, float32 (n,)."""
        stage = min(1 + int(self.progress() * self.stages), self.stages)
        gap = (1 + NEARING * torch.sigmoid(-SLOPE * s)) / 2.0**stage
        return (s * (1 - gap)).clamp(min=self.lowest)

    def error(self, net: Callable[..., Tensor], *drawn: Tensor) -> Tensor:
        """The weighted pseudo-Huber distance of the two, 0-d."""
        noisy, nearer, s, r, dropped, condition = drawn
        with torch.no_grad():
            held = self._f(net, nearer, r, condition, dropped)
        away = (self._f(net, noisy, s, condition, dropped) - held).flatten(1)
        c = HUBER * math.sqrt(away.shape[1])
        distance = (away.square().sum(1) + c**2).sqrt() - c
        return (distance / (s - r)).mean()

    def _f(self, net: Callable[..., Tensor], x: Tensor, s: Tensor, condition: Tensor, dropped: Tensor) -> Tensor:
        """f(x; s). Two values of it that differ by a hundredth are subtracted: `net` computes in fp32."""
        wide = s.view(-1, *[1] * (x.ndim - 1))
        told = net(self.known.into(wide) * x, self.known.time(s), condition, dropped)
        return self.known.skip(wide) * x + self.known.out(wide) * told


class FewStepSampler:
    """f of pure noise is an image; each further step makes it noisy again, less so, and asks f once more.

    Song 2023, algorithm 1: x' = f(x; s) + sqrt(s'^2 - l^2) z, with l the least noise.

    Parameters
    ----------
    noises : before each step, highest first.
    guidance, doubled, clip : as in `generators.karras.KarrasSampler`.
    """

    def __init__(
        self, *, known: Preconditioned, noises: Sequence[float], lowest: float, guidance: float = 1.0,
        doubled: bool = False, clip: float | None = None,
    ) -> None:  # fmt: skip
        self.known, self.noises, self.lowest = known, list(noises), lowest
        self.guidance, self.doubled, self.clip = guidance, doubled, clip

    def __call__(
        self, net: Callable[..., Tensor], noise: Tensor, condition: Tensor, *, seed: int, rows: slice
    ) -> Tensor:
        """See `generators.denoising.Draws`. What is added again depends on the seed, the row and the step alone."""
        again = noise_by_row(seed, rows)
        x = self.noises[0] * noise
        for k, s in enumerate(self.noises):
            clean = denoise(
                net, x, s, condition, known=self.known, guidance=self.guidance, doubled=self.doubled, clip=self.clip
            )
            if k + 1 < len(self.noises):
                x = clean + (self.noises[k + 1] ** 2 - self.lowest**2) ** 0.5 * again(clean)
        return clean
