"""How time and memory grow with n: each stage at each size in a process of its own, and the exponent of both."""

from __future__ import annotations

import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed.row import peak_kib
from synthworth.errors import UserError
from synthworth.progress import track

Begin = Callable[[Path, int], Callable[[], object]]
"""`begin(folder, n)` gets the input of size n ready, from what `folder` holds, and returns what is measured."""
SIZES = {"films": (1000, 10_000), "arms": (10, 100), "seeds": (20, 200), "cells": (100, 1000, 10_000)}
"""What is measured unless `--sizes` says otherwise."""
SLACK = 0.15
"""How far an exponent that was measured may lie above that of n log n: between two runs of one stage it scatters so."""
SHORT = 0.05
"""Seconds below which a stage is too short for its exponent to mean anything."""
PRELOADED = (
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.metrics",
    "pandas",
    "pyarrow.parquet",
    "torch",
    "diffusers",
)
"""What stages import: it is there before they are timed."""


@dataclass(frozen=True)
class Stage:
    """A stage of a run whose cost depends on n.

    Parameters
    ----------
    most : largest n that it is measured at; None for any.
    power : what its time may grow with: 1 for n log n at most, 2 for the nearest neighbours, which say so in `note`.
    """

    begin: Begin
    note: str = ""
    most: int | None = None
    power: int = 1


class Measured(NamedTuple):
    """Seconds by the clock and by the processor, and MiB of the peak above what the process held before."""

    seconds: float
    processor_seconds: float
    mebibytes: float


@dataclass(frozen=True)
class Growth:
    """Time and memory of one stage by n.

    Parameters
    ----------
    of : what n counts.
    seconds, processor_seconds, mebibytes : by n: of the work alone, by the clock and by the processor (all threads
        together), and the peak of memory above what the process held before it.
    exponent, memory_exponent : slope of the logarithms over the last decade of n; None with the reason in `why`. Of the
        processor's time, which hardly depends on what else the machine does.
    worse : whether time grows faster than the stage may; None where there is no exponent.
    """

    stage: str
    of: str
    seconds: Mapping[int, float]
    processor_seconds: Mapping[int, float]
    mebibytes: Mapping[int, float]
    exponent: float | None
    memory_exponent: float | None
    worse: bool | None
    note: str = ""
    why: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        by_n = ("seconds", "processor_seconds", "mebibytes")
        return vars(self) | {name: {str(n): value for n, value in getattr(self, name).items()} for name in by_n}


def slope(values: Mapping[int, float]) -> float:
    """The exponent, d log(value) / d log(n), over the last decade of n.

    From the largest n back to the nearest that is a tenth of it, or to the smallest where none is.

    Raises
    ------
    ValueError
        For fewer than two sizes, or a value that is not above 0.
    """
    if len(values) < 2 or min(values.values()) <= 0:
        raise ValueError(f"a slope needs two sizes or more and values above 0, not {dict(values)}")
    last = max(values)
    first = max((n for n in values if 10 * n <= last), default=min(values))
    return math.log(values[last] / values[first]) / math.log(last / first)


def steepest(values: Mapping[int, float], power: int) -> float:
    """The exponent that n log n (or n^power, above 1) has over the decade that `slope` looks at."""
    if power > 1:
        return float(power)
    return slope({n: n * math.log(n) for n in values})


def judge(stage: str, of: str, found: Mapping[int, Measured], *, power: int = 1, note: str = "") -> Growth:
    """What the measurements of a stage come to.

    Parameters
    ----------
    found : by n.
    """
    clock, seconds, memory = ({n: values[k] for n, values in found.items()} for k in range(3))
    why, exponent, of_memory = {}, None, None
    if len(found) < 2:
        why = dict.fromkeys(("exponent", "memory_exponent"), "measured at one size only")
    else:
        if seconds[max(seconds)] < SHORT:
            why["exponent"] = f"below {SHORT} s at every size"
        else:
            exponent = slope(seconds)
        if min(memory.values()) < 1:
            why["memory_exponent"] = "below 1 MiB at some size"
        else:
            of_memory = slope(memory)
    worse = None if exponent is None else exponent > steepest(seconds, power) + SLACK
    return Growth(stage, of, clock, seconds, memory, exponent, of_memory, worse, note, why)


def grow(
    of: str, module: str, *, sizes: Sequence[int], lay_out: Callable[[Path, int], None] | None = None
) -> list[Growth]:
    """Measure every stage of a module's table `STAGES` at every size.

    Parameters
    ----------
    of : what n counts.
    lay_out : `lay_out(folder, n)` writes once what the stages of size n begin from.

    Raises
    ------
    UserError
        When the process of a stage was killed.
    """
    stages: Mapping[str, Stage] = import_module(module).STAGES
    found: dict[str, dict[int, Measured]] = {name: {} for name in stages}
    for n in sorted(sizes):
        with tempfile.TemporaryDirectory(prefix="growth-") as folder:
            if lay_out is not None:
                lay_out(Path(folder), n)
            for name in track([k for k, s in stages.items() if s.most is None or n <= s.most], f"{n:,} {of}"):
                found[name][n] = _measure(module, name, folder, n)
    return [
        judge(name, of, by_n, power=stages[name].power, note=stages[name].note) for name, by_n in found.items() if by_n
    ]


def _measure(module: str, stage: str, folder: str, n: int) -> Measured:
    """What a stage takes, in a process of its own that begins with all modules imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, module])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure_here, module, stage, folder, n).result()
        except BrokenProcessPool as error:
            raise UserError(f"{stage} of {n:,} was killed; the machine may lack the memory for it") from error


def measure_here(module: str, stage: str, folder: str, n: int) -> Measured:
    """What a stage takes in this process."""
    work = import_module(module).STAGES[stage].begin(Path(folder), n)
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")  # the peak so far: getting ready may have taken more than the work will
    before, began = peak_kib(), (time.perf_counter(), time.process_time())
    work()
    took = time.perf_counter() - began[0], time.process_time() - began[1]
    above = max(0, peak_kib() - before)  # Linux counts pages in batches for each core: either reading is some off
    return Measured(*took, above / 1024)
