"""Class-conditional R3GAN (Huang 2024): a relativistic pairing loss, held by two gradient penalties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from data.images import ImageSet
from generators.adversarial import Adversarial, AdversarialConfig, Step, adapted
from synthworth.keys import seed_from
from synthworth.search_space import Between, OneOf, searched
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.nets.r3gan import Critic, Painter
    from generators.training import Learner, Part, Trainer

FALL_OF_RATE, FALL_OF_GAMMA = 1 / 4, 1 / 10
"""Over the burn-in, as in the paper: the learning rate from 2e-4 to 5e-5, gamma to a tenth."""
BETA2 = (0.9, 0.99)
"""Adam's second decay, before and after the burn-in."""


@dataclass(frozen=True)
class R3GANConfig(AdversarialConfig):
    """Options of `r3gan`; the defaults are the paper's, narrowed and with a smaller batch for 28 to 64 px.

    Raises
    ------
    UserError
        For a value out of its range.
    """

    batch: int = field(default=32, metadata=searched(OneOf(16, 32, 64)))
    augment: tuple[Literal["color", "translation", "cutout", "ada"], ...] = field(
        default=(),
        metadata=searched(OneOf((), ("color", "translation"), ("color", "translation", "cutout"), ("ada",))),
    )
    # the base has these options' docstrings
    noise: int = 64
    """Length of the noise vector, and of the labels' vectors in both networks."""
    width: int = field(default=32, metadata=searched(OneOf(16, 32, 64)))
    """Channels next to the image in both networks; doubled at each halving of the resolution."""
    max_width: int = 256
    """Most channels between blocks."""
    blocks: int = field(default=1, metadata=searched(OneOf(1, 2)))
    """Residual blocks at each resolution; the paper has 2."""
    expansion: int = 2
    """Channels inside a block, as a multiple of those between."""
    group: int = 16
    """Channels of a group of the blocks' 3 x 3 convolutions."""
    gamma: float = field(default=1.0, metadata=searched(Between(0.05, 20.0, log=True)))
    """Weight of both gradient penalties at first; it falls to a tenth in the burn-in. The paper has 0.05 on CIFAR-10
    (32 px), 2 on FFHQ at 64 px and 150 at 256: more pixels and fewer images want more."""
    lr: float = field(default=2e-4, metadata=searched(Between(5e-5, 3e-3, log=True)))
    """Learning rate of both networks at first (Adam); it falls to a quarter in the burn-in."""
    burn_in: float = field(default=0.5, metadata=searched(Between(0.2, 1.0, step=0.1)))
    """Share of the steps in which, along half a cosine, the learning rate and gamma fall and Adam's second decay rises
    from 0.9 to 0.99."""
    half_life: int = field(default=5000, metadata=searched(OneOf(1000, 2500, 5000, 10_000)))
    """Images seen in training over which the average of the generator's weights, which is exported and drawn with,
    forgets half; it begins with shorter memory. 0 exports the last weights. The paper has 500,000 to 5 M of budgets of
    20 M and more."""

    def __post_init__(self) -> None:
        in_range = super().ranges() | {
            "width": (self.width >= 1, "1 or more"),
            "blocks": (self.blocks >= 1, "1 or more"),
            "expansion": (self.expansion >= 1, "1 or more"),
            "group": (self.group >= 1, "1 or more"),
            "gamma": (0 <= self.gamma < math.inf, "0 or more"),
            "lr": (self.lr > 0, "above 0"),
            "burn_in": (0 <= self.burn_in <= 1, "0 to 1"),
            "half_life": (self.half_life >= 0, "0 or more"),
        }
        require_ranges(self, in_range, prefix="--gen.")


class R3GAN(Adversarial):
    """R3GAN (Huang 2024): every drawn image is judged against a real one, and both networks are modern.

    With f(t) = softplus(t) = log(1 + e^t), a label y, images x and noise z (equations 2 and 3 of the paper):

        D minimises  E f(D(T(G(z, y)), y) - D(T(x), y)) + gamma / 2 (R1 + R2)
        G minimises  E f(D(T(x), y) - D(T(G(z, y)), y))

        R1 = E ||grad_x D(T(x), y)||^2 on real images,   R2 = the same on drawn ones

    Each update draws noise and augmentation of its own; the real images of a step serve both. The pairing (RpGAN,
    Jolicoeur-Martineau 2019) keeps D's line between real and drawn near every real image, against dropped modes; the
    penalties (R1: Mescheder 2018; R2: Roth 2017), both with zero as centre, make the game converge. A pair shares its
    label here. T is `augment`, through which the penalties look: they are of images as they are.

    Adam's first decay is 0. The schedules are functions of the share of the burn-in that is over (`burnt`). The
    networks are those of `generators/nets/r3gan.py`; nothing in them looks at a batch, so D sees both halves at once.

    D is a difference, so that its sign on real images means nothing by itself. Where augmentation adapts it follows
    the sign of D(x) - D(G(z)) of the pairs: 0 when D cannot tell them apart, 1 when it always can.
    """

    Config: ClassVar[type] = R3GANConfig
    version: ClassVar[int] = 1
    config: R3GANConfig

    @classmethod
    def tiny_config(cls) -> R3GANConfig:
        """The smallest networks that do everything, for the contract test."""
        return R3GANConfig(noise=8, width=4, max_width=8, group=4, batch=8)

    def _build(self) -> tuple[Painter, Critic]:
        """Both networks with fresh weights from torch's global generator."""
        from generators.nets.dcgan import Known, Ladder
        from generators.nets.r3gan import Critic, Painter

        c, shape = self.config, self.shape
        ladder, known = Ladder.reaching(shape.size), Known(shape.n_classes, shape.multilabel)
        self.padded = ladder.end
        sizes = {"noise": c.noise, "channels": shape.channels, "base": c.width, "limit": c.max_width,
                 "blocks": c.blocks, "expansion": c.expansion, "group": c.group}  # fmt: skip
        return Painter(ladder, known, **sizes), Critic(ladder, known, **sizes, eyes=self._eyes())

    def _players(
        self, trainer: Trainer, painter: nn.Module, critic: nn.Module, *, n_steps: int
    ) -> tuple[Learner, Learner]:
        """Adam for each, its rate along the burn-in."""
        c = self.config
        ema = 0.5 ** (c.batch / c.half_life) if c.half_life else None
        paint = trainer.learner(
            "painter", painter, lr=c.lr, n_steps=n_steps, optimiser="adam", betas=(0.0, 0.9), ema=ema
        )
        judge = trainer.learner("critic", critic, lr=c.lr, n_steps=n_steps, optimiser="adam", betas=(0.0, 0.9))
        for learner in (paint, judge):
            learner.rate = lambda t: between(c.lr, c.lr * FALL_OF_RATE, self.burnt(t, n_steps))
        return paint, judge

    def burnt(self, step: int, n_steps: int) -> float:
        """How much of the burn-in is over, 0..1 along half a cosine: 1 from step `burn_in * n_steps` on."""
        share = min(1.0, step / (self.config.burn_in * n_steps)) if self.config.burn_in else 1.0
        return (1 - math.cos(math.pi * share)) / 2

    def _step(self, trainer: Trainer, paint: Learner, judge: Learner, train: ImageSet) -> Step:
        """One update of the discriminator, then one of the generator."""
        import torch

        c, look = self.config, self._source(trainer, train)
        n_steps = trainer.work.budget.steps

        def on_critic(part: Part) -> Mapping[str, Tensor]:
            real, y, noise = look(part)
            with torch.no_grad(), trainer.autocast():
                drawn = paint.net(noise, y)
            logits, slopes = judge(torch.cat([real, drawn.float()]), torch.cat([y, y]), True)
            (of_real, of_drawn), (r1, r2) = logits.chunk(2), slopes.chunk(2)
            gamma = between(c.gamma, c.gamma * FALL_OF_GAMMA, self.burnt(judge.taken, n_steps))
            game = against(of_drawn, of_real)
            ahead = (of_real - of_drawn).detach().sign().mean()
            return {
                "loss": game + gamma / 2 * (r1.mean() + r2.mean()),
                "game": game,
                "r1": r1.mean(),
                "r2": r2.mean(),
                "sign": ahead,
            }

        def on_painter(part: Part) -> Mapping[str, Tensor]:
            real, y, noise = look(part)
            images = torch.cat([real, paint(noise, y).float()])
            of_real, of_drawn = judge.through(images, torch.cat([y, y])).chunk(2)
            return {"loss": against(of_real, of_drawn)}

        def step(parts: Sequence[Part]) -> Mapping[str, Tensor]:
            decay = between(*BETA2, self.burnt(judge.taken, n_steps))
            for learner in (judge, paint):
                for group in learner.raw_optimiser.param_groups:
                    group["betas"] = (0.0, decay)
            d = judge.update(parts, on_critic)
            augmented = adapted(judge, d)
            g = paint.update([replace(part, seed=seed_from(part.seed, "painter")) for part in parts], on_painter)
            penalties = {"r1": d["r1"], "r2": d["r2"]}
            total = d["loss"] + g["loss"]
            return {"loss": total, "discriminator": d["game"], "generator": g["loss"], **penalties, **augmented}

        return step

    def _rehearse(self, painter: nn.Module, critic: nn.Module, real: Tensor, noise: Tensor, labels: Tensor) -> None:
        """See `Adversarial`."""
        import torch

        twice = torch.cat([labels, labels])
        with torch.no_grad():
            drawn = painter(noise, labels)
        logits, slopes = critic(torch.cat([real, drawn]), twice, True)
        (logits.sum() + slopes.sum()).backward()
        critic.requires_grad_(False)
        critic(torch.cat([real, painter(noise, labels)]), twice).sum().backward()


def between(first: float, last: float, share: float) -> float:
    """`first` at share 0, `last` at share 1."""
    return first + (last - first) * share


def against(above: Tensor, below: Tensor) -> Tensor:  # (N,), (N,) -> 0-d
    """The relativistic pairing loss of one who wants `below` to be above: E softplus(above - below)."""
    from torch.nn import functional as F

    return F.softplus(above - below).mean()
