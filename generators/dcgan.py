"""Class-conditional DCGAN (Radford 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from data.base import ImageSet
from generators.base import BaseGenerator
from generators.noise import draw_chunks
from generators.padding import cut_signed, pad_signed
from generators.saving import Shape, read_model, write_model
from synthworth.keys import NOT_IDENTITY, seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

    from generators.nets.dcgan import Critic, Painter
    from generators.training import Part

STANDING_BATCHES = 32
"""Batches over which the exported generator's batch-norm statistics are measured anew."""


@dataclass(frozen=True)
class DCGANConfig:
    """Options of `dcgan`; the defaults are Radford's, narrowed and with a smaller batch for 28 to 64 px."""

    noise: int = 100
    """Length of the noise vector; the label's vector beside it is as long."""
    width: int = 64
    """Channels next to the image in both networks; doubled at each halving of the resolution."""
    max_width: int = 512
    """Most channels anywhere."""
    batch: int = 32
    """Real images in a step, and as many drawn."""
    accumulate: int = 1
    """Parts that a step's batch is cut into: one is computed at a time, or one on each of several devices."""
    lr: float = 2e-4
    """Learning rate of the generator (Adam)."""
    critic_lr: float = 2e-4
    """Learning rate of the discriminator (Adam)."""
    beta1: float = 0.5
    """Adam's first decay, in both networks."""
    ema: float = 0.995
    """Decay of the average of the generator's weights that is exported and drawn with."""
    sample_batch: int = field(default=256, metadata=NOT_IDENTITY)
    """Images drawn at a time."""


class DCGAN(BaseGenerator):
    """Generator G and discriminator D trained by binary cross-entropy (Goodfellow 2014, non-saturating):

    D minimises -log s(D(x, y)) - log(1 - s(D(G(z, y), y))), G minimises -log s(D(G(z, y), y)).

    One step is one update of D and one of G; the budget counts steps, so G's updates. The label joins G beside the
    noise and D by projection; D also sees how far a batch spreads (Karras 2018), without which a thousand images
    collapse to one a class. What is exported is the moving average of G, its batch-norm statistics measured anew
    after training, so that an image does not depend on those drawn with it. Sizes that are no power of two are
    reached from a start of 4 to 7 pixels and cut back where that overshoots.
    """

    Config: ClassVar[type] = DCGANConfig
    version: ClassVar[int] = 1
    config: DCGANConfig

    @classmethod
    def tiny_config(cls) -> DCGANConfig:
        """The smallest networks that do everything, for the contract test."""
        return DCGANConfig(noise=8, width=8, max_width=16, batch=8)

    def criterion(self, logits: Tensor, *, real: bool) -> Tensor:
        """Loss of logits that should say `real`: 0-d."""
        import torch
        from torch.nn import functional as F

        target = torch.ones_like(logits) if real else torch.zeros_like(logits)
        return F.binary_cross_entropy_with_logits(logits, target)

    def _build(self) -> tuple[Painter, Critic]:
        """Both networks with fresh weights from torch's global generator."""
        from generators.nets.dcgan import Critic, Ladder, Painter

        c, shape = self.config, self.shape
        ladder = Ladder.reaching(shape.size)
        self.padded = ladder.end
        known = {"channels": shape.channels, "n_classes": shape.n_classes, "multilabel": shape.multilabel}
        painter = Painter(ladder, noise=c.noise, base=c.width, limit=c.max_width, **known)  # type: ignore[arg-type]
        return painter, Critic(ladder, base=c.width, limit=c.max_width, **known)  # type: ignore[arg-type]

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for the budget's steps, each one update of both networks.

        Raises
        ------
        UserError
            For another split than train, or a class without an image.
        """
        import torch

        from generators.training import Resident, Trainer, count_parameters, report_phases
        from synthworth.devices import isolated_randomness

        self.require(train)
        self.shape, self.device, c = Shape.of(train), work.device, self.config
        trainer = Trainer(work, seed=seed, batch=c.batch, accumulate=c.accumulate)
        with isolated_randomness(seed_from(seed, "initial weights")):
            painter, critic = self._build()
        common = {"n_steps": work.budget.steps, "optimiser": "adam", "betas": (c.beta1, 0.999), "schedule": "constant"}
        paint = trainer.learner("painter", painter, lr=c.lr, ema=c.ema, **common)  # type: ignore[arg-type]
        judge = trainer.learner("critic", critic, lr=c.critic_lr, **common)  # type: ignore[arg-type]
        source = Resident(train.images, train.labels, device=trainer.device)

        def look(part: Part) -> tuple[Tensor, Tensor, Tensor]:
            rows, y = source(part.rows)
            return pad_signed(rows, self.padded), y, torch.randn(len(y), c.noise, device=trainer.device)

        def on_critic(part: Part) -> Mapping[str, Tensor]:
            real, y, noise = look(part)
            with torch.no_grad(), trainer.fabric.autocast():
                fake = painter(noise, y)
            return {"loss": self.criterion(judge(real, y), real=True) + self.criterion(judge(fake, y), real=False)}

        def on_painter(part: Part) -> Mapping[str, Tensor]:
            _, y, noise = look(part)
            return {"loss": self.criterion(judge.through(paint(noise, y), y), real=True)}

        def step(parts: Sequence[Part]) -> Mapping[str, Tensor]:
            d, g = judge.update(parts, on_critic)["loss"], paint.update(parts, on_painter)["loss"]
            return {"loss": d + g, "discriminator": d, "generator": g}

        report = trainer.run("dcgan", step, n_images=len(train), n_steps=work.budget.steps, seconds=work.budget.seconds)
        self.painter = paint.exported()
        self._measure_statistics(train.labels, seed=seed_from(seed, "standing statistics"))
        sizes = {"generator": count_parameters(painter), "discriminator": count_parameters(critic)}
        return report_phases([report], [c.batch], facts={f"{net}_parameters": n for net, n in sizes.items()})

    def _measure_statistics(self, labels: Tensor, *, seed: int) -> None:
        """Standing statistics (Brock 2019): batch norm's mean and variance under the averaged weights, over batches
        whose labels are drawn as in training."""
        import torch

        from synthworth.devices import generator

        c, draw = self.config, generator(seed)
        norms = [m for m in self.painter.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.painter.train()
        with torch.no_grad():
            for _ in range(STANDING_BATCHES):
                noise = torch.randn(c.batch, c.noise, generator=draw)
                rows = torch.randint(len(labels), (c.batch,), generator=draw)
                self.painter(noise.to(self.device), labels[rows].to(self.device))
        self.painter.eval()

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """uint8 (N, C, H, W), row i shows `labels[i]`; float32 and running statistics, so that a row does not
        depend on how many are drawn at a time by more than the last bit of rounding."""
        import torch

        from synthworth.loop import evaluating

        c, shape = self.config, self.shape
        images = torch.empty((len(labels), shape.channels, shape.size, shape.size), dtype=torch.uint8)
        with evaluating(self.painter) as painter:
            for rows, noise in draw_chunks(len(labels), (c.noise,), seed=seed, chunk=c.sample_batch):
                images[rows] = cut_signed(painter(noise.to(self.device), labels[rows].to(self.device)), shape.size)
        return images

    def save(self, folder: Path) -> None:
        """Write the averaged generator; the discriminator is not needed any more."""
        write_model(folder, config=self.config, shape=self.shape, weights={"painter": self.painter.state_dict()})

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from generators.training import place
        from synthworth.devices import isolated_randomness

        config, shape, weights = read_model(folder, DCGANConfig)
        model = cls(config)
        model.shape, model.device = shape, device
        with isolated_randomness(0):
            model.painter, _ = model._build()
        model.painter.load_state_dict(weights["painter"])
        model.painter = place(model.painter, device)
        return model
