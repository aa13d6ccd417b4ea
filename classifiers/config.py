"""The options of a classifier, and which architectures there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from classifiers.registry import ARCHITECTURES
from classifiers.stems import Stem
from data.augment import find_augmentation
from synthworth.errors import UserError, unknown_name
from synthworth.keys import NOT_IDENTITY
from synthworth.search_space import Between, OneOf, searched
from synthworth.training.options import checked_sha256, require_ranges


@dataclass(frozen=True)
class Config:
    """Options of the timm classifier.

    Raises
    ------
    UserError
        For a value out of its range, an architecture timm does not know, a weights file that is missing or is
        another than `weights_sha256` says.
    """

    arch: str = "resnet18"
    """Any ResNet or DenseNet of timm, by its name there."""
    stem: Stem = "auto"
    """How images enter: imagenet (timm's own, stride 2 and a pool), half (3x3 stride 2, no pool), small (3x3
    stride 1, no pool: MedMNIST's), or auto: imagenet from 128 px, half from 64, small below."""
    pretrained: bool = False
    """Begin with timm's ImageNet weights, fetched from its hub. A replaced stem is not pre-trained."""
    weights: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Begin with the weights in this file (timm's names, under any prefix; safetensors or torch's format), not the
    hub's. Everything but the head, and a stem that is replaced, must be in it."""
    weights_sha256: str = ""
    """Of the weights file: filled in from it, checked against it where given, and in the key in its place."""
    batch_size: int = 64
    """Images a step."""
    learning_rate: float = field(default=1e-3, metadata=searched(Between(1e-4, 1e-2, log=True)))
    """Peak of the schedule, for AdamW."""
    weight_decay: float = field(default=0.05, metadata=searched(Between(1e-3, 0.3, log=True)))
    """For AdamW; biases and norms are left out."""
    schedule: Literal["one_cycle", "cosine"] = field(
        default="one_cycle", metadata=searched(OneOf("one_cycle", "cosine"))
    )
    """Learning rate over the step budget: one_cycle (30 % up, 70 % down) or cosine (5 % up, then down)."""
    label_smoothing: float = field(default=0.0, metadata=searched(Between(0.0, 0.2, step=0.02)))
    """Share of the target that is spread over the classes."""
    dropout: float = field(default=0.0, metadata=searched(Between(0.0, 0.5, step=0.1)))
    """Before the last layer."""
    augment: str = field(
        default="light", metadata=searched(OneOf("none", "exposure", "light", "strong", "randaugment"))
    )
    """Classical augmentation: none, exposure, light, strong or randaugment; none of them flips."""
    sampling: Literal["uniform", "balanced"] = field(default="uniform", metadata=searched(OneOf("uniform", "balanced")))
    """balanced draws rare classes as often as common ones (oversampling)."""
    class_weights: bool = field(default=False, metadata=searched(OneOf(False, True)))
    """Let an image of a rare class count more in the loss, in proportion to how rare it is."""
    blend: Literal["none", "mixup", "cutmix"] = field(
        default="none", metadata=searched(OneOf("none", "mixup", "cutmix"))
    )
    """Blend each batch with itself in another order: mixup (Zhang 2018) or cutmix (Yun 2019)."""
    blend_alpha: float = field(default=0.2, metadata=searched(Between(0.1, 1.0), blend=("mixup", "cutmix")))
    """Of the Beta distribution that the share of a blend is drawn from."""
    n_evaluations: int = 5
    """How often val is looked at to choose the checkpoint: evenly over the steps, the last included."""

    def __post_init__(self) -> None:
        find_augmentation(self.augment)
        in_range = {
            "batch_size": (self.batch_size >= 2, "2 or more (batch norm needs two images)"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "0 or more and below 1"),
            "dropout": (0 <= self.dropout < 1, "0 or more and below 1"),
            "blend_alpha": (self.blend_alpha > 0, "above 0"),
            "n_evaluations": (self.n_evaluations >= 1, "1 or more"),
        }
        require_ranges(self, in_range, prefix="--clf.")
        if self.arch not in ARCHITECTURES:
            check_arch(self.arch)
        if self.weights is not None:
            found = checked_sha256(self.weights, self.weights_sha256, option="--clf.weights")
            object.__setattr__(self, "weights_sha256", found)


def check_arch(arch: str) -> None:
    """Raise UserError unless timm has this architecture and it is a ResNet or a DenseNet."""
    import timm
    from timm.models import model_entrypoint
    from timm.models.densenet import DenseNet
    from timm.models.resnet import ResNet

    families = (ResNet.__module__, DenseNet.__module__)
    bare = arch.partition(".")[0]
    if not timm.is_model(bare):
        ours = (name for name in timm.list_models() if model_entrypoint(name).__module__ in families)
        raise unknown_name("classifier architecture", bare, ours)
    if model_entrypoint(bare).__module__ not in families:
        raise UserError(f"--clf.arch {arch}: timm has it, but it is no ResNet or DenseNet. Try resnet18")
