"""The stem: how much a network shrinks an image before its first block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import nn

Stem = Literal["auto", "imagenet", "half", "small"]
REDUCTION = {"imagenet": 32, "half": 16, "small": 8}
"""Side of the image over side of the last feature map, for ResNet and DenseNet alike."""
SMALLEST_MAP = 4
"""`auto` takes the stem that shrinks most while the last feature map keeps this side."""


def resolve_stem(stem: str, size: int) -> str:
    """The stem for images of `size` pixels; `auto` is `imagenet` from 128, `half` from 64, `small` below.

    Notes
    -----
    The stems are

    - `imagenet`: timm's own, 7x7 stride 2 (or deep) and a stride-2 pool;
    - `half`: 3x3 stride 2, no pool;
    - `small`: 3x3 stride 1, no pool: what MedMNIST trains at 28 px (Yang 2023), 4 times the cost of `half`.
    """
    if stem != "auto":
        return stem
    fitting = (name for name in REDUCTION if size >= SMALLEST_MAP * REDUCTION[name])
    return next(fitting, "small")


def fit_stem(model: nn.Module, stem: str, size: int) -> None:
    """Change the stem of a timm ResNet or DenseNet in place; `imagenet` leaves it as it is.

    A 7x7 convolution is replaced by a fresh 3x3 one (He initialisation), pre-trained or not; a deep stem
    keeps its convolutions and changes the stride of the first.

    Raises
    ------
    UserError
        When images of `size` pixels would shrink to nothing: DenseNet's pools round down.
    """
    from timm.models.densenet import DenseNet
    from torch import nn

    if isinstance(model, DenseNet) and size < REDUCTION[stem]:
        raise UserError(
            f"--clf.stem {stem} shrinks images {REDUCTION[stem]} times and these have {size} px, too few for "
            "a DenseNet; use --clf.stem small"
        )
    if stem == "imagenet":
        return
    stride = 1 if stem == "small" else 2
    if isinstance(model, DenseNet):
        model.features.conv0 = _fresh_convolution(model.features.conv0, stride)
        model.features.pool0 = nn.Identity()
        return
    first = model.get_submodule("conv1")
    if isinstance(first, nn.Sequential):
        first[0] = _fresh_convolution(first[0], stride)
    else:
        model.add_module("conv1", _fresh_convolution(first, stride))
    model.add_module("maxpool", nn.Identity())


def first_convolution(model: nn.Module) -> str:
    """Name of the module that a timm ResNet or DenseNet begins with."""
    from timm.models.densenet import DenseNet
    from torch import nn

    if isinstance(model, DenseNet):
        return "features.conv0"
    return "conv1.0" if isinstance(model.get_submodule("conv1"), nn.Sequential) else "conv1"


def _fresh_convolution(old: nn.Module, stride: int) -> nn.Module:
    from torch import nn

    if not isinstance(old, nn.Conv2d):
        begins = type(old).__name__
        raise UserError(f"this network begins with {begins}, not a convolution; use --clf.stem imagenet")
    if old.kernel_size == (3, 3):
        old.stride = (stride, stride)
        return old
    new = nn.Conv2d(old.in_channels, old.out_channels, 3, stride=stride, padding=1, bias=old.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new
