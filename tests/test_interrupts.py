"""An interrupt (Ctrl-C, SIGTERM) at whatever moment ends a command with 130, one line and nobody left behind."""

from __future__ import annotations

import ast
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from benchmarks.cli import COMMANDS
from synthworth.interrupts import held
from synthworth.processes import run_together
from synthworth.workers import map_tasks

pytestmark = pytest.mark.usefixtures("interruptible")
LINE = "interrupted; the same command goes on from here"


def interrupt_worker(number: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return number


def end_worker(number: int) -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    return number


def raise_interrupt(number: int) -> int:
    raise KeyboardInterrupt


def test_a_worker_ignores_interrupts_that_are_its_parents() -> None:
    assert map_tasks(interrupt_worker, [1], workers=2, what="test") == [1]
    assert run_together(interrupt_worker, n=1, what="test") == 0


@pytest.mark.parametrize("end", [end_worker, raise_interrupt])
def test_a_worker_that_somebody_ended_is_an_interrupt_and_no_lack_of_memory(end: Callable[[int], int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        map_tasks(end, [1], workers=2, what="test")
    with pytest.raises(KeyboardInterrupt):
        run_together(end, n=1, what="test")


def test_a_worker_of_a_process_that_ignores_sigterm_can_still_be_ended() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            map_tasks(end_worker, [1], workers=2, what="test")
    finally:
        signal.signal(signal.SIGTERM, before)


def test_interrupts_that_are_held_come_at_the_end_of_the_block() -> None:
    reached = []

    def interrupted_block() -> None:
        with held():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted_block()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


IMPORTING = """
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
    "call", ['map_tasks(abs, [1], workers=2, what="test")', 'run_together(abs, n=1, what="test")'],
    ids=["workers", "devices"],
)  # fmt: skip
def test_a_worker_that_is_interrupted_while_it_starts_does_not_hear_it(
    call: str, run_python: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "command.py").write_text(IMPORTING.format(call=call))
    done = run_python("command.py")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


COMMAND = """
from synthworth.interrupts import hear

if __name__ == "__main__":
    hear()

import hashlib, os, pathlib, signal, sys, threading, time
from synthworth.commands import guarded
from synthworth.errors import UserError
from synthworth.processes import run_together
from synthworth.workers import map_tasks

def interrupt(process=None):
    os.kill(process or os.getpid(), signal.{signal})

def task(name):
    if name == "ended":
        os.kill(os.getpid(), signal.SIGTERM)
    if name != "second":
        interrupt(os.getppid())
    time.sleep(20)
    pathlib.Path(str(name)).touch()

class Thing:
    def __del__(self):
        interrupt()
        time.sleep(0.1)

def main(args):
{body}
    return 0

{before}
if __name__ == "__main__":
    sys.exit(guarded(main))
"""
BODIES = {
    "workers are at work": """
    map_tasks(task, ["first", "second"], workers=2, what="test")""",
    "somebody ends a worker": """
    map_tasks(task, ["ended", "second"], workers=2, what="test")""",
    "processes train together": """
    run_together(task, n=2, what="test")""",
    "native code": """
    threading.Timer(0.2, interrupt).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)""",
    "a library that swallows it": """
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            interrupt()
            time.sleep(20)
        except BaseException:
            time.sleep(20)""",
    "swallowed, and then all is well": """
    try:
        interrupt()
        time.sleep(1)
    except BaseException:
        pass""",
    "an import that makes another error of it": """
    try:
        interrupt()
        time.sleep(1)
    except BaseException as error:
        raise UserError("generator 'x' cannot be imported") from error""",
    "where nobody can catch it": """
    thing = Thing()
    del thing
    time.sleep(20)""",
    "twice": """
    try:
        interrupt()
        time.sleep(20)
    finally:
        interrupt()
        time.sleep(20)""",
    "compiled text": """
    exec("interrupt(); time.sleep(20)", globals())""",
}
IMPORTS = 'if __name__ == "__main__":\n    interrupt()\n    time.sleep(20)'


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", [*BODIES, "imports"])
def test_wherever_an_interrupt_is_heard_the_command_ends_with_130_and_one_line(
    where: str, number: str, run_python: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    before = IMPORTS if where == "imports" else ""
    text = COMMAND.format(signal=number, body=BODIES.get(where, "    pass"), before=before)
    (tmp_path / "command.py").write_text(text)
    began = time.monotonic()
    done = run_python("command.py")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, LINE), done.stderr
    assert done.stderr.count(LINE) == 1
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 15  # 5 s, and what a busy machine takes to begin
    assert [file.name for file in tmp_path.iterdir()] == ["command.py"]


def test_a_command_that_is_told_to_ignore_interrupts_ignores_them(
    run_python: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "command.py").write_text(COMMAND.format(signal="SIGINT", body="    interrupt()", before=""))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's `&` does; a child inherits it
    done = run_python("command.py")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", [module for module, _ in COMMANDS.values()])
def test_every_command_hears_interrupts_before_it_imports_anything_else(module: str) -> None:
    file = Path(__file__).resolve().parents[1] / f"{module.replace('.', '/')}.py"
    first = next(
        statement
        for statement in ast.parse(file.read_text(encoding="utf-8")).body
        if not isinstance(statement, ast.Expr) and getattr(statement, "module", "") != "__future__"
    )
    assert ast.unparse(first).splitlines() == [
        "if __name__ == '__main__':",
        "    from synthworth.interrupts import hear",
        "    hear()",
    ]
