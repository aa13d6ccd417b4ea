"""The one training loop: steps that can be killed at any moment and go on to the same end."""

from __future__ import annotations

import io
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from synthworth.cost import Cost
from synthworth.devices import float32_products, isolated_randomness
from synthworth.errors import Diverged
from synthworth.keys import seed_from
from synthworth.progress import Progress
from synthworth.sealed import read_sealed, set_aside, write_sealed
from synthworth.training.meter import Meter
from synthworth.work import Work

Tensors = tuple[Tensor, ...] | list[Tensor]
METER = "cost of the steps"
"""Name of the part of a checkpoint that keeps it; checkpoints of before have none."""
CHECK_EVERY = {"cpu": 1, "cuda": 25, "mps": 25}
"""Steps between looks at the loss: reading it from an accelerator makes the accelerator wait."""


@dataclass(frozen=True)
class PhaseReport:
    """What one phase of training did.

    Optimiser steps, wall seconds over all attempts, why it stopped ("steps" or "seconds"), the loss curve, and what the
    steps cost.
    """

    steps: int
    seconds: float
    stopped: str
    history: tuple[Mapping[str, float], ...]
    cost: Cost = field(default_factory=Cost)


def run_steps(
    phase: str,
    step: Callable[[int], Mapping[str, Tensor]],
    *,
    n_steps: int,
    parts: Mapping[str, Any],
    seed: int,
    work: Work,
    seconds: float | None = None,
    images_per_step: int = 1,
    fabric: Any = None,
    after: Callable[[int], None] | None = None,
    flops: Callable[[], int] | None = None,
) -> PhaseReport:
    """Call `step(t)` for t = 0 .. n_steps - 1, resuming from the phase's checkpoint where there is one.

    Before every step torch's generators are seeded from (seed, phase, t), so that noise, dropout and augmentation
    depend on the step's number alone: a resumed run draws what an uninterrupted one would have drawn, and no
    random state needs saving. The caller's global random state is put back at the end.

    Parameters
    ----------
    phase : names the checkpoint `<phase>.ckpt` in `work.folder`.
    step : does forward, backward and the optimiser's step; returns scalars, `loss` among them, as 0-d tensors.
    parts : all that changes (modules, optimisers, averages), each with `state_dict` and `load_state_dict`.
    seconds : stop once this much wall time (over all attempts) is spent; None for no limit.
    fabric : where several processes share the steps: they stop together, and only the first writes and logs.
    after : called with the number of finished steps after each of them, outside the step's random state.
    flops : gives the floating-point operations of a step of this process where the first step cannot be counted while
        it runs, as those of compiled networks and captured graphs cannot (see `synthworth.training.flops`).

    Raises
    ------
    Diverged
        When a loss is not finite or leaves all bounds; names the step and the last good checkpoint.
    """
    file, meter = work.folder / f"{phase}.ckpt", Meter(step, work=work, flops=flops)
    parts = {**parts, METER: meter}
    first, spent, history = _restore(file, parts, work.device, n_steps=n_steps)
    look, log_every = CHECK_EVERY[work.device.partition(":")[0]], max(1, n_steps // 200)
    began = saved = time.perf_counter()
    stopped, good, bounds = "steps", first, Bounds(history)
    writes = fabric is None or fabric.global_rank == 0
    with (
        isolated_randomness(seed),
        float32_products(work.precision),
        Progress(phase, n_steps * images_per_step, done=first * images_per_step, unit="images") as bar,
    ):
        for t in range(first, n_steps):
            if seconds is not None and _agreed(fabric, spent + time.perf_counter() - began > seconds):
                stopped, n_steps = "seconds", t
                break
            torch.manual_seed(seed_from(seed, phase, t))
            scalars, shown = meter(t), {}
            if (t + 1) % look == 0 or t + 1 == n_steps:
                shown = {"loss": float(scalars["loss"])}
                if fault := bounds.fault(shown["loss"]):
                    raise Diverged(f"{phase}: the loss is {fault} at step {t + 1} of {n_steps}; {_where(good, file)}")
                if (t + 1) % log_every == 0 or t + 1 == n_steps:
                    row = {k: float(v) for k, v in scalars.items()}
                    history.append({"step": float(t + 1), **row})
                    if writes:
                        work.log(t + 1, **{f"{phase}/{k}": v for k, v in row.items()})
                if writes and time.perf_counter() - saved >= work.checkpoint_seconds and t + 1 < n_steps:
                    _keep(file, parts, t + 1, spent + time.perf_counter() - began, history)
                    saved, good = time.perf_counter(), t + 1
            bar.advance(images_per_step, **shown)
            if after is not None:
                after(t + 1)
    spent += time.perf_counter() - began if first < n_steps else 0.0
    if writes and (first < n_steps or not file.is_file()):
        _keep(file, parts, n_steps, spent, history)
    return PhaseReport(n_steps, spent, stopped, tuple(history), meter.cost(n_steps))


EXPLODED = 1000.0
"""A loss this many times its usual size (or this large, where that is below 1) has exploded."""


class Bounds:
    """Tells a loss that has left all bounds from one that is merely noisy: by the median of those read before."""

    def __init__(self, history: Sequence[Mapping[str, float]]) -> None:
        self.seen = deque((abs(row["loss"]) for row in history[-101:]), maxlen=101)

    def fault(self, loss: float) -> str | None:
        """What is wrong with `loss`, or None."""
        if not math.isfinite(loss):
            return str(loss)
        usual = median(self.seen) if len(self.seen) >= 10 else math.inf
        self.seen.append(abs(loss))
        if abs(loss) > EXPLODED * max(usual, 1.0):
            return f"{loss:.4g}, where {usual:.4g} was usual,"
        return None


def _where(step: int, file: Path) -> str:
    """Where to go on from, in words."""
    return f"the last good checkpoint is step {step} in {file}" if step else "there is no checkpoint yet"


def _agreed(fabric: Any, mine: bool) -> bool:
    """Whether any of the processes says so."""
    if fabric is None or fabric.world_size == 1:
        return mine
    return bool(fabric.all_reduce(torch.tensor(float(mine), device=fabric.device), reduce_op="sum") > 0)


def _restore(
    file: Path, parts: Mapping[str, Any], device: str, *, n_steps: int
) -> tuple[int, float, list[dict[str, float]]]:
    """Finished steps, seconds spent and loss curve of the checkpoint, whose parts are put back; zeros without one.

    One that is not as it was written is named and set aside: steps taken again come to the same end.
    """
    held = read_sealed(file)
    if held is None:
        return 0, 0.0, []
    state: dict[str, Any] = torch.load(held, map_location=device, weights_only=True)
    if not 0 <= state["step"] <= n_steps:
        set_aside(file, f"it was written after step {state['step']}, and there are {n_steps}")
        return 0, 0.0, []
    for name, part in parts.items():
        part.load_state_dict(state["parts"].get(name, {}) if name == METER else state["parts"][name])
    return int(state["step"]), float(state["seconds"]), list(state["history"])


def _keep(file: Path, parts: Mapping[str, Any], step: int, seconds: float, history: list[dict[str, float]]) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()
    torch.save({"step": step, "seconds": seconds, "history": history, "parts": state}, buffer)
    write_sealed(file, buffer.getbuffer())
