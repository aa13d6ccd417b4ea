"""Diffusion as Karras 2022 has it ("EDM"): preconditioning, the noise of training, and the sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from generators.guidance import guided
from generators.nets.ada import EDM, augment
from generators.noise import stratified
from generators.ode import Level, integrate
from generators.options import Method
from synthworth.keys import seed_from

OF_NOISE = 1000.0
"""By what c_noise is multiplied before a network embeds it: such embeddings are made for steps 0 to 1,000."""
MOST_CHURN = 2.0**0.5 - 1.0
"""Most that a step may raise the noise by, as a share of it (Karras 2022, algorithm 2)."""


@dataclass(frozen=True)
class Preconditioned:
    """D(x; s) = c_skip x + c_out F(c_in x; c_noise) (Karras 2022, eq. 7 and table 1), F the network.

    c_skip = d^2 / (s^2 + d^2), c_out = s d / sqrt(s^2 + d^2), c_in = 1 / sqrt(s^2 + d^2), c_noise = ln(s) / 4: what the
    network sees, and what it is asked for, have a spread of 1 at every noise s.

    Parameters
    ----------
    data : d, the spread of the images.
    """

    data: float

    def skip(self, noise: Any) -> Any:
        """c_skip."""
        return self.data**2 / (noise**2 + self.data**2)

    def out(self, noise: Any) -> Any:
        """c_out."""
        return noise * self.data / (noise**2 + self.data**2) ** 0.5

    def into(self, noise: Any) -> Any:
        """c_in."""
        return 1.0 / (noise**2 + self.data**2) ** 0.5

    def time(self, noise: Tensor) -> Tensor:
        """What a network is told of the noise: c_noise, brought to the range that embeddings are made for."""
        return OF_NOISE * noise.log() / 4


class KarrasNoising:
    """x + s e with ln s ~ N(m, p^2); a network learns E || F - (x - c_skip (x + s e)) / c_out ||^2.

    That is E lambda(s) || D(x + s e; s) - x ||^2 with lambda = 1 / c_out^2 (Karras 2022, eq. 8). ln s is stratified
    over the batch. Augmented images come with what was done to them, which the network is told: drawing says that
    nothing was, so that augmentation does not leak (Karras 2022, appendix F.2).

    Parameters
    ----------
    mean, spread : m and p.
    augment : the probability of each kind of augmentation, 0 for none.
    """

    def __init__(self, known: Preconditioned, *, mean: float, spread: float, augment: float = 0.0) -> None:
        self.known, self.mean, self.spread, self.augment = known, mean, spread, augment

    def noised(self, clean: Tensor, rows: Tensor, *, drop: float) -> tuple[Tensor, ...]:
        """What the network sees, what it is told of the noise, the target, who is dropped (`denoising.Process`).

        And, with augmentation, what was done.
        """
        said: list[Tensor] = []
        if self.augment:
            clean, *said = augment(clean, self.augment, EDM)
        s = log_normal(len(clean), mean=self.mean, spread=self.spread, device=clean.device)
        noise = torch.randn_like(clean)
        dropped = torch.rand(len(clean), device=clean.device) < drop
        wide = s.view(-1, *[1] * (clean.ndim - 1))
        noisy = clean + wide * noise
        target = (clean - self.known.skip(wide) * noisy) / self.known.out(wide)
        return self.known.into(wide) * noisy, self.known.time(s), target, dropped, *said

    def error(self, net: Callable[..., Tensor], *drawn: Tensor) -> Tensor:
        """The squared error of F, 0-d."""
        seen, times, target, dropped, *said, condition = drawn
        return F.mse_loss(net(seen, times, condition, dropped, *said).float(), target)


def log_normal(n: int, *, mean: float, spread: float, device: torch.device) -> Tensor:  # float32 (n,)
    """Numbers whose log is normal, stratified: one of each n-th part of the distribution, in order."""
    return torch.exp(mean + spread * torch.special.ndtri(stratified(n, device).clamp(1e-6, 1 - 1e-6)))


def noises_of(n_steps: int, *, lowest: float, highest: float, rho: float) -> list[float]:
    """Noise before each step (Karras 2022, eq. 5), from the highest to the lowest: evenly spaced in its rho-th root.

    A single step begins at the highest.
    """
    if n_steps == 1:
        return [highest]
    low, high = lowest ** (1 / rho), highest ** (1 / rho)
    return [(high + k / (n_steps - 1) * (low - high)) ** rho for k in range(n_steps)]


@dataclass(frozen=True)
class Churn:
    """How much noise is added again before each step (Karras 2022, algorithm 2, with its names).

    Parameters
    ----------
    amount : S_churn; a step raises its noise s by min(amount / steps, sqrt(2) - 1) s. 0 adds none.
    lowest, highest : S_tmin and S_tmax: of a step's noise, for it to be raised.
    spread : S_noise, of what is added.
    """

    amount: float = 0.0
    lowest: float = 0.05
    highest: float = 50.0
    spread: float = 1.003


def level_of(noise: float) -> Level:
    """The share of image and of noise, (a, s) with a + s = 1, at which the noise beside a whole image is `noise`."""
    return 1 / (1 + noise), noise / (1 + noise)


class KarrasSampler:
    """From noise of the highest spread to images, by D (`generators.ode`).

    The line dx = (x - D(x; s)) / s ds is followed in x / (1 + s), where the image fades as noise comes, as in rectified
    flow. `euler` and `dpmsolver++` are the same to the bit of rounding. Heun's method in x itself, as the source has
    it, multiplies what D says by the step in s, which is large while s is: of pixels with a spread of .5 and an exact
    D it makes .61 in 10 steps and .53 in 18, and this .515 and .505.

    Parameters
    ----------
    noises : `noises_of`.
    guidance, doubled : see `generators.guidance.guided`; D is linear in F, so that guiding one guides the other.
    clip : bound of D at every step, None for none.
    """

    def __init__(
        self, method: Method, *, known: Preconditioned, noises: Sequence[float], churn: Churn | None = None,
        guidance: float = 1.0, doubled: bool = False, clip: float | None = None,
    ) -> None:  # fmt: skip
        self.method, self.known, self.churn = method, known, churn or Churn()
        self.guidance, self.doubled, self.clip = guidance, doubled, clip
        self.levels: list[Level] = [*map(level_of, noises), (1.0, 0.0)]

    def __call__(
        self, net: Callable[..., Tensor], noise: Tensor, condition: Tensor, *, seed: int, rows: slice
    ) -> Tensor:
        """See `generators.denoising.Draws`. What is churned depends on the seed, the row and the step alone."""
        stirring = self._stirred(seed, rows) if self.churn.amount > 0 else None

        def denoised(x: Tensor, level: Level) -> Tensor:
            return denoise(
                net, x / level[0], level[1] / level[0], condition, known=self.known, guidance=self.guidance,
                doubled=self.doubled, clip=self.clip,
            )  # fmt: skip

        return integrate(denoised, self.levels[0][1] * noise, self.levels, method=self.method, stirred=stirring)

    def _stirred(self, seed: int, rows: slice) -> Callable[[Tensor, int], tuple[Tensor, Level]]:
        draw, churn = noise_by_row(seed, rows), self.churn
        share = min(churn.amount / (len(self.levels) - 1), MOST_CHURN)

        def stirred(x: Tensor, k: int) -> tuple[Tensor, Level]:
            level, fresh = self.levels[k], draw(x)
            s = level[1] / level[0]
            if not churn.lowest <= s <= churn.highest:
                return x, level
            raised = s * (1 + share)
            higher = level_of(raised)
            return higher[0] * (x / level[0] + (raised**2 - s**2) ** 0.5 * churn.spread * fresh), higher

        return stirred


def denoise(
    net: Callable[..., Tensor], x: Tensor, noise: float, condition: Tensor, *, known: Preconditioned, guidance: float,
    doubled: bool, clip: float | None,
) -> Tensor:  # fmt: skip
    """D(x; s), (N, ...), of rows that all have the noise s; see `KarrasSampler`."""
    times = known.time(torch.full((len(x),), noise, device=x.device))
    told = guided(net, known.into(noise) * x, times, condition, scale=guidance, doubled=doubled)
    clean: Tensor = known.skip(noise) * x + known.out(noise) * told
    return clean if clip is None else clean.clamp(-clip, clip)


def noise_by_row(seed: int, rows: slice) -> Callable[[Tensor], Tensor]:
    """Standard normal noise like a batch of those rows, other at each call; a row's depends on the seed and it alone.

    Parameters
    ----------
    rows : of the request, which the batch has.
    """
    ours = [torch.Generator().manual_seed(seed_from(seed, "sampler", row)) for row in range(rows.start, rows.stop)]

    def draw(x: Tensor) -> Tensor:
        return torch.stack([torch.randn(x.shape[1:], generator=g) for g in ours]).to(x.device)

    return draw
