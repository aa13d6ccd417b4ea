"""Class-conditional DCGAN (Radford 2015), and one unconditional DCGAN a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from generators.gan import GAN, GANConfig, Role
from generators.per_class import ONE_CLASS, PerClass

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DCGANConfig(GANConfig):
    """Options of `dcgan`; the defaults are Radford's, narrowed and with a smaller batch for 28 to 64 px."""


class DCGAN(GAN):
    """DCGAN (Radford 2015): binary cross-entropy, non-saturating for the generator.

    The discriminator tells real from drawn by binary cross-entropy, and the generator plays the game's non-saturating
    form (Goodfellow 2014). With s the sigmoid:

        D minimises  -log s(D(x, y)) - log(1 - s(D(G(z, y), y)))
        G minimises  -log s(D(G(z, y), y))

    `GAN` says what joins these losses by option.
    """

    Config: ClassVar[type] = DCGANConfig
    version: ClassVar[int] = 2
    config: DCGANConfig

    @classmethod
    def tiny_config(cls) -> DCGANConfig:
        """The smallest networks that do everything, for the contract test."""
        return DCGANConfig(noise=8, width=8, max_width=16, batch=8)

    def criterion(self, logits: Tensor, role: Role) -> Tensor:
        """Binary cross-entropy: 0 is the target for drawn images, 1 for real ones and for what G wants."""
        import torch
        from torch.nn import functional as F

        target = torch.zeros_like(logits) if role == "drawn" else torch.ones_like(logits)
        return F.binary_cross_entropy_with_logits(logits, target)


class DCGANPerClass(PerClass):
    """One unconditional DCGAN a class; the options are each network's, and labels play no part in it."""

    inner: ClassVar[type] = DCGAN
    idle = ONE_CLASS
