"""Executors: where independent tasks run. Here: in this process, or side by side in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

from synthworth.errors import UserError
from synthworth.processes import begin_worker, call_packed, interrupted, interrupts_held, pack, why_dead
from synthworth.progress import Progress

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
    return min(os.cpu_count() or 1, MAX_WORKERS) if device == "cpu" else 1


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
        When an interrupt ended a worker, or this process; the other workers are ended.
    """
    if workers == 1 or not tasks:
        answers = []
        with Progress(what, len(tasks)) as bar:
            for task in tasks:
                answers.append(function(task))
                bar.advance()
        return answers
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(
            min(workers, len(tasks)), mp_context=context, initializer=begin_worker, initargs=(os.getpid(), threads)
        ) as pool,
        Progress(what, len(tasks)) as bar,
    ):
        begun: list[BaseProcess] = []
        try:
            with interrupts_held():
                futures = [pool.submit(call_packed, pack(function, task)) for task in tasks]
                begun += multiprocessing.active_children()
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                bar.advance(len(done))
        except BrokenProcessPool as error:
            pool.shutdown()
            if interrupted(begun):
                raise KeyboardInterrupt from error
            raise UserError(
                f"{what}: a worker process died ({why_dead(begun)}). Ask for fewer --workers; what is finished is kept"
            ) from error
        except KeyboardInterrupt:
            for process in begun:  # it may have reached this process alone
                process.terminate()
            raise
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]
