"""From noise to an image down a list of noise levels, by what a network takes the image without noise to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from generators.options import Method

if TYPE_CHECKING:
    from torch import Tensor

Level = tuple[float, float]
"""(a, s) of x = a x0 + s e: how much of the image and how much noise there is."""


def n_evaluations(method: Method, n_steps: int) -> int:
    """How often `integrate` asks for a denoised image: once a step, but `heun` twice in all but the last."""
    return 2 * n_steps - 1 if method == "heun" else n_steps


def integrate(
    denoised: Callable[[Tensor, Level], Tensor],
    x: Tensor,
    levels: Sequence[Level],
    *,
    method: Method,
    stirred: Callable[[Tensor, int], tuple[Tensor, Level]] | None = None,
) -> Tensor:
    """Follow dx = x0 da + e ds from the first level to the last, where e = (x - a x0) / s.

    `euler` keeps x0 and e as they are at a step's beginning, so that x' = a' x0 + s' e (Song 2021, eq. 12). `heun`
    takes the mean of those at both of its ends (Karras 2022, algorithm 1), but for the last step, at whose end there is
    no noise. `dpmsolver++` extrapolates x0 from the last two, in log(a / s) (Lu 2022, algorithm 2); its first and its
    last step are those of `euler`, and the second too where the first level is noise alone.

    Parameters
    ----------
    denoised : `denoised(x, level)` gives x0, (N, ...).
    x : at the first level, (N, ...).
    levels : noisiest first; the last is (1, 0), without noise.
    stirred : what is done before step k: x with noise added, and its level (Karras 2022, algorithm 2).

    Returns
    -------
    x at the last level, (N, ...).
    """
    before: tuple[float, Tensor] | None = None
    for k, (level, following) in enumerate(pairwise(levels)):
        at = level
        if stirred is not None:
            x, at = stirred(x, k)
        clean = denoised(x, at)
        if method == "heun" and following[1] > 0:
            x = _heun(denoised, x, clean, at, following)
            continue
        used, log_snr = clean, _log_snr(at)
        if method == "dpmsolver++" and before is not None and following[1] > 0:
            r = (log_snr - before[0]) / (_log_snr(following) - log_snr)
            used = clean + (clean - before[1]) / (2 * r)
        before = log_snr, clean
        x = following[0] * used + following[1] * _noise(x, used, at)
    return x


def _noise(x: Tensor, clean: Tensor, level: Level) -> Tensor:
    return (x - level[0] * clean) / level[1]


def _heun(
    denoised: Callable[[Tensor, Level], Tensor], x: Tensor, clean: Tensor, level: Level, following: Level
) -> Tensor:
    noise = _noise(x, clean, level)
    tried = following[0] * clean + following[1] * noise
    clean_then = denoised(tried, following)
    noise_then = _noise(tried, clean_then, following)
    da, ds = following[0] - level[0], following[1] - level[1]
    return x + da * (clean + clean_then) / 2 + ds * (noise + noise_then) / 2


def _log_snr(level: Level) -> float:
    """log(a / s); minus infinity where there is nothing of the image."""
    return math.log(level[0] / level[1]) if level[0] > 0 else -math.inf
