"""What generators that denoise share: options, the network's training, drawing. Subclasses say how, and what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from data.images import ImageSet
from generators.base import BaseGenerator
from generators.conditioning import ConditionConfig, Conditioner, check_condition, make_conditioner
from generators.noise import draw_chunks
from generators.options import AdamWConfig, SamplingPrecision
from generators.saving import Shape
from synthworth.errors import UserError
from synthworth.keys import DRAWING, SINCE_DEFAULT, seed_from
from synthworth.search_space import Above, Between, OneOf, applies, searched
from synthworth.work import Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.training import Part, Schedule, Trainer
    from synthworth.training.loop import PhaseReport


class Process(Protocol):
    """How noise is added to clean x, and what a network learns of the two."""

    def noised(self, clean: Tensor, rows: Tensor, *, drop: float) -> tuple[Tensor, ...]:
        """What is drawn at random for a batch, from torch's global generator; `error` takes it.

        Parameters
        ----------
        clean : float32 (n, ...).
        rows : int64 (n,), which training images these are.
        drop : the share whose condition is hidden.
        """
        ...

    def error(self, net: Callable[..., Tensor], *drawn: Tensor) -> Tensor:
        """The loss, 0-d, of a network on what `noised` drew, then the condition; draws and reads nothing on the host.

        Parameters
        ----------
        net : `net(x, times, condition, dropped)` gives a prediction as `x` is shaped.
        """
        ...


class Draws(Protocol):
    """From noise to x."""

    def __call__(
        self, net: Callable[..., Tensor], noise: Tensor, condition: Tensor, *, seed: int, rows: slice
    ) -> Tensor:  # float32 (N, ...), as `noise` is
        """Make x of standard normal noise.

        Parameters
        ----------
        condition : (N, ...), one a row.
        seed, rows : of the request, and which of its rows these are: what else is random depends on them alone.
        """
        ...


@dataclass(frozen=True)
class DenoisingConfig(AdamWConfig):
    """Options of every generator that denoises, whatever the process."""

    condition: ConditionConfig = field(default_factory=ConditionConfig)
    """What the denoiser is told of an image."""
    ema: float = field(default=0.999, metadata=searched(OneOf(0.99, 0.995, 0.999, 0.9995)))
    """Decay of the average of the denoiser's weights that is exported and drawn with."""
    ema_every: int = field(default=1, metadata=SINCE_DEFAULT | applies(ema=Above(0)))
    """Steps between two looks of that average at the weights; each then counts for as many steps."""
    drop: float = field(default=0.1, metadata=searched(OneOf(0.05, 0.1, 0.2)))
    """Share of training conditions that are hidden, so that guidance has a prediction without one."""
    guidance: float = field(default=1.0, metadata=DRAWING | searched(Between(1.0, 4.0, step=0.25)))
    """Classifier-free guidance scale in sampling (Ho & Salimans 2022): 1 follows the denoiser, above 1 stresses the
    condition, which a short training under-reads, and costs a second pass."""
    sampling_steps: int = field(default=50, metadata=DRAWING | searched(OneOf(10, 15, 25, 50, 100)))
    """Steps of the sampler."""
    sampling_precision: SamplingPrecision = field(default="fp32", metadata=SINCE_DEFAULT | DRAWING)
    """Arithmetic of the denoiser in drawing; bf16 is faster and moves images a little, so it names its own numbers. In
    fp32 the convolutions of an NVIDIA GPU take TensorFloat-32 (10 bits of mantissa), as torch has it."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "ema": (0 <= self.ema < 1, "0 or more and below 1"),
            "ema_every": (self.ema_every >= 1, "1 or more"),
            "drop": (0 <= self.drop < 1, "0 or more and below 1"),
            "guidance": (0 < self.guidance <= 100, "above 0 and at most 100"),
        }


class Denoising(BaseGenerator):
    """A network that is told a condition y learns to take noise away; drawing starts from noise alone.

    Two kinds of subclasses meet in a generator. One says how noise is added and taken away: `_process`, `_sampler`
    (`generators.ddpm`, `generators.flow`, `generators.edm`). The other says what x is, and sets `noise_shape`, its
    shape, before the network is trained or drawn with: `_as_images` and `fit` (`generators.pixels`,
    `generators.latents`). What is exported is the moving average of the weights. Drawing starts from noise that depends
    on (seed, row) alone.
    """

    Config: ClassVar[type]
    bound: ClassVar[float | None] = None
    """What the denoised x is kept within at every step of drawing, as pixels are and latents are not."""
    config: Any
    shape: Shape
    device: str
    conditioner: Conditioner
    noise_shape: tuple[int, ...]
    denoiser: nn.Module
    copying: Mapping[str, Any]

    def _process(self, labels: Tensor, *, progress: Callable[[], float]) -> Process:
        """How noise is added.

        Parameters
        ----------
        labels : of all training images.
        progress : the share of the steps that are taken, 0 to 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how noise is added")

    def _sampler(self, *, doubled: bool = False) -> Draws:
        """How noise is taken away.

        Parameters
        ----------
        doubled : whether guidance's two passes are one over a batch of both (`generators.guidance`).

        Raises
        ------
        UserError
            For a number of steps, or other options, that cannot be.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how noise is taken away")

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse CLIP or embeddings that cannot be used, and options of drawing that cannot be; see `BaseGenerator`."""
        check_condition(self.config.condition, fetch=fetch)
        self.check_drawing()

    def _passes(self) -> int:
        """Predictions of the denoiser that drawing an image takes."""
        return self.config.sampling_steps * (1 if self.config.guidance == 1.0 else 2)

    def check_drawing(self) -> None:
        """Refuse what could not be drawn from, before anything is trained or a fit is made from another."""
        c = self.config
        if c.guidance != 1.0 and c.drop <= 0:
            raise UserError(
                f"guidance {c.guidance:g} needs a prediction without condition: set --gen.drop above 0 (0.1, say), or "
                "--gen.guidance 1"
            )
        self._sampler()

    def _begin(self, train: ImageSet, *, seed: int, work: Work) -> Trainer:
        """Set the shape, the device and the conditions of the training images; the trainer of the denoiser."""
        from generators.training import Trainer

        self.shape, c = Shape.of(train), self.config
        trainer = Trainer(work, seed=seed_from(seed, "denoiser"), batch=c.batch, accumulate=c.accumulate)
        self.device = str(trainer.device)
        self.conditioner = self._conditioner()
        self.conditioner.fit(train, device=self.device, folder=work.folder)
        return trainer

    def _conditioner(self) -> Conditioner:
        shape = self.shape
        return make_conditioner(self.config.condition, n_classes=shape.n_classes, multilabel=shape.multilabel)

    def _learn(
        self, trainer: Trainer, build: Callable[[], nn.Module], clean: Callable[[Part], Tensor], labels: Tensor, *,
        seed: int, n_steps: int, seconds: float | None, strictly: bool = True, lr: float | None = None,
        schedule: Schedule = "cosine",
    ) -> PhaseReport:  # fmt: skip
        """Train the denoiser that `build` makes, and set it.

        Parameters
        ----------
        clean : x of a part, float32 (n, *noise_shape).
        labels : of all training images.
        strictly : whether all that the denoiser computes has a deterministic form and draws nothing at random
            (`Trainer.learner`), as all has that is in a UNet of ours.
        lr : highest learning rate, in the place of the options'.
        schedule : how the rate goes on from there (`Trainer.learner`).
        """
        from generators.training import Objective
        from synthworth.devices import isolated_randomness

        c = self.config
        with isolated_randomness(seed_from(seed, "initial weights")):
            denoiser = build()
        learner = trainer.learner(
            "denoiser", denoiser, lr=lr or c.lr, n_steps=n_steps, warmup=c.warmup, clip=c.clip, ema=c.ema,
            ema_every=c.ema_every, strictly=strictly, schedule=schedule,
        )  # fmt: skip
        process = self._process(labels, progress=lambda: learner.taken / n_steps)

        def draw(part: Part) -> tuple[Tensor, ...]:
            x, told = clean(part), self.conditioner.of_training(part.rows)
            return *process.noised(x, part.rows, drop=c.drop), told

        loss = Objective(draw, lambda *drawn: {"loss": process.error(learner, *drawn)})

        snapshots = trainer.snapshots(
            labels, draw=lambda labels, picture: self._draw(learner.exported(), labels, seed=picture),
            weights=lambda: learner.exported().state_dict(),
        )  # fmt: skip
        stop = trainer.copy_stop(
            c, labels, n_steps=n_steps, draw=lambda y, noise: self._draw(learner.exported(), y, seed=noise),
            exported=learner.exported,
        )  # fmt: skip
        report = trainer.run(
            "denoiser", lambda parts: learner.update(parts, loss), n_images=len(labels), n_steps=n_steps,
            seconds=seconds, after=snapshots, stop=stop,
        )  # fmt: skip
        self.denoiser, self.copying = learner.exported(), stop.facts()
        return report

    def _facts(self) -> dict[str, Any]:
        """What is worth a line in the record of denoiser and condition, and what was seen of copies."""
        from synthworth.training.networks import count_parameters

        return {"denoiser_parameters": count_parameters(self.denoiser), **self.conditioner.facts(), **self.copying}

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Draw one image a label.

        float32 throughout, but for what `sampling_precision` makes bfloat16, so that a row does not depend on how many
        are drawn at a time by more than the last bit of rounding.

        Returns
        -------
        uint8 (N, C, H, W), row i shows `labels[i]`.
        """
        return self._draw(self.denoiser, labels, seed=seed)

    def _draw(self, net: nn.Module, labels: Tensor, *, seed: int) -> Tensor:
        from synthworth.devices import autocast, fused_attention
        from synthworth.training.networks import evaluating

        draw, plan = self._sampler(doubled=self.device != "cpu"), self.conditioner.plan(labels, seed=seed)
        images, chunk = self.shape.blank(len(labels)), self.config.sample_batch
        with evaluating(net) as denoiser, fused_attention(self.device):
            for rows, noise in draw_chunks(len(labels), self.noise_shape, seed=seed, chunk=chunk):
                told = self.conditioner.look_up(plan[rows])
                with autocast(self.device, self.config.sampling_precision):
                    drawn = draw(denoiser, noise.to(self.device), told, seed=seed, rows=rows)
                images[rows] = self._as_images(drawn, labels[rows])
        return images

    def _as_images(self, drawn: Tensor, labels: Tensor) -> Tensor:
        """Drawn x as images.

        Parameters
        ----------
        drawn : float32 (n, *noise_shape).

        Returns
        -------
        uint8 (n, C, H, W).
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it denoises")

    def _restore(self, folder: Path, *, shape: Shape, device: str) -> None:
        """Set what `_begin` sets, from a folder that the conditioner was saved in."""
        self.shape, self.device = shape, device
        self.conditioner = self._conditioner()
        self.conditioner.restore(folder, device=device)
