"""Class-conditional LSGAN (Mao 2017), and one unconditional LSGAN a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from generators.gan import GAN, GANConfig, Role
from generators.per_class import ONE_CLASS, PerClass
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LSGANConfig(GANConfig):
    """Options of `lsgan`: those of `dcgan`, and the numbers that the discriminator aims at."""

    code_drawn: float = 0.0
    """a: the discriminator's aim for drawn images. The defaults are Mao's equation 9; -1, 1, 0 is his equation 8."""
    code_real: float = 1.0
    """b: the discriminator's aim for real images."""
    code_wanted: float = 1.0
    """c: what the generator wants the discriminator to say of drawn images."""
    auxiliary: float = 0.2
    """As in `dcgan`, and less: least squares near their aim are small beside a cross-entropy, and with 1.0 the images
    of a class become alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.code_real == self.code_drawn:
            raise UserError(
                f"--gen.code-real and --gen.code-drawn are both {self.code_real:g}: the discriminator had nothing "
                "to tell apart; set them apart (1 and 0)"
            )


class LSGAN(GAN):
    """LSGAN (Mao 2017): the networks of DCGAN with least squares in the place of cross-entropy (equation 2).

        D minimises  1/2 E[(D(x, y) - b)^2] + 1/2 E[(D(G(z, y), y) - a)^2]
        G minimises  1/2 E[(D(G(z, y), y) - c)^2]

    With b - c = 1 and b - a = 2 (equation 8: a = -1, b = 1, c = 0) the game minimises the Pearson chi-squared
    divergence; with c = b (equation 9: a = 0, b = c = 1, the default) drawn images are pulled to where the real ones
    lie. A drawn image on the right side of the boundary but far from it still has a gradient, which the sigmoid of
    DCGAN would take away.

    `GAN` says what joins these losses by option.
    """

    Config: ClassVar[type] = LSGANConfig
    version: ClassVar[int] = 1
    config: LSGANConfig

    @classmethod
    def tiny_config(cls) -> LSGANConfig:
        """The smallest networks that do everything, for the contract test."""
        return LSGANConfig(noise=8, width=8, max_width=16, batch=8)

    def criterion(self, logits: Tensor, role: Role) -> Tensor:
        """Half the mean square of the distance to a (drawn), b (real) or c (wanted)."""
        code = {"drawn": self.config.code_drawn, "real": self.config.code_real, "wanted": self.config.code_wanted}
        return 0.5 * (logits - code[role]).square().mean()

    def leaning(self, logits: Tensor) -> Tensor:
        """D takes an image for real where it is nearer to b than to a."""
        a, b = self.config.code_drawn, self.config.code_real
        return (logits - (a + b) / 2) * (1 if b > a else -1)


class LSGANPerClass(PerClass):
    """One unconditional LSGAN a class; the options are each network's, and labels play no part in it."""

    inner: ClassVar[type] = LSGAN
    idle = ONE_CLASS
