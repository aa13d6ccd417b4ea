"""Latent diffusion: a ResNet VAE, then a class-conditional DDPM in its latent space (Rombach 2022)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from data.base import ImageSet
from generators.base import BaseGenerator
from generators.noise import draw_chunks
from generators.padding import cut_signed, pad_signed
from generators.saving import Shape, read_model, write_model
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

    from generators.nets.autoencoder import Autoencoder
    from generators.nets.denoiser import Denoiser
    from synthworth.loop import PhaseReport


@dataclass(frozen=True)
class LatentDDPMConfig:
    """Options of `latent_ddpm`. The defaults suit 28 to 64 px and two cores; the presets widen them."""

    latent_channels: int = 8
    """Channels of the latent image."""
    patch: int = 2
    """Pixels a side that are folded into channels before the first convolution; 1 keeps full resolution."""
    widths: tuple[int, ...] = (48, 96)
    """Channels of the VAE by resolution; each after the first halves it: factor = patch * 2 ** (levels - 1)."""
    blocks: int = 1
    """Residual blocks of the VAE at each resolution, in the encoder and in the decoder."""
    beta: float = 0.001
    """Weight of the KL term beside the squared error (both summed over an image whose pixels run -1..1)."""
    first_stage_share: float = 0.375
    """Share of the budget (steps, and seconds where they are limited) that trains the VAE."""
    first_stage_batch: int = 16
    """Images in a step of the VAE."""
    first_stage_lr: float = 2e-3
    """Highest learning rate of the VAE (AdamW, warm-up, then half a cosine to zero)."""
    standardise: Literal["channel", "dimension"] = "channel"
    """Latents are brought to mean 0 and spread 1 by channel, or by channel and position."""
    unet_widths: tuple[int, ...] = (64, 128)
    """Channels of the denoising UNet by resolution; self-attention at the last."""
    unet_blocks: int = 1
    """Residual blocks of the UNet at each resolution."""
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    """What the UNet predicts: the noise (Ho 2020) or the velocity (Salimans & Ho 2022)."""
    schedule: Literal["linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    """Noise schedule over 1,000 steps: linear (Ho 2020) or cosine (Nichol & Dhariwal 2021)."""
    batch: int = 32
    """Latents in a step of the UNet."""
    lr: float = 1e-3
    """Highest learning rate of the UNet (AdamW, warm-up, then half a cosine to zero)."""
    warmup: int = 50
    """Steps of linear warm-up in each stage; at most a tenth of the stage."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    ema: float = 0.999
    """Decay of the average of the UNet's weights that is exported and drawn with."""
    drop: float = 0.1
    """Share of training labels that are hidden, so that guidance has a prediction without label."""
    guidance: float = 1.0
    """Classifier-free guidance scale in sampling (Ho & Salimans 2022): 1 follows the data, above 1 exaggerates the
    class and costs a second pass."""
    sampling_steps: int = 25
    """Steps of the DDIM sampler."""
    sample_batch: int = field(default=256, metadata=NOT_IDENTITY)
    """Images drawn at a time."""


class LatentDDPM(BaseGenerator):
    """ResNet VAE with a small KL term, then a class-conditional DDPM on its standardised latents.

    Stage 1 minimises ||x - x'||^2 + beta KL(q(z | x) || N(0, I)). The latents (mean and log-variance) are then
    extracted once; stage 2 learns to denoise (z - mean) / std of latents drawn from q, with its labels, and exports
    the moving average of its weights. Sampling runs DDIM from noise that depends on (seed, row) alone, inverts the
    standardisation and decodes. Images whose side is no multiple of what the networks need are padded at the edge
    for training, and cut back after decoding.
    """

    Config: ClassVar[type] = LatentDDPMConfig
    version: ClassVar[int] = 1
    config: LatentDDPMConfig

    @classmethod
    def tiny_config(cls) -> LatentDDPMConfig:
        """The smallest networks that do everything, for the contract test."""
        return LatentDDPMConfig(
            widths=(8, 16), unet_widths=(16, 16), first_stage_batch=8, batch=8, sampling_steps=3, latent_channels=2
        )

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train both stages within the budget.

        Raises
        ------
        UserError
            For another split than train, a class without an image, a budget of a single step, or options that
            contradict each other.
        """
        self.require(train)
        self._refuse(work)
        self.shape, self.device = Shape.of(train), work.device
        n_first = min(max(1, round(self.config.first_stage_share * work.budget.steps)), work.budget.steps - 1)
        first = self._fit_autoencoder(train, n_first, seed=seed, work=work)
        began = time.perf_counter()
        latents = self._extract(train, work)
        extracting = time.perf_counter() - began
        second = self._fit_denoiser(train.labels, latents, work.budget.steps - n_first, first, seed=seed, work=work)
        return self._report(first, second, {"extraction_seconds": round(extracting, 3)})

    def _refuse(self, work: Work) -> None:
        c = self.config
        if work.budget.steps < 2:
            raise UserError("latent_ddpm trains two stages: a budget of 1 step was asked for, at least 2 are needed")
        if not 0 < c.first_stage_share < 1:
            raise UserError(f"first_stage_share {c.first_stage_share} was asked for: it lies between 0 and 1")
        if c.guidance != 1.0 and c.drop <= 0:
            raise UserError(f"guidance {c.guidance} needs a prediction without label: set drop above 0 (0.1, say)")

    def _report(self, first: PhaseReport, second: PhaseReport, facts: Mapping[str, Any]) -> FitReport:
        history = [{"stage": 1.0, **row} for row in first.history] + [{"stage": 2.0, **row} for row in second.history]
        return FitReport(
            steps=first.steps + second.steps,
            images_seen=first.steps * self.config.first_stage_batch + second.steps * self.config.batch,
            seconds=first.seconds + second.seconds,
            stopped="seconds" if "seconds" in (first.stopped, second.stopped) else "steps",
            history=tuple(history),
            facts={
                "first_stage_steps": first.steps,
                "first_stage_seconds": round(first.seconds, 3),
                "autoencoder_parameters": sum(p.numel() for p in self.autoencoder.parameters()),
                "denoiser_parameters": sum(p.numel() for p in self.denoiser.parameters()),
                "latent": list(self.mean.shape),
                **facts,
            },
        )

    def _build(self) -> tuple[Autoencoder, Denoiser]:
        """Both networks with fresh weights from torch's global generator."""
        from generators.nets.autoencoder import Autoencoder
        from generators.nets.denoiser import Denoiser

        c, shape = self.config, self.shape
        autoencoder = Autoencoder(
            channels=shape.channels, latent=c.latent_channels, widths=c.widths, n_blocks=c.blocks, patch=c.patch
        )
        multiple = autoencoder.factor * 2 ** (len(c.unet_widths) - 1)
        self.padded = -(-shape.size // multiple) * multiple
        self.latent_size = self.padded // autoencoder.factor
        denoiser = Denoiser(
            channels=c.latent_channels,
            size=self.latent_size,
            n_classes=shape.n_classes,
            multilabel=shape.multilabel,
            widths=c.unet_widths,
            n_blocks=c.unet_blocks,
        )
        return autoencoder, denoiser

    def _fit_autoencoder(self, train: ImageSet, n_steps: int, *, seed: int, work: Work) -> PhaseReport:
        import torch

        from generators.nets.autoencoder import elbo_terms
        from generators.training import Resident, make_adamw, place
        from synthworth.devices import isolated_randomness
        from synthworth.loop import BatchOrder, make_fabric, run_steps

        c = self.config
        with isolated_randomness(seed_from(seed, "initial weights")):
            self.autoencoder, self.denoiser = self._build()
        self.autoencoder, self.denoiser = place(self.autoencoder, work.device), place(self.denoiser, work.device)
        optimiser, rate = make_adamw(
            self.autoencoder.parameters(), lr=c.first_stage_lr, n_steps=n_steps, warmup=c.warmup
        )
        fabric = make_fabric(work)
        net, stepper = fabric.setup(self.autoencoder, optimiser)
        source = Resident(train.images, device=work.device)
        order = BatchOrder(len(train), c.first_stage_batch, seed=seed_from(seed, "autoencoder order"))

        def step(t: int) -> Mapping[str, Tensor]:
            (rows,) = source(order(t))
            images = pad_signed(rows, self.padded)
            error, kl = elbo_terms(images, net(images))
            loss = error + c.beta * kl
            fabric.backward(loss)
            torch.nn.utils.clip_grad_norm_(net.parameters(), c.clip)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
            rate.step()
            return {"loss": loss.detach(), "squared_error": error.detach(), "kl": kl.detach()}

        seconds = work.budget.seconds
        return run_steps(
            "autoencoder",
            step,
            n_steps=n_steps,
            parts={"net": self.autoencoder, "optimiser": optimiser, "rate": rate},
            seed=seed,
            work=work,
            seconds=None if seconds is None else seconds * c.first_stage_share,
            images_per_step=c.first_stage_batch,
        )

    def _extract(self, train: ImageSet, work: Work) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of every training image's latent, from `work.folder` where they lie there already;
        measures the standardisation."""
        import torch

        from synthworth.artifacts import read_tensors, write_tensors
        from synthworth.loop import evaluating
        from synthworth.progress import track

        file = work.folder / "latents.safetensors"
        if not file.is_file():
            means, logvars = [], []
            with evaluating(self.autoencoder):
                for start in track(range(0, len(train), 256), "latents", unit="batches"):
                    images = train.images[start : start + 256].to(work.device)
                    mean, logvar = self.autoencoder.encode(pad_signed(images, self.padded))
                    means.append(mean.cpu())
                    logvars.append(logvar.cpu())
            write_tensors(file, {"mean": torch.cat(means), "logvar": torch.cat(logvars)})
        latents = read_tensors(file)
        mean, logvar = latents["mean"], latents["logvar"]
        axes = (0, 2, 3) if self.config.standardise == "channel" else (0,)
        variance = mean.var(axes, correction=0, keepdim=True) + logvar.exp().mean(axes, keepdim=True)
        self.mean = mean.mean(axes, keepdim=True)[0].to(work.device)
        self.std = variance.sqrt().clamp_min(1e-6)[0].to(work.device)
        return mean, logvar

    def _fit_denoiser(
        self,
        labels: Tensor,
        latents: tuple[Tensor, Tensor],
        n_steps: int,
        first: PhaseReport,
        *,
        seed: int,
        work: Work,
    ) -> PhaseReport:
        import torch

        from generators.diffusion import denoising_loss, make_noising
        from generators.training import Resident, make_adamw
        from synthworth.loop import BatchOrder, make_average, make_fabric, run_steps

        c = self.config
        average = make_average(self.denoiser, c.ema)
        optimiser, rate = make_adamw(self.denoiser.parameters(), lr=c.lr, n_steps=n_steps, warmup=c.warmup)
        fabric = make_fabric(work)
        net, stepper = fabric.setup(self.denoiser, optimiser)
        noising = make_noising(c.schedule, c.prediction)
        source = Resident(*latents, labels, device=work.device)
        order = BatchOrder(len(labels), c.batch, seed=seed_from(seed, "denoiser order"))

        def step(t: int) -> Mapping[str, Tensor]:
            mean, logvar, y = source(order(t))
            z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
            loss = denoising_loss(net, noising, (z - self.mean) / self.std, y, drop=c.drop)
            fabric.backward(loss)
            torch.nn.utils.clip_grad_norm_(net.parameters(), c.clip)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
            rate.step()
            average.update_parameters(self.denoiser)
            return {"loss": loss.detach()}

        seconds = work.budget.seconds
        report = run_steps(
            "denoiser",
            step,
            n_steps=n_steps,
            parts={"net": self.denoiser, "average": average, "optimiser": optimiser, "rate": rate},
            seed=seed,
            work=work,
            seconds=None if seconds is None else max(seconds - first.seconds, 0.1),
            images_per_step=c.batch,
        )
        self.denoiser.load_state_dict(average.module.state_dict())
        return report

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """uint8 (N, C, H, W), row i shows `labels[i]`; float32 throughout, so that a row does not depend on how
        many are drawn at a time by more than the last bit of rounding."""
        import torch

        from generators.diffusion import DDIM
        from synthworth.loop import evaluating

        c, shape, side = self.config, self.shape, self.latent_size
        draw = DDIM(schedule=c.schedule, prediction=c.prediction, n_steps=c.sampling_steps, guidance=c.guidance)
        images = torch.empty((len(labels), shape.channels, shape.size, shape.size), dtype=torch.uint8)
        noise = draw_chunks(len(labels), (c.latent_channels, side, side), seed=seed, chunk=c.sample_batch)
        with evaluating(self.denoiser) as denoiser, evaluating(self.autoencoder):
            for rows, start in noise:
                z = draw(denoiser, start.to(self.device), labels[rows].to(self.device)) * self.std + self.mean
                images[rows] = cut_signed(self.autoencoder.decode(z), shape.size)
        return images

    def save(self, folder: Path) -> None:
        """Write both networks, the standardisation, and what they were made with."""
        write_model(
            folder,
            config=self.config,
            shape=self.shape,
            weights={
                "autoencoder": self.autoencoder.state_dict(),
                "denoiser": self.denoiser.state_dict(),
                "latent": {"mean": self.mean, "std": self.std},
            },
        )

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from generators.training import place
        from synthworth.devices import isolated_randomness

        config, shape, weights = read_model(folder, LatentDDPMConfig)
        model = cls(config)
        model.shape, model.device = shape, device
        with isolated_randomness(0):
            model.autoencoder, model.denoiser = model._build()
        model.autoencoder.load_state_dict(weights["autoencoder"])
        model.denoiser.load_state_dict(weights["denoiser"])
        model.autoencoder, model.denoiser = place(model.autoencoder, device), place(model.denoiser, device)
        model.mean, model.std = (weights["latent"][k].to(device) for k in ("mean", "std"))
        return model
