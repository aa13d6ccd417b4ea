"""The variational autoencoder (Kingma & Welling 2014): a generator of its own, and first stage of latent diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from generators.vae_base import VAEFamily
from generators.vae_options import FamilyConfig
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from generators.nets.priors import Prior


@dataclass(frozen=True)
class VAEConfig(FamilyConfig):
    """Options of `vae`. The defaults suit 28 to 64 px and two cores; the presets widen them."""

    draw_from: Literal["prior", "posterior"] = "posterior"
    """What latents are drawn from: N(0, I), or a Gaussian fitted after training to the latents of train, its mean
    shifted by the label."""
    rank: int = 64
    """Principal directions of that Gaussian; what they leave is independent noise. 0 for independent noise alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_ranges(self, {"rank": (self.rank >= 0, "0 or more")})


class VAE(VAEFamily):
    """VAE with a standard normal prior.

        -ELBO = E_q(z | x) [-log p(x | z)] + KL(q(z | x) || N(0, I))    (Kingma & Welling 2014, Eq. 3 and 10)

    with the KL term weighted by beta and LPIPS beside the squared error (`VAEFamily` has what is minimised). The
    smaller beta, the sharper the reconstructions and the less the latents of images fill N(0, I): drawing from it then
    gives latents no image has. `draw_from="posterior"` draws where the latents of training images lie.
    """

    Config: ClassVar[type] = VAEConfig
    version: ClassVar[int] = 1
    config: VAEConfig

    @classmethod
    def tiny_config(cls) -> VAEConfig:
        """The smallest networks that do everything, for the contract test."""
        return VAEConfig(widths=(8, 16), latent_channels=2, label_width=8, batch=8, rank=4)

    def _prior(self) -> Prior:
        from generators.nets.priors import StandardPrior

        c = self.config
        return StandardPrior(
            self.latent_shape, kernel_width=c.kernel_width, draw_from=c.draw_from, rank=c.rank,
            n_classes=self.shape.n_classes,
        )  # fmt: skip

    def _measures(self) -> bool:
        return self.config.draw_from == "posterior"
