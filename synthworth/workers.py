"""Executors: where independent tasks run. Here: in this process, or side by side in processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any, TypeVar

from synthworth.errors import UserError
from synthworth.processes import Helper, helpers, pack
from synthworth.progress import Progress
from synthworth.threads import n_cores

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


def map_tasks(function: Callable[[Task], Answer], tasks: Sequence[Task], *, workers: int, what: str) -> list[Answer]:
    """`[function(t) for t in tasks]`, side by side; the first exception stops the rest and is raised.

    Parameters
    ----------
    function : a module-level function.
    tasks : picklable, as the answers must be (they cross to processes of this machine, never a file).

    Raises
    ------
    UserError
        When a worker cannot import what its task needs, or dies; the message says what is known of the cause.
    KeyboardInterrupt
        When this process was interrupted, or somebody ended a worker; the workers are ended, whatever they are doing.
    """
    if workers == 1 or not tasks:
        answers = []
        with Progress(what, len(tasks)) as bar:
            for task in tasks:
                answers.append(function(task))
                bar.advance()
        return answers
    threads = max(1, n_cores() // workers)
    with helpers([{}] * min(workers, len(tasks)), threads=threads) as crew, Progress(what, len(tasks)) as bar:
        return _side_by_side(function, tasks, crew, bar)


def _side_by_side(
    function: Callable[[Task], Answer], tasks: Sequence[Task], crew: Sequence[Helper], bar: Progress
) -> list[Answer]:
    """Every helper has one task at a time, in order."""
    who, remedy = f"{bar.what}: a worker process", "Ask for fewer --workers"
    answers: dict[int, Answer] = {}
    busy: dict[Any, tuple[Helper, int]] = {}
    free = list(crew)
    todo = iter(range(len(tasks)))
    while len(answers) < len(tasks):
        for helper, number in zip(free, todo, strict=False):
            helper.give(pack(function, tasks[number]))
            busy[helper.end] = helper, number
        done = [busy.pop(end) for end in wait(list(busy), timeout=5)]
        for helper, number in done:
            answers[number] = helper.answer(who, remedy)
        free = [helper for helper, _ in done]
        bar.advance(len(done))
    return [answers[number] for number in range(len(tasks))]
