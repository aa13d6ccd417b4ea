"""A training step that is recorded once and replayed: on a GPU as a CUDA graph, which is launched as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Scalars = Mapping[str, Tensor]
Recorder = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes a function without arguments and results, and gives one that does again what it did, on the same tensors."""
WARM_UPS = 3
"""Runs before a step is recorded: libraries set themselves up in the first ones, which a graph may not hold."""


class Lane:
    """Where a training queues its work: on a GPU a stream of its own, so that several trainings run side by side.

    Use as a context manager around everything that one training does. Elsewhere it changes nothing.
    """

    def __init__(self, device: str) -> None:
        self.stream: Any = torch.cuda.Stream(device) if device.startswith("cuda") else None  # type: ignore[no-untyped-call]
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream(device))  # for what was copied there before

    def __call__(self) -> AbstractContextManager[Any]:
        """The context."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def join(self) -> None:
        """Wait until the device has done all that was queued here: others may use what it left, or its memory."""
        if self.stream is not None:
            self.stream.synchronize()

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """`run` as a CUDA graph on this lane's stream (a `Recorder`); what it would do is not done yet."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            run()
        return graph.replay


class Captured:
    """A step of `body` that is recorded at the first call and replayed ever after, to the same bits.

    Parameters
    ----------
    body : `body(*inputs)` does forward, backward and the optimiser's step, and returns scalars as 0-d tensors. It reads
        nothing on the host, draws nothing at random, and works on the same tensors every time: weights, the
        optimiser's state, and inputs whose shapes never change.
    model, optimiser : what the body changes. Recording leaves them as they were; from then on their tensors are
        changed in place alone.
    record : how; `Lane.record` on a GPU.
    """

    def __init__(
        self, body: Callable[..., Scalars], *, model: nn.Module, optimiser: Optimizer, record: Recorder
    ) -> None:
        self.body, self.model, self.optimiser, self.record = body, model, optimiser, record
        self.inputs: tuple[Tensor, ...] = ()
        self.replay: Callable[[], None] | None = None
        self.outputs: Scalars = {}

    def __call__(self, *inputs: Tensor) -> Scalars:
        """Take a step.

        Returns
        -------
        Scalars of this step, which the next call overwrites.
        """
        replay = self.prepare(*inputs)
        for held, given in zip(self.inputs, inputs, strict=True):
            held.copy_(given)
        replay()
        return self.outputs

    def prepare(self, *inputs: Tensor) -> Callable[[], None]:
        """Record the step where that is not done yet: all the memory that it takes is taken then.

        Parameters
        ----------
        inputs : of the shapes that every step has.

        Returns
        -------
        What replays it.
        """
        if self.replay is None:
            self.inputs = tuple(given.clone() for given in inputs)
            self._warm_up()
            self.optimiser.zero_grad(set_to_none=True)
            self.replay = self.record(self._run)
        return self.replay

    def _run(self) -> None:
        self.outputs = self.body(*self.inputs)

    def _warm_up(self) -> None:
        """Run the body and put back what it changed; what the optimiser had not begun yet begins at zero."""
        weights = [value.clone() for value in self.model.state_dict().values()]
        before = {p: {k: v.clone() for k, v in s.items()} for p, s in self.optimiser.state.items()}
        for _ in range(WARM_UPS):
            self._run()
        with torch.no_grad():
            for value, kept in zip(self.model.state_dict().values(), weights, strict=True):
                value.copy_(kept)
            for p, state in self.optimiser.state.items():
                for name, value in state.items():
                    if p in before:
                        value.copy_(before[p][name])
                    else:
                        value.zero_()
