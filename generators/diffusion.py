"""Denoising diffusion: the loss it learns by and the samplers it draws with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor
from torch.nn import functional as F

from generators.guidance import guided
from generators.noise import stratified
from generators.options import N_STEPS
from synthworth.errors import UserError
from synthworth.keys import seed_from

SMALLEST_LOG_SNR = -5.1
"""Half the log of signal over noise below which a step counts as one without signal: the last steps of the cosine
schedule hold none to divide by (Lu 2022)."""
MOST_SIGNAL = 0.05
"""How much more of the image (sqrt(a_t)) than the last step the step may hold that pure noise is passed off as."""
ALMOST_NONE = 2.0**-24
"""What stands for a_t = 0 where a sampler divides by it, as in diffusers' schedulers with `rescale_betas_zero_snr`."""


def make_noising(schedule: str, prediction: str, *, betas: Sequence[float] | None = None) -> DDPMScheduler:
    """The forward process of 1,000 steps.

    Linear (Ho 2020) or cosine (Nichol & Dhariwal 2021), or the `betas` that a pretrained network learned with, as many
    steps as there are. They may end in pure noise (beta 1, Lin 2024).

    Raises
    ------
    UserError
        For `betas` outside 0..1, a first one of 1, or none.
    """
    return DDPMScheduler(**_process(schedule, prediction, betas))


def _process(schedule: str, prediction: str, betas: Sequence[float] | None) -> dict[str, Any]:
    known = {"beta_schedule": schedule} if betas is None else {"trained_betas": list(betas)}
    n_steps = N_STEPS if betas is None else len(betas)
    if betas is not None:
        wrong = [beta for t, beta in enumerate(betas) if not (0.0 <= beta <= 1.0 and (t or beta < 1.0))]
        if wrong or not betas:
            raise UserError(
                "--gen.pretrained: betas are shares of noise, one a step, from 0 to 1 and below 1 at first; of the "
                f"scheduler's {len(betas)}, {len(wrong)} are not" + (f", {wrong[0]:g} for one" if wrong else "")
            )
    return {"num_train_timesteps": n_steps, "prediction_type": prediction, **known}


def denoising_loss(
    net: Callable[..., Tensor], noising: DDPMScheduler, clean: Tensor, condition: Tensor, *, drop: float
) -> Tensor:  # 0-d
    """The squared error of a prediction: || target - net(sqrt(a_t) x + sqrt(1 - a_t) e, t, y) ||^2.

    The target is e (Ho 2020, eq. 14) or v = sqrt(a_t) e - sqrt(1 - a_t) x (Salimans & Ho 2022). What stands for a
    dropped condition is looked at in every step, so that it has a gradient even where nothing is dropped.
    """
    return denoising_error(net, *noised(noising, clean, drop=drop), condition)


def noised(noising: DDPMScheduler, clean: Tensor, *, drop: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `denoising_loss` draws at random for a batch: noisy images, their steps, the target, who is dropped.

    Steps, noise and which conditions are dropped (each with probability `drop`) come from torch's global generator.
    Steps are stratified over the batch, which leaves their distribution uniform and its average quieter.
    """
    n, n_steps = len(clean), len(noising.betas)
    steps = (stratified(n, clean.device) * n_steps).long().clamp_(max=n_steps - 1)
    noise = torch.randn_like(clean)
    dropped = torch.rand(n, device=clean.device) < drop
    noisy = noising.add_noise(clean, noise, steps)
    target = noise if noising.config["prediction_type"] == "epsilon" else noising.get_velocity(clean, noise, steps)
    return noisy, steps, target, dropped


def denoising_error(
    net: Callable[..., Tensor], noisy: Tensor, steps: Tensor, target: Tensor, dropped: Tensor, condition: Tensor
) -> Tensor:  # 0-d
    """The rest of `denoising_loss`, which draws nothing and reads nothing on the host."""
    return F.mse_loss(net(noisy, steps, condition, dropped).float(), target)


class Noising:
    """The process of `make_noising`, as `generators.denoising.Process` asks for it."""

    def __init__(self, *, schedule: str, prediction: str, betas: Sequence[float] | None) -> None:
        self.scheduler = make_noising(schedule, prediction, betas=betas)

    def noised(self, clean: Tensor, rows: Tensor, *, drop: float) -> tuple[Tensor, ...]:
        """See `noised` and `generators.denoising.Process`."""
        return noised(self.scheduler, clean, drop=drop)

    def error(self, net: Callable[..., Tensor], *drawn: Tensor) -> Tensor:
        """See `denoising_error`."""
        return denoising_error(net, *drawn)


class Sampler:
    """From noise to images in `n_steps` of the process's steps, each to the next of an explicit list.

    diffusers' schedulers do the arithmetic of `ddpm` and `dpmsolver++`. That of `ddim` is here: diffusers' takes the
    step after t to be t - 1000 // n, which it is only where n divides 1,000.

    Under v prediction the steps start at pure noise (Lin 2024, "trailing"). Under epsilon prediction, which says
    nothing about the image there, they start one stride after it or where signal begins (`_equal_in_time`). Steps of
    `dpmsolver++` are equal in the log of signal over noise (Lu 2022), those of the others in time.

    Parameters
    ----------
    kind : `ddpm` (ancestral, Ho 2020, with the small variance of eq. 7), `ddim` (deterministic, Song 2021, eta = 0)
        or `dpmsolver++` (second-order multistep, Lu 2022).
    guidance, doubled : see `generators.guidance.guided`.
    clip : bound of the denoised image at every step, as pixels have one (1.0) and latents have not (None).
    betas : of a pretrained network, in the place of `schedule`. They may end in pure noise.

    Raises
    ------
    UserError
        For more steps than the process has (than it has steps with a signal, for `dpmsolver++` under epsilon), fewer
        than 1, and betas as in `make_noising`.
    """

    def __init__(
        self,
        kind: str,
        *,
        schedule: str,
        prediction: str,
        n_steps: int,
        guidance: float = 1.0,
        doubled: bool = False,
        clip: float | None = None,
        betas: Sequence[float] | None = None,
    ) -> None:
        self.kind, self.prediction, self.guidance, self.clip = kind, prediction, guidance, clip
        self.doubled = doubled
        process = _process(schedule, prediction, betas)
        if kind not in SPACED:
            raise UserError(f"no sampler named {kind!r}. Available: {', '.join(SPACED)}")
        self.scheduler: Any = (
            DPMSolverMultistepScheduler(**process)
            if kind == "dpmsolver++"
            else DDPMScheduler(**process, clip_sample=False)
        )
        divides = kind == "dpmsolver++" or prediction == "epsilon"
        alphas = self.scheduler.alphas_cumprod = _safe(self.scheduler.alphas_cumprod, from_zero=divides)
        if not 1 <= n_steps <= len(alphas):
            raise UserError(f"{n_steps} sampling steps were asked for: 1 to {len(alphas)} can be")
        self.steps = SPACED[kind](alphas, n_steps, from_noise=prediction == "v_prediction")

    def __call__(
        self, net: Callable[..., Tensor], noise: Tensor, condition: Tensor, *, seed: int, rows: slice
    ) -> Tensor:  # (N, ...), both
        """Denoise standard normal `noise` into what the condition says.

        Parameters
        ----------
        net : `net(x, steps int64 (N,), condition, dropped bool (N,) or None)` gives the prediction.
        condition : (N, ...), one a row.
        seed, rows : of the request, and which of its rows these are. What `ddpm` adds at a step depends on the seed,
            the row and the step alone.
        """
        x, n = noise, len(noise)
        generators = [
            torch.Generator().manual_seed(seed_from(seed, "sampler", row))
            for row in range(*rows.indices(rows.stop))
            if self.kind == "ddpm"
        ]
        self.scheduler.set_timesteps(timesteps=self.steps)
        for t, following in zip(self.steps, [*self.steps[1:], None], strict=True):
            steps = torch.full((n,), t, dtype=torch.int64, device=x.device)
            predicted = guided(net, x, steps, condition, scale=self.guidance, doubled=self.doubled)
            if self.clip is not None:
                predicted = self._clipped(predicted, x, t)
            if self.kind == "ddim":
                x = self._ddim(predicted, x, t, following)
            else:
                x = self.scheduler.step(predicted, t, x, generator=generators or None).prev_sample
        return x

    def _ddim(self, predicted: Tensor, x: Tensor, t: int, following: int | None) -> Tensor:
        """Song 2021, eq. 12 with eta = 0: x' = a' x0 + s' e where x = a x0 + s e; after the last step, a' = 1."""
        a2 = self.scheduler.alphas_cumprod[t]
        a2_next = torch.ones(()) if following is None else self.scheduler.alphas_cumprod[following]
        a, s = a2**0.5, (1 - a2) ** 0.5
        if self.prediction == "epsilon":
            clean, noise = (x - s * predicted) / a, predicted
        else:
            clean, noise = a * x - s * predicted, a * predicted + s * x
        return a2_next**0.5 * clean + (1 - a2_next) ** 0.5 * noise

    def _clipped(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        """The prediction whose denoised image stays within +-clip: x0 = (x - s e) / a, or a x - s v; back likewise."""
        a2 = float(self.scheduler.alphas_cumprod[t])
        a, s = a2**0.5, (1.0 - a2) ** 0.5
        if self.prediction == "epsilon":
            clean = ((x - s * predicted) / a).clamp_(-self.clip, self.clip)  # type: ignore[operator]
            return (x - a * clean) / s
        clean = (a * x - s * predicted).clamp_(-self.clip, self.clip)  # type: ignore[operator]
        return (a * x - clean) / s


def _safe(alphas: Tensor, *, from_zero: bool) -> Tensor:
    """The products a_t up to the first that holds no signal at all, float32, without those that nobody can divide by.

    That step (a_t = 0) is given `ALMOST_NONE` of a signal, and always less than the step before it. One without noise
    (a_t = 1) is given as little noise.

    Parameters
    ----------
    from_zero : whether the sampler divides by a_t; the others take it as it is.
    """
    alphas = alphas[: int((alphas > 0).sum()) + 1].clamp(max=1.0 - ALMOST_NONE)
    if from_zero and alphas[-1] == 0:
        alphas[-1] = min(ALMOST_NONE, float(alphas[-2]) / 4)
    return alphas


def _log_snr(alphas: Tensor) -> Tensor:  # float32 (T,) -> float64 (T,)
    """Half the log of signal over noise, log(sqrt(a_t)) - log(sqrt(1 - a_t)), as DPM-Solver++ has it."""
    return (torch.log(alphas.sqrt()) - torch.log((1 - alphas).sqrt())).double()


def _last_with_signal(alphas: Tensor) -> int:
    return max(int((_log_snr(alphas) >= SMALLEST_LOG_SNR).sum()) - 1, 0)


def _equal_in_time(alphas: Tensor, n_steps: int, *, from_noise: bool) -> list[int]:
    """Steps, noisiest first, equally spaced in time as nearly as whole steps can be.

    From noise: T k / n for k = n .. 1, rounded, less 1 ("trailing"). Otherwise T k / n for k = n - 1 .. 0, rounded
    down ("leading" with its true stride). A few wide strides would then begin where an image shows (at t = 0 for
    n = 1); where the first step holds more than `MOST_SIGNAL` they trail from the last step with a signal.

    Parameters
    ----------
    alphas : the products a_t, (T,).
    """
    end = len(alphas)
    if not from_noise:
        leading = [end * k // n_steps for k in reversed(range(n_steps))]
        if alphas[leading[0]].sqrt() - alphas[-1].sqrt() <= MOST_SIGNAL:
            return leading
        end = _last_with_signal(alphas) + 1
    return [round(end * k / n_steps) - 1 for k in range(n_steps, 0, -1)]


def _equal_in_snr(alphas: Tensor, n_steps: int, *, from_noise: bool) -> list[int]:
    """Steps, noisiest first, whose half log signal-to-noise ratios are as equally spaced as whole steps can be.

    Parameters
    ----------
    alphas : the products a_t, (T,).
    from_noise : begin at the last step of all, instead of at the last that holds a signal.

    Raises
    ------
    UserError
        When there are not so many.
    """
    log_snr, last = _log_snr(alphas), _last_with_signal(alphas)
    end = len(alphas) - 1 if from_noise else last
    if n_steps > end + 1:
        raise UserError(
            f"dpmsolver++ cannot take {n_steps} steps: under epsilon prediction it begins where signal does, and that "
            f"leaves {end + 1} of {len(alphas)}; ask for fewer, 25 for instance"
        )
    wanted = torch.linspace(float(log_snr[0]), float(log_snr[last]), n_steps, dtype=torch.float64)
    steps: list[int] = []
    for k, value in enumerate(wanted):  # from clean to noisy; two are never the same step, and the rest has room
        nearest = int((log_snr - value).abs().argmin())
        room = max(last, n_steps - 1) - (n_steps - 1 - k)
        steps.append(min(max(nearest, steps[-1] + 1) if steps else nearest, room))
    if from_noise or n_steps == 1:
        steps[-1] = end
    return steps[::-1]


SPACED = {"ddpm": _equal_in_time, "ddim": _equal_in_time, "dpmsolver++": _equal_in_snr}
"""How the steps of each kind of sampler are spaced."""
