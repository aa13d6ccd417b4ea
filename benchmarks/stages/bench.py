"""Where a run happens: the store, the device, the plugins' Configs, and what each stage cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.request.loggers import LoggerName
from data.images import ImageSet
from synthworth.store import Made, Store
from synthworth.work import Compile, Work


def now() -> str:
    """The time in UTC to the second, as ISO 8601 has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Fitting:
    """How a generator is fitted, where that changes nothing of what it learns (up to rounding): no part of any key."""

    devices: int = 1
    compile: Compile = "no"
    snapshot_epochs: float = 0.0
    logger: LoggerName = "none"


@dataclass
class Bench:
    """Where a run happens: the store, the device, the plugins' Configs, and what each kind of stage cost.

    `configs` holds the Configs as given, with the fields that are not identity (paths, batch sizes in sampling).
    """

    store: Store
    device: str
    workers: int
    checkpoint_seconds: float
    configs: Mapping[str, Any]
    info: Mapping[str, Any]
    fitting: Fitting = Fitting()
    seconds: dict[str, float] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    started: str = field(default_factory=now)
    """When the request began, in UTC."""

    def note(self, stage: str, seconds: float, made: int) -> None:
        """Add wall seconds spent in a stage by this process, and artifacts it made."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.made[stage] = self.made.get(stage, 0) + made

    def keep(self, stage: str, identity: Any, make: Callable[[Path, Path], None]) -> Made:
        """`Store.get_or_make`, with its wall time noted."""
        began = time.perf_counter()
        made = self.store.get_or_make(stage, identity, make, info=self.info)
        self.note(stage, time.perf_counter() - began, int(made.fresh))
        return made

    def work(self, scratch: Path, *, precision: str, budget: Any, reserve: ImageSet | None = None) -> Work:
        """The `Work` a fit is given."""
        return Work(
            folder=scratch, device=self.device, precision=precision, budget=budget, reserve=reserve,
            checkpoint_seconds=self.checkpoint_seconds,
        )  # fmt: skip
