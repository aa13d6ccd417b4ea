"""The VAE with a Gaussian mixture for a prior (Dilokthanakul 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from generators.vae_base import VAEFamily
from generators.vae_options import MixtureConfig
from synthworth.errors import UserError
from synthworth.search_space import Above, OneOf, applies, searched

if TYPE_CHECKING:
    from generators.nets.priors import Prior


@dataclass(frozen=True)
class GMVAEConfig(MixtureConfig):
    """Options of `gmvae`. The defaults suit 28 to 64 px and two cores; the presets widen them."""

    components: int = field(default=10, metadata=searched(OneOf(5, 10, 20, 40)))
    """Gaussians of the prior, K."""
    context: int = 0
    """Numbers of w ~ N(0, I) from which a network makes the Gaussians (the source's second latent); 0 leaves w away:
    each Gaussian is then one mean and one diagonal variance, learned as they are."""
    context_hidden: int = field(default=128, metadata=applies(context=Above(0)))
    """Width of that network's hidden layer (tanh)."""
    free_bits: float = 0.0
    """Floor, in nats, of the mean KL(q(c | x) || 1 / K) of a batch: below it the term is not pushed down further, so
    that images are not spread evenly over all components. At most log K."""
    closing_rounds: int = field(default=20, metadata=applies(context=(0,)))
    """Rounds of EM on the mixture after training, encoder and decoder as they are: components that the optimiser left
    without images are put to use. 0, and any context, leave the mixture as learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.components, self.context_hidden) < 1 or min(self.context, self.closing_rounds) < 0:
            raise UserError("components and context_hidden begin at 1, context and closing_rounds at 0")
        if not 0 <= self.free_bits <= math.log(self.components):
            most = math.log(self.components)
            raise UserError(f"free_bits {self.free_bits} was asked for: the term cannot exceed log K = {most:.3f}")


class GMVAE(VAEFamily):
    """VAE whose prior is a mixture of K Gaussians: w ~ N(0, I), c ~ 1 / K, z ~ N(mu_c(w), diag sigma_c^2(w)).

    With q(z, c, w | x) = q(z | x) q(c | x, w) q(w | x), the evidence lower bound (Dilokthanakul 2016, Eq. 4 and 5) is

        ELBO = E_q(z|x) [log p(x | z)]                                  reconstruction
             - E_q(w|x) sum_c q(c | x, w) KL(q(z|x) || p(z | w, c))     conditional prior
             - KL(q(w|x) || N(0, I))                                    w-prior
             - E_q(w|x) KL(q(c | x, w) || 1 / K)                        c-prior

    The source takes p(c | z, w) for q(c | x, w) and estimates the terms from a draw of z. Here q(c | x, w) is what
    maximises the bound,

        q(c | x, w) proportional to exp(-KL(q(z|x) || p(z | w, c))),

    so that nothing of the prior is estimated from a draw of z. `free_bits` replaces the c-prior term by max(free_bits,
    its mean over the batch), the source's remedy against all images being shared evenly by all components. With
    `context` 0 there is no w: the mixture of VaDE (Jiang 2017), with equal shares.

    Left to gradients, most components end without images: the few that lie nearest in the first steps take all. The
    bound is therefore maximised once more over the mixture after training, by EM (`closing_rounds`).

    Labels: a conditional network tells them to encoder and decoder. Drawing takes c from p(c | y), measured on train
    after training (proportional to p(c) prod_k p(y_k | c), from the labels of images weighted by q(c | x)); so without
    `conditional` the labels asked for are shown as far as the components found them.
    """

    Config: ClassVar[type] = GMVAEConfig
    version: ClassVar[int] = 1
    config: GMVAEConfig

    @classmethod
    def tiny_config(cls) -> GMVAEConfig:
        """The smallest networks that do everything, for the contract test."""
        return GMVAEConfig(
            widths=(8, 16), latent_size=6, label_width=8, components=3, context=2, context_hidden=4, batch=8
        )

    def _prior(self) -> Prior:
        from generators.nets.priors import MixturePrior

        c, shape = self.config, self.shape
        return MixturePrior(
            self.latent_shape, kernel_width=c.kernel_width, n_components=c.components, context=c.context,
            hidden=c.context_hidden, free_bits=c.free_bits, rounds=c.closing_rounds, n_classes=shape.n_classes,
            multilabel=shape.multilabel,
        )  # fmt: skip
