"""The one training loop: steps that can be killed at any moment and go on to the same end."""

from __future__ import annotations

import io
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
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
logger = logging.getLogger(__name__)
METER = "cost of the steps"
"""Name of the part of a checkpoint that keeps it; checkpoints of before have none."""
CHECK_EVERY = {"cpu": 1, "cuda": 25, "mps": 25}
"""Steps between looks at the loss: reading it from an accelerator makes the accelerator wait."""
SHARE_OF_KEEPING = 0.05
"""Of the time that writing checkpoints may take: large ones are written less often than was asked for. Phases that
take turns have it together."""


@dataclass(frozen=True)
class PhaseReport:
    """What one phase of training did.

    Optimiser steps, wall seconds over all attempts, why it stopped ("steps", "seconds", or what its `gate` said), the
    loss curve, and what the steps cost.
    """

    steps: int
    seconds: float
    stopped: str
    history: tuple[Mapping[str, float], ...]
    cost: Cost = field(default_factory=Cost)


class Phase:
    """One phase of training, step by step: resumed, watched and kept; `run_steps` takes it to its end.

    Before every step torch's generators are seeded from (seed, name, t), so that noise, dropout and augmentation
    depend on the step's number alone: a resumed run draws what an uninterrupted one would have drawn, no random state
    needs saving, and several phases may take turns.

    Parameters
    ----------
    name : names the checkpoint `<name>.ckpt` in `work.folder`.
    step : `step(t)` for t = 0 .. n_steps - 1 does forward, backward and the optimiser's step; returns scalars, `loss`
        among them, as 0-d tensors.
    parts : all that changes (modules, optimisers, averages), each with `state_dict` and `load_state_dict`.
    seconds : stop once this much wall time (over all attempts) is spent; None for no limit.
    fabric : where several processes share the steps: they stop together, and only the first writes and logs.
    after : called with the number of finished steps after each of them, outside the step's random state.
    gate : `gate(t, last)` is asked after t finished steps, before the next one and at the end (`last`), whether the
        phase ends here: it gives a word that says why, or None. A resumed phase asks it again about the step that it
        goes on from. It leaves all that the steps read as it is.
    lane : gives the context that everything of this phase is done in, `after` and `gate` too: a stream of its own on a
        GPU.
    cut : called when the clock ends the phase before its last step, before `gate` is asked: what happens at the last
        step happens then. A resumed phase that is at its end calls it again.
    flops : gives the floating-point operations of a step of this process where the first step cannot be counted while
        it runs, as those of compiled networks and captured graphs cannot (see `synthworth.training.flops`).

    Attributes
    ----------
    spent : wall seconds over all attempts; of phases that take turns, its share of them.
    turns : phases that take turns, this one among them.
    """

    def __init__(
        self,
        name: str,
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
        gate: Callable[[int, bool], str | None] | None = None,
        lane: Callable[[], AbstractContextManager[Any]] = nullcontext,
        cut: Callable[[], object] | None = None,
        flops: Callable[[], int] | None = None,
    ) -> None:
        self.name, self.step, self.n_steps, self.seed, self.work = name, step, n_steps, seed, work
        self.meter = Meter(lambda t: self.step(t), work=work, flops=flops)
        self.parts = {**parts, METER: self.meter}
        self.seconds, self.images_per_step, self.fabric = seconds, images_per_step, fabric
        self.after, self.gate, self.lane, self.cut = after, gate, lane, cut
        self.file = work.folder / f"{name}.ckpt"
        self.writes = fabric is None or fabric.global_rank == 0
        self.spent, self.history, self.stopped = 0.0, list[dict[str, float]](), "steps"
        self.first = self.t = 0
        self.turns = 1
        self._begun = False

    def begin(self) -> None:
        """Take back the phase's checkpoint where there is one; a second call does nothing."""
        if self._begun:
            return
        self._begun = True
        with self.lane():
            found = _restore(self.file, self.parts, self.work.device, n_steps=self.n_steps)
        self.first, self.spent, self.history = found
        self.t = self._good = self.first
        self._look = CHECK_EVERY[self.work.device.partition(":")[0]]
        self._log_every = -(-max(1, self.n_steps // 200) // self._look) * self._look
        self._saved, self._pause = time.perf_counter(), self.work.checkpoint_seconds
        self._bounds = Bounds(self.history)

    def advance(self, bar: Progress) -> bool:
        """Take the next step; False, and none is taken, where the phase is at its end.

        Raises
        ------
        Diverged
            When a loss is not finite or leaves all bounds; names the step and the last good checkpoint.
        """
        t = self.t
        if t < self.n_steps and self.seconds is not None and _agreed(self.fabric, self.spent > self.seconds):
            logger.warning(
                "%s: the time is over after %d of %d steps; what is planned over the steps, as the learning rate is, "
                "was %.0f %% of its way", self.name, t, self.n_steps, 100 * t / self.n_steps,
            )  # fmt: skip
            self.stopped, self.n_steps = "seconds", t
            if self.cut is not None:
                with self.lane():
                    self.cut()
        self._ask(t)
        if t == self.n_steps:
            return False
        torch.manual_seed(seed_from(self.seed, self.name, t))
        shown = {}
        with self.lane():
            scalars = self.meter(t)
            self.t = t + 1
            if self.t % self._look == 0 or self.t == self.n_steps:
                shown = {"loss": float(scalars["loss"])}
                self._watch(scalars, shown["loss"])
        bar.advance(self.images_per_step, **shown)
        if self.after is not None:
            with self.lane():
                self.after(self.t)
        return True

    def _ask(self, t: int) -> None:
        """End the phase here where the gate says so."""
        if self.gate is None:
            return
        began = time.perf_counter()
        with self.lane():
            why = self.gate(t, t == self.n_steps)
        if why is not None:
            self.stopped, self.n_steps = (why if self.stopped == "steps" else self.stopped), t
        if t == self.n_steps:  # no step follows, whose time this would be part of
            self.spent += time.perf_counter() - began

    def _watch(self, scalars: Mapping[str, Tensor], loss: float) -> None:
        """Look at the loss, log it now and then, and keep a checkpoint where one is due."""
        if fault := self._bounds.fault(loss):
            where = _where(self._good, self.file)
            raise Diverged(f"{self.name}: the loss is {fault} at step {self.t} of {self.n_steps}; {where}")
        if self.t % self._log_every == 0 or self.t == self.n_steps:
            row = {k: float(v) for k, v in scalars.items()}
            self.history.append({"step": float(self.t), **row})
            if self.writes:
                self.work.log(self.t, **{f"{self.name}/{k}": v for k, v in row.items()})
        began = time.perf_counter()
        if self.writes and began - self._saved >= self._pause and self.t < self.n_steps:
            self._keep()
            self._good, self._saved = self.t, time.perf_counter()
            if self.work.checkpoint_seconds:
                took = self._saved - began
                self._pause = max(self.work.checkpoint_seconds, took * self.turns / SHARE_OF_KEEPING)

    def _keep(self) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        buffer = io.BytesIO()
        torch.save({"step": self.t, "seconds": self.spent, "history": self.history, "parts": state}, buffer)
        write_sealed(self.file, buffer.getbuffer())

    def end(self) -> PhaseReport:
        """Keep the end, and tell what was done."""
        if self.writes and (self.first < self.n_steps or not self.file.is_file()):
            with self.lane():
                self._keep()
        return PhaseReport(self.n_steps, self.spent, self.stopped, tuple(self.history), self.meter.cost(self.n_steps))


def run_steps(phase: str, step: Callable[[int], Mapping[str, Tensor]], **options: Any) -> PhaseReport:
    """Call `step(t)` for t = 0 .. n_steps - 1, resuming from the phase's checkpoint where there is one.

    Parameters and what is raised are those of `Phase`. The caller's global random state is put back at the end.
    """
    return run_phase(Phase(phase, step, **options))


def run_phase(phase: Phase) -> PhaseReport:
    """Take one phase to its end; see `run_together`.

    Raises
    ------
    Diverged
        As `Phase.advance`.
    """
    (ended,) = run_together([phase], what=phase.name)
    if isinstance(ended, Diverged):
        raise ended
    return ended


def run_together(phases: Sequence[Phase], *, what: str) -> list[PhaseReport | Diverged]:
    """Take several phases to their ends, a step each in turn: on a GPU their kernels run side by side.

    What a phase computes does not depend on the others. One that diverges is left, and the others go on. All are of
    one device and precision; the caller's global random state is put back at the end.

    Parameters
    ----------
    what : names the bar of progress.
    """
    found: list[PhaseReport | Diverged | None] = [None] * len(phases)
    for phase in phases:
        phase.turns = len(phases)
        phase.begin()
    total, done = (sum(getattr(p, name) * p.images_per_step for p in phases) for name in ("n_steps", "first"))
    with (
        isolated_randomness(phases[0].seed),
        float32_products(phases[0].work.precision),
        Progress(what, total, done=done, unit="images") as bar,
    ):
        alive, before = list(range(len(phases))), time.perf_counter()
        while alive:
            going = []
            for k in alive:
                try:
                    if phases[k].advance(bar):
                        going.append(k)
                except Diverged as error:
                    found[k] = error
            now = time.perf_counter()
            for k in going:
                phases[k].spent += (now - before) / len(going)
            alive, before = going, now
    return [ended or _share(phase.end(), len(phases)) for ended, phase in zip(found, phases, strict=True)]


def _share(report: PhaseReport, n: int) -> PhaseReport:
    """The report of one of n phases that took turns: of the energy that all of them took together, its share."""
    if n == 1 or report.cost.joules is None:
        return report
    return replace(report, cost=replace(report.cost, joules=report.cost.joules / n))


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
