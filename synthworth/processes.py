"""Processes of this machine that work for a parent: what crosses to them, how they begin, die, and train together."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from synthworth.errors import UserError
from synthworth.registry import load_plugin_file, loaded_plugin_files, no_exit

Answer = TypeVar("Answer")


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold back interrupts (Ctrl-C) inside the block.

    A process that is begun in it holds its own until `begin_worker`: one that is still importing then ends without a
    traceback, as later it does.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its first start lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def interrupted(processes: Iterable[BaseProcess]) -> bool:
    """Whether an interrupt ended one of these processes.

    Ctrl-C reaches parent and workers at once, and the parent may see the death of a worker before its own interrupt.
    """
    return any(process.exitcode == -signal.SIGINT for process in processes)


def pack(function: Callable[..., Any], *args: Any) -> bytes:
    """A call in the form that crosses to another process of this machine; `call_packed` makes it there.

    Every executor sends its calls in this form. The plugin files of this process go first, outside the call: what the
    call holds (a plugin's Config, for one) can only be read once the file that defines it has been imported.

    Parameters
    ----------
    function : a module-level function.
    args : picklable. They cross to a process and are never written to a file.
    """
    return pickle.dumps((loaded_plugin_files(), pickle.dumps((function, args))))


def call_packed(parcel: bytes) -> Any:
    """Import the plugin files, then make the call that `pack` was given.

    Raises
    ------
    UserError
        When a plugin file or a module that the call needs cannot be imported here.
    """
    files, call = pickle.loads(parcel)
    for file in files:
        load_plugin_file(file)
    try:
        function, args = pickle.loads(call)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"a worker process cannot import what its task needs: {type(error).__name__}: {error}. Define it in an "
            "installed package, or in a file given by --plugin"
        ) from error
    with no_exit():
        return function(*args)


def why_dead(processes: Iterable[BaseProcess]) -> str:
    """How processes came to die that sent no answer, as far as their exit codes tell.

    Those that were terminated because another one died are left out.
    """
    codes = {process.exitcode for process in processes} - {None, 0, -signal.SIGTERM}
    said = [_of_code(code) for code in sorted(codes, key=str) if code is not None]
    return "; ".join(said) or "it left no exit code"


def _of_code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}; what it printed stands above"
    name = signal.Signals(-code).name
    if code == -signal.SIGKILL:
        return f"killed by {name}, as the system does when memory runs out"
    return f"killed by {name}, a fault in compiled code"


def begin_worker(parent: int, threads: int, *, shows_progress: bool = False) -> None:
    """Prepare a worker: its share of threads, no progress of its own unless asked, and death with its parent."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a parent that ignores interrupts keeps its workers
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # on Ctrl-C a worker ends at once and the parent says it
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    import torch

    from synthworth.progress import mute

    torch.set_num_threads(threads)
    if not shows_progress:
        mute()

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def run_together(function: Callable[..., Answer], *args: Any, n: int, what: str) -> Answer:
    """Call `function(rank, *args)` in `n` new processes at once.

    They may join hands in one torch process group: rank, world size and a free port of this machine are in their
    environment.

    Parameters
    ----------
    function : a module-level function.
    args : picklable, as the answer must be; they never touch a file.

    Returns
    -------
    What rank 0 returned.

    Raises
    ------
    Exception
        What the first process that failed raised; the others are ended. UserError when one dies without a word,
        KeyboardInterrupt when an interrupt ended it.
    """
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = max(1, (os.cpu_count() or 1) // n)
    ends: dict[Connection, int] = {}
    processes = []
    try:
        for rank in range(n):
            here, there = context.Pipe(duplex=False)
            world = {"LOCAL_RANK": rank, "RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n}
            environment = {k: str(v) for k, v in world.items()} | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            setting = (os.getpid(), threads, environment)
            parcel = pack(function, rank, *args)
            process = context.Process(target=_serve, args=(there, setting, parcel, rank), daemon=False)
            with interrupts_held():
                process.start()
            there.close()
            ends[here] = rank
            processes.append(process)
        answer: Answer = _gather(ends, processes, what)
        return answer
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _gather(ends: dict[Connection, int], processes: Sequence[BaseProcess], what: str) -> Any:
    """Answers as they come; the first failure is raised."""
    answers: dict[int, Any] = {}
    open_ends = dict(ends)
    while open_ends:
        for end in wait(list(open_ends)):
            assert isinstance(end, Connection)
            rank = open_ends.pop(end)
            try:
                fine, answer = end.recv()
            except EOFError:
                processes[rank].join(timeout=5)
                if interrupted(processes[rank : rank + 1]):
                    raise KeyboardInterrupt from None
                raise UserError(
                    f"{what}: process {rank} of {len(ends)} died ({why_dead(processes[rank : rank + 1])}). Ask for "
                    "fewer --devices; what is finished is kept"
                ) from None
            if not fine:
                raise answer
            answers[rank] = answer
    return answers[0]


def _serve(there: Connection, setting: tuple[int, int, dict[str, str]], parcel: bytes, rank: int) -> None:
    parent, threads, environment = setting
    os.environ.update(environment)
    begin_worker(parent, threads, shows_progress=rank == 0)
    try:
        there.send((True, call_packed(parcel)))
    except Exception as error:  # crosses to the parent, which raises it
        error.add_note(f"in process {rank}:\n{traceback.format_exc()}")
        there.send((False, error))
    finally:
        _leave_group()


def _leave_group() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
