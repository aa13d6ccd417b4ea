"""What the steps of one phase cost: the first is counted, energy is read now and then, checkpoints keep both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from synthworth.cost import Cost
from synthworth.energy import Counter, open_counter
from synthworth.errors import Unavailable
from synthworth.training.flops import counted
from synthworth.training.peak import matmul_peak
from synthworth.work import Work

LOOK_SECONDS = 60.0
"""Between two looks at the energy counter: a processor's wraps around after some ten minutes at the earliest."""


class Meter:
    """Calls a phase's steps and keeps what they cost; a part of its checkpoint like any other.

    Parameters
    ----------
    step : as `run_steps` is given it.
    work : device, precision, and how many processes share the steps.
    flops : gives the floating-point operations of a step of this process, where they cannot be counted while the first
        one runs (compiled networks, captured graphs). Called before the first step of a phase.
    """

    def __init__(
        self, step: Callable[[int], Mapping[str, Tensor]], *, work: Work, flops: Callable[[], int] | None = None
    ) -> None:
        self.step, self.work, self.flops = step, work, flops
        self.per_step: int | str | None = None
        """Operations of a step of this process, or why they cannot be counted; None until it is known."""
        self.notes: dict[str, str] = {}
        self._before: float | None = 0.0
        self._looked, self._read = time.perf_counter(), 0.0
        self._counter: Counter | None = None
        try:
            self._counter = open_counter(work.device, work.devices)
            self.notes["joules"] = self._counter.of
        except Unavailable as reason:
            self.notes["joules"] = str(reason)

    def __call__(self, t: int) -> Mapping[str, Tensor]:
        """Take step t."""
        if self.per_step is None and self.flops is not None:
            try:
                self.per_step = self.flops()
            except Unavailable as reason:
                self.per_step = str(reason)
        if self.per_step is None:
            self.per_step, scalars = counted(lambda: self.step(t))
        else:
            scalars = self.step(t)
        if time.perf_counter() - self._looked > LOOK_SECONDS:
            self._joules()
        return scalars

    def _joules(self) -> float | None:
        """Taken over all attempts so far; None where one of them could not be measured."""
        self._looked = time.perf_counter()
        if self._counter is not None:
            try:
                self._read = self._counter.joules()
            except Unavailable as reason:
                self._counter, self.notes["joules"] = None, str(reason)
        return None if self._counter is None or self._before is None else self._before + self._read

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"per_step": self.per_step, "joules": self._joules()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave; nothing, of a checkpoint that was written before there was any."""
        self.per_step = state.get("per_step")
        self._before = state.get("joules")
        if self._before is None and self._counter is not None:
            self.notes["joules"] = "an earlier attempt at this fit was not measured"

    def cost(self, n_steps: int) -> Cost:
        """What `n_steps` steps of all processes together cost."""
        joules, shares = self._joules(), self.work.devices
        if not isinstance(self.per_step, int):
            why = self.per_step or "it was trained before they were counted"
            return Cost(joules=joules, notes={**self.notes, "gflop": why, "peak": why})
        peak = matmul_peak(self.work.device, self.work.precision)
        return Cost(self.per_step * shares * n_steps / 1e9, peak * shares / 1e9, joules, self.notes)
