"""Denoising diffusion: the loss it learns by and the deterministic sampler it draws with."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

N_STEPS = 1000


def make_noising(schedule: str, prediction: str) -> DDPMScheduler:
    """The forward process of 1,000 steps (Ho 2020; cosine schedule: Nichol & Dhariwal 2021)."""
    return DDPMScheduler(N_STEPS, beta_schedule=schedule, prediction_type=prediction)


def denoising_loss(
    net: nn.Module, noising: DDPMScheduler, clean: Tensor, labels: Tensor, *, drop: float
) -> Tensor:  # 0-d
    """|| target - net(sqrt(a_t) x + sqrt(1 - a_t) e, t, y) ||^2, target e (Ho 2020, eq. 14) or
    v = sqrt(a_t) e - sqrt(1 - a_t) x (Salimans & Ho 2022).

    Steps, noise and which labels are dropped (each with probability `drop`) come from torch's global generator.
    Steps are stratified over the batch, which leaves their distribution uniform and its average quieter.
    """
    n = len(clean)
    strata = (torch.arange(n, device=clean.device) + torch.rand(n, device=clean.device)) / n
    steps = (strata * N_STEPS).long().clamp_(max=N_STEPS - 1)
    noise = torch.randn_like(clean)
    dropped = torch.rand(n, device=clean.device) < drop if drop > 0 else None
    noisy = noising.add_noise(clean, noise, steps)
    target = noise if noising.config["prediction_type"] == "epsilon" else noising.get_velocity(clean, noise, steps)
    return F.mse_loss(net(noisy, steps, labels, dropped).float(), target)


class DDIM:
    """Deterministic sampling in few steps (Song 2021, eta = 0), with classifier-free guidance.

    Under v prediction the steps end at pure noise (Lin 2024, "trailing"); under epsilon prediction, which says
    nothing about the image there, they start one stride before it.
    """

    def __init__(self, *, schedule: str, prediction: str, n_steps: int, guidance: float) -> None:
        self.guidance = guidance
        self.scheduler = DDIMScheduler(
            N_STEPS,
            beta_schedule=schedule,
            prediction_type=prediction,
            clip_sample=False,
            timestep_spacing="trailing" if prediction == "v_prediction" else "leading",
            rescale_betas_zero_snr=False,
        )
        self.scheduler.set_timesteps(n_steps)

    def __call__(self, net: nn.Module, noise: Tensor, labels: Tensor) -> Tensor:  # (N, C, H, W), both
        """Denoise standard normal `noise` into images of the labels; guidance 1 costs one pass a step, else two."""
        x = noise
        every = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for t in self.scheduler.timesteps.tolist():
            steps = torch.full((len(x),), t, dtype=torch.int64, device=x.device)
            predicted = net(x, steps, labels)
            if self.guidance != 1.0:
                without = net(x, steps, labels, every)
                predicted = without + self.guidance * (predicted - without)
            x = self.scheduler.step(predicted, t, x, eta=0.0).prev_sample
        return x
