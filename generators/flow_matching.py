"""Rectified flow: the loss it learns by, how noise meets images in training, and how it draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from generators.guidance import guided
from generators.noise import stratified
from generators.ode import Level, integrate
from generators.options import Method, Times

OF_TIME = 1000.0
"""By what a time in 0..1 is multiplied before a network embeds it: the steps that such embeddings are made for."""


class FlowMatching:
    """x_t = (1 - t) x + t e, t in 0..1; a network learns E || (e - x) - v(x_t, t, y) ||^2.

    Lipman 2023, with the straight paths of Liu 2022. Times are logit-normal, t = sigmoid(m + s u), u ~ N(0, 1) (Esser
    2024, section 3.1), or uniform, and stratified over the batch.

    With a coupling, noise and images of a batch are paired so that the sum of their squared distances is smallest
    (minibatch optimal transport: Pooladian 2023; Tong 2024), among images that are told the same alone: pairs over
    all of a batch would let the noise depend on the condition, and drawing starts from noise that does not.

    Parameters
    ----------
    mean, spread : m and s.
    alike : int64 (N,), images with one number are told the same; None for no coupling.
    """

    def __init__(self, times: Times, *, mean: float, spread: float, alike: Tensor | None = None) -> None:
        self.times, self.mean, self.spread, self.alike = times, mean, spread, alike

    def noised(self, clean: Tensor, rows: Tensor, *, drop: float) -> tuple[Tensor, ...]:
        """Noisy images, their times (times 1,000), the target e - x, and who is dropped (`denoising.Process`)."""
        n = len(clean)
        t = self._times(n, clean.device)
        noise = torch.randn_like(clean)
        if self.alike is not None:
            noise = noise[coupled(noise, clean, self.alike[rows.cpu()])]
        dropped = torch.rand(n, device=clean.device) < drop
        wide = t.view(-1, *[1] * (clean.ndim - 1))
        return (1 - wide) * clean + wide * noise, OF_TIME * t, noise - clean, dropped

    def error(self, net: Callable[..., Tensor], *drawn: Tensor) -> Tensor:
        """The squared error of a velocity, 0-d."""
        noisy, times, target, dropped, condition = drawn
        return F.mse_loss(net(noisy, times, condition, dropped).float(), target)

    def _times(self, n: int, device: torch.device) -> Tensor:  # float32 (n,), within 0..1, both excluded
        strata = stratified(n, device)
        if self.times == "uniform":
            return strata.clamp(1e-5, 1 - 1e-5)
        normal = torch.special.ndtri(strata.clamp(1e-6, 1 - 1e-6))
        return torch.sigmoid(self.mean + self.spread * normal)


def coupled(noise: Tensor, clean: Tensor, alike: Tensor) -> Tensor:
    """Which row of the noise each image is paired with: int64 (n,), on the device of the noise.

    Exact optimal transport by squared Euclidean distance, among rows of one number in `alike` (int64 (n,), CPU).
    """
    a, b = noise.flatten(1), clean.flatten(1)
    costs = (-2.0 * b @ a.T).float().cpu().numpy()  # the squares of both add the same to every pairing
    numbers, chosen = alike.numpy(), np.arange(len(noise))
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        images, noises = linear_sum_assignment(costs[np.ix_(rows, rows)])
        chosen[rows[images]] = rows[noises]
    return torch.from_numpy(chosen).to(noise.device)


def times_of(n_steps: int, *, shift: float) -> list[float]:
    """Times from 1 down to 0, n_steps + 1 of them: evenly spaced, then moved towards noise.

    t' = c t / (1 + (c - 1) t) (Esser 2024, eq. 23), as diffusers' FlowMatchEulerDiscreteScheduler has it.

    Parameters
    ----------
    shift : c; 1 leaves them evenly spaced.
    """
    even = [k / n_steps for k in range(n_steps, -1, -1)]
    return [shift * t / (1 + (shift - 1) * t) for t in even]


class FlowSampler:
    """From noise (t = 1) to images (t = 0) along dx = v(x, t, y) dt (`generators.ode`).

    Parameters
    ----------
    shift : see `times_of`.
    guidance, doubled : see `generators.guidance.guided`.
    clip : bound of the denoised image x - t v at every step, None for none.
    """

    def __init__(
        self, method: Method, *, n_steps: int, shift: float = 1.0, guidance: float = 1.0, doubled: bool = False,
        clip: float | None = None,
    ) -> None:  # fmt: skip
        self.method, self.guidance, self.doubled, self.clip = method, guidance, doubled, clip
        self.levels: list[Level] = [(1 - t, t) for t in times_of(n_steps, shift=shift)]

    def __call__(
        self, net: Callable[..., Tensor], noise: Tensor, condition: Tensor, *, seed: int, rows: slice
    ) -> Tensor:
        """See `generators.denoising.Draws`; nothing is random here but the noise."""

        def denoised(x: Tensor, level: Level) -> Tensor:
            times = torch.full((len(x),), OF_TIME * level[1], device=x.device)
            velocity = guided(net, x, times, condition, scale=self.guidance, doubled=self.doubled)
            clean = x - level[1] * velocity
            return clean if self.clip is None else clean.clamp(-self.clip, self.clip)

        return integrate(denoised, noise, self.levels, method=self.method)
