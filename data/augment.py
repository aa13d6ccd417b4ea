"""Classical augmentation by name: a batch is resampled once, every image with values of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthworth.errors import unknown_name

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Jitter:
    """Ranges of one named augmentation; every image draws its own values uniformly from -range .. +range.

    There is no flip: a mirrored chest film shows the heart on the wrong side.
    """

    degrees: float = 0.0
    """Rotation."""
    shift: float = 0.0
    """Translation along each axis, as a share of the image's side."""
    zoom: float = 0.0
    """Change of scale: drawn from 1 - zoom .. 1 + zoom."""
    brightness: float = 0.0
    """Added to the intensity, which runs 0..1."""
    contrast: float = 0.0
    """Change of contrast about the image's own mean."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise added to the intensity."""

    def __call__(self, images: Tensor) -> Tensor:  # float (N, C, H, W), 0..1 -> the same
        """Augment a batch with torch's global generator, which the training loop seeds before every step."""
        import torch

        with torch.no_grad():
            if self.degrees or self.shift or self.zoom:
                images = self._move(images)
            if self.brightness or self.contrast or self.noise:
                images = self._expose(images)
        return images

    def _move(self, images: Tensor) -> Tensor:
        """Rotate, zoom and shift about the centre; what comes in from outside repeats the border."""
        import torch
        import torch.nn.functional as F

        n = len(images)
        angle, zoom, across, down = torch.rand(4, n, device=images.device).mul_(2).sub_(1)
        angle = angle * math.radians(self.degrees)
        scale = 1 / (1 + zoom * self.zoom)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        # theta maps output to input coordinates, which run -1..1: a shift by a share of the side counts twice
        across, down = 2 * self.shift * across, 2 * self.shift * down
        theta = torch.stack([cos, -sin, across, sin, cos, down], 1).view(n, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _expose(self, images: Tensor) -> Tensor:
        import torch

        n = len(images)
        brightness, contrast = torch.rand(2, n, 1, 1, 1, device=images.device).mul_(2).sub_(1)
        gain = 1 + contrast * self.contrast
        offset = images.mean((1, 2, 3), keepdim=True) * (1 - gain) + brightness * self.brightness
        images = images * gain + offset
        if self.noise:
            images = images + torch.randn_like(images) * self.noise
        return images.clamp_(0, 1)


@dataclass(frozen=True)
class RandAugment:
    """RandAugment (Cubuk 2020) as torchvision has it: `n_ops` random operations an image, all of one `magnitude` of 31.

    None of them flips; solarising inverts, as in the paper.
    """

    n_ops: int = 2
    magnitude: int = 9

    def __call__(self, images: Tensor) -> Tensor:  # float (N, C, H, W), 0..1 -> the same
        """Augment each image by itself, with torch's global generator."""
        import torch
        from torchvision.transforms.v2 import RandAugment as Transform

        transform = Transform(self.n_ops, self.magnitude)
        return torch.stack([transform(image) for image in images])


Augmentation = Jitter | RandAugment
AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Jitter(),
    "exposure": Jitter(brightness=0.1, contrast=0.1),
    "light": Jitter(degrees=7, shift=0.05, zoom=0.05, brightness=0.1, contrast=0.1),
    "strong": Jitter(degrees=15, shift=0.1, zoom=0.2, brightness=0.25, contrast=0.3, noise=0.02),
    "randaugment": RandAugment(),
}


def find_augmentation(name: str) -> Augmentation:
    """The augmentation of that name; raises UserError with the nearest names when there is none."""
    if name not in AUGMENTATIONS:
        raise unknown_name("augmentation", name, AUGMENTATIONS)
    return AUGMENTATIONS[name]
