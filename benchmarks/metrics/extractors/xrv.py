"""The chest-film encoder: torchxrayvision's DenseNet-121, from a file of tensors that the user supplies."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.metrics.extractors.base import Extractor
from benchmarks.metrics.extractors.efficientnet import fold
from synthworth.devices import isolated_randomness
from synthworth.errors import Unavailable, UserError
from synthworth.keys import file_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL = "densenet121-res224-all"
FILE_NAME = f"torchxrayvision-{MODEL}.safetensors"
HOW_TO = (
    "the published file is a pickled program, which is never run here. Convert it once, where you trust it: "
    'pip install torchxrayvision; python -c "import torchxrayvision as x; '
    f"from safetensors.torch import save_file; save_file(x.models.DenseNet(weights='{MODEL}').state_dict(), "
    f"'{FILE_NAME}')\"; then set SYNTHWORTH_WEIGHTS to the folder of {FILE_NAME}"
)


class TorchXRayVision(Extractor):
    """torchxrayvision's DenseNet-121 (Cohen et al. 2022), trained on chest films of seven collections: 1024-d features.

    Images are averaged to grey, resized (antialiased bilinear) to 224 pixels and scaled to 2048 x / 255 - 1024, what
    torchxrayvision's `normalize` does. The feature is its `features2`: the last convolution's output after ReLU,
    averaged over the film.

    The network is built by torchvision, whose DenseNet-121 has the same layers under the same names; the package
    torchxrayvision is not imported, since its import silences every warning of the process. Its published weights
    are pickled modules: `HOW_TO` turns them into a file of tensors, outside this suite.

    The weights have seen films of NIH, PadChest, CheXpert, MIMIC, Google, OpenI and RSNA: on one of these sets the
    encoder knows films of every split.

    Parameters
    ----------
    weights : a safetensors file of the network's state; `FILE_NAME` in `SYNTHWORTH_WEIGHTS` when left out.

    Raises
    ------
    Unavailable
        When there is no file; the message says how to make it. Nothing is ever downloaded.
    UserError
        When a file was named that is not there.
    """

    name = "torchxrayvision"
    weights_licence = "Apache-2.0"
    dim = 1024
    size = 224

    def __init__(
        self,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        channels_last: bool = True,
    ) -> None:
        super().__init__(device=device, precision=precision, channels_last=channels_last)
        found = Path(weights) if weights is not None else local_weights()
        if found is None:
            raise Unavailable(f"no weights of the chest-film encoder {FILE_NAME}: {HOW_TO}")
        if not found.is_file():
            raise UserError(f"chest-film encoder weights {found}: no such file")
        self.weights = found

    @classmethod
    def is_at_hand(cls) -> bool:
        """Whether the weights are on this machine."""
        return local_weights() is not None

    @cached_property
    def weights_sha256(self) -> str:  # type: ignore[override]
        """sha256 of the weights file."""
        return file_sha256(self.weights)

    def check_files(self) -> None:
        """Refuse a damaged weights file."""
        self.build()

    def build(self) -> nn.Module:
        """DenseNet-121 of torchvision with one input channel and no classifier.

        Batch norms are folded where they follow a convolution.

        Raises
        ------
        UserError
            When the file holds no tensors, or those of another network.
        """
        import torch
        from torchvision.models import densenet121

        from synthworth.training.weight_files import read_weights
        from synthworth.training.weights import load_weights

        what = "chest-film encoder weights"
        found = read_weights(self.weights, what=what, advice=HOW_TO[0].upper() + HOW_TO[1:])
        with isolated_randomness(0):  # its layers draw initial weights
            net = densenet121(weights=None)
            net.features.conv0 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        net.classifier = torch.nn.Identity()
        load_weights(net, found, where=f"{what} {self.weights}", network=MODEL)
        net.eval()
        net.features.conv0, net.features.norm0 = fold(net.features.conv0, net.features.norm0)
        for name, block in net.features.named_children():
            for layer in block.children() if name.startswith("denseblock") else ():
                layer.conv1, layer.norm2 = fold(layer.conv1, layer.norm2)
        return net

    def forward(self, net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pooled features (n, 1024)."""
        grey = self.resized(images.float().mean(1, keepdim=True))
        return net(grey * (2048.0 / 255.0) - 1024.0), None


def local_weights() -> Path | None:
    """`FILE_NAME` in `SYNTHWORTH_WEIGHTS`; None when it is not there."""
    folder = os.environ.get("SYNTHWORTH_WEIGHTS")
    file = Path(folder, FILE_NAME) if folder else None
    return file if file is not None and file.is_file() else None
