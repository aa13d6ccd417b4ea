"""Latent diffusion (Rombach 2022): an autoencoder, then a conditional DDPM on its standardised latents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from generators.ddpm import DDPM, DDPMConfig, Prediction, SamplerKind, Schedule
from generators.first_stage import FirstStageConfig
from generators.latents import LatentOptions, Latents
from synthworth.keys import DRAWING
from synthworth.training.options import require_ranges


@dataclass(frozen=True)
class LatentDDPMConfig(LatentOptions, DDPMConfig):
    """Options of `latent_ddpm`.

    The defaults suit 28 to 64 px and two cores; the presets widen them. A vector latent knows the condition `label`
    alone.

    Raises
    ------
    UserError
        When there is no such `autoencoder`.
    """

    # the bases have these options' docstrings
    batch: int = 16
    prediction: Prediction = "v_prediction"
    schedule: Schedule = "squaredcos_cap_v2"
    guidance: float = field(default=1.5, metadata=DRAWING)
    sampler: SamplerKind = field(default="dpmsolver++", metadata=DRAWING)
    sampling_steps: int = field(default=15, metadata=DRAWING)

    def __post_init__(self) -> None:
        require_ranges(self, self.ranges(), prefix="--gen.")
        self._check_latents()


class LatentDDPM(Latents, DDPM):
    """Denoising diffusion (`DDPM`) on the latents of an autoencoder (`Latents`)."""

    Config: ClassVar[type] = LatentDDPMConfig
    version: ClassVar[int] = 2
    config: LatentDDPMConfig

    @classmethod
    def tiny_config(cls) -> LatentDDPMConfig:
        """The smallest networks that do everything, for the contract test."""
        return LatentDDPMConfig(
            first_stage=FirstStageConfig(patch=2, widths=(8, 16), blocks=1, latent_channels=2, batch=8),
            unet_widths=(16, 16), mlp_width=32, mlp_blocks=1, batch=8, sampling_steps=3,
        )  # fmt: skip

    @classmethod
    def version_of(cls, config: Any) -> int:
        """As `DDPM.version_of`, and one more with weights from elsewhere: what a file lacked was left random before."""
        return super().version_of(config) + bool(
            config.autoencoder_id or config.condition.source_id or config.first_stage.encoder_sha256
        )
