"""The fully supervised Gaussian mixture VAE: the prior's Gaussian is named by the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from generators.vae_base import VAEFamily
from generators.vae_options import MixtureConfig

if TYPE_CHECKING:
    from generators.nets.priors import Prior


@dataclass(frozen=True)
class FSGMVAEConfig(MixtureConfig):
    """Options of `fs_gmvae`. The defaults suit 28 to 64 px and two cores; the presets widen them."""

    conditional: bool = True
    """Encoder and decoder are told the label as well; without it the label acts through the prior alone, which shows
    faint findings less well."""


class FSGMVAE(VAEFamily):
    """VAE whose prior is the Gaussian of the image's label, the mixture of `gmvae` with its component observed.

        -ELBO = E_q(z | x) [-log p(x | z)] + KL(q(z | x) || p(z | y))
        p(z | y) = N(mu(y), diag sigma^2(y)),  mu(y) = m_0 + sum_k y_k m_k,  log sigma^2(y) = s_0 + sum_k y_k s_k

    the bound of a conditional VAE (Sohn 2015, Eq. 4). y is one of K, or the vector of findings that co-occur: m_k is
    then what finding k adds to the mean. m and s are learned with the networks. `conditional` tells the label to q and
    p(x | z, y) as well; without it the decoder sees the label through z alone.
    """

    Config: ClassVar[type] = FSGMVAEConfig
    version: ClassVar[int] = 1
    config: FSGMVAEConfig

    @classmethod
    def tiny_config(cls) -> FSGMVAEConfig:
        """The smallest networks that do everything, for the contract test."""
        return FSGMVAEConfig(widths=(8, 16), latent_size=6, label_width=8, batch=8, conditional=False)

    def _prior(self) -> Prior:
        from generators.nets.priors import LabelPrior

        return LabelPrior(self.latent_shape, kernel_width=self.config.kernel_width, n_classes=self.shape.n_classes)
