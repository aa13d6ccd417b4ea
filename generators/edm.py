"""`edm`: diffusion on images with the design choices of Karras 2022, learned from scratch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from generators.denoising import Denoising, DenoisingConfig
from generators.ode import n_evaluations
from generators.options import OF_STEPS, Method
from generators.pixels import PixelOptions, Pixels
from synthworth.errors import UserError
from synthworth.keys import DRAWING
from synthworth.search_space import Above, Between, OneOf, applies, searched
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from torch import Tensor

    from generators.karras import KarrasNoising, KarrasSampler, Preconditioned


@dataclass(frozen=True)
class KarrasConfig(DenoisingConfig):
    """Options of the noise, which `edm` and `consistency` share; names and values of Karras 2022, table 1."""

    sigma_data: float = 0.5
    """Spread of the images, in -1..1, that the network's inputs and outputs are scaled by."""
    noise_mean: float = field(default=-1.2, metadata=searched(Between(-2.0, 0.0, step=0.2)))
    """Mean of the log of the noise in training (P_mean)."""
    noise_spread: float = field(default=1.2, metadata=searched(Between(0.8, 2.0, step=0.2)))
    """Standard deviation of it (P_std)."""
    sigma_min: float = 0.002
    """Noise before the last step of the sampler."""
    sigma_max: float = 80.0
    """Noise that drawing starts from."""
    # the base has these options' docstrings
    batch: int = field(default=32, metadata=searched(OneOf(16, 32, 64)))
    lr: float = 1e-3
    guidance: float = field(default=1.5, metadata=DRAWING)

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "sigma_data": (self.sigma_data > 0, "above 0"),
            "noise_spread": (self.noise_spread > 0, "above 0"),
            "sampling_steps": (self.sampling_steps >= 1, "1 or more"),
            "sigma_min": (1e-6 <= self.sigma_min < self.sigma_max, "1e-6 or more and below sigma_max"),
            "sigma_max": (self.sigma_max <= 1e6, "at most 1e6"),
        }

    def __post_init__(self) -> None:
        require_ranges(self, self.ranges(), prefix="--gen.")


OF_CHURN = DRAWING | applies(churn=Above(0))


@dataclass(frozen=True)
class EDMConfig(PixelOptions, KarrasConfig):
    """Options of `edm`; its defaults suit 28 to 64 px."""

    augment: float = field(default=0.0, metadata=searched(OneOf(0.0, 0.05, 0.12, 0.2)))
    """Probability of each kind of augmentation in training (flips, turns, stretches, shifts), of which the network is
    told and drawing has none: 0.12 for small sets in the source, 0 for none; needs condition label."""
    sampler: Method = field(default="heun", metadata=DRAWING | searched(OneOf("euler", "heun", "dpmsolver++")))
    """How images are drawn: `heun` (two predictions a step but the last, second order), `euler`, or `dpmsolver++` (one
    a step, second order)."""
    sampling_steps: int = field(default=10, metadata=DRAWING | searched(OneOf(5, 10, 15, 18, 25)))
    """Steps of the sampler, 1 or more; 18 are the source's at 32 px."""
    rho: float = field(default=7.0, metadata=DRAWING | searched(Between(3.0, 9.0, step=1.0)) | OF_STEPS)
    """How the sampler's noises are spaced: evenly in their rho-th root."""
    churn: float = field(
        default=0.0, metadata=DRAWING | searched(OneOf(0.0, 2.0, 5.0, 10.0), sampler=("euler", "heun"))
    )
    """Noise that is added again while drawing (S_churn): 0 draws deterministically; the source takes 40 on ImageNet."""
    churn_min: float = field(default=0.05, metadata=OF_CHURN)
    """Least noise of a step that is churned (S_tmin)."""
    churn_max: float = field(default=50.0, metadata=OF_CHURN)
    """Most noise of a step that is churned (S_tmax)."""
    churn_noise: float = field(default=1.003, metadata=OF_CHURN)
    """Spread of what is added (S_noise)."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "augment": (0 <= self.augment < 1, "0 or more and below 1"),
            "rho": (1 <= self.rho <= 100, "1 to 100"),
            "churn": (self.churn >= 0, "0 or more"),
            "churn_noise": (self.churn_noise > 0, "above 0"),
            "churn_max": (self.churn_max >= 0, "0 or more"),
            "churn_min": (0 <= self.churn_min <= self.churn_max, "0 or more and at most churn_max"),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augment and self.condition.kind != "label":
            raise UserError(
                f"--gen.augment {self.augment:g} was asked for with condition {self.condition.kind}: what was done to "
                "an image joins its label; set --gen.condition.kind label, or --gen.augment 0"
            )
        if self.churn and self.sampler == "dpmsolver++":
            raise UserError(
                f"--gen.churn {self.churn:g} was asked for with sampler dpmsolver++, which looks back along its line; "
                "set --gen.sampler heun or euler"
            )


class Karras(Denoising):
    """Diffusion with noise of any spread s, x + s e, and a preconditioned network (`generators.karras`)."""

    @property
    def _known(self) -> Preconditioned:
        from generators.karras import Preconditioned

        return Preconditioned(self.config.sigma_data)


class EDM(Pixels, Karras):
    """Images are denoised as in Karras 2022: x + s e with ln s normal; D(x; s) = c_skip x + c_out F(c_in x; c_noise).

    The network F learns E || F - (x - c_skip (x + s e)) / c_out ||^2; drawing follows dx = (x - D(x; s)) / s ds.
    """

    Config: ClassVar[type] = EDMConfig
    config: EDMConfig

    @classmethod
    def tiny_config(cls) -> EDMConfig:
        """The smallest network that does everything, for the contract test."""
        return EDMConfig(widths=(8, 16), patch=2, batch=8, sampling_steps=2)

    def _process(self, labels: Tensor, *, progress: Callable[[], float]) -> KarrasNoising:
        from generators.karras import KarrasNoising

        c = self.config
        return KarrasNoising(self._known, mean=c.noise_mean, spread=c.noise_spread, augment=c.augment)

    def _told_more(self) -> dict[str, Any]:
        """The network is told what was done to an image, where anything is."""
        from generators.nets.ada import EDM as KINDS
        from generators.nets.ada import columns

        return {"augmented": columns(KINDS)} if self.config.augment else {}

    def _sampler(self, *, doubled: bool = False) -> KarrasSampler:
        from generators.karras import Churn, KarrasSampler, noises_of

        c = self.config
        noises = noises_of(c.sampling_steps, lowest=c.sigma_min, highest=c.sigma_max, rho=c.rho)
        churn = Churn(c.churn, lowest=c.churn_min, highest=c.churn_max, spread=c.churn_noise)
        return KarrasSampler(
            c.sampler, known=self._known, noises=noises, churn=churn, guidance=c.guidance, doubled=doubled,
            clip=self.bound,
        )  # fmt: skip

    def _passes(self) -> int:
        c = self.config
        return n_evaluations(c.sampler, c.sampling_steps) * (1 if c.guidance == 1.0 else 2)
