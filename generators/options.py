"""Options of training that several generators share; each has its own defaults for some of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from synthworth.keys import NOT_IDENTITY

N_STEPS = 1000
"""Steps of the forward process of diffusion, but for a pretrained network's."""


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

    lr: float = 1e-3
    """Highest learning rate (AdamW, warm-up, then half a cosine to zero)."""
    warmup: int = 50
    """Steps of linear warm-up; at most a tenth of the training."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
