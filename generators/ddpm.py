"""What the diffusion generators share: options, the denoiser's training, drawing. A subclass says what is denoised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from data.images import ImageSet
from generators.base import BaseGenerator
from generators.conditioning import ConditionConfig, Conditioner, check_condition, make_conditioner
from generators.noise import draw_chunks
from generators.options import N_STEPS, AdamWConfig, SamplingPrecision
from generators.saving import Shape
from synthworth.errors import UserError
from synthworth.keys import DRAWING, SINCE_DEFAULT, seed_from
from synthworth.search_space import Between, OneOf, searched
from synthworth.work import Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.diffusion import Sampler
    from generators.training import Part, Trainer
    from synthworth.training.loop import PhaseReport

Prediction = Literal["epsilon", "v_prediction"]
Schedule = Literal["linear", "squaredcos_cap_v2"]
SamplerKind = Literal["ddpm", "ddim", "dpmsolver++"]
FEW_STEPS: Mapping[Schedule, int] = {"linear": 4, "squaredcos_cap_v2": 32}
"""Sampling steps up to which one stride after pure noise still shows an image (see `generators.diffusion`)."""


@dataclass(frozen=True)
class DDPMConfig(AdamWConfig):
    """Options that `pixel_ddpm` and `latent_ddpm` share."""

    prediction: Prediction = field(default="epsilon", metadata=searched(OneOf("epsilon", "v_prediction")))
    """What the denoiser predicts: the noise (Ho 2020) or the velocity (Salimans & Ho 2022), which learns faster."""
    schedule: Schedule = field(default="linear", metadata=searched(OneOf("linear", "squaredcos_cap_v2")))
    """Noise schedule over 1,000 steps: linear (Ho 2020) or cosine (Nichol & Dhariwal 2021)."""
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    """What the denoiser is told of an image."""
    ema: float = field(default=0.999, metadata=searched(OneOf(0.99, 0.995, 0.999, 0.9995)))
    """Decay of the average of the denoiser's weights that is exported and drawn with."""
    ema_every: int = field(default=1, metadata=SINCE_DEFAULT)
    """Steps between two looks of that average at the weights; each then counts for as many steps."""
    drop: float = field(default=0.1, metadata=searched(OneOf(0.05, 0.1, 0.2)))
    """Share of training conditions that are hidden, so that guidance has a prediction without one."""
    guidance: float = field(default=1.0, metadata=DRAWING | searched(Between(1.0, 4.0, step=0.25)))
    """Classifier-free guidance scale in sampling (Ho & Salimans 2022): 1 follows the denoiser, above 1 stresses the
    condition, which a short training under-reads, and costs a second pass."""
    sampler: SamplerKind = field(default="ddim", metadata=DRAWING)
    """How images or latents are drawn: ancestral (Ho 2020), deterministic (Song 2021), or second-order multistep (Lu
    2022)."""
    sampling_steps: int = field(default=50, metadata=DRAWING | searched(OneOf(10, 15, 25, 50, 100)))
    """Steps of the sampler; 1,000 are all that `ddpm` was made for, 25 to 50 do for `ddim`, 15 for `dpmsolver++`."""
    sampling_precision: SamplingPrecision = field(default="fp32", metadata=SINCE_DEFAULT | DRAWING)
    """Arithmetic of the denoiser in drawing; bf16 is faster and moves images a little, so it names its own numbers. In
    fp32 the convolutions of an NVIDIA GPU take TensorFloat-32 (10 bits of mantissa), as torch has it."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {"ema_every": (self.ema_every >= 1, "1 or more")}


class DDPM(BaseGenerator):
    """Denoising diffusion, told a condition y: x_t = sqrt(a_t) x + sqrt(1 - a_t) e, e ~ N(0, I), t = 1 .. 1,000.

    A denoiser that is told t and y learns E || e - f(x_t, t, y) ||^2 (Ho 2020, eq. 14), or the same for the velocity.
    What is exported is the moving average of its weights. Drawing starts from noise that depends on (seed, row) alone.

    A subclass sets `noise_shape`, the shape of one x, before the denoiser is trained or drawn with, and makes images of
    what is drawn (`_as_images`). `process` is the noising: schedule, prediction, and betas of a pretrained network.
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

    @classmethod
    def version_of(cls, config: Any) -> int:
        """One more than `version` where `ddpm` or `ddim` takes other steps than it did up to that version.

        It does where the steps do not divide 1,000, and where they were so few that under epsilon prediction they began
        at a step that showed an image (`generators.diffusion.Sampler`).
        """
        n = config.sampling_steps
        few = FEW_STEPS[config.schedule] if config.prediction == "epsilon" else 0
        otherwise = config.sampler != "dpmsolver++" and (n <= few or N_STEPS % n)
        return cls.version + bool(otherwise)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        c = self.config
        self.process: dict[str, Any] = {"schedule": c.schedule, "prediction": c.prediction, "betas": None}

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse CLIP or embeddings that cannot be used; see `BaseGenerator`."""
        check_condition(self.config.condition, fetch=fetch)

    def _passes(self) -> int:
        """Predictions of the denoiser that drawing an image takes."""
        return self.config.sampling_steps * (1 if self.config.guidance == 1.0 else 2)

    def check_drawing(self) -> None:
        """Refuse what could not be drawn from, before anything is trained or a fit is made from another."""
        c = self.config
        if c.guidance != 1.0 and c.drop <= 0:
            raise UserError(f"guidance {c.guidance} needs a prediction without condition: set drop above 0 (0.1, say)")
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
        seed: int, n_steps: int, seconds: float | None, strictly: bool = True,
    ) -> PhaseReport:  # fmt: skip
        """Train the denoiser that `build` makes, and set it.

        Parameters
        ----------
        clean : x of a part, float32 (n, *noise_shape).
        labels : of all training images.
        strictly : whether all that the denoiser computes has a deterministic form and draws nothing at random
            (`Trainer.learner`), as all has that is in a UNet of ours.
        """
        from generators.diffusion import denoising_error, make_noising, noised
        from generators.training import Objective
        from synthworth.devices import isolated_randomness

        c = self.config
        with isolated_randomness(seed_from(seed, "initial weights")):
            denoiser = build()
        learner = trainer.learner(
            "denoiser", denoiser, lr=c.lr, n_steps=n_steps, warmup=c.warmup, clip=c.clip, ema=c.ema,
            ema_every=c.ema_every, strictly=strictly,
        )  # fmt: skip
        noising = make_noising(**self.process)

        def draw(part: Part) -> tuple[Tensor, ...]:
            x, told = clean(part), self.conditioner.of_training(part.rows)
            return *noised(noising, x, drop=c.drop), told

        loss = Objective(draw, lambda *drawn: {"loss": denoising_error(learner, *drawn)})

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

    def _sampler(self, *, doubled: bool = False) -> Sampler:
        from generators.diffusion import Sampler

        c = self.config
        return Sampler(
            c.sampler, **self.process, n_steps=c.sampling_steps, guidance=c.guidance, clip=self.bound,
            doubled=doubled,
        )  # fmt: skip

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
