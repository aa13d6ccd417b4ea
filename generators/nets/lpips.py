"""The network of LPIPS 0.1 (Zhang 2018) with AlexNet."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models import alexnet

from synthworth.images import to_rgb

TAPS = (1, 4, 7, 9, 11)
"""Layers of AlexNet after whose ReLU features are taken."""
SMALLEST = 64
"""Pixels a side that smaller images are enlarged to: the patches that the linear layers were fitted on."""


class LPIPS(nn.Module):
    """LPIPS (Zhang 2018, Eq. 1), a distance of images in -1..1; grey is repeated to RGB.

    d(x, x') = sum_l mean_hw sum_c w_lc (f_lc(x) - f_lc(x'))^2, f_l AlexNet's features at layer l, normalised to
    unit length over channels.

    It has no numbers before `load`. The package `lpips` computes the same; its constructor draws and warns, and takes
    the target's features once more than is needed.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):  # nothing is drawn: the head of 58 M weights is dropped, and the rest is loaded
            layers = alexnet(weights=None).features[: TAPS[-1] + 1]
        self.layers = layers.to_empty(device="cpu")
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.weights = nn.ParameterList(torch.zeros(1, n, 1, 1) for n in (64, 192, 384, 256, 256))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])

    def load(self, convolutions: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> None:
        """Take torchvision's convolutions and the linear layers of the package `lpips`."""
        self.layers.load_state_dict({name.removeprefix("features."): value for name, value in convolutions.items()})
        with torch.no_grad():
            for k, weight in enumerate(self.weights):
                weight.copy_(linear[f"lin{k}.model.1.weight"])

    def features(self, images: Tensor) -> list[Tensor]:  # (N, 1 or 3, H, W), -1..1 -> five maps, unit over channels
        """What is compared."""
        x = to_rgb(images)
        if x.shape[-1] < SMALLEST:
            x = nn.functional.interpolate(x, (SMALLEST, SMALLEST), mode="bilinear", align_corners=False)
        x, found = (x - self.shift) / self.scale, []
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k in TAPS:
                wide = x.float()
                found.append(wide / (wide.square().sum(1, keepdim=True) + 1e-20).sqrt())  # a root of 0 has no gradient
        return found

    def forward(self, images: Tensor, target: Tensor) -> Tensor:  # 2 x (N, 1 or 3, H, W) in -1..1 -> (N,)
        """Distances; no gradient reaches the target."""
        with torch.no_grad():
            wanted = self.features(target)
        total = images.new_zeros(len(images), dtype=torch.float32)
        for weight, ours, theirs in zip(self.weights, self.features(images), wanted, strict=True):
            total = total + (weight * (ours - theirs).square()).sum(1).mean((1, 2))
        return total
