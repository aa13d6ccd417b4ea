"""Executors: where independent tasks run. Here: in this process, or side by side in processes of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from multiprocessing.connection import wait
from types import MappingProxyType
from typing import Any, TypeVar

from synthworth.errors import UserError
from synthworth.processes import Helper, helpers, pack
from synthworth.progress import Progress
from synthworth.threads import n_cores, share_of_cores

Task = TypeVar("Task")
Answer = TypeVar("Answer")
MAX_WORKERS = 8


def n_workers(asked: int, *, device: str) -> int:
    """Workers to use: one for each core of the CPU, up to 8, unless asked otherwise; one for an accelerator.

    Small networks gain little from a second thread: two trainings side by side on two cores finish 1.4 times as
    many images a second as one training on both. The number of threads a worker has is cores / workers, whatever
    is left to do, so that a resumed run computes with the same threads and gives the same bits.
    """
    if asked < 0:
        raise UserError(f"--workers {asked} was asked for; it is 0 (automatic) or more")
    if asked:
        return asked
    return min(n_cores(), MAX_WORKERS) if device == "cpu" else 1


def map_tasks(
    function: Callable[[Task], Answer],
    tasks: Sequence[Task],
    *,
    workers: int,
    what: str,
    after: Mapping[int, Collection[int]] = MappingProxyType({}),
    failed: Callable[[Answer], bool] = lambda answer: False,
    first_shows: bool = False,
    with_torch: bool = True,
) -> list[Answer | None]:
    """`[function(t) for t in tasks]`, side by side; the first exception stops the rest and is raised.

    Parameters
    ----------
    function : a module-level function.
    tasks : picklable, as the answers must be (they cross to processes of this machine, never a file).
    after : places of the tasks that must be answered before that of a place begins; all of them stand before it.
    failed : whether an answer says that the tasks after it are not to be done.
    first_shows : whether the worker that has the first task shows its progress as well, where lines are printed.
    with_torch : whether the tasks compute with torch: it takes seconds to import.

    Returns
    -------
    The answers; None for what was not done because a task before it failed.

    Raises
    ------
    UserError
        When a worker cannot import what its task needs, or dies; the message says what is known of the cause.
    KeyboardInterrupt
        When this process was interrupted, or somebody ended a worker; the workers are ended, whatever they are doing.
    """
    line = Line(len(tasks), after, failed)
    if workers == 1 or not tasks:
        with Progress(what, len(tasks)) as bar:
            while (number := line.next()) is not None:
                line.answered(number, function(tasks[number]))
                bar.advance(len(line.answers) - bar.done)
        return line.in_order()
    shows = first_shows and not sys.stderr.isatty()
    environments: list[dict[str, str]] = [{}] * min(workers, len(tasks))
    threads = share_of_cores(workers) if with_torch else None
    with (
        helpers(environments, threads=threads, one_shows=shows) as crew,
        Progress(what, len(tasks)) as bar,
    ):
        _side_by_side(function, tasks, line, crew, bar)
    return line.in_order()


class Line:
    """Tasks that wait for their turn: in order, but for those that others come before.

    Attributes
    ----------
    answers : of what is done, by its place; None of what was left out because a task before it failed.
    """

    def __init__(
        self, n: int, after: Mapping[int, Collection[int]], failed: Callable[[Any], bool] = lambda answer: False
    ) -> None:
        for place, before in after.items():
            if any(other >= place for other in before):
                raise ValueError(f"task {place} comes after one that does not stand before it: {sorted(before)}")
        self.n, self.after, self.failed = n, after, failed
        self.answers: dict[int, Any] = {}
        self._waiting = list(range(n))
        self._lost: set[int] = set()

    def next(self) -> int | None:
        """The place of a task that may begin now; None where none may."""
        for place in self._waiting:
            if all(other in self.answers for other in self.after.get(place, ())):
                self._waiting.remove(place)
                return place
        return None

    def answered(self, place: int, answer: Any) -> None:
        """Take an answer; what comes after a failure is answered with None."""
        self.answers[place] = answer
        if self.failed(answer):
            self._lost.add(place)
        for other in list(self._waiting):
            if self._lost & set(self.after.get(other, ())):
                self._waiting.remove(other)
                self._lost.add(other)
                self.answers[other] = None

    def in_order(self) -> list[Any]:
        """All answers, once there are all."""
        return [self.answers[place] for place in range(self.n)]


def _side_by_side(
    function: Callable[[Task], Answer], tasks: Sequence[Task], line: Line, crew: Sequence[Helper], bar: Progress
) -> None:
    """Every helper has one task at a time."""
    who, remedy = f"{bar.what}: a worker process", "Ask for fewer --workers"
    busy: dict[Any, tuple[Helper, int]] = {}
    free = list(crew)
    while len(line.answers) < line.n:
        while free and (number := line.next()) is not None:
            helper = free.pop(0)
            helper.give(pack(function, tasks[number]))
            busy[helper.end] = helper, number
        for helper, number in [busy.pop(end) for end in wait(list(busy), timeout=5)]:
            line.answered(number, helper.answer(who, remedy))
            free.append(helper)
        bar.advance(len(line.answers) - bar.done)
