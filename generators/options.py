"""Options of training that several generators share; each has its own defaults for some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from synthworth.keys import NOT_IDENTITY
from synthworth.search_space import Between, searched

N_STEPS = 1000
"""Steps of the forward process of diffusion, but for a pretrained network's."""

SamplingPrecision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class BatchConfig:
    """How many images are taken at a time."""

    batch: int = 32
    """Images in a step."""
    accumulate: int = 1
    """Parts that a step's batch is cut into: one is computed at a time, or one on each of several devices."""
    sample_batch: int = field(default=256, metadata=NOT_IDENTITY)
    """Images drawn at a time (by a VAE also encoded, or decoded)."""


@dataclass(frozen=True)
class AdamWConfig(BatchConfig):
    """How AdamW moves: warm-up, then half a cosine to zero."""

    lr: float = field(default=1e-3, metadata=searched(Between(3e-5, 5e-3, log=True)))
    """Highest learning rate (AdamW, warm-up, then half a cosine to zero)."""
    warmup: int = 50
    """Steps of linear warm-up; at most a tenth of the training."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each of these options is in range, and the range; for `require_ranges`."""
        return {
            "batch": (self.batch >= 1, "1 or more"),
            "accumulate": (self.accumulate >= 1, "1 or more"),
            "sample_batch": (self.sample_batch >= 1, "1 or more"),
            "lr": (self.lr > 0, "above 0"),
            "warmup": (self.warmup >= 0, "0 or more"),
            "clip": (self.clip > 0, "above 0"),
        }
