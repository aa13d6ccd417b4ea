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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from synthworth.errors import UserError
from synthworth.interrupts import ENDED, INTERRUPTED, held, leave_to_parent
from synthworth.registry import load_plugin_file, loaded_plugin_files, no_exit
from synthworth.threads import share_of_cores

Answer = TypeVar("Answer")
TO_LEAVE = 10.0
"""Seconds that a process has to leave by itself once it has nothing more to do."""
FAULTS = frozenset({signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, *(
    {signal.SIGBUS} if hasattr(signal, "SIGBUS") else ()
)})  # fmt: skip
Setting = tuple[int, int | None, dict[str, str], bool]
"""Of a helper: its parent, its threads of torch, what its environment has beside the parent's, whether it shows."""


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


@dataclass(frozen=True, eq=False)
class Helper:
    """A process that answers one call after another."""

    process: BaseProcess
    end: Connection

    def give(self, parcel: bytes) -> None:
        """Hand over what `pack` made. That the process is dead is said by `answer`."""
        with suppress(ConnectionError):
            self.end.send_bytes(parcel)

    def answer(self, who: str, remedy: str) -> Any:
        """What the call came to.

        Parameters
        ----------
        who, remedy : say of a process that died who it was, and what to do.

        Raises
        ------
        Exception
            What the call raised. UserError when the process died, KeyboardInterrupt when somebody ended it.
        """
        try:
            parcel = self.end.recv_bytes()
        except (EOFError, OSError):
            raise self.death(who, remedy) from None
        fine, answer = pickle.loads(parcel)
        if not fine:
            raise answer
        return answer

    def death(self, who: str, remedy: str) -> BaseException:
        """What is said of a process that died: its exit code decides."""
        self.process.join(timeout=5)
        code = self.process.exitcode
        if code in ENDED:
            return KeyboardInterrupt()
        return UserError(f"{who} died ({_of_code(code)}). {remedy}; what is finished is kept")


def _of_code(code: int | None) -> str:
    """How a process came to die that sent no answer, as far as its exit code tells."""
    if code is None:
        return "it left no exit code"
    if code >= 0:
        return f"exit code {code}; what it printed stands above"
    known = {int(number): number for number in signal.Signals}
    if -code not in known:
        return f"killed by signal {-code}"
    if -code == signal.SIGKILL:
        return "killed by SIGKILL, as the system does when memory runs out"
    return f"killed by {known[-code].name}" + (", a fault in compiled code" if -code in FAULTS else "")


def begin_helper(environment: Mapping[str, str], *, threads: int | None, shows: bool = False) -> Helper:
    """Begin a process that works for this one; whoever begins it ends it. See `helpers`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    setting: Setting = (os.getpid(), threads, dict(environment), shows)
    process = context.Process(target=_serve, args=(there, setting), daemon=False)
    with held():
        process.start()
    there.close()
    return Helper(process, here)


@contextmanager
def helpers(
    environments: Sequence[Mapping[str, str]], *, threads: int | None, one_shows: bool = False
) -> Iterator[list[Helper]]:
    """Processes that work for this one until the end of the block.

    An exception or an interrupt ends them at once, whatever they are doing.

    Parameters
    ----------
    environments : what each of them has in its environment beside what this process has.
    threads : torch's, in each of them; None where they have no use for torch, which takes seconds to import.
    one_shows : the first one shows its progress.
    """
    begun: list[Helper] = []
    try:
        for number, environment in enumerate(environments):
            with held():
                begun.append(begin_helper(environment, threads=threads, shows=one_shows and number == 0))
        yield begun
        for helper in begun:
            helper.end.close()
        for helper in begun:
            helper.process.join(timeout=TO_LEAVE)
    finally:
        for helper in begun:
            helper.process.kill()
        for helper in begun:
            helper.process.join()


def _serve(there: Connection, setting: Setting) -> None:
    """The life of a helper: calls until the parent closes the line."""
    parent, threads, environment, shows_progress = setting
    begin_worker(parent, threads, environment, shows_progress=shows_progress)
    try:
        while True:
            there.send_bytes(_made(there.recv_bytes()))
    except (EOFError, OSError):
        return
    except KeyboardInterrupt:  # the call's own: this process ignores interrupts
        os._exit(INTERRUPTED)
    finally:
        _leave_group()


def begin_worker(
    parent: int, threads: int | None, environment: Mapping[str, str], *, shows_progress: bool = False
) -> None:
    """Prepare a worker: interrupts are its parent's, and it dies with it; its threads; no progress unless asked."""
    leave_to_parent()

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    os.environ.update(environment)
    from synthworth.progress import mute

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if not shows_progress:
        mute()


def _made(parcel: bytes) -> bytes:
    """The call of a parcel, made; what it answers or raises, in a form that crosses back."""
    try:
        return pickle.dumps((True, call_packed(parcel)))
    except Exception as error:  # crosses to the parent, which raises it
        error.add_note(f"in {multiprocessing.current_process().name}:\n{traceback.format_exc()}")
        return pickle.dumps((False, _crossing(error)))


def _crossing(error: Exception) -> Exception:
    """The error, or where pickle cannot carry it (an `__init__` of its own) one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception as why:
        stand_in = RuntimeError(f"{type(error).__name__}: {error}")
        stand_in.__notes__ = [*error.__notes__, f"the error itself cannot cross to this process: {why}"]
        return stand_in
    return error


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
        KeyboardInterrupt when somebody ended it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "NODE_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    worlds = [{k: str(v) for k, v in {**shared, "LOCAL_RANK": rank, "RANK": rank}.items()} for rank in range(n)]
    with helpers(worlds, threads=share_of_cores(n), one_shows=True) as begun:
        for rank, helper in enumerate(begun):
            helper.give(pack(function, rank, *args))
        answer: Answer = _gather(begun, what)
        return answer


def _gather(begun: Sequence[Helper], what: str) -> Any:
    """Answers as they come; the first failure is raised, and before it what a process died of that others miss."""
    remedy = "Ask for fewer --devices"
    waiting = {helper.end: (rank, f"{what}: process {rank} of {len(begun)}") for rank, helper in enumerate(begun)}
    answers: dict[int, Any] = {}
    while waiting:
        for end in wait(list(waiting)):
            assert isinstance(end, Connection)
            rank, who = waiting.pop(end)
            try:
                answers[rank] = begun[rank].answer(who, remedy)
            except UserError:
                raise
            except Exception:
                left = {begun[other].process.sentinel: (other, name) for other, name in waiting.values()}
                for sentinel in wait(list(left), timeout=1):
                    assert isinstance(sentinel, int)
                    other, name = left[sentinel]
                    raise begun[other].death(name, remedy) from None
                raise
    return answers[0]


def _leave_group() -> None:
    """Leave the torch process group that the calls of this process may have joined."""
    if "torch.distributed" not in sys.modules:
        return
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
