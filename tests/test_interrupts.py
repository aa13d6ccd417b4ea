"""An interrupt (Ctrl-C) while worker processes are at work: whoever hears it first, the command ends as interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from synthworth.processes import run_together
from synthworth.workers import map_tasks

pytestmark = pytest.mark.usefixtures("interruptible")


def interrupt_worker(number: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return number


def test_a_worker_that_an_interrupt_ended_is_an_interrupt_and_no_lack_of_memory() -> None:
    with pytest.raises(KeyboardInterrupt):
        map_tasks(interrupt_worker, [1, 2], workers=2, what="test")
    with pytest.raises(KeyboardInterrupt):
        run_together(interrupt_worker, n=2, what="test")


def test_workers_of_a_process_that_ignores_interrupts_ignore_them_too() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert map_tasks(interrupt_worker, [3, 4], workers=2, what="test") == [3, 4]
    assert run_together(interrupt_worker, n=2, what="test") == 0


COMMAND = """
import os, signal, sys
from synthworth.commands import guarded
from synthworth.processes import run_together
from synthworth.workers import map_tasks

def main(args):
    {call}
    return 0

if __name__ == "__mp_main__":
    os.kill(os.getpid(), signal.SIGINT)  # a worker that is still importing
if __name__ == "__main__":
    sys.exit(guarded(main))
"""


@pytest.mark.parametrize(
    "call", ['map_tasks(abs, [1, 2], workers=2, what="test")', 'run_together(abs, n=2, what="test")'],
    ids=["workers", "devices"],
)  # fmt: skip
def test_a_worker_that_is_interrupted_while_it_starts_leaves_one_line_and_no_traceback(
    call: str, run_python: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "command.py").write_text(COMMAND.format(call=call))
    done = run_python("command.py")
    assert done.returncode == 130
    assert done.stderr.strip().splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in done.stderr


ALONE = """
import os, pathlib, signal, sys, time
from synthworth.commands import guarded
from synthworth.workers import map_tasks

def task(name):
    if name == "first":
        os.kill(os.getppid(), signal.SIGINT)
    time.sleep(20)
    pathlib.Path(name).touch()

def main(args):
    map_tasks(task, ["first", "second"], workers=2, what="test")

if __name__ == "__main__":
    sys.exit(guarded(main))
"""


def test_an_interrupt_of_the_parent_alone_does_not_wait_for_the_tasks(
    run_python: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "command.py").write_text(ALONE)
    assert run_python("command.py").returncode == 130
    assert not (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()
