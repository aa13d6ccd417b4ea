"""Denoising diffusion: the loss it learns by and the samplers it draws with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor
from torch.nn import functional as F

from synthworth.errors import UserError
from synthworth.keys import seed_from

N_STEPS = 1000
SMALLEST_LOG_SNR = -5.1
"""Half the log of signal over noise below which DPM-Solver++ under epsilon prediction does not start: the last steps of
the cosine schedule hold no signal to divide by (Lu 2022)."""


def make_noising(schedule: str, prediction: str, *, betas: Sequence[float] | None = None) -> DDPMScheduler:
    """The forward process of 1,000 steps.

    Linear (Ho 2020) or cosine (Nichol & Dhariwal 2021), or the `betas` that a pretrained network learned with.
    """
    return DDPMScheduler(**_process(schedule, prediction, betas))


def _process(schedule: str, prediction: str, betas: Sequence[float] | None) -> dict[str, Any]:
    known = {"beta_schedule": schedule} if betas is None else {"trained_betas": list(betas)}
    n_steps = N_STEPS if betas is None else len(betas)
    return {"num_train_timesteps": n_steps, "prediction_type": prediction, **known}


def denoising_loss(
    net: Callable[..., Tensor], noising: DDPMScheduler, clean: Tensor, condition: Tensor, *, drop: float
) -> Tensor:  # 0-d
    """The squared error of a prediction: || target - net(sqrt(a_t) x + sqrt(1 - a_t) e, t, y) ||^2.

    The target is e (Ho 2020, eq. 14) or v = sqrt(a_t) e - sqrt(1 - a_t) x (Salimans & Ho 2022).

    Steps, noise and which conditions are dropped (each with probability `drop`) come from torch's global generator.
    Steps are stratified over the batch, which leaves their distribution uniform and its average quieter. What stands
    for a dropped condition is looked at in every step, so that it has a gradient even where nothing is dropped.
    """
    n, n_steps = len(clean), len(noising.betas)
    strata = (torch.arange(n, device=clean.device) + torch.rand(n, device=clean.device)) / n
    steps = (strata * n_steps).long().clamp_(max=n_steps - 1)
    noise = torch.randn_like(clean)
    dropped = torch.rand(n, device=clean.device) < drop
    noisy = noising.add_noise(clean, noise, steps)
    target = noise if noising.config["prediction_type"] == "epsilon" else noising.get_velocity(clean, noise, steps)
    return F.mse_loss(net(noisy, steps, condition, dropped).float(), target)


class Sampler:
    """From noise to images in `n_steps` of the 1,000 steps; diffusers' schedulers do the arithmetic.

    Under v prediction the steps start at pure noise (Lin 2024, "trailing"); under epsilon prediction, which says
    nothing about the image there, one stride after it (`ddpm`, `ddim`), or where signal begins (`dpmsolver++`). Steps
    of `dpmsolver++` are equal in the log of signal over noise (Lu 2022), those of the others in time.

    Parameters
    ----------
    kind : `ddpm` (ancestral, Ho 2020, with the small variance of eq. 7), `ddim` (deterministic, Song 2021, eta = 0)
        or `dpmsolver++` (second-order multistep, Lu 2022).
    guidance : classifier-free guidance scale (Ho & Salimans 2022), e = e_absent + g (e_given - e_absent). 1 costs one
        pass a step, any other two.
    clip : bound of the denoised image at every step, as pixels have one (1.0) and latents have not (None).
    betas : of a pretrained network, in the place of `schedule`.

    Raises
    ------
    UserError
        For more steps than the process has, or fewer than 1.
    """

    def __init__(
        self,
        kind: str,
        *,
        schedule: str,
        prediction: str,
        n_steps: int,
        guidance: float = 1.0,
        clip: float | None = None,
        betas: Sequence[float] | None = None,
    ) -> None:
        self.kind, self.prediction, self.guidance, self.clip = kind, prediction, guidance, clip
        process = _process(schedule, prediction, betas)
        if not 1 <= n_steps <= process["num_train_timesteps"]:
            raise UserError(f"{n_steps} sampling steps were asked for: 1 to {process['num_train_timesteps']} can be")
        spacing = "trailing" if prediction == "v_prediction" else "leading"
        self.spaced: dict[str, Any] = {"num_inference_steps": n_steps}
        self.scheduler: Any
        if kind == "ddpm":
            self.scheduler = DDPMScheduler(**process, clip_sample=False, timestep_spacing=spacing)
        elif kind == "ddim":
            self.scheduler = DDIMScheduler(**process, clip_sample=False, timestep_spacing=spacing)
        elif kind == "dpmsolver++":
            self.scheduler = DPMSolverMultistepScheduler(**process)
            self.spaced = {"timesteps": _equal_in_snr(self.scheduler, n_steps, from_noise=prediction == "v_prediction")}
        else:
            raise UserError(f"no sampler named {kind!r}. Available: ddpm, ddim, dpmsolver++")

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
        every = torch.ones(n, dtype=torch.bool, device=x.device)
        extra: dict[str, Any] = {}
        if self.kind == "ddpm":
            extra["generator"] = [
                torch.Generator().manual_seed(seed_from(seed, "sampler", row))
                for row in range(*rows.indices(rows.stop))
            ]
        self.scheduler.set_timesteps(**self.spaced)
        for t in self.scheduler.timesteps.tolist():
            steps = torch.full((n,), t, dtype=torch.int64, device=x.device)
            predicted = net(x, steps, condition).float()
            if self.guidance != 1.0:
                without = net(x, steps, condition, every).float()
                predicted = without + self.guidance * (predicted - without)
            if self.clip is not None:
                predicted = self._clipped(predicted, x, t)
            x = self.scheduler.step(predicted, t, x, **extra).prev_sample
        return x

    def _clipped(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        """The prediction whose denoised image stays within +-clip: x0 = (x - s e) / a, or a x - s v; back likewise."""
        a2 = float(self.scheduler.alphas_cumprod[t])
        a, s = a2**0.5, (1.0 - a2) ** 0.5
        if self.prediction == "epsilon":
            clean = ((x - s * predicted) / a).clamp_(-self.clip, self.clip)  # type: ignore[operator]
            return (x - a * clean) / s
        clean = (a * x - s * predicted).clamp_(-self.clip, self.clip)  # type: ignore[operator]
        return (a * x - clean) / s


def _equal_in_snr(scheduler: DPMSolverMultistepScheduler, n_steps: int, *, from_noise: bool) -> list[int]:
    """Steps, noisiest first, whose half log signal-to-noise ratios are as equally spaced as whole steps can be.

    Parameters
    ----------
    from_noise : begin at the last step of all, instead of at the last that holds a signal.

    Raises
    ------
    UserError
        When there are not so many.
    """
    log_snr = scheduler.lambda_t.double()
    last = int((log_snr >= SMALLEST_LOG_SNR).nonzero().max())
    wanted = torch.linspace(float(log_snr[0]), float(log_snr[last]), n_steps, dtype=torch.float64)
    steps: list[int] = []
    for value in wanted:  # from clean to noisy; two of them are never the same step
        nearest = int((log_snr - value).abs().argmin())
        steps.append(max(nearest, steps[-1] + 1) if steps else nearest)
    if steps[-1] > last:
        raise UserError(f"dpmsolver++ cannot take {n_steps} steps that differ; ask for fewer, 25 for instance")
    if from_noise or n_steps == 1:
        steps[-1] = len(log_snr) - 1 if from_noise else last
    return steps[::-1]
