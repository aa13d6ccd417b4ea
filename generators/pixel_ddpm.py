"""Pixel diffusion: a conditional DDPM on the images themselves (Ho 2020), trained from scratch or fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from generators.ddpm import DDPM, DDPMConfig, Prediction, Schedule
from generators.pixels import PixelOptions, Pixels
from generators.places import identify, is_fetched, require_identity
from synthworth.artifacts import read_json, write_json
from synthworth.cost import Operations
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY
from synthworth.search_space import OneOf, applies, searched
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from torch import nn

PROCESS = "process.json"
OF_OURS = applies(pretrained=("",), backbone=("unet",))


@dataclass(frozen=True)
class PixelDDPMConfig(PixelOptions, DDPMConfig):
    """Options of `pixel_ddpm`. Loss, schedule and rate are the sources' (Ho 2020); the network suits 28 to 64 px.

    Raises
    ------
    UserError
        For a number out of its range, and for a pretrained network beside another backbone than a UNet.
    """

    # the bases have these options' docstrings
    lr: float = 1e-4
    sample_batch: int = field(default=128, metadata=NOT_IDENTITY)
    widths: tuple[int, ...] = field(
        default=(64, 128, 128),
        metadata=searched(
            OneOf((32, 64, 64), (64, 96, 128), (64, 128, 128), (128, 256, 256)), pretrained=("",), backbone=("unet",)
        ),
    )
    blocks: int = field(default=1, metadata=OF_OURS)
    attention: tuple[int, ...] = field(default=(-1,), metadata=OF_OURS)
    patch: int = field(default=1, metadata=OF_OURS)
    prediction: Prediction = field(
        default="epsilon", metadata=searched(OneOf("epsilon", "v_prediction"), pretrained=("",))
    )
    schedule: Schedule = field(
        default="linear", metadata=searched(OneOf("linear", "squaredcos_cap_v2"), pretrained=("",))
    )
    pretrained: str = field(default="", metadata=NOT_IDENTITY)
    """Folder of diffusers or hub id (google/ddpm-cifar10-32) to fine-tune, as safetensors: its network, betas and
    prediction stand in the place of widths, blocks, attention, patch, schedule and prediction; lr 1e-5 suits it."""
    pretrained_id: str = ""
    """sha256 of that folder's files, or "hub:" and the id; filled in, and in the key in its place."""

    def __post_init__(self) -> None:
        require_ranges(self, self.ranges(), prefix="--gen.")
        if self.pretrained and not self.pretrained_id:
            object.__setattr__(self, "pretrained_id", identify(self.pretrained, what="--gen.pretrained"))
        if self.pretrained_id and self.backbone != "unet":
            raise UserError(
                f"--gen.backbone {self.backbone} was asked for beside --gen.pretrained, which is a UNet; leave one out"
            )


class PixelDDPM(Pixels, DDPM):
    """Denoising diffusion (`DDPM`) on images (`Pixels`)."""

    Config: ClassVar[type] = PixelDDPMConfig
    version: ClassVar[int] = 1
    config: PixelDDPMConfig
    unet: dict[str, Any] | None = None
    """Configuration of a pretrained UNet, None of one of ours."""

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
        self._refuse()
        c, told = self.config, self.config.condition
        if c.pretrained and (fetch or not is_fetched(c.pretrained)):
            width = {"multilabel": told.token_width, "embedding": told.embedding_shape[1]}.get(told.kind)
            check_unet(c.pretrained, channels=channels, size=size, kind=told.kind, width=width)

    def _refuse(self) -> None:
        """Refuse a pretrained network that is another than the key says, or that nobody says the place of."""
        c = self.config
        if c.pretrained_id and not c.pretrained:
            raise UserError(f"the network {c.pretrained_id} is asked for; say with --gen.pretrained where it is")
        if c.pretrained:
            require_identity(c.pretrained, c.pretrained_id, what="--gen.pretrained")

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """See `BaseGenerator`; not known of pretrained networks either."""
        if self.config.pretrained_id:
            return None
        return super().operations(
            channels=channels, size=size, n_classes=n_classes, multilabel=multilabel, n_steps=n_steps
        )

    @property
    def _all_is_deterministic(self) -> bool:
        return not self.config.pretrained

    def _build_to_train(self) -> nn.Module:
        """A network with fresh weights, or pretrained ones whose prediction our labels do not change yet.

        Sets the process it learns, and the side it works at.
        """
        import torch

        from generators.nets.denoiser import Denoiser
        from generators.pretrained import load_unet, side_of

        c = self.config
        self.unet = None
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

    def _build(self) -> nn.Module:
        """The network with fresh weights from torch's global generator."""
        from generators.nets.denoiser import Denoiser
        from generators.pretrained import rebuild, side_of

        if self.unet is None:
            return super()._build()
        self._pad_to(side_of(self.unet, self.shape.size))
        return Denoiser(rebuild(self.unet), self.conditioner.spec)

    def save(self, folder: Path) -> None:
        """As `Pixels.save`, and the process that was learned."""
        super().save(folder)
        write_json(folder / PROCESS, {"process": self.process, "unet": self.unet})

    def _restore_more(self, folder: Path) -> None:
        facts = read_json(folder / PROCESS)
        self.process, self.unet = facts["process"], facts["unet"]
