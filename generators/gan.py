"""What the GANs on the networks of DCGAN share: options, networks, the step. A subclass gives the criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from data.images import ImageSet
from generators.adversarial import Adversarial, AdversarialConfig, Step, adapted, eyes_of
from synthworth.keys import SINCE_DEFAULT
from synthworth.search_space import Above, Between, OneOf, applies, searched
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.nets.dcgan import Critic, Painter
    from generators.training import Learner, Part, Trainer

STANDING_BATCHES = 32
"""Batches over which the exported generator's batch-norm statistics are measured anew."""
Role = Literal["real", "drawn", "wanted"]


@dataclass(frozen=True)
class GANConfig(AdversarialConfig):
    """Options of `dcgan` and `lsgan`; the defaults are Radford's, narrowed and with a smaller batch for 28 to 64 px.

    Raises
    ------
    UserError
        For a value out of its range.
    """

    width: int = field(default=64, metadata=searched(OneOf(32, 64, 96)))
    """Channels next to the image in both networks; doubled at each halving of the resolution."""
    conditioning: Literal["input", "norms", "both"] = "both"
    """Where the label enters the generator: as a vector beside the noise, as scale and shift of every batch norm
    (conditional batch norm, de Vries 2017), or both."""
    auxiliary: float = field(default=1.0, metadata=searched(OneOf(0.0, 0.2, 0.5, 1.0, 2.0)))
    """Weight of the auxiliary classifier's loss (Odena 2017): the discriminator also learns to name the class of real
    images, and the generator to be named rightly. 0 for none."""
    spread: bool = True
    """Show the discriminator how far a batch spreads (minibatch standard deviation, Karras 2018), without which a
    conditional generator of a thousand images soon draws one image a class."""
    spectral: Literal["none", "discriminator", "both"] = field(
        default="none", metadata=searched(OneOf("none", "discriminator", "both"))
    )
    """Networks whose convolutions are spectrally normalised (Miyato 2018); the discriminator then has no batch norm."""
    lr: float = field(default=2e-4, metadata=searched(Between(5e-5, 1e-3, log=True)))
    """Learning rate of the generator (Adam)."""
    critic_lr: float = field(default=2e-4, metadata=searched(Between(5e-5, 1e-3, log=True)))
    """Learning rate of the discriminator (Adam)."""
    beta1: float = field(default=0.5, metadata=searched(OneOf(0.0, 0.5)))
    """Adam's first decay, in both networks."""
    ema: float | None = 0.995
    """Decay of the average of the generator's weights that is exported and drawn with; None exports the last ones."""
    ema_every: int = field(default=1, metadata=SINCE_DEFAULT | applies(ema=Above(0)))
    """Steps between two looks of that average at the weights; each then counts for as many steps."""

    def __post_init__(self) -> None:
        in_range = super().ranges() | {
            "width": (self.width >= 1, "1 or more"),
            "auxiliary": (self.auxiliary >= 0, "0 or more"),
            "batch": (self.batch >= 2, "2 or more (batch norm needs two images)"),
            "accumulate": (
                self.accumulate >= 1 and self.batch % self.accumulate == 0 and self.batch >= 2 * self.accumulate,
                f"1 or more, and {self.batch} images of a batch are cut into as many equal parts of 2 or more: batch "
                "norm and the spread look at a part",
            ),
            "lr": (self.lr > 0, "above 0"),
            "critic_lr": (self.critic_lr > 0, "above 0"),
            "beta1": (0 <= self.beta1 < 1, "0 or more and below 1"),
            "ema": (self.ema is None or 0 <= self.ema < 1, "0 or more and below 1, or None"),
            "ema_every": (self.ema_every >= 1, "1 or more"),
        }
        require_ranges(self, in_range, prefix="--gen.")


class GAN(Adversarial):
    """A generator G and a discriminator D on the networks of `generators/nets/dcgan.py`; `criterion` is the game.

    One step is one update of D and one of G; the budget counts steps, so G's updates. With a label y, images x and
    noise z, and w = `auxiliary`:

        D minimises  criterion(D(T(x), y), real) + criterion(D(T(G(z, y)), y), drawn) + w CE(C(T(x)), y)
        G minimises  criterion(D(T(G(z, y)), y), wanted)                              + w CE(C(T(G(z, y))), y)

    T is `augment`. C is the class that D names, learned from real images alone: were it to learn from drawn ones too
    (Odena 2017), both networks could agree on signs of a class that no real image bears. Where findings co-occur, CE
    is the binary cross-entropy of each finding.

    What is exported is the moving average of G, its batch-norm statistics measured anew after training, so that an
    image does not depend on those drawn with it. Sizes that are no power of two are reached from a start of 4 to 7
    pixels and cut back where that overshoots.
    """

    Config: ClassVar[type] = GANConfig
    config: GANConfig

    def criterion(self, logits: Tensor, role: Role) -> Tensor:
        """The loss of what D says about real images, about drawn ones, or about drawn ones as G wants them.

        Parameters
        ----------
        logits : float32 (N,), D's.
        role : which of the three they are of.

        Returns
        -------
        The loss, 0-d.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say which game its networks play")

    def leaning(self, logits: Tensor) -> Tensor:
        """Above 0 where D takes an image for real, below where it takes it for drawn.

        Parameters
        ----------
        logits : float32 (N,), D's.
        """
        return logits

    def _build(self) -> tuple[Painter, Critic]:
        """Both networks with fresh weights from torch's global generator."""
        from generators.nets.dcgan import Critic, Known, Ladder, Painter

        c, shape = self.config, self.shape
        ladder, known = Ladder.reaching(shape.size), Known(shape.n_classes, shape.multilabel)
        self.padded = ladder.end
        painter = Painter(
            ladder, known, noise=c.noise, channels=shape.channels, base=c.width, limit=c.max_width,
            conditioning=c.conditioning, spectral=c.spectral == "both",
        )  # fmt: skip
        critic = Critic(
            ladder, known, channels=shape.channels, base=c.width, limit=c.max_width, spread=c.spread,
            spectral=c.spectral != "none", naming=c.auxiliary > 0,
        )  # fmt: skip
        critic.eyes = self._eyes()
        return painter, critic

    def _players(
        self, trainer: Trainer, painter: nn.Module, critic: nn.Module, *, n_steps: int
    ) -> tuple[Learner, Learner]:
        """Adam at a constant rate for each."""
        c = self.config
        common = {"n_steps": n_steps, "optimiser": "adam", "betas": (c.beta1, 0.999), "schedule": "constant"}
        paint = trainer.learner("painter", painter, lr=c.lr, ema=c.ema, ema_every=c.ema_every, **common)  # type: ignore[arg-type]
        judge = trainer.learner("critic", critic, lr=c.critic_lr, **common)  # type: ignore[arg-type]
        return paint, judge

    def _step(self, trainer: Trainer, paint: Learner, judge: Learner, train: ImageSet) -> Step:
        """One update of the discriminator, then one of the generator."""
        import torch

        c, look, see = self.config, self._source(trainer, train), eyes_of(judge)

        def on_critic(part: Part) -> Mapping[str, Tensor]:
            real, y, noise = look(part)
            with torch.no_grad(), trainer.autocast():
                drawn = paint.net(noise, y)
            of_real, named = judge(see(real), y)
            of_drawn, _ = judge(see(drawn), y)
            game = self.criterion(of_real.float(), "real") + self.criterion(of_drawn.float(), "drawn")
            signs = {"sign": self.leaning(of_real.float()).sign().mean()} if see.adapts else {}
            return with_naming(game, named, y, c.auxiliary) | signs

        def on_painter(part: Part) -> Mapping[str, Tensor]:
            _, y, noise = look(part)
            of_drawn, named = judge.through(see(paint(noise, y)), y)
            return with_naming(self.criterion(of_drawn.float(), "wanted"), named, y, c.auxiliary)

        def step(parts: Sequence[Part]) -> Mapping[str, Tensor]:
            d = judge.update(parts, on_critic)
            augmented = adapted(judge, d)
            g = paint.update(parts, on_painter)
            named = {"named_real": d["named"], "named_drawn": g["named"]} if "named" in d else {}
            return {
                "loss": d["loss"] + g["loss"],
                "discriminator": d["game"],
                "generator": g["game"],
                **named,
                **augmented,
            }

        return step

    def _rehearse(self, painter: nn.Module, critic: nn.Module, real: Tensor, noise: Tensor, labels: Tensor) -> None:
        """See `Adversarial`."""
        import torch

        def total(found: tuple[Tensor, Tensor | None]) -> Tensor:
            logits, named = found
            return logits.sum() if named is None else logits.sum() + named.sum()

        with torch.no_grad():
            drawn = painter(noise, labels)
        (total(critic(real, labels)) + total(critic(drawn, labels))).backward()
        critic.requires_grad_(False)
        total(critic(painter(noise, labels), labels)).backward()

    def _settle(self, painter: nn.Module, labels: Tensor, *, seed: int) -> None:
        """Standing statistics (Brock 2019): batch norm's mean and variance under the exported weights.

        Measured over batches whose labels are drawn as in training. Spectral norm's estimates, averaged with the
        weights, settle too.
        """
        import torch

        from synthworth.devices import generator

        c, draw = self.config, generator(seed)
        for norm in painter.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.reset_running_stats()
                norm.momentum = None
        painter.train()
        with torch.no_grad():
            for _ in range(STANDING_BATCHES):
                noise = torch.randn(c.batch, c.noise, generator=draw)
                rows = torch.randint(len(labels), (c.batch,), generator=draw)
                painter(noise.to(self.device), labels[rows].to(self.device))
        painter.eval()


def with_naming(game: Tensor, named: Tensor | None, labels: Tensor, weight: float) -> dict[str, Tensor]:
    """A loss of the game joined by the auxiliary classifier's, where there is one.

    Parameters
    ----------
    named : logits (N, K) of the classes, or None.

    Returns
    -------
    `loss` and `game`, and `named`, the cross-entropy.
    """
    from torch.nn import functional as F

    if named is None:
        return {"loss": game, "game": game}
    if labels.ndim == 2:
        cost = F.binary_cross_entropy_with_logits(named.float(), labels.float())
    else:
        cost = F.cross_entropy(named.float(), labels)
    return {"loss": game + weight * cost, "game": game, "named": cost}
