"""Generators by rectified flow (Liu 2022, Lipman 2023): `flow` on images, `latent_flow` on an autoencoder's latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from generators.denoising import Denoising, DenoisingConfig
from generators.first_stage import FirstStageConfig
from generators.latents import LatentOptions, Latents
from generators.ode import n_evaluations
from generators.options import OF_STEPS, Method, Times
from generators.pixels import PixelOptions, Pixels
from synthworth.errors import UserError
from synthworth.keys import DRAWING
from synthworth.search_space import Above, Between, OneOf, applies, searched
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from torch import Tensor

    from generators.flow_matching import FlowMatching, FlowSampler


@dataclass(frozen=True)
class FlowMatchingConfig(DenoisingConfig):
    """Options of the process that `flow` and `latent_flow` share."""

    times: Times = field(default="logit_normal", metadata=searched(OneOf("logit_normal", "uniform")))
    """How times are drawn in training: `logit_normal`, most in the middle (Esser 2024), or `uniform` (Lipman 2023)."""
    times_mean: float = field(default=0.0, metadata=searched(Between(-1.0, 1.0, step=0.25), times=("logit_normal",)))
    """Mean of the logit of a time: above 0 there is more noise."""
    times_spread: float = field(default=1.0, metadata=searched(Between(0.5, 2.0, step=0.25), times=("logit_normal",)))
    """Standard deviation of the logit of a time."""
    coupling: bool = field(default=False, metadata=searched(OneOf(False, True)) | applies(batch=Above(1)))
    """Pair noise and images of a batch by optimal transport, among images of one label (Tong 2024). Straighter paths
    for a batch of some size; needs condition label."""
    # the base has these options' docstrings
    batch: int = field(default=32, metadata=searched(OneOf(16, 32, 64)))
    lr: float = 1e-3
    guidance: float = field(default=1.5, metadata=DRAWING)
    sampler: Method = field(default="heun", metadata=DRAWING | searched(OneOf("euler", "heun", "dpmsolver++")))
    """How images or latents are drawn: `euler`, `heun` (two predictions a step but the last, second order), or
    `dpmsolver++` (one a step, second order)."""
    sampling_steps: int = field(default=10, metadata=DRAWING | searched(OneOf(5, 10, 15, 25, 50)))
    """Steps of the sampler, 1 or more."""
    shift: float = field(default=1.0, metadata=DRAWING | searched(OneOf(1.0, 2.0, 3.0)) | OF_STEPS)
    """How far the sampler's times are moved towards noise (Esser 2024, eq. 23); 1 spaces them evenly."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "times_spread": (self.times_spread > 0, "above 0"),
            "sampling_steps": (self.sampling_steps >= 1, "1 or more"),
            "shift": (0.01 <= self.shift <= 100, "0.01 to 100"),
        }

    def __post_init__(self) -> None:
        require_ranges(self, self.ranges(), prefix="--gen.")
        plain = FlowMatchingConfig.times_mean, FlowMatchingConfig.times_spread
        if self.times == "uniform" and (self.times_mean, self.times_spread) != plain:
            raise UserError(
                "--gen.times-mean and --gen.times-spread shape logit_normal times, and times are uniform here (preset "
                "quick has them so); add --gen.times logit_normal, or leave the two out"
            )
        if self.coupling and self.condition.kind != "label":
            raise UserError(
                f"--gen.coupling pairs images of one label, and condition {self.condition.kind} tells more than that; "
                "set --gen.condition.kind label, or leave the coupling out"
            )


class FlowMatched(Denoising):
    """Rectified flow: x_t = (1 - t) x + t e, and a network learns E || (e - x) - v(x_t, t, y) ||^2."""

    def _process(self, labels: Tensor, *, progress: Callable[[], float]) -> FlowMatching:
        from generators.flow_matching import FlowMatching

        c = self.config
        alike = labels.unique(dim=0, return_inverse=True)[1] if c.coupling else None
        return FlowMatching(c.times, mean=c.times_mean, spread=c.times_spread, alike=alike)

    def _sampler(self, *, doubled: bool = False) -> FlowSampler:
        from generators.flow_matching import FlowSampler

        c = self.config
        return FlowSampler(
            c.sampler, n_steps=c.sampling_steps, shift=c.shift, guidance=c.guidance, doubled=doubled, clip=self.bound
        )

    def _passes(self) -> int:
        c = self.config
        return n_evaluations(c.sampler, c.sampling_steps) * (1 if c.guidance == 1.0 else 2)


@dataclass(frozen=True)
class FlowConfig(PixelOptions, FlowMatchingConfig):
    """Options of `flow`; its defaults suit 28 to 64 px."""


class Flow(Pixels, FlowMatched):
    """Rectified flow on images."""

    Config: ClassVar[type] = FlowConfig
    config: FlowConfig

    @classmethod
    def tiny_config(cls) -> FlowConfig:
        """The smallest network that does everything, for the contract test."""
        return FlowConfig(widths=(8, 16), patch=2, batch=8, sampling_steps=2)


@dataclass(frozen=True)
class LatentFlowConfig(LatentOptions, FlowMatchingConfig):
    """Options of `latent_flow`; its defaults suit 28 to 64 px. A vector latent knows the condition `label` alone."""

    # the base has this option's docstring
    batch: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_latents()


class LatentFlow(Latents, FlowMatched):
    """Rectified flow on the latents of an autoencoder."""

    Config: ClassVar[type] = LatentFlowConfig
    config: LatentFlowConfig

    @classmethod
    def tiny_config(cls) -> LatentFlowConfig:
        """The smallest networks that do everything, for the contract test."""
        return LatentFlowConfig(
            first_stage=FirstStageConfig(patch=2, widths=(8, 16), blocks=1, latent_channels=2, batch=8),
            unet_widths=(16, 16), mlp_width=32, mlp_blocks=1, batch=8, sampling_steps=2,
        )  # fmt: skip
