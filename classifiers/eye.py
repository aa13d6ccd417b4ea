"""How a network sees images: normalisation, device and precision, the same in training and prediction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from synthworth.devices import autocast, float32_products
from synthworth.images import to_unit
from synthworth.training.networks import evaluating

EVALUATION_BATCH = {"cpu": 128, "cuda": 1024, "mps": 128}
"""Images of a forward pass without gradients, at most."""
EVALUATION_PIXELS = 1024 * 64 * 64
"""Pixels of one on a GPU, at most: as many as fill it. Large images in larger batches would take the memory that the
trainings beside it hold."""


def evaluation_batch(device: str, side: int) -> int:
    """Images of a forward pass without gradients.

    Parameters
    ----------
    side : of the images, in pixels.
    """
    kind = device.partition(":")[0]
    fits = max(1, EVALUATION_PIXELS // side**2) if kind == "cuda" else EVALUATION_BATCH[kind]
    return min(fits, EVALUATION_BATCH[kind])


@dataclass(frozen=True)
class Eye:
    """Normalisation, device and precision.

    Parameters
    ----------
    mean, std : of the intensity 0..1, one value a channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    precision: str

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, (C, 1, 1), on the device once and for all: copying makes a GPU wait."""
        mean, std = (torch.tensor(values, device=self.device).view(-1, 1, 1) for values in (self.mean, self.std))
        return mean, std

    def normalise(self, images: Tensor) -> Tensor:  # float (N, C, H, W), 0..1 -> standardised, channels last
        """Subtract the mean and divide by the standard deviation."""
        mean, std = self._scale
        return images.sub(mean).div_(std).contiguous(memory_format=torch.channels_last)

    def logits(
        self, model: nn.Module, standardised: Tensor, *, features: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:  # float32 (N, K)
        """Forward pass. The head always runs in float32: bfloat16 logits would tie scores.

        Parameters
        ----------
        standardised : float (N, C, H, W), as `normalise` gives it.
        features : what computes the features, in the place of the model's own.
        """
        with autocast(self.device, self.precision):
            found = (features or model.forward_features)(standardised)  # type: ignore[operator]
        logits: Tensor = model.forward_head(found.float())  # type: ignore[operator]
        return logits

    def look(self, model: nn.Module, images: Tensor) -> Tensor:  # uint8 (N, C, H, W) -> float32 (N, K)
        """Logits in evaluation mode, batch by batch."""
        on_gpu = self.device.startswith("cuda")
        # on a CPU predictions were always made so, and keep their bits
        with evaluating(model), float32_products(self.precision) if on_gpu else nullcontext():
            batches = images.split(evaluation_batch(self.device, images.shape[-1]))
            parts = [self.logits(model, self.normalise(to_unit(batch.to(self.device)))) for batch in batches]
        # a clone made outside inference mode is an ordinary tensor again
        return torch.cat(parts).clone()
