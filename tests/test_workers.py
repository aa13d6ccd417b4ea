"""Tasks run side by side: plugins are known where they run, and a worker that dies says why."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from synthworth.errors import UserError
from synthworth.processes import call_packed, pack, run_together
from synthworth.registry import load_plugin_file, loaded_plugin_files
from synthworth.threads import n_cores
from synthworth.workers import map_tasks, n_workers

CODE = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    components: int = 4
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An instance of a class that only a plugin file defines."""
    file = tmp_path_factory.mktemp("plugins") / "crossing.py"
    file.write_text(CODE)
    load_plugin_file(file)
    return sys.modules["synthworth_plugin_crossing"].Options(7)


def components(options: Any) -> int:
    return int(options.components)


def components_in_process(rank: int, options: Any) -> int:
    return int(options.components) + rank


def test_a_task_may_hold_what_a_plugin_file_defines(options: Any) -> None:
    assert map_tasks(components, [options, options], workers=2, what="test") == [7, 7]


def test_processes_that_train_together_know_the_plugin_files(options: Any) -> None:
    assert run_together(components_in_process, options, n=2, what="test") == 7


def test_files_of_one_name_in_two_folders_are_two_plugins(tmp_path: Path) -> None:
    import sys

    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(f"where = {folder!r}")
        load_plugin_file(tmp_path / folder / "same.py")
    found = [getattr(module, "where", None) for name, module in sys.modules.items() if "plugin_same" in name]
    assert sorted(found) == ["one", "two"]
    assert [f.parent.name for f in loaded_plugin_files() if f.name == "same.py"] == ["one", "two"]


def leave(how: str) -> None:
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.Signals[how])


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("SIGKILL", "killed by SIGKILL.*memory"),
        ("SIGABRT", "killed by SIGABRT, a fault in compiled code"),
        ("SIGHUP", r"killed by SIGHUP\)"),
        ("exit", "exit code 3"),
    ],
)
def test_a_worker_that_dies_says_why_as_far_as_is_known(how: str, says: str) -> None:
    with pytest.raises(UserError, match=f"a worker process died .{says}.*fewer --workers"):
        map_tasks(leave, [how], workers=2, what="test")


def sleep_or_fail(number: int) -> None:
    if number == 0:
        raise ValueError("the first has failed")
    time.sleep(60)


def test_the_first_exception_ends_the_other_tasks_where_they_are() -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="the first has failed"):
        map_tasks(sleep_or_fail, [0, 1], workers=2, what="test")
    with pytest.raises(ValueError, match="the first has failed"):
        run_together(sleep_or_fail, n=2, what="test")
    assert time.monotonic() - began < 45


class Particular(Exception):
    """An error that pickle writes and cannot read."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} of {two}")


def fail_in_particular(number: int) -> None:
    raise Particular(number, 2)


def test_an_error_that_cannot_cross_is_said_and_is_no_dead_worker() -> None:
    with pytest.raises(RuntimeError, match="Particular: 1 of 2"):
        map_tasks(fail_in_particular, [1], workers=2, what="test")


def give_what_cannot_cross(number: int) -> object:
    return lambda: number


def test_an_answer_that_cannot_cross_is_an_error_and_no_dead_worker() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        map_tasks(give_what_cannot_cross, [1], workers=2, what="test")


def thrice(number: int) -> tuple[int, int]:
    import torch

    return 3 * number, torch.get_num_threads()


def test_many_tasks_are_answered_in_order_by_few_workers() -> None:
    threads = max(1, n_cores() // 3)
    assert map_tasks(thrice, range(20), workers=3, what="test") == [(3 * k, threads) for k in range(20)]


WORK = """
import atexit, sys
from pathlib import Path
from synthworth.workers import map_tasks

def knows_torch(file):
    atexit.register(lambda: Path(file).write_text(str("torch" in sys.modules)))
    return "torch" in sys.modules

if __name__ == "__main__":
    print(map_tasks(knows_torch, [f"{sys.argv[1]}{k}" for k in range(2)], workers=2, what="tasks", with_torch=False))
"""


def test_workers_that_do_not_need_torch_never_import_it(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    out = subprocess.run([sys.executable, script, tmp_path / "end"], capture_output=True, text=True, check=True)
    assert out.stdout == "[False, False]\n"
    ends = [(tmp_path / f"end{k}").read_text() for k in range(2) if (tmp_path / f"end{k}").exists()]
    assert set(ends) == {"False"}  # not to leave a process group either


def note(task: tuple[str, str]) -> str:
    folder, name = task
    seen = sorted(file.name for file in Path(folder).iterdir())
    (Path(folder) / name).touch()
    return " ".join([name, "after", *seen])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_begins_once_those_before_it_are_answered(workers: int, tmp_path: Path) -> None:
    tasks = [(str(tmp_path), name) for name in ("a", "b", "c", "d")]
    answers = map_tasks(note, tasks, workers=workers, what="test", after={2: (0, 1), 3: (2,)})
    assert [answer and answer.partition(" ")[0] for answer in answers] == ["a", "b", "c", "d"]
    assert {"a", "b"} <= set(str(answers[2]).split()[2:]) and "c" in str(answers[3]).split()[2:]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_comes_after_a_failure_is_left_out_and_the_rest_is_done(workers: int, tmp_path: Path) -> None:
    tasks = [(str(tmp_path), name) for name in ("a", "b", "c", "d")]
    after = {1: (0,), 2: (1,)}
    answers = map_tasks(
        note, tasks, workers=workers, what="test", after=after, failed=lambda answer: answer.startswith("a")
    )
    assert answers[1:3] == [None, None] and str(answers[3]).startswith("d")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "d"]


def test_a_task_waits_only_for_one_that_stands_before_it() -> None:
    with pytest.raises(ValueError, match="task 0 comes after one that does not stand before it"):
        map_tasks(thrice, [1, 2], workers=2, what="test", after={0: (1,)})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system gives no process cores of its own")
def test_workers_are_as_many_as_the_cores_that_this_process_was_left() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert (n_workers(0, device="cpu"), n_workers(3, device="cpu")) == (1, 3)
    finally:
        os.sched_setaffinity(0, before)


def die_or_miss_it(rank: int) -> None:
    if rank:
        os._exit(7)
    raise ConnectionError("the connection was closed by the other process")


def test_of_processes_that_train_together_the_dead_one_is_named_and_not_the_one_that_misses_it() -> None:
    with pytest.raises(UserError, match=r"process 1 of 2 died \(exit code 7"):
        run_together(die_or_miss_it, n=2, what="test")


def test_a_process_of_several_that_dies_says_why() -> None:
    with pytest.raises(UserError, match=r"process 0 of 1 died \(exit code 3.*fewer --devices"):
        run_together(leave_in_process, n=1, what="test")


def leave_in_process(rank: int) -> None:
    leave("exit")


def test_what_a_worker_cannot_import_is_named_and_is_not_called_a_lack_of_memory(options: Any, monkeypatch) -> None:
    monkeypatch.setattr("synthworth.processes.loaded_plugin_files", tuple)
    with pytest.raises(UserError, match=r"ModuleNotFoundError: No module named 'synthworth_plugin_crossing'") as caught:
        map_tasks(components, [options], workers=2, what="test")
    assert "memory" not in str(caught.value)


def test_a_packed_call_imports_the_plugin_files_before_it_reads_the_call(options: Any) -> None:
    assert call_packed(pack(components, options)) == 7
