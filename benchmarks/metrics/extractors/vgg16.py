"""VGG16 with random weights of a fixed seed, as a feature extractor (Naeem 2020)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from benchmarks.metrics.extractors.base import Extractor
from synthworth.devices import generator
from synthworth.keys import sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn


class RandomVGG16(Extractor):
    """VGG16 with random weights of a fixed seed: features that know nothing of photographs (Naeem et al. 2020).

    Images are resized (antialiased bilinear) to 64 pixels and scaled to -1..1; weights are He-normal (fan in),
    biases 0. The second fully connected layer, whose output is the feature, has 64 units in the place of 4096:
    a Frechet distance in more dimensions than there are images is mostly bias.
    """

    name = "vgg16_random"
    weights_licence = "none needed: random numbers of a fixed seed"
    dim = 64
    size = 64

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        channels_last: bool = True,
    ) -> None:
        super().__init__(device=device, precision=precision, channels_last=channels_last)
        self.seed = seed

    @property
    def id(self) -> str:
        """As of every extractor, with the seed of the weights."""
        return f"{super().id}-seed{self.seed}"

    @cached_property
    def weights_sha256(self) -> str:  # type: ignore[override]
        """sha256 of the first layer; the others follow from the same generator."""
        import torch

        first = torch.empty(64, 3, 3, 3)
        _fill([first], seed=self.seed)
        return sha256_of([first.numpy().tobytes()])

    def build(self) -> nn.Module:
        """VGG16 of torchvision up to its second fully connected layer."""
        import torch
        from torchvision.models import vgg16

        with torch.device("meta"):  # neither memory nor random numbers for weights that are replaced
            net = vgg16(weights=None, init_weights=False)
            net.classifier = torch.nn.Sequential(*net.classifier[:2], torch.nn.Linear(4096, self.dim))
        net.to_empty(device="cpu")
        _fill(list(net.requires_grad_(False).parameters()), seed=self.seed)
        return net

    def forward(self, net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Output of the second fully connected layer, (n, 64), before its ReLU."""
        return net(self.resized(images) / 127.5 - 1.0), None


def _fill(parameters: list[Tensor], *, seed: int) -> None:
    """He-normal weights and zero biases, in order, from a generator of their own."""
    from torch.nn import init

    source = generator(seed)
    for tensor in parameters:
        if tensor.ndim > 1:
            init.kaiming_normal_(tensor, nonlinearity="relu", generator=source)
        else:
            init.zeros_(tensor)
