"""Options of training that several generators share; each has its own defaults for some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from synthworth.keys import NOT_IDENTITY, SINCE_DEFAULT
from synthworth.search_space import Above, Between, applies, searched

N_STEPS = 1000
"""Steps of the forward process of diffusion, but for a pretrained network's."""

SamplingPrecision = Literal["fp32", "bf16"]
Times = Literal["logit_normal", "uniform"]
"""How the times of rectified flow are drawn in training."""
Method = Literal["euler", "heun", "dpmsolver++"]
"""How the line from noise to an image is followed (`generators.ode`)."""
OF_LOOKS = applies(stop_at_copy_rate=Above(0))
OF_STEPS = applies(sampling_steps=Above(1))
"""Marks of what changes nothing without looks for copies, or in a single step of drawing."""


@dataclass(frozen=True)
class BatchConfig:
    """How many images are taken at a time; and whether training ends before what is drawn copies."""

    batch: int = 32
    """Images in a step."""
    accumulate: int = 1
    """Parts that a step's batch is cut into: one is computed at a time, or one on each of several devices."""
    sample_batch: int = field(default=256, metadata=NOT_IDENTITY)
    """Images drawn at a time (by a VAE also encoded, or decoded)."""
    stop_at_copy_rate: float = field(default=0.0, metadata=SINCE_DEFAULT)
    """Share of near-copies of training images among drawn ones above which training stops; the weights of the last look
    at or below it are kept. 0 never looks. About 0.01 of fresh real images count as near-copies: 0.05 is a bound."""
    copy_looks: int = field(default=10, metadata=SINCE_DEFAULT | OF_LOOKS)
    """How often stop_at_copy_rate looks: as many times, evenly spaced over the steps, the last at their end."""
    copy_images: int = field(default=200, metadata=SINCE_DEFAULT | OF_LOOKS)
    """Images that are drawn for such a look."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each of these options is in range, and the range; for `require_ranges`."""
        return {
            "batch": (self.batch >= 1, "1 or more"),
            "accumulate": (
                self.accumulate >= 1 and self.batch % self.accumulate == 0,
                f"1 or more, and {self.batch} images of a batch are cut into as many equal parts",
            ),
            "sample_batch": (self.sample_batch >= 1, "1 or more"),
            "stop_at_copy_rate": (0 <= self.stop_at_copy_rate < 1, "0 or more and below 1"),
            "copy_looks": (self.copy_looks >= 1, "1 or more"),
            "copy_images": (self.copy_images >= 20, "20 or more"),
        }


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
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "lr": (self.lr > 0, "above 0"),
            "warmup": (self.warmup >= 0, "0 or more"),
            "clip": (self.clip > 0, "above 0"),
        }
