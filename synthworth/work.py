"""What a fit is given besides its data: device, precision, a private folder, a budget, and where to log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from synthworth.cost import Cost
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Compile = Literal["auto", "yes", "no"]
MAX_STEPS = 1_000_000_000


@dataclass(frozen=True)
class Budget:
    """How long a fit may go on."""

    steps: int = 1000
    """Optimiser steps, over all the phases of a fit."""
    seconds: float | None = None
    """Wall-clock limit as well; a fit that meets it first is recorded as cut short and is not repeatable."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"a budget of {self.steps} steps was asked for: at least 1 is needed")
        if self.steps > MAX_STEPS:
            raise UserError(f"a budget of {self.steps} steps was asked for: {MAX_STEPS:,} are the most")
        if self.seconds is not None and not self.seconds > 0:
            raise UserError(f"a budget of {self.seconds} seconds was asked for: it must be above 0")


COPIES = "copies"
"""Why a fit stopped (`FitReport.stopped`) that a look for copies ended."""
COPYING = "copying"
"""Names, in the facts of a fit, what its looks for copies saw."""


def is_copying(fact: str) -> bool:
    """Whether that is the name of what looks for copies saw: `copying`, or `copying[class]` of a model a class."""
    return fact == COPYING or fact.startswith(f"{COPYING}[")


@dataclass(frozen=True)
class CopyLook:
    """What share of some drawn images are near-copies of training images, 0..1, with its 95 % interval."""

    rate: float
    low: float
    high: float


class CopyJudge(Protocol):
    """Tells how many of some drawn images copy.

    Attributes
    ----------
    chance : share of fresh real images that it takes for near-copies.
    """

    @property
    def chance(self) -> float:
        """Share of fresh real images that it takes for near-copies, 0..1."""
        ...

    def __call__(self, images: Tensor) -> CopyLook:
        """Judge uint8 (N, C, H, W)."""
        ...


def ignore_scalars(step: int, **scalars: float) -> None:
    """The log of a fit that nobody watches."""


@dataclass(frozen=True)
class Work:
    """The bench a generator or classifier is fitted on.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1", ...
    precision : "fp32" or "bf16" (autocast).
    folder : private to this fit; checkpoints go here, and a second call with the same folder goes on.
    budget : optimiser steps and seconds.
    log : `log(step, **scalars)`, called now and then with plain floats; the loop names them `phase/loss`.
    checkpoint_seconds : wall seconds between checkpoints; what a kill can cost.
    reserve : a `data.images.ImageSet` of real images that no arm trains on, given only to a generator that declares
        `needs_reserve`; None for every other.
    fitted : folder of another fitted generator, given only to a control that declares `needs_generator`.
    devices : processes (GPUs, or shares of a CPU) that this fit is shared by; this process is one of them.
    compile : whether networks are compiled (`torch.compile`) before they are trained; decided by
        `synthworth.training.compiling` before the fit.
    capture : whether steps may be recorded and replayed on a GPU (CUDA graphs); the same bits either way.
    snapshot_epochs : passes over the images between two pictures of what the generator draws, each kept with the
        weights it was drawn with; 0 for none.
    copy_judge : tells how many of some drawn images copy training images, for a generator that is to stop before it
        copies; None where no such thing is asked for.
    """

    folder: Path
    device: str = "cpu"
    precision: str = "fp32"
    budget: Budget = field(default_factory=Budget)
    log: Callable[..., None] = ignore_scalars
    checkpoint_seconds: float = 15.0
    reserve: Any = None
    fitted: Path | None = None
    devices: int = 1
    compile: bool = False
    capture: bool = True
    snapshot_epochs: float = 0.0
    copy_judge: CopyJudge | None = None


@dataclass(frozen=True)
class FitReport:
    """What a fit did: equal budgets are checked on it, and it stands in the record.

    Parameters
    ----------
    steps : optimiser steps taken, over all phases.
    images_seen : training images drawn, with repetition.
    seconds : wall seconds in the training loop, over all attempts.
    stopped : "steps" (the budget's end), "seconds" (cut short by the wall clock), or "copies" (what was drawn copied:
        the weights are those of an earlier step, which `facts` names).
    history : rows of (step, scalars) for the loss curve.
    facts : what else is worth a line in the record (parameter counts, latent scale, best step).
    cost : floating-point operations, peak of the device and energy; `run_steps` measures them.
    """

    steps: int
    images_seen: int
    seconds: float
    stopped: str = "steps"
    history: tuple[Mapping[str, float], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
