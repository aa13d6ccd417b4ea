"""Classical augmentation by name: a batch is resampled once, every image with values of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
        return self.apply(images, self.draw(tuple(images.shape), images.device))

    @property
    def _moves(self) -> bool:
        return bool(self.degrees or self.shift or self.zoom)

    @property
    def _exposes(self) -> bool:
        return bool(self.brightness or self.contrast or self.noise)

    def draw(self, shape: tuple[int, ...], device: Any) -> tuple[Tensor, ...]:
        """All that is random in augmenting a batch of that shape, from torch's global generator.

        Returns
        -------
        Uniform numbers of 0..1, and standard normal ones for the noise; of shapes that depend on `shape` alone.
        """
        import torch

        drawn = []
        if self._moves:
            drawn.append(torch.rand(4, shape[0], device=device))
        if self._exposes:
            drawn.append(torch.rand(2, shape[0], 1, 1, 1, device=device))
        if self.noise:
            drawn.append(torch.randn(shape, device=device))
        return tuple(drawn)

    def apply(self, images: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """Augment a batch by what `draw` gave for it; nothing is random here, and nothing is read on the host."""
        import torch

        left = list(drawn)
        with torch.no_grad():
            if self._moves:
                images = self._move(images, left.pop(0))
            if self._exposes:
                images = self._expose(images, left)
        return images

    def _move(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Rotate, zoom and shift about the centre; what comes in from outside repeats the border."""
        import torch
        import torch.nn.functional as F

        n = len(images)
        angle, zoom, across, down = drawn.mul(2).sub_(1)
        angle = angle * math.radians(self.degrees)
        scale = 1 / (1 + zoom * self.zoom)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        # theta maps output to input coordinates, which run -1..1: a shift by a share of the side counts twice
        across, down = 2 * self.shift * across, 2 * self.shift * down
        theta = torch.stack([cos, -sin, across, sin, cos, down], 1).view(n, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _expose(self, images: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        brightness, contrast = drawn[0].mul(2).sub_(1)
        gain = 1 + contrast * self.contrast
        offset = images.mean((1, 2, 3), keepdim=True) * (1 - gain) + brightness * self.brightness
        images = images * gain + offset
        if self.noise:
            images = images + drawn[1] * self.noise
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
        if images.device.type == "cpu":
            return torch.stack([transform(image) for image in images])
        return self.in_groups(transform, images)

    def in_groups(self, transform: Any, images: Tensor) -> Tensor:
        """The same up to rounding, from the same draws: images that drew one operation are computed together.

        On a GPU that takes a twentieth of the launches.

        Parameters
        ----------
        transform : torchvision's RandAugment.
        """
        import torch

        from synthworth.training.near import upload

        height, width = images.shape[-2:]
        drawn = [[self._draw(transform, height, width) for _ in range(self.n_ops)] for _ in images]
        for operations in zip(*drawn, strict=True):
            rows: dict[tuple[str, float], list[int]] = {}
            for row, operation in enumerate(operations):
                rows.setdefault(operation, []).append(row)
            order = torch.tensor([row for same in rows.values() for row in same])
            back = upload(order.argsort(), images.device)
            parts = images[upload(order, images.device)].split([len(same) for same in rows.values()])
            done = [
                transform._apply_image_or_video_transform(
                    part, name, magnitude, interpolation=transform.interpolation, fill=transform._fill
                )
                for part, (name, magnitude) in zip(parts, rows, strict=True)
            ]
            images = torch.cat(done)[back]
        return images

    def _draw(self, transform: Any, height: int, width: int) -> tuple[str, float]:
        """Name and magnitude of an operation, drawn as torchvision draws them."""
        import torch

        name, (magnitudes_of, signed) = transform._get_random_item(transform._AUGMENTATION_SPACE)
        magnitudes = magnitudes_of(transform.num_magnitude_bins, height, width)
        if magnitudes is None:
            return name, 0.0
        magnitude = float(magnitudes[self.magnitude])
        return name, -magnitude if signed and torch.rand(()) <= 0.5 else magnitude


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
