"""A warm process is a process: what it is told, where it stands, how it ends, and when it is begun in the usual way."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import warm
import warm_server

from synthworth.processes import run_together

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every process begins in the usual way")
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return warm.run(words, folder=tmp_path, environment={**os.environ, **environment}, seconds=120)

    return run


def told(call: Call, expression: str, *words: str, **environment: str) -> str:
    done = call("-c", f"import os, sys; print(repr(({expression})))", *words, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_a_child_that_has_torch_and_nothing_of_this_project(call: Call) -> None:
    assert told(call, "os.getppid(), 'torch' in sys.modules") == str((os.getpid(), True))
    assert told(call, "[m for m in sys.modules if m.split('.')[0] in ('synthworth', 'benchmarks', 'pytest')]") == "[]"


def test_its_words_folder_environment_and_path_are_its_own(call: Call, tmp_path: Path) -> None:
    assert told(call, "sys.argv, os.getcwd()", "a", "b c") == str((["-c", "a", "b c"], str(tmp_path)))
    assert told(call, "os.environ['MINE'], os.environ.get('HOME')", MINE="1", HOME="/h") == "('1', '/h')"
    assert told(call, "sys.path[:3]", PYTHONPATH=f"/x{os.pathsep}/y") == "['', '/x', '/y']"
    (tmp_path / "own.py").write_text("import sys\nprint(__name__, sys.argv[0] == __file__, sys.argv[1:])\n")
    for words in (("-m", "own"), ("own.py",)):
        assert call(*words, "z").stdout == "__main__ True ['z']\n"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("import sys; sys.exit(7)", 7, ""), ("raise SystemExit", 0, ""), ("raise SystemExit('bye')", 1, "bye\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import atexit, sys; atexit.register(lambda: print('end', file=sys.stderr))", 0, "end\n"),
    ],
)  # fmt: skip
def test_it_ends_as_a_process_ends(call: Call, code: str, status: int, said: str) -> None:
    done = call("-c", code)
    assert done.returncode == status and done.stderr.endswith(said) and bool(done.stderr) == bool(said)


def test_signals_reach_it_and_its_group_alone() -> None:
    words = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
    with warm.Popen(words, start_new_session=True, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        assert os.getpgid(process.pid) == process.pid and process.poll() is None
        os.killpg(process.pid, signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


def test_a_signal_that_is_ignored_here_is_ignored_there(call: Call, interruptible: None) -> None:
    ignores = "__import__('signal').getsignal(2) is __import__('signal').SIG_IGN"
    assert told(call, ignores) == "False"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert told(call, ignores) == "True"


def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["-c", "import time; time.sleep(60)"], folder=tmp_path, environment=os.environ, seconds=0.2)
    assert time.monotonic() - began < 50


def test_two_after_each_other_hash_strings_and_draw_numbers_otherwise(call: Call) -> None:
    for drawn in ("__import__('numpy').random.random()", "__import__('random').random()"):
        assert told(call, drawn) != told(call, drawn)
    fixed = os.environ.get("PYTHONHASHSEED", "random") != "random"  # tox sets one
    assert (told(call, "hash('a')") == told(call, "hash('a')")) == fixed


def test_what_an_interpreter_reads_when_it_starts_makes_one_begin_in_the_usual_way(call: Call) -> None:
    for words in ({"PYTHONHASHSEED": "0"}, {"OMP_NUM_THREADS": "3"}):
        assert told(call, "'torch' in sys.modules", **words) == "False"
    assert call("-X", "utf8", "-c", "import sys; print('torch' in sys.modules)").stdout == "False\n"


def test_what_libraries_set_as_they_are_imported_makes_none_begin_in_the_usual_way(
    call: Call,
) -> None:
    for name in warm_server.LIBRARIES:
        importlib.import_module(name)
    assert told(call, "'torch' in sys.modules") == "True"


def warm_here(rank: int) -> tuple[int, bool]:
    return os.getppid(), "diffusers" in sys.modules


def test_a_helper_of_this_process_is_a_warm_child_too() -> None:
    assert run_together(warm_here, n=2, what="test") == (os.getpid(), True)
