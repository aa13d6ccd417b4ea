"""The executor of one machine: processes that make one item after another, replaced where one dies or is too slow."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any

from benchmarks.job.fault import Fault, fault_of
from benchmarks.request.options import Request
from benchmarks.sweep.ends import Ends, Settled
from benchmarks.sweep.graph import Graph
from benchmarks.sweep.items import Item
from benchmarks.sweep.perform import Answer, perform
from synthworth.errors import UserError
from synthworth.interrupts import held
from synthworth.processes import Helper, begin_helper, pack
from synthworth.threads import share_of_cores
from synthworth.workers import n_workers

LOOK_EVERY = 0.5
"""Seconds between looks at the time that items take."""
LEAVE = 10.0
"""Seconds that a process has to leave by itself at the end."""


def n_jobs(asked: int, *, device: str) -> int:
    """Processes of a sweep: a core each, up to eight, or a GPU each, unless asked otherwise."""
    if asked or not device.startswith("cuda"):
        return n_workers(asked, device=device)
    import torch

    return 1 if ":" in device else max(1, torch.cuda.device_count())


class Worker:
    """A place where items are made: a process, begun anew where the last one died.

    Parameters
    ----------
    environment : of the process, beside this one's.
    threads : torch's.
    """

    def __init__(self, environment: Mapping[str, str], *, threads: int) -> None:
        self.environment, self.threads = environment, threads
        self.helper: Helper | None = None
        self.item: Item | None = None
        self.began = 0.0
        self._parcel: bytes | None = None
        """Of an item that waits for its process to have started: that is no time of the item's."""

    def give(self, request: Request, item: Item) -> None:
        """Hand over an item."""
        if self.helper is not None and not self.helper.process.is_alive():
            self.end()  # it died while it had nothing to do
        self.item, self.began, parcel = item, time.monotonic(), pack(perform, request, item)
        if self.helper is not None:
            self.helper.give(parcel)
            return
        with held():
            self.helper = begin_helper(self.environment, threads=self.threads)
        self._parcel = parcel
        self.helper.give(pack(start))

    def spent(self) -> float:
        """Seconds of the item so far; 0 while its process starts."""
        return 0.0 if self._parcel is not None else time.monotonic() - self.began

    def answer(self) -> Answer | None:
        """What became of the item; None while it only begins. A process that died answers with how."""
        assert self.helper is not None and self.item is not None
        seconds = self.spent()
        try:
            found = self.helper.answer("the process that made it", "Ask for fewer --jobs")
            if self._parcel is not None:
                parcel, self._parcel, self.began = self._parcel, None, time.monotonic()
                self.helper.give(parcel)
                return None
            answer: Answer = found
        except (UserError, KeyboardInterrupt) as error:
            if self.helper.process.is_alive():  # it could not import what the item needs
                answer = Answer(seconds, fault=Fault("refused", str(error)))
            else:
                answer = Answer(seconds, fault=Fault("killed", str(error) or "the process that made it was ended"))
                self.end()
        except Exception as error:  # what crossed back cannot be read: it is this item's fault, not the sweep's
            answer = Answer(seconds, fault=fault_of(error))
        self.item = self._parcel = None
        return answer

    def out_of_time(self, limit: float) -> Answer:
        """End the process; the answer in its place."""
        seconds = self.spent()
        self.end()
        self.item = None
        return Answer(seconds, fault=Fault("timeout", f"it took longer than {limit / 3600:g} h (--max-hours)"))

    def end(self) -> None:
        """End the process now."""
        if self.helper is not None:
            self.helper.process.kill()
            self.helper.process.join()
            self.helper.end.close()
            self.helper = None

    def dismiss(self) -> None:
        """Let the process leave; end it if it does not."""
        if self.helper is not None:
            self.helper.end.close()
            self.helper.process.join(timeout=LEAVE)
            self.helper.process.kill()
            self.helper.process.join()
            self.helper = None


def start() -> None:
    """What a process does before its first item: it imports what items need, and says that it is there.

    What is to be said of how large a request may be was said when the sweep was planned, and is not said for each item.
    """
    import torch  # noqa: F401

    import benchmarks.job.carry_out  # noqa: F401

    logging.getLogger("benchmarks.request.limits").setLevel(logging.ERROR)


def run_local(
    graph: Graph, requests: Sequence[Request], *, jobs: int, device: str, settled: Settled, retries: int = 0,
    limits: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Make every item that can be made.

    Parameters
    ----------
    jobs : processes; the cores' threads are divided among them, and the GPUs, if there are some.
    retries : how often an item that failed is tried again.
    limits : stage -> seconds that an item of it may take.

    Raises
    ------
    KeyboardInterrupt
        When this process was interrupted; its processes are ended first.
    """
    workers = [Worker(environment, threads=share_of_cores(jobs)) for environment in _environments(jobs, device)]
    ends = Ends(graph, retries=retries, settled=settled)
    try:
        while not graph.settled:
            for worker in workers:
                if worker.item is None and (item := graph.next()) is not None:
                    worker.give(requests[item.request], item)
            for item, answer in _answers([w for w in workers if w.item is not None], limits or {}):
                ends.take(item, answer)
        for worker in workers:
            worker.dismiss()
    finally:
        for worker in workers:
            worker.end()


def _answers(busy: Sequence[Worker], limits: Mapping[str, float]) -> list[tuple[Item, Answer]]:
    """What came within a moment."""
    by_end: dict[Any, Worker] = {worker.helper.end: worker for worker in busy if worker.helper is not None}
    found: list[tuple[Item, Answer]] = []
    for end in wait(list(by_end), timeout=LOOK_EVERY):
        worker = by_end.pop(end)
        item = worker.item
        assert item is not None
        if (answer := worker.answer()) is not None:
            found.append((item, answer))
    for worker in by_end.values():
        waiting = worker.item
        limit = None if waiting is None else limits.get(waiting.stage)
        if waiting is not None and limit is not None and worker.spent() > limit:
            found.append((waiting, worker.out_of_time(limit)))
    return found


def _environments(jobs: int, device: str) -> list[dict[str, str]]:
    """A GPU each, in turn, where the device is all of them."""
    if device != "cuda":
        return [{} for _ in range(jobs)]
    import os

    import torch

    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = seen.split(",") if seen else [str(k) for k in range(torch.cuda.device_count())]
    return [{"CUDA_VISIBLE_DEVICES": cards[k % len(cards)]} for k in range(jobs)]
