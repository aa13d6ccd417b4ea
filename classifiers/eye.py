"""How a network sees images: normalisation, device and precision, the same in training and prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from synthworth.devices import autocast
from synthworth.images import to_unit
from synthworth.training.networks import evaluating

EVALUATION_BATCH = {"cpu": 128, "cuda": 1024, "mps": 128}
"""Images of a forward pass without gradients: on a GPU as many as fill it."""


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
        with evaluating(model):
            batches = images.split(EVALUATION_BATCH[self.device.partition(":")[0]])
            parts = [self.logits(model, self.normalise(to_unit(batch.to(self.device)))) for batch in batches]
        # a clone made outside inference mode is an ordinary tensor again
        return torch.cat(parts).clone()
