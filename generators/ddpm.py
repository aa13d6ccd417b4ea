"""Diffusion in discrete steps (Ho 2020): the options of the process and how it is learned and drawn with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from generators.denoising import Denoising, DenoisingConfig
from generators.options import N_STEPS
from synthworth.keys import DRAWING
from synthworth.search_space import OneOf, searched

if TYPE_CHECKING:
    from torch import Tensor

    from generators.diffusion import Noising, Sampler

Prediction = Literal["epsilon", "v_prediction"]
Schedule = Literal["linear", "squaredcos_cap_v2"]
SamplerKind = Literal["ddpm", "ddim", "dpmsolver++"]
FEW_STEPS: Mapping[Schedule, int] = {"linear": 4, "squaredcos_cap_v2": 32}
"""Sampling steps up to which one stride after pure noise still shows an image (see `generators.diffusion`)."""


@dataclass(frozen=True)
class DDPMConfig(DenoisingConfig):
    """Options that `pixel_ddpm` and `latent_ddpm` share."""

    prediction: Prediction = field(default="epsilon", metadata=searched(OneOf("epsilon", "v_prediction")))
    """What the denoiser predicts: the noise (Ho 2020) or the velocity (Salimans & Ho 2022), which learns faster."""
    schedule: Schedule = field(default="linear", metadata=searched(OneOf("linear", "squaredcos_cap_v2")))
    """Noise schedule over 1,000 steps: linear (Ho 2020) or cosine (Nichol & Dhariwal 2021)."""
    sampler: SamplerKind = field(default="ddim", metadata=DRAWING)
    """How images or latents are drawn: ancestral (Ho 2020), deterministic (Song 2021), or second-order multistep (Lu
    2022)."""
    sampling_steps: int = field(default=50, metadata=DRAWING | searched(OneOf(10, 15, 25, 50, 100)))
    """Steps of the sampler; 1,000 are all that `ddpm` was made for, 25 to 50 do for `ddim`, 15 for `dpmsolver++`."""


class DDPM(Denoising):
    """Denoising diffusion, told a condition y: x_t = sqrt(a_t) x + sqrt(1 - a_t) e, e ~ N(0, I), t = 1 .. 1,000.

    A denoiser that is told t and y learns E || e - f(x_t, t, y) ||^2 (Ho 2020, eq. 14), or the same for the velocity.

    `process` is the noising: schedule, prediction, and betas of a pretrained network.
    """

    @classmethod
    def version_of(cls, config: Any) -> int:
        """One more than `version` where `ddpm` or `ddim` takes other steps than it did up to that version.

        It does where the steps do not divide 1,000, and where they were so few that under epsilon prediction they began
        at a step that showed an image (`generators.diffusion.Sampler`).
        """
        n = config.sampling_steps
        few = FEW_STEPS[config.schedule] if config.prediction == "epsilon" else 0
        otherwise = config.sampler != "dpmsolver++" and (n <= few or N_STEPS % n)
        return cls.version + bool(otherwise)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        c = self.config
        self.process: dict[str, Any] = {"schedule": c.schedule, "prediction": c.prediction, "betas": None}

    def _process(self, labels: Tensor, *, progress: Callable[[], float]) -> Noising:
        from generators.diffusion import Noising

        return Noising(**self.process)

    def _sampler(self, *, doubled: bool = False) -> Sampler:
        from generators.diffusion import Sampler

        c = self.config
        return Sampler(
            c.sampler, **self.process, n_steps=c.sampling_steps, guidance=c.guidance, clip=self.bound,
            doubled=doubled,
        )  # fmt: skip
