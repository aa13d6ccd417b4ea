"""One comparison of speed or memory against a peer, and how a time is taken."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SEED = 0
"""Of what the rows draw."""


@dataclass(frozen=True)
class Row:
    """One comparison; `ours` and `peer` say how each does it.

    Parameters
    ----------
    value, peer_value : seconds unless `unit` says otherwise; less is better.
    facts : what else was counted or measured, as plain JSON values.
    """

    what: str
    ours: str
    peer: str
    value: float
    peer_value: float
    note: str = ""
    unit: str = "s"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times as fast (or as small) as the peer."""
        return self.peer_value / self.value

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the ratio among them."""
        return {**asdict(self), "facts": dict(self.facts), "ratio": self.ratio}


def best(function: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of `repeat` calls after one to warm up."""
    function()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def in_turn(contenders: Sequence[Callable[[], float]], repeat: int) -> list[float]:
    """The least of `repeat` measurements of each contender, taken in turn after one of each to warm up.

    What slows the machine for a while slows all of them, which one after the other it would not.

    Parameters
    ----------
    contenders : each does its work and returns the seconds of what counts of it.
    """
    for contender in contenders:
        contender()
    rounds = [[contender() for contender in contenders] for _ in range(repeat)]
    return [min(times) for times in zip(*rounds, strict=True)]


def peak_kib() -> int:
    """Peak memory of this process in KiB.

    What getrusage says of a process on Linux is no less than the peak of the process that began it; VmHWM is its own.
    """
    from pathlib import Path

    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


PEAK_OF_PROCESS = inspect.getsource(peak_kib)
"""`peak_kib` for the code of a process of its own."""
