"""How adversarial generators are fitted, drawn from and kept; a subclass gives the networks and the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from data.images import ImageSet
from generators.base import BaseGenerator
from generators.noise import draw_chunks
from generators.options import BatchConfig, SamplingPrecision
from generators.padding import cut_signed, pad_signed
from generators.saving import Shape, read_model, write_model
from synthworth.cost import Operations, PlannedPhase
from synthworth.keys import SINCE_DEFAULT, seed_from
from synthworth.search_space import Naming, OneOf, applies, searched
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.nets.adaptive import Eyes
    from generators.snapshots import Snapshots
    from generators.training import Learner, Part, Trainer

Step = Callable[[Sequence["Part"]], Mapping[str, "Tensor"]]


@dataclass(frozen=True)
class AdversarialConfig(BatchConfig):
    """Options of every adversarial generator."""

    noise: int = 100
    """Length of the noise vector."""
    max_width: int = 512
    """Most channels anywhere."""
    augment: tuple[Literal["color", "translation", "cutout", "ada"], ...] = field(
        default=(), metadata=searched(OneOf((), ("color", "translation"), ("color", "translation", "cutout")))
    )
    """For small sets: what real and drawn images go through before the discriminator sees them. color (brightness and
    contrast, and saturation in RGB), translation and cutout are DiffAugment's (Zhao 2020), done to every image; nothing
    flips. ada does more (flips, turns, scales, shifts, colours), to some images: the share follows how much the
    discriminator overfits (adaptive discriminator augmentation, Karras 2020)."""
    ada_target: float = field(default=0.6, metadata=SINCE_DEFAULT | applies(augment=Naming("ada")))
    """With augment ada: the overfitting that is aimed at, the mean sign of what the discriminator says of real training
    images, -1..1. 0.6 is Karras'."""
    ada_images: int = field(default=100_000, metadata=SINCE_DEFAULT | applies(augment=Naming("ada")))
    """With augment ada: images seen in training in which the share of augmented ones may rise from 0 to 1. Karras took
    500,000, of budgets of 25 M."""
    sampling_precision: SamplingPrecision = field(default="fp32", metadata=SINCE_DEFAULT)
    """Arithmetic of the generator in drawing; bf16 is faster and moves images a little, so it names its own numbers."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "noise": (self.noise >= 1, "1 or more"),
            "max_width": (self.max_width >= 1, "1 or more"),
            "augment": (len(set(self.augment)) == len(self.augment), "each at most once"),
            "ada_target": (-1 < self.ada_target < 1, "above -1 and below 1"),
            "ada_images": (self.ada_images >= 1, "1 or more"),
        }


class Adversarial(BaseGenerator):
    """A generator G (the painter) and a discriminator D (the critic), trained in turn; G is kept and drawn with.

    A subclass has `_build`, `_players`, `_step` and `_rehearse`, and `_settle` where G's export has more to it.
    """

    Config: ClassVar[type] = AdversarialConfig
    config: Any
    padded: int

    def _build(self) -> tuple[nn.Module, nn.Module]:
        """G and D with fresh weights from torch's global generator; sets `self.padded`, the pixels they work at.

        D has `eyes`, made by `_eyes`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no networks")

    def _players(
        self, trainer: Trainer, painter: nn.Module, critic: nn.Module, *, n_steps: int
    ) -> tuple[Learner, Learner]:
        """The learners of G, `painter`, and of D, `critic`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its networks learn")

    def _step(self, trainer: Trainer, paint: Learner, judge: Learner, train: ImageSet) -> Step:
        """What one step of training does: an update of D, then one of G."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its networks take turns")

    def _rehearse(self, painter: nn.Module, critic: nn.Module, real: Tensor, noise: Tensor, labels: Tensor) -> None:
        """The passes of a step, forward and backward, whose operations are counted."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its networks compute")

    def _settle(self, painter: nn.Module, labels: Tensor, *, seed: int) -> None:
        """Make a G that was trained ready to be drawn with.

        Parameters
        ----------
        labels : of the training images.
        seed : of what is drawn for it.
        """
        painter.eval()

    def _eyes(self) -> Eyes:
        """What D sees of images."""
        from generators.nets.adaptive import Eyes

        c = self.config
        return Eyes(c.augment, target=c.ada_target, batch=c.batch, images=c.ada_images)

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
        from generators.training import Trainer
        from synthworth.devices import isolated_randomness
        from synthworth.training.networks import count_parameters
        from synthworth.training.reports import report_phases

        self.require(train)
        self.shape, self.device, c = Shape.of(train), work.device, self.config
        trainer = Trainer(work, seed=seed, batch=c.batch, accumulate=c.accumulate)
        with isolated_randomness(seed_from(seed, "initial weights")):
            painter, critic = self._build()
        paint, judge = self._players(trainer, painter, critic, n_steps=work.budget.steps)
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
        self._settle(self.painter, train.labels, seed=statistics)
        sizes = {"generator": count_parameters(painter), "discriminator": count_parameters(critic)}
        facts = {f"{net}_parameters": n for net, n in sizes.items()} | eyes_of(judge).facts() | stop.facts()
        return report_phases([report], [c.batch], facts=facts)

    def _source(self, trainer: Trainer, train: ImageSet) -> Callable[[Part], tuple[Tensor, Tensor, Tensor]]:
        """Gives a part's real images, float32 (n, C, padded, padded), -1..1, their labels, and noise (n, noise)."""
        import torch

        near = trainer.near(train.images, train.labels)

        def look(part: Part) -> tuple[Tensor, Tensor, Tensor]:
            rows, y = near(part.rows)
            return pad_signed(rows, self.padded), y, torch.randn(len(y), self.config.noise, device=trainer.device)

        return look

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
        self._settle(painter, train.labels, seed=seed)
        return painter

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

        float32 (but for `sampling_precision`), and nothing that looks at the other images, so that a row does not
        depend on how many are drawn at a time by more than the last bit of rounding.

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

        options: type[AdversarialConfig] = cls.Config
        config, shape, weights = read_model(folder, options)
        model = cls(config)
        model.shape, model.device = shape, device
        model.painter = rebuild(lambda: model._build()[0], weights["painter"], device=device).eval()
        return model


def eyes_of(judge: Learner) -> Eyes:
    """What a discriminator in training sees of images."""
    eyes: Any = judge.net.eyes
    return eyes  # type: ignore[no-any-return]


def adapted(judge: Learner, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Let the augmentation follow D's last update, whose losses hold `sign`.

    Returns
    -------
    `overfitting`, that sign, and `augmented`, the probability from now on, for the loss curve; nothing where no
    augmentation adapts.
    """
    eyes = eyes_of(judge)
    if not eyes.adapts:
        return {}
    eyes.follow(losses["sign"], judge.taken)
    return {"overfitting": losses["sign"], "augmented": eyes.p.clone()}
