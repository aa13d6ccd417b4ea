"""Denoising of images: the network's options, padding, fitting, saving. A subclass says by which process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from data.images import ImageSet
from generators.backbones import Backbone, DiTConfig, is_levels, is_widths, make_dit, require_divides
from generators.copy_stop import require_judge
from generators.denoising import Denoising
from generators.padding import cut_signed, pad_signed
from generators.saving import Shape, read_model, write_model
from synthworth.cost import Operations, PlannedPhase
from synthworth.keys import SINCE_DEFAULT
from synthworth.search_space import OneOf, applies, searched, searched_inside
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.training import Part, Schedule, Trainer
    from synthworth.training.loop import PhaseReport


@dataclass(frozen=True)
class PixelOptions:
    """The network that denoises images; its defaults suit 28 to 64 px."""

    widths: tuple[int, ...] = field(
        default=(64, 128, 128),
        metadata=searched(OneOf((32, 64, 64), (64, 96, 128), (64, 128, 128), (128, 256, 256)), backbone=("unet",)),
    )
    """Channels of the UNet by resolution; each after the first halves it."""
    blocks: int = field(default=1, metadata=applies(backbone=("unet",)))
    """Residual blocks of the UNet at each resolution."""
    attention: tuple[int, ...] = field(default=(-1,), metadata=applies(backbone=("unet",)))
    """Resolutions with attention: 0 is the finest, -1 the coarsest. The middle of the network always has it."""
    patch: int = field(default=1, metadata=applies(backbone=("unet",)))
    """Pixels a side that are folded into channels before the first convolution; 2 or 4 buy speed with detail."""
    backbone: Backbone = field(default="unet", metadata=SINCE_DEFAULT)
    """The network that denoises: a UNet (`widths`, `blocks`, `attention`, `patch`), or a transformer over patches
    (`dit`; Peebles & Xie 2023), whose options are those of `--gen.dit`."""
    dit: DiTConfig = field(
        default=DiTConfig(), metadata=SINCE_DEFAULT | searched_inside("patch", "width", "depth", backbone=("dit",))
    )
    """The transformer's options."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range, those of the process too; for `require_ranges`."""
        others: dict[str, tuple[bool, str]] = super().ranges()  # type: ignore[misc]
        return others | {
            "widths": is_widths(self.widths),
            "attention": is_levels(self.attention, len(self.widths)),
            "blocks": (self.blocks >= 1, "1 or more"),
            "patch": (self.patch >= 1, "1 or more"),
        }


class Pixels(Denoising):
    """Images in -1..1 are denoised; drawing keeps the denoised image within -1..1 at every step.

    The denoiser is a `UNet2DModel` of diffusers for labels and a `UNet2DConditionModel`, which attends to tokens, for
    every other condition; or a `DiT`. Images whose side the UNet cannot halve are padded at the edge, and cut back.
    """

    bound: ClassVar[float | None] = 1.0

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse patches that do not divide the images, and conditions that cannot be used; see `BaseGenerator`."""
        super().check_files(fetch=fetch, channels=channels, size=size)
        if self.config.backbone == "dit" and size is not None:
            require_divides(self.config.dit.patch, size, what="the images")

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """See `BaseGenerator`; not known of conditions that are tokens."""
        from generators.operations import counted_once, of_denoiser

        c = self.config
        if c.condition.kind != "label":
            return None
        self.shape = Shape(channels, size, n_classes, multilabel)
        self.conditioner = self._conditioner()
        train, use, n = counted_once(self, lambda: of_denoiser(self._build, lambda: self.noise_shape, self.shape))
        return Operations((PlannedPhase(c.backbone, n_steps, c.batch, train),), self._passes() * use, int(n))

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for the budget's steps.

        Raises
        ------
        UserError
            For another split than train, a class without an image, options that contradict each other, and whatever
            of pretrained weights, CLIP or embeddings is not at hand; before any training.
        """
        from synthworth.training.reports import report_phases

        self.require(train)
        c, budget = self.config, work.budget
        require_judge(c, work)
        self._refuse()
        self.check_drawing()
        trainer = self._begin(train, seed=seed, work=work)
        report = self._denoise(
            train, trainer, self._build_to_train, seed=seed, n_steps=budget.steps, seconds=budget.seconds
        )
        return report_phases([report], [c.batch], facts=self._facts())

    def _denoise(
        self, train: ImageSet, trainer: Trainer, build: Callable[[], nn.Module], *, seed: int, n_steps: int,
        seconds: float | None, lr: float | None = None, schedule: Schedule = "cosine",
    ) -> PhaseReport:  # fmt: skip
        """`Denoising._learn` of the images."""
        source = trainer.near(train.images)

        def clean(part: Part) -> Tensor:
            (images,) = source(part.rows)
            return pad_signed(images, self.noise_shape[-1])

        return self._learn(
            trainer, build, clean, train.labels, seed=seed, n_steps=n_steps, seconds=seconds,
            strictly=self._all_is_deterministic, lr=lr, schedule=schedule,
        )  # fmt: skip

    def _refuse(self) -> None:
        """Refuse options that cannot be, before anything starts."""

    @property
    def _all_is_deterministic(self) -> bool:
        """Whether the network computes nothing but what has a deterministic form (`Trainer.learner`)."""
        return True

    def _build_to_train(self) -> nn.Module:
        """The network that training starts from. Sets the side it works at."""
        return self._build()

    def _build(self) -> nn.Module:
        """The network with fresh weights from torch's global generator."""
        from generators.nets.denoiser import make_denoiser, side_multiple

        c, spec, known = self.config, self.conditioner.spec, self._told_more()
        channels, size, absent = self.shape.channels, self.shape.size, self.conditioner.absent
        if c.backbone == "dit":
            self._pad_to(size)
            return make_dit(c.dit, channels=channels, size=size, spec=spec, what="the images", absent=absent, **known)
        multiple = side_multiple(c.widths, c.patch)
        self._pad_to(-(-size // multiple) * multiple)
        return make_denoiser(
            channels=channels, size=self.noise_shape[-1], spec=spec, widths=c.widths, n_blocks=c.blocks,
            attention=c.attention, patch=c.patch, absent=absent, **known,
        )  # fmt: skip

    def _told_more(self) -> dict[str, Any]:
        """What the network is told beside time and condition: nothing here."""
        return {}

    def _pad_to(self, side: int) -> None:
        self.noise_shape = (self.shape.channels, side, side)

    def _as_images(self, drawn: Tensor, labels: Tensor) -> Tensor:
        return cut_signed(drawn, self.shape.size)

    def save(self, folder: Path) -> None:
        """Write the averaged network, and what its conditions are drawn from."""
        write_model(folder, config=self.config, shape=self.shape, weights={"denoiser": self.denoiser.state_dict()})
        self.conditioner.save(folder)

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from synthworth.training.networks import rebuild

        config, shape, weights = read_model(folder, cls.Config)
        model = cls(config)
        model._restore(folder, shape=shape, device=device)
        model._restore_more(folder)
        model.denoiser = rebuild(model._build, weights["denoiser"], device=device)
        return model

    def _restore_more(self, folder: Path) -> None:
        """Read what a subclass wrote beside the network."""
