"""Options of `lora`: the base, its adapters, what it is told, how it is drawn with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from generators.options import AdamWConfig, SamplingPrecision
from generators.pipeline_folder import identity_of
from generators.prompts import PROMPT, PROMPT_NONE
from synthworth.keys import DRAWING, NOT_IDENTITY
from synthworth.search_space import Between, OneOf, searched
from synthworth.training.options import require_ranges

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True)
class LoRAConfig(AdamWConfig):
    """Options of `lora`.

    Raises
    ------
    UserError
        When there is no such `base`.
    """

    # the base has these options' docstrings
    lr: float = field(default=1e-4, metadata=searched(Between(1e-5, 1e-3, log=True)))
    batch: int = 4
    accumulate: int = 4
    sample_batch: int = field(default=4, metadata=NOT_IDENTITY)
    base: str = field(default="", metadata=NOT_IDENTITY)
    """The pipeline that is fine-tuned: a folder of diffusers or a hub id, as safetensors. Stable Diffusion 1.x and 2.x,
    XL, 3.x or Sana. A folder that is not there is looked for by its name below `SYNTHWORTH_WEIGHTS`."""
    base_revision: str = field(default="", metadata=NOT_IDENTITY)
    """Commit or tag of a hub id; empty for its newest."""
    base_id: str = ""
    """sha256 of that folder's files, or "hub:", the id and its revision; filled in, and in the key in its place."""
    saw_test: Literal["unknown", "no", "yes"] = "unknown"
    """Whether the base may have learned from this dataset's test films; stands in the record."""
    rank: int = field(default=8, metadata=searched(OneOf(4, 8, 16, 32)))
    """Rank r of the adapters."""
    alpha: float = 8.0
    """What they add to a weight is alpha / rank times B A; where it is `rank`, B A."""
    targets: tuple[str, ...] = ATTENTION
    """Modules of the network that get adapters, by the end of their names; by default the projections of attention."""
    prompt: str = PROMPT
    """Prompt of a film; {findings} becomes the names of the findings, as in "effusion and mass"."""
    prompt_none: str = PROMPT_NONE
    """Prompt of a film without a finding."""
    drop: float = field(default=0.1, metadata=searched(OneOf(0.05, 0.1, 0.2)))
    """Share of training prompts that are left out, so that guidance keeps a prediction without one."""
    ema: float = 0.0
    """Decay of the average of the adapters that is exported; 0 exports the last ones."""
    checkpointing: bool = field(default=False, metadata=NOT_IDENTITY)
    """Compute the network's inner values anew in the backward pass: a third more time, and far less memory."""
    draw_size: int = 0
    """Pixels a side that are trained and drawn at, before they become the dataset's; 0 for the pipeline's own."""
    guidance: float = field(default=4.0, metadata=DRAWING | searched(Between(1.0, 8.0, step=0.5)))
    """Classifier-free guidance scale in drawing (Ho & Salimans 2022); 1 follows the prompt alone and costs half."""
    sampling_steps: int = field(default=30, metadata=DRAWING)
    """Steps of the pipeline's own scheduler."""
    sampling_precision: SamplingPrecision = field(default="fp32", metadata=DRAWING)
    """Arithmetic of drawing; bf16 is faster on a GPU and moves images a little, so it names its own numbers."""

    def __post_init__(self) -> None:
        require_ranges(self, self.ranges(), prefix="--gen.")
        if self.base and not self.base_id:
            object.__setattr__(self, "base_id", identity_of(self.base, self.base_revision))

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "rank": (self.rank >= 1, "1 or more"),
            "alpha": (self.alpha > 0, "above 0"),
            "drop": (0 <= self.drop < 1, "0 or more and below 1"),
            "ema": (0 <= self.ema < 1, "0 or more and below 1"),
            "draw_size": (self.draw_size >= 0, "0 or more"),
            "guidance": (self.guidance >= 1, "1 or more"),
            "sampling_steps": (1 <= self.sampling_steps <= 1000, "1 to 1000"),
        }
