"""From an image to the parameters of q(z | x): feature extractors, and the head between features and latent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import timm
import torch
from safetensors import SafetensorError
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from generators.nets.residual import ResBlock, norm
from synthworth.errors import UserError
from synthworth.images import to_rgb
from synthworth.training.weight_files import read_weights
from synthworth.training.weights import match_weights

REDUCTIONS = {"vgg16": (1, 2, 4, 8, 16, 32), "densenet121": (2, 4, 8, 16, 32)}
"""Strides at which timm's extractors give features."""
TAGS = {"vgg16": "vgg16.tv_in1k", "densenet121": "densenet121.tv_in1k"}
"""The pinned ImageNet weights of timm's hub: torchvision's."""
ENCODER = "encoder weights"


class ResNetEncoder(nn.Module):
    """Residual blocks on the image folded into patches; each width after the first halves the resolution once.

    Folded by pixel unshuffle, so that no convolution runs at full resolution unless `patch` is 1.

    Attributes
    ----------
    factor : patch * 2 ** (len(widths) - 1); sides must be multiples of it.
    width : channels of the features.
    """

    def __init__(self, *, channels: int, widths: Sequence[int], n_blocks: int, patch: int) -> None:
        super().__init__()
        self.factor, self.width = patch * 2 ** (len(widths) - 1), widths[-1]
        width = widths[0]
        layers: list[nn.Module] = [nn.PixelUnshuffle(patch), nn.Conv2d(channels * patch * patch, width, 3, padding=1)]
        for level, after in enumerate(widths):
            if level:
                layers.append(nn.Conv2d(width, after, 3, stride=2, padding=1))
            layers.extend(ResBlock(after, after) for _ in range(n_blocks))
            width = after
        self.layers = nn.Sequential(*layers, norm(width), nn.SiLU())

    def forward(self, images: Tensor) -> Tensor:  # (N, C, S, S), -1..1 -> (N, width, S / factor, S / factor)
        """Features."""
        out: Tensor = self.layers(images)
        return out


class TimmEncoder(nn.Module):
    """The feature map of a timm VGG-16 or DenseNet-121 at stride `factor`, brought to one scale by a group norm.

    Grey is repeated to RGB, and intensities are normalised as the extractor's ImageNet weights expect. Frozen, it
    stays in evaluation mode (batch norm does not move) and none of its parameters wants a gradient.

    Parameters
    ----------
    weights : None for random ones (drawn from torch's global generator), "hub", or a file with timm's names.

    Raises
    ------
    UserError
        When there are no features at this stride, or the weights cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, *, factor: int, frozen: bool, weights: str | Path | None) -> None:
        super().__init__()
        if factor not in REDUCTIONS[name]:
            raise UserError(
                f"{name} has features at strides {', '.join(map(str, REDUCTIONS[name]))}, and the latent asks for "
                f"{factor} = patch x 2 ^ (levels - 1); change patch or widths"
            )
        self.factor, self.frozen = factor, frozen
        index = (REDUCTIONS[name].index(factor),)
        try:
            self.net = begin(TAGS[name], weights, features_only=True, out_indices=index)
        except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"weights of {TAGS[name]} cannot be had from {weights} ({reason}); put {TAGS[name]}.safetensors into "
                "SYNTHWORTH_WEIGHTS, or name a file with --gen.encoder-weights"
            ) from error
        self.width: int = self.net.feature_info.channels()[-1]
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD)[:, None, None], persistent=False)
        self.scale = norm(self.width)
        if frozen:
            self.net.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Training mode, for what is trained."""
        super().train(mode)
        if self.frozen:
            self.net.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:  # (N, C, S, S), -1..1 -> (N, width, S / factor, S / factor)
        """Features."""
        out: Tensor = self.scale(self.net((to_rgb(images) * 0.5 + 0.5 - self.mean) / self.std)[0])
        return out


def begin(tag: str, weights: str | Path | None, **options: Any) -> Any:
    """A timm network with its hub's weights, those of a file, or random ones.

    Only what is kept of it is then drawn (He 2015), since nine tenths of VGG-16 are the classifier that features do
    not need.
    """
    if weights == "hub":
        return timm.create_model(tag, pretrained=True, **options)
    if weights is not None:  # read here, since timm takes what fits and leaves the rest random
        overlay = {"state_dict": read_encoder(tag, Path(weights))}
        net = timm.create_model(tag, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        del net.pretrained_cfg["state_dict"]  # or every copy of the network would carry it
        return net
    if isinstance(torch.empty(0), FakeTensor):  # its operations are counted: it has no numbers that would be drawn
        return timm.create_model(tag, pretrained=False, **options)
    with torch.device("meta"):
        net = timm.create_model(tag, pretrained=False, **options)
    net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return net


def read_encoder(tag: str, file: Path) -> dict[str, Tensor]:
    """All weights of a timm network's features from a file; its head may be in it or not.

    Raises
    ------
    UserError
        When the file cannot be read, or anything of the features is not in it.
    """
    with torch.device("meta"):
        whole = timm.create_model(tag, pretrained=False).state_dict()
    wanted = {name: tensor for name, tensor in whole.items() if name.startswith("features.")}
    found = read_weights(file, what=ENCODER, advice=f"Give the weights of {tag}")
    return match_weights(wanted, found, where=f"{ENCODER} {file}", network=tag)


class VectorHead(nn.Module):
    """Flattened features (and the label's vector) to mean and log-variance of `size` numbers, one affine map.

    With `transition` above 0 a layer of that width and a SiLU lie between.
    """

    def __init__(self, *, features: tuple[int, int, int], size: int, transition: int, label_width: int) -> None:
        super().__init__()
        n = features[0] * features[1] * features[2]
        self.transition = nn.Sequential(nn.Linear(n, transition), nn.SiLU()) if transition else nn.Identity()
        self.out = nn.Linear((transition or n) + label_width, 2 * size)

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:  # (N, F, h, w) -> (N, 2 size)
        """Mean and log-variance, side by side."""
        flat = self.transition(features.flatten(1))
        out: Tensor = self.out(flat if label is None else torch.cat([flat, label.to(flat.dtype)], dim=1))
        return out


class SpatialHead(nn.Module):
    """Features (and the label's vector, added to all positions) to mean and log-variance of a latent image.

    By a 3 x 3 convolution; with `transition` above 0 a 1 x 1 convolution of that width and a SiLU lie between.
    """

    def __init__(self, *, width: int, channels: int, transition: int, label_width: int) -> None:
        super().__init__()
        self.transition = nn.Sequential(nn.Conv2d(width, transition, 1), nn.SiLU()) if transition else nn.Identity()
        self.out = nn.Conv2d(transition or width, 2 * channels, 3, padding=1)
        self.label = nn.Linear(label_width, 2 * channels) if label_width else None

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:  # (N, F, h, w) -> (N, 2 channels, h, w)
        """Mean and log-variance, side by side."""
        out: Tensor = self.out(self.transition(features))
        return out if self.label is None else out + self.label(label)[:, :, None, None]
