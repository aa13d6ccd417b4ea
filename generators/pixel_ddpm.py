"""Pixel diffusion: a conditional DDPM on the images themselves (Ho 2020), trained from scratch or fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from data.images import ImageSet
from generators.ddpm import DDPM, DDPMConfig
from generators.padding import cut_signed, pad_signed
from generators.places import identify, is_fetched, require_identity
from generators.saving import Shape, read_model, write_model
from synthworth.artifacts import read_json, write_json
from synthworth.cost import Operations, PlannedPhase
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY
from synthworth.search_space import OneOf, searched
from synthworth.training.options import require_ranges
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

    from generators.nets.denoiser import Denoiser
    from generators.training import Part

PROCESS = "process.json"


@dataclass(frozen=True)
class PixelDDPMConfig(DDPMConfig):
    """Options of `pixel_ddpm`. Loss, schedule and rate are the sources' (Ho 2020); the network suits 28 to 64 px."""

    # the base has these options' docstrings
    lr: float = 1e-4
    sample_batch: int = field(default=128, metadata=NOT_IDENTITY)
    widths: tuple[int, ...] = field(
        default=(64, 128, 128),
        metadata=searched(OneOf((32, 64, 64), (64, 96, 128), (64, 128, 128), (128, 256, 256)), pretrained=("",)),
    )
    """Channels of the UNet by resolution; each after the first halves it."""
    blocks: int = 1
    """Residual blocks of the UNet at each resolution."""
    attention: tuple[int, ...] = (-1,)
    """Resolutions with attention: 0 is the finest, -1 the coarsest. The middle of the network always has it."""
    patch: int = 1
    """Pixels a side that are folded into channels before the first convolution; 2 or 4 buy speed with detail."""
    pretrained: str = field(default="", metadata=NOT_IDENTITY)
    """Folder of diffusers or hub id (google/ddpm-cifar10-32) to fine-tune, as safetensors: its network, betas and
    prediction stand in the place of widths, blocks, attention, patch, schedule and prediction; lr 1e-5 suits it."""
    pretrained_id: str = ""
    """sha256 of that folder's files, or "hub:" and the id; filled in, and in the key in its place."""

    def __post_init__(self) -> None:
        require_ranges(self, self.ranges(), prefix="--gen.")
        if self.pretrained and not self.pretrained_id:
            object.__setattr__(self, "pretrained_id", identify(self.pretrained, what="--gen.pretrained"))


class PixelDDPM(DDPM):
    """Denoising diffusion (`DDPM`) on pixels in -1..1.

    The denoiser is a `UNet2DModel` of diffusers for labels and a `UNet2DConditionModel`, which attends to tokens, for
    every other condition. Drawing keeps the denoised image within -1..1 at every step. Images whose side the UNet
    cannot halve are padded at the edge, and cut back.
    """

    Config: ClassVar[type] = PixelDDPMConfig
    version: ClassVar[int] = 1
    bound: ClassVar[float | None] = 1.0
    config: PixelDDPMConfig

    @classmethod
    def tiny_config(cls) -> PixelDDPMConfig:
        """The smallest network that does everything, for the contract test."""
        return PixelDDPMConfig(widths=(8, 16), patch=2, batch=8, sampling_steps=3, sampler="ddpm")

    @classmethod
    def version_of(cls, config: Any) -> int:
        """As `DDPM.version_of`, and one more with a pretrained network or CLIP.

        Before, what a file lacked was left random; and a network's own betas may end in pure noise, of which
        `dpmsolver++` made NaN.
        """
        return super().version_of(config) + bool(config.pretrained_id or config.condition.source_id)

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse a pretrained network that cannot be used, and conditions; see `BaseGenerator`."""
        from generators.pretrained import check_unet

        super().check_files(fetch=fetch, channels=channels, size=size)
        self._require_pretrained()
        c, told = self.config, self.config.condition
        if c.pretrained and (fetch or not is_fetched(c.pretrained)):
            width = {"multilabel": told.token_width, "embedding": told.embedding_shape[1]}.get(told.kind)
            check_unet(c.pretrained, channels=channels, size=size, kind=told.kind, width=width)

    def _require_pretrained(self) -> None:
        """Refuse a pretrained network that is another than the key says, or that nobody says the place of."""
        c = self.config
        if c.pretrained_id and not c.pretrained:
            raise UserError(f"the network {c.pretrained_id} is asked for; say with --gen.pretrained where it is")
        if c.pretrained:
            require_identity(c.pretrained, c.pretrained_id, what="--gen.pretrained")

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """See `BaseGenerator`; not known of pretrained networks, nor of conditions that are tokens."""
        from generators.operations import counted_once, of_denoiser

        c = self.config
        if c.pretrained_id or c.condition.kind != "label":
            return None
        self.shape = Shape(channels, size, n_classes, multilabel)
        self.conditioner, self.unet = self._conditioner(), None
        train, use, n = counted_once(self, lambda: of_denoiser(self._build, lambda: self.noise_shape, self.shape))
        return Operations((PlannedPhase("unet", n_steps, c.batch, train),), self._passes() * use, int(n))

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for the budget's steps.

        Raises
        ------
        UserError
            For another split than train, a class without an image, options that contradict each other, and whatever
            of pretrained weights, CLIP or embeddings is not at hand; before any training.
        """
        from generators.training import report_phases

        self.require(train)
        c, budget = self.config, work.budget
        self._require_pretrained()
        self.check_drawing()
        trainer = self._begin(train, seed=seed, work=work)
        source = trainer.near(train.images)

        def clean(part: Part) -> Tensor:
            (images,) = source(part.rows)
            return pad_signed(images, self.noise_shape[-1])

        report = self._learn(
            trainer, self._build_to_train, clean, train.labels, seed=seed, n_steps=budget.steps,
            seconds=budget.seconds, strictly=not c.pretrained,
        )  # fmt: skip
        return report_phases([report], [c.batch], facts=self._facts())

    def _build_to_train(self) -> Denoiser:
        """A network with fresh weights, or pretrained ones whose prediction our labels do not change yet.

        Sets the process it learns, and the side it works at.
        """
        import torch

        from generators.nets.denoiser import Denoiser
        from generators.pretrained import load_unet, side_of

        c = self.config
        self.unet: dict[str, Any] | None = None
        if not c.pretrained:
            return self._build()
        spec = self.conditioner.spec
        found = load_unet(c.pretrained, channels=self.shape.channels, size=self.shape.size, spec=spec)
        self.unet = found.config
        self._pad_to(side_of(found.config, self.shape.size))
        if found.betas is not None:
            self.process |= {"betas": list(found.betas), "prediction": found.prediction}
            self._sampler()
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
            self._pad_to(side_of(self.unet, self.shape.size))
            return Denoiser(rebuild(self.unet), spec)
        multiple = side_multiple(c.widths, c.patch)
        self._pad_to(-(-self.shape.size // multiple) * multiple)
        return make_denoiser(
            channels=self.shape.channels, size=self.noise_shape[-1], spec=spec, widths=c.widths, n_blocks=c.blocks,
            attention=c.attention, patch=c.patch, absent=self.conditioner.absent,
        )  # fmt: skip

    def _pad_to(self, side: int) -> None:
        self.noise_shape = (self.shape.channels, side, side)

    def _as_images(self, drawn: Tensor, labels: Tensor) -> Tensor:
        return cut_signed(drawn, self.shape.size)

    def save(self, folder: Path) -> None:
        """Write the averaged network, the process it learned, and what its conditions are drawn from."""
        write_model(folder, config=self.config, shape=self.shape, weights={"denoiser": self.denoiser.state_dict()})
        write_json(folder / PROCESS, {"process": self.process, "unet": self.unet})
        self.conditioner.save(folder)

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from synthworth.training.networks import rebuild

        config, shape, weights = read_model(folder, PixelDDPMConfig)
        model, facts = cls(config), read_json(folder / PROCESS)
        model._restore(folder, shape=shape, device=device)
        model.process, model.unet = facts["process"], facts["unet"]
        model.denoiser = rebuild(model._build, weights["denoiser"], device=device)
        return model
