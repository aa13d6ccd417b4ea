"""Interrupts: how Ctrl-C (SIGINT) and SIGTERM end a command, from its first import to its last line."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
"""Exit code of a command that was interrupted, as shells have it."""
SAID = "interrupted; the same command goes on from here"
GRACE = 3.0
"""Seconds that an interrupted command has to end by itself. Then it is ended, wherever it is: it may be inside native
code, or something may have swallowed the interrupt. Whatever is on disk outlives a kill at any moment."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDED = frozenset({-signal.SIGINT, -signal.SIGTERM, INTERRUPTED})
"""Exit codes of a process that somebody asked to end, as `multiprocessing` tells them."""


class _Command:
    """What this process knows of its interrupts."""

    unwinds = False
    """Whether a raised KeyboardInterrupt finds somebody who says it (`raised`); not while a command is importing."""
    hears = False
    heard = False
    said = False


def hear() -> None:
    """From here on SIGINT and SIGTERM end this command with one line and exit code 130: `python -m` calls it first.

    The first signal raises KeyboardInterrupt inside `raised`; outside, while nothing is under way yet or any more, it
    ends the process at once, as the second one does. After `GRACE` seconds the process is ended in any case. A signal
    that this process was told to ignore (a script's `&`, `nohup`) stays ignored.
    """
    _Command.hears = True
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
    if sys.platform != "win32":
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)  # written to at once, whatever the main thread is doing
        threading.Thread(target=_watch, args=(told,), daemon=True).start()
    sys.unraisablehook = _on_unraisable


def _on_signal(number: int, frame: FrameType | None) -> None:
    again, _Command.heard = _Command.heard, True
    if again or not _Command.unwinds:
        leave()
    raise KeyboardInterrupt


def _watch(told: int) -> None:
    while not any(number in SIGNALS for number in os.read(told, 64)):
        pass
    time.sleep(GRACE)
    leave()


def _on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """An interrupt that was raised where nobody can catch it (a `__del__`) would be printed and forgotten."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        leave()
    sys.__unraisablehook__(unraisable)


@contextmanager
def raised() -> Iterator[None]:
    """Inside the block an interrupt is a KeyboardInterrupt, and whatever becomes of it, the block ends with one.

    Importing a plugin, for one, makes a UserError of any exception, and an extension module an ImportError.
    """
    _Command.unwinds = True
    try:
        yield
    except BaseException as error:
        if _Command.heard and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        _Command.unwinds = False
    if _Command.heard:  # somebody swallowed it
        raise KeyboardInterrupt


def say() -> None:
    """The one line, once, on stderr."""
    if not _Command.said:
        _Command.said = True
        cursor = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides it
        with suppress(OSError):  # nobody is left to read it
            os.write(2, f"{cursor}{SAID}\n".encode())


def end() -> int:
    """Say it and end the command that `hear` was called for; in any other process, return the exit code.

    The interpreter would take seconds to tidy up, and meanwhile another signal would decide the exit code.
    """
    say()
    if _Command.hears:
        with suppress(OSError):  # a pipe that nobody reads any more
            sys.stdout.flush()
        leave()
    return INTERRUPTED


def leave() -> NoReturn:
    """End this process at once, its worker processes first."""
    workers: list[Any] = getattr(sys.modules.get("multiprocessing.process"), "active_children", list)()
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(timeout=1)
    say()
    os._exit(INTERRUPTED)


@contextmanager
def held() -> Iterator[None]:
    """Hold back interrupts inside the block; they come at its end.

    A process that is begun in it holds its own SIGINT until `leave_to_parent`: while it is importing it hears none.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its first start lets interrupts through again
    came: list[int] = []
    handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what a child inherits
    for number in handlers:  # the mask is this thread's alone, and another may be given the signal
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


def leave_to_parent() -> None:
    """In a worker process, from its first line: interrupts are the parent's, who ends its workers.

    SIGTERM ends a worker at once and the parent says it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
