"""Pixel diffusion: a conditional DDPM on the images themselves (Ho 2020), trained from scratch or fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from data.images import ImageSet
from generators.base import BaseGenerator
from generators.conditioning import ConditionConfig, make_conditioner
from generators.noise import draw_chunks
from generators.padding import cut_signed, pad_signed
from generators.pretrained import identify, require_identity
from generators.saving import Shape, read_model, write_model
from synthworth.artifacts import read_json, write_json
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

    from generators.diffusion import Sampler
    from generators.nets.denoiser import Denoiser
    from generators.training import Part

PROCESS = "process.json"


@dataclass(frozen=True)
class PixelDDPMConfig:
    """Options of `pixel_ddpm`. Loss, schedule and rate are the sources' (Ho 2020); the network suits 28 to 64 px."""

    widths: tuple[int, ...] = (64, 128, 128)
    """Channels of the UNet by resolution; each after the first halves it."""
    blocks: int = 1
    """Residual blocks of the UNet at each resolution."""
    attention: tuple[int, ...] = (-1,)
    """Resolutions with attention: 0 is the finest, -1 the coarsest. The middle of the network always has it."""
    patch: int = 1
    """Pixels a side that are folded into channels before the first convolution; 2 or 4 buy speed with detail."""
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"
    """What the UNet predicts: the noise (Ho 2020) or the velocity (Salimans & Ho 2022), which learns faster."""
    schedule: Literal["linear", "squaredcos_cap_v2"] = "linear"
    """Noise schedule over 1,000 steps: linear (Ho 2020) or cosine (Nichol & Dhariwal 2021)."""
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    """What the UNet is told of an image."""
    batch: int = 32
    """Images in a step."""
    accumulate: int = 1
    """Parts that a step's batch is cut into: one is computed at a time, or one on each of several devices."""
    lr: float = 1e-4
    """Highest learning rate (AdamW, warm-up, then half a cosine to zero)."""
    warmup: int = 50
    """Steps of linear warm-up; at most a tenth of the training."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    ema: float = 0.999
    """Decay of the average of the weights that is exported and drawn with."""
    drop: float = 0.1
    """Share of training conditions that are hidden, so that guidance has a prediction without one."""
    guidance: float = 1.0
    """Classifier-free guidance scale in sampling (Ho & Salimans 2022): 1 follows the data, above 1 exaggerates the
    condition and costs a second pass."""
    sampler: Literal["ddpm", "ddim", "dpmsolver++"] = "ddim"
    """How images are drawn: ancestral (Ho 2020), deterministic (Song 2021), or second-order multistep (Lu 2022)."""
    sampling_steps: int = 50
    """Steps of the sampler; 1,000 are all that `ddpm` was made for, 25 to 50 do for the other two."""
    pretrained: str = field(default="", metadata=NOT_IDENTITY)
    """Folder of diffusers or hub id (google/ddpm-cifar10-32) to fine-tune, as safetensors: its network, betas and
    prediction stand in the place of widths, blocks, attention, patch, schedule and prediction; lr 1e-5 suits it."""
    pretrained_id: str = ""
    """sha256 of that folder's files, or "hub:" and the id; filled in, and in the key in its place."""
    sample_batch: int = field(default=128, metadata=NOT_IDENTITY)
    """Images drawn at a time."""

    def __post_init__(self) -> None:
        if self.pretrained and not self.pretrained_id:
            object.__setattr__(self, "pretrained_id", identify(self.pretrained, what="--gen.pretrained"))


class PixelDDPM(BaseGenerator):
    """Denoising diffusion on pixels in -1..1.

    x_t = sqrt(a_t) x + sqrt(1 - a_t) e, e ~ N(0, I), t = 1 .. 1,000. A UNet told t and the condition y learns
    E || e - f(x_t, t, y) ||^2 (Ho 2020, eq. 14), or the same for the velocity. It is a `UNet2DModel` of diffusers for
    labels and a `UNet2DConditionModel`, which attends to tokens, for every other condition. What is exported is the
    moving average of its weights. Sampling starts from noise that depends on (seed, row) alone, and keeps the denoised
    image within -1..1 at every step. Images whose side the UNet cannot halve are padded at the edge, and cut back.
    """

    Config: ClassVar[type] = PixelDDPMConfig
    version: ClassVar[int] = 1
    config: PixelDDPMConfig

    @classmethod
    def tiny_config(cls) -> PixelDDPMConfig:
        """The smallest network that does everything, for the contract test."""
        return PixelDDPMConfig(widths=(8, 16), patch=2, batch=8, sampling_steps=3, sampler="ddpm")

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for the budget's steps.

        Raises
        ------
        UserError
            For another split than train, a class without an image, options that contradict each other, and whatever
            of pretrained weights, CLIP or embeddings is not at hand; before any training.
        """
        from generators.diffusion import denoising_loss, make_noising
        from generators.snapshots import Snapshots
        from generators.training import Resident, Trainer, count_parameters, first_of_each, report_phases
        from synthworth.devices import isolated_randomness

        self.require(train)
        self._refuse()
        self.shape, c = Shape.of(train), self.config
        trainer = Trainer(work, seed=seed_from(seed, "denoiser"), batch=c.batch, accumulate=c.accumulate)
        self.device = trainer.device
        self.conditioner = make_conditioner(
            c.condition, n_classes=self.shape.n_classes, multilabel=self.shape.multilabel
        )
        self.conditioner.fit(train, device=self.device, folder=work.folder)
        with isolated_randomness(seed_from(seed, "initial weights")):
            denoiser = self._build_to_train()
        learner = trainer.learner(
            "denoiser", denoiser, lr=c.lr, n_steps=work.budget.steps, warmup=c.warmup, clip=c.clip, ema=c.ema
        )
        source = Resident(train.images, device=self.device)
        noising = make_noising(self.process["schedule"], self.process["prediction"], betas=self.process["betas"])

        def loss(part: Part) -> Mapping[str, Tensor]:
            (images,) = source(part.rows)
            told = self.conditioner.of_training(part.rows)
            return {"loss": denoising_loss(learner, noising, pad_signed(images, self.padded), told, drop=c.drop)}

        snapshots = Snapshots(
            work, n_images=len(train), batch=c.batch, labels=first_of_each(train.labels),
            draw=lambda labels, picture: self._draw(learner.exported(), labels, seed=picture),
            weights=lambda: learner.exported().state_dict(), is_first=trainer.fabric.global_rank == 0,
        )  # fmt: skip
        report = trainer.run(
            "denoiser", lambda parts: learner.update(parts, loss), n_images=len(train), n_steps=work.budget.steps,
            seconds=work.budget.seconds, after=snapshots,
        )  # fmt: skip
        self.denoiser = learner.exported()
        facts = {"denoiser_parameters": count_parameters(denoiser), **self.conditioner.facts()}
        return report_phases([report], [c.batch], facts=facts)

    def _refuse(self) -> None:
        c = self.config
        if c.pretrained:
            require_identity(c.pretrained, c.pretrained_id, what="--gen.pretrained")
        if c.guidance != 1.0 and c.drop <= 0:
            raise UserError(f"guidance {c.guidance} needs a prediction without condition: set drop above 0 (0.1, say)")
        self._sampler({"schedule": c.schedule, "prediction": c.prediction, "betas": None})

    def _sampler(self, process: Mapping[str, Any]) -> Sampler:
        from generators.diffusion import Sampler

        c = self.config
        return Sampler(c.sampler, **process, n_steps=c.sampling_steps, guidance=c.guidance, clip=1.0)

    def _build_to_train(self) -> Denoiser:
        """A network with fresh weights, or pretrained ones whose prediction our labels do not change yet; sets the
        process it learns, and the side it works at."""
        import torch

        from generators.nets.denoiser import Denoiser
        from generators.pretrained import load_unet, side_of

        c = self.config
        self.process: dict[str, Any] = {"schedule": c.schedule, "prediction": c.prediction, "betas": None}
        self.unet: dict[str, Any] | None = None
        if not c.pretrained:
            return self._build()
        spec = self.conditioner.spec
        found = load_unet(c.pretrained, channels=self.shape.channels, size=self.shape.size, spec=spec)
        self.unet, self.padded = found.config, side_of(found.config, self.shape.size)
        if found.betas is not None:
            self.process |= {"betas": list(found.betas), "prediction": found.prediction}
            self._sampler(self.process)
        denoiser = Denoiser(found.unet, spec, absent=self.conditioner.absent)
        if spec.kind == "label":
            with torch.no_grad():
                for vectors in denoiser.condition.parameters():
                    vectors.zero_()
        return denoiser

    def _build(self) -> Denoiser:
        """The network with fresh weights from torch's global generator."""
        from generators.nets.denoiser import Denoiser, make_denoiser, side_multiple
        from generators.pretrained import rebuild, side_of

        c, spec = self.config, self.conditioner.spec
        if self.unet is not None:
            self.padded = side_of(self.unet, self.shape.size)
            return Denoiser(rebuild(self.unet), spec)
        multiple = side_multiple(c.widths, c.patch)
        self.padded = -(-self.shape.size // multiple) * multiple
        return make_denoiser(
            channels=self.shape.channels, size=self.padded, spec=spec, widths=c.widths, n_blocks=c.blocks,
            attention=c.attention, patch=c.patch, absent=self.conditioner.absent,
        )  # fmt: skip

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """uint8 (N, C, H, W), row i shows `labels[i]`; float32 throughout, so that a row does not depend on how
        many are drawn at a time by more than the last bit of rounding."""
        return self._draw(self.denoiser, labels, seed=seed)

    def _draw(self, net: Any, labels: Tensor, *, seed: int) -> Tensor:
        import torch

        from synthworth.training.average import evaluating

        shape, side = self.shape, self.padded
        draw, plan = self._sampler(self.process), self.conditioner.plan(labels, seed=seed)
        images = torch.empty((len(labels), shape.channels, shape.size, shape.size), dtype=torch.uint8)
        chunk = self.config.sample_batch
        with evaluating(net) as denoiser:
            for rows, noise in draw_chunks(len(labels), (shape.channels, side, side), seed=seed, chunk=chunk):
                told = self.conditioner.look_up(plan[rows])
                drawn = draw(denoiser, noise.to(self.device), told, seed=seed, rows=rows)
                images[rows] = cut_signed(drawn, shape.size)
        return images

    def save(self, folder: Path) -> None:
        """Write the averaged network, the process it learned, and what its conditions are drawn from."""
        write_model(folder, config=self.config, shape=self.shape, weights={"denoiser": self.denoiser.state_dict()})
        write_json(folder / PROCESS, {"process": self.process, "unet": self.unet})
        self.conditioner.save(folder)

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from generators.training import place
        from synthworth.devices import isolated_randomness

        config, shape, weights = read_model(folder, PixelDDPMConfig)
        model, facts = cls(config), read_json(folder / PROCESS)
        model.shape, model.device, model.process, model.unet = shape, device, facts["process"], facts["unet"]
        model.conditioner = make_conditioner(config.condition, n_classes=shape.n_classes, multilabel=shape.multilabel)
        model.conditioner.restore(folder, device=device)
        with isolated_randomness(0):
            model.denoiser = model._build()
        model.denoiser.load_state_dict(weights["denoiser"])
        model.denoiser = place(model.denoiser, device)
        return model
