"""What the adversarial generators share: options, networks, training, drawing. A subclass gives the criterion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from data.images import ImageSet
from generators.base import BaseGenerator
from generators.noise import draw_chunks
from generators.options import BatchConfig, SamplingPrecision
from generators.padding import cut_signed, pad_signed
from generators.saving import Shape, read_model, write_model
from synthworth.cost import Operations, PlannedPhase
from synthworth.keys import SINCE_DEFAULT, seed_from
from synthworth.search_space import Between, OneOf, searched
from synthworth.training.options import require_ranges
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.nets.dcgan import Critic, Painter
    from generators.snapshots import Snapshots
    from generators.training import Learner, Part, Trainer

STANDING_BATCHES = 32
"""Batches over which the exported generator's batch-norm statistics are measured anew."""
Role = Literal["real", "drawn", "wanted"]


@dataclass(frozen=True)
class GANConfig(BatchConfig):
    """Options of `dcgan` and `lsgan`; the defaults are Radford's, narrowed and with a smaller batch for 28 to 64 px.

    Raises
    ------
    UserError
        For a value out of its range.
    """

    noise: int = 100
    """Length of the noise vector."""
    width: int = field(default=64, metadata=searched(OneOf(32, 64, 96)))
    """Channels next to the image in both networks; doubled at each halving of the resolution."""
    max_width: int = 512
    """Most channels anywhere."""
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
    augment: tuple[Literal["color", "translation", "cutout"], ...] = field(
        default=(), metadata=searched(OneOf((), ("color", "translation"), ("color", "translation", "cutout")))
    )
    """DiffAugment (Zhao 2020) for small sets: what real and drawn images go through before the discriminator sees
    them. color is brightness and contrast (and saturation in RGB); nothing flips."""
    lr: float = field(default=2e-4, metadata=searched(Between(5e-5, 1e-3, log=True)))
    """Learning rate of the generator (Adam)."""
    critic_lr: float = field(default=2e-4, metadata=searched(Between(5e-5, 1e-3, log=True)))
    """Learning rate of the discriminator (Adam)."""
    beta1: float = field(default=0.5, metadata=searched(OneOf(0.0, 0.5)))
    """Adam's first decay, in both networks."""
    ema: float | None = 0.995
    """Decay of the average of the generator's weights that is exported and drawn with; None exports the last ones."""
    ema_every: int = field(default=1, metadata=SINCE_DEFAULT)
    """Steps between two looks of that average at the weights; each then counts for as many steps."""
    sampling_precision: SamplingPrecision = field(default="fp32", metadata=SINCE_DEFAULT)
    """Arithmetic of the generator in drawing; bf16 is faster and moves images a little, so it names its own numbers."""

    def __post_init__(self) -> None:
        in_range = super().ranges() | {
            "noise": (self.noise >= 1, "1 or more"),
            "width": (self.width >= 1, "1 or more"),
            "max_width": (self.max_width >= 1, "1 or more"),
            "auxiliary": (self.auxiliary >= 0, "0 or more"),
            "batch": (self.batch >= 2, "2 or more (batch norm needs two images)"),
            "lr": (self.lr > 0, "above 0"),
            "critic_lr": (self.critic_lr > 0, "above 0"),
            "beta1": (0 <= self.beta1 < 1, "0 or more and below 1"),
            "ema": (self.ema is None or 0 <= self.ema < 1, "0 or more and below 1, or None"),
            "ema_every": (self.ema_every >= 1, "1 or more"),
            "augment": (len(set(self.augment)) == len(self.augment), "each at most once"),
        }
        require_ranges(self, in_range, prefix="--gen.")


class GAN(BaseGenerator):
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
        return painter, critic

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """See `BaseGenerator`."""
        from generators.operations import counted_once, of_gan

        self.shape = Shape(channels, size, n_classes, multilabel)
        train, use, n = counted_once(self, lambda: of_gan(self))
        return Operations((PlannedPhase("gan", n_steps, self.config.batch, train),), use, int(n))

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for the budget's steps, each one update of both networks.

        Raises
        ------
        UserError
            For another split than train, or a class without an image.
        """
        from generators.training import Trainer, report_phases
        from synthworth.devices import isolated_randomness
        from synthworth.training.networks import count_parameters

        self.require(train)
        self.shape, self.device, c = Shape.of(train), work.device, self.config
        trainer = Trainer(work, seed=seed, batch=c.batch, accumulate=c.accumulate)
        with isolated_randomness(seed_from(seed, "initial weights")):
            painter, critic = self._build()
        common = {"n_steps": work.budget.steps, "optimiser": "adam", "betas": (c.beta1, 0.999), "schedule": "constant"}
        paint = trainer.learner("painter", painter, lr=c.lr, ema=c.ema, ema_every=c.ema_every, **common)  # type: ignore[arg-type]
        judge = trainer.learner("critic", critic, lr=c.critic_lr, **common)  # type: ignore[arg-type]
        statistics = seed_from(seed, "standing statistics")
        stop = trainer.copy_stop(
            c, train.labels, n_steps=work.budget.steps, exported=paint.exported,
            draw=lambda y, noise: self._draw(self._at_rest(paint, train, seed=statistics), y, seed=noise),
        )  # fmt: skip
        report = trainer.run(
            type(self).__name__.lower(), self._step(trainer, paint, judge, train), n_images=len(train),
            n_steps=work.budget.steps, seconds=work.budget.seconds,
            after=self._snapshots(trainer, paint, train, seed=statistics), stop=stop,
        )  # fmt: skip
        self.painter = paint.exported()
        self._measure_statistics(self.painter, train.labels, seed=statistics)
        sizes = {"generator": count_parameters(painter), "discriminator": count_parameters(critic)}
        facts = {f"{net}_parameters": n for net, n in sizes.items()} | stop.facts()
        return report_phases([report], [c.batch], facts=facts)

    def _step(
        self, trainer: Trainer, paint: Learner, judge: Learner, train: ImageSet
    ) -> Callable[[Sequence[Part]], Mapping[str, Tensor]]:
        """One update of the discriminator, then one of the generator."""
        import torch

        from generators.nets.diffaugment import augment

        c, source = self.config, trainer.near(train.images, train.labels)

        def look(part: Part) -> tuple[Tensor, Tensor, Tensor]:
            rows, y = source(part.rows)
            return pad_signed(rows, self.padded), y, torch.randn(len(y), c.noise, device=trainer.device)

        def on_critic(part: Part) -> Mapping[str, Tensor]:
            real, y, noise = look(part)
            with torch.no_grad(), trainer.autocast():
                drawn = paint.net(noise, y)
            of_real, named = judge(augment(real, c.augment), y)
            of_drawn, _ = judge(augment(drawn, c.augment), y)
            game = self.criterion(of_real.float(), "real") + self.criterion(of_drawn.float(), "drawn")
            return with_naming(game, named, y, c.auxiliary)

        def on_painter(part: Part) -> Mapping[str, Tensor]:
            _, y, noise = look(part)
            of_drawn, named = judge.through(augment(paint(noise, y), c.augment), y)
            return with_naming(self.criterion(of_drawn.float(), "wanted"), named, y, c.auxiliary)

        def step(parts: Sequence[Part]) -> Mapping[str, Tensor]:
            d, g = judge.update(parts, on_critic), paint.update(parts, on_painter)
            named = {"named_real": d["named"], "named_drawn": g["named"]} if "named" in d else {}
            return {"loss": d["loss"] + g["loss"], "discriminator": d["game"], "generator": g["game"], **named}

        return step

    def _snapshots(self, trainer: Trainer, paint: Learner, train: ImageSet, *, seed: int) -> Snapshots:
        """Pictures of the generator as it would be exported at that moment: a copy of it is brought to rest."""
        copies: list[nn.Module] = []

        def draw(labels: Tensor, picture_seed: int) -> Tensor:
            copies[:] = [self._at_rest(paint, train, seed=seed)]
            return self._draw(copies[0], labels, seed=picture_seed)

        def weights() -> dict[str, Tensor]:
            return {f"painter.{name}": tensor for name, tensor in copies[0].state_dict().items()}

        return trainer.snapshots(train.labels, draw=draw, weights=weights)

    def _at_rest(self, paint: Learner, train: ImageSet, *, seed: int) -> nn.Module:
        """A copy of the generator as it would be exported at this moment."""
        painter = deepcopy(paint.exported())
        self._measure_statistics(painter, train.labels, seed=seed)
        return painter

    def _measure_statistics(self, painter: nn.Module, labels: Tensor, *, seed: int) -> None:
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

    def _draw(self, painter: nn.Module, labels: Tensor, *, seed: int) -> Tensor:
        from synthworth.devices import autocast
        from synthworth.training.networks import evaluating

        c, shape = self.config, self.shape
        images = shape.blank(len(labels))
        with evaluating(painter), autocast(self.device, c.sampling_precision):
            for rows, noise in draw_chunks(len(labels), (c.noise,), seed=seed, chunk=c.sample_batch):
                drawn = painter(noise.to(self.device), labels[rows].to(self.device)).float()
                images[rows] = cut_signed(drawn, shape.size)
        return images

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Draw one image a label.

        float32 (but for `sampling_precision`) and running statistics, so that a row does not depend on how many are
        drawn at a time by more than the last bit of rounding.

        Returns
        -------
        uint8 (N, C, H, W), row i shows `labels[i]`.
        """
        return self._draw(self.painter, labels, seed=seed)

    def save(self, folder: Path) -> None:
        """Write the exported generator; the discriminator is not needed any more."""
        write_model(folder, config=self.config, shape=self.shape, weights={"painter": self.painter.state_dict()})

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from synthworth.training.networks import rebuild

        options: type[GANConfig] = cls.Config
        config, shape, weights = read_model(folder, options)
        model = cls(config)
        model.shape, model.device = shape, device
        model.painter = rebuild(lambda: model._build()[0], weights["painter"], device=device).eval()
        return model


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
