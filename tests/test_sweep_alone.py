"""Of processes that would judge one request at once, one does and the others wait; who was killed is not waited for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from benchmarks.sweep.alone import one_at_a_time, sweep_up
from synthworth.artifacts import write_json
from synthworth.lease import OWNER, this_machine


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    seen: list[str] = []

    def judge(name: str) -> None:
        with one_at_a_time(tmp_path, "k", what=name):
            seen.append(f"{name} in")
            time.sleep(0.3)
            seen.append(f"{name} out")

    threads = [threading.Thread(target=judge, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])
    sweep_up(tmp_path)
    assert not (tmp_path / "work" / "evaluate").exists()


def test_others_are_let_in_when_judging_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), one_at_a_time(tmp_path, "k", what="a"):
        raise ZeroDivisionError
    with one_at_a_time(tmp_path, "k", what="b"):
        pass


def left_by(place: Path, *, pid: int) -> Path:
    attempt = place / "work" / "evaluate" / "k" / "attempt-000001"
    attempt.mkdir(parents=True)
    write_json(attempt / OWNER, {"machine": this_machine(), "host": "h", "pid": pid})
    return attempt


def test_what_a_killed_process_left_is_in_nobodys_way_and_is_swept_up(tmp_path: Path) -> None:
    import os

    dead = left_by(tmp_path / "dead", pid=2**22 + 1)
    with one_at_a_time(tmp_path / "dead", "k", what="next"):
        assert dead.is_dir()
    sweep_up(tmp_path / "dead")
    assert not (tmp_path / "dead" / "work" / "evaluate").exists()
    alive = left_by(tmp_path / "alive", pid=os.getpid())
    sweep_up(tmp_path / "alive")
    assert alive.is_dir()
