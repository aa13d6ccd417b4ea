"""One comparison of speed or memory against a peer, and how a time is taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SEED = 0
"""Of what the rows draw."""


@dataclass(frozen=True)
class Row:
    """One comparison; `ours` and `peer` say how each does it.

    Parameters
    ----------
    value, peer_value : seconds unless `unit` says otherwise; less is better.
    """

    what: str
    ours: str
    peer: str
    value: float
    peer_value: float
    note: str = ""
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """How many times as fast (or as small) as the peer."""
        return self.peer_value / self.value


def best(function: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of `repeat` calls after one to warm up."""
    function()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


PEAK_OF_PROCESS = """
def peak_kib():
    from pathlib import Path
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""
"""Code for a process of its own: its peak memory in KiB. What getrusage says of a process on Linux is no less than the
peak of the process that began it; VmHWM is its own."""
