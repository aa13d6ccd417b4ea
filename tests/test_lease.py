"""Half-made work has one owner at a time, by no lock and by no clock that two machines would have to share."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthworth import lease as leases
from synthworth import manifest as manifests
from synthworth.artifacts import publish
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.lease import OWNER, PATIENCE, acquire, patience
from synthworth.store import Store

IDENTITY = {"generator": "g"}
KEY = digest(IDENTITY)
DEAD = 2**22 + 7  # above the highest process number that Linux gives


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "1.2")


def never() -> bool:
    return False


def left(place: Path, number: int, *, machine: str, pid: int, step: str = "7") -> Path:
    """An attempt that an owner left half made; its folder."""
    own = place / f"attempt-{number:06d}" / f"host-{pid}-0123456789ab"
    (own / "scratch").mkdir(parents=True)
    (own / "scratch" / "step").write_text(step)
    (own.parent / OWNER).write_text(json.dumps({"machine": machine, "host": "there", "pid": pid}))
    return own


def test_the_first_to_ask_gets_it_and_the_second_waits_until_it_is_released(tmp_path: Path) -> None:
    first = acquire(tmp_path / "w", done=never, what="it")
    assert first is not None
    got: list[float] = []

    def ask() -> None:
        second = acquire(tmp_path / "w", done=never, what="it")
        assert second is not None and second.own != first.own
        got.append(time.monotonic())

    with first:
        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(1.5)  # longer than patience: the heartbeat is heard
        assert not got and not first.lost()
        released = time.monotonic()
    thread.join(10)
    assert 0 <= got[0] - released < 1.0


def test_of_many_that_ask_at_once_one_gets_it(tmp_path: Path) -> None:
    together, got = threading.Barrier(8), []

    def ask() -> None:
        together.wait()
        held = acquire(tmp_path / "w", done=lambda: bool(got), what="it")
        if held is not None:
            got.append(held)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(got) == 1
    assert [p.name for p in (tmp_path / "w").iterdir()] == ["attempt-000001"]


def test_a_process_that_died_on_this_machine_is_not_waited_for_and_its_work_goes_on(store: Store) -> None:
    place = store.home / "work" / "fit" / KEY
    left(place, 3, machine=leases.this_machine(), pid=DEAD)
    began = time.monotonic()

    def make(out: Path, scratch: Path) -> None:
        assert (scratch / "step").read_text() == "7"
        assert [p.name for p in place.iterdir()] == ["attempt-000004"]
        (out / "answer").write_text("42")

    assert store.get_or_make("fit", IDENTITY, make).fresh
    assert time.monotonic() - began < 1.0
    assert not place.exists()


def test_an_owner_elsewhere_that_is_silent_is_taken_over_by_a_copy_of_its_work(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = left(store.home / "work" / "fit" / KEY, 1, machine="elsewhere", pid=os.getpid())
    began = time.monotonic()

    def make(out: Path, scratch: Path) -> None:
        assert (scratch / "step").read_text() == "7"
        (scratch / "step").write_text("8")
        assert (theirs / "scratch" / "step").read_text() == "7"
        (out / "answer").write_text("42")

    assert store.get_or_make("fit", IDENTITY, make).fresh
    assert time.monotonic() - began > 1.1
    assert "its maker was silent for 1 s, and is taken to be gone" in caplog.text


@pytest.mark.parametrize("shift", [-600.0, 600.0])
def test_an_owner_whose_clock_is_ten_minutes_off_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    own = left(tmp_path / "w", 1, machine="elsewhere", pid=1)
    beat, stop = own.parent / "heartbeat", threading.Event()

    def live() -> None:
        count = 0
        while not stop.wait(0.1):
            count += 1
            beat.write_text(f"theirs {count}")
            os.utime(beat, (time.time() + shift, time.time() + shift))

    thread = threading.Thread(target=live)
    thread.start()
    ends = time.monotonic() + 2.5
    assert acquire(tmp_path / "w", done=lambda: time.monotonic() > ends, what="it") is None
    stop.set()
    thread.join()
    assert acquire(tmp_path / "w", done=never, what="it") is not None


@pytest.fixture
def paused(store: Store) -> Iterator[tuple[threading.Event, threading.Event, list[Any]]]:
    """A maker that stops in the middle, its heartbeat with it, and goes on when it is told to."""
    begun, go_on, came = threading.Event(), threading.Event(), []

    def make(out: Path, scratch: Path) -> None:
        (scratch / "step").write_text("1")
        begun.set()
        go_on.wait(30)
        (scratch / "step").write_text("2")
        (out / "answer").write_text("slow")

    def run() -> None:
        try:
            came.append(store.get_or_make("fit", IDENTITY, make))
        except BaseException as error:
            came.append(error)

    heart, leases.Lease._beat = leases.Lease._beat, lambda self: None  # type: ignore[method-assign]
    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(10)
    leases.Lease._beat = heart  # type: ignore[method-assign]
    yield begun, go_on, came
    go_on.set()
    thread.join(30)


def test_a_maker_that_wakes_after_another_finished_takes_what_is_there(
    store: Store, paused: tuple[threading.Event, threading.Event, list[Any]]
) -> None:
    _, go_on, came = paused
    mine = store.get_or_make("fit", IDENTITY, lambda out, _: (out / "answer").write_text("quick") and None)
    assert mine.fresh
    go_on.set()
    deadline = time.monotonic() + 20
    while not came and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not isinstance(came[0], BaseException), came
    assert not came[0].fresh and (came[0].folder / "answer").read_text() == "quick"
    assert not (store.home / "work" / "fit" / KEY).exists()


def test_a_maker_that_wakes_while_another_works_does_not_touch_its_files(
    store: Store, paused: tuple[threading.Event, threading.Event, list[Any]]
) -> None:
    _, go_on, came = paused

    def make(out: Path, scratch: Path) -> None:
        assert (scratch / "step").read_text() == "1"
        go_on.set()
        deadline = time.monotonic() + 10
        while not came and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (scratch / "step").read_text() == "1"
        (out / "answer").write_text("quick")

    mine = store.get_or_make("fit", IDENTITY, make)
    assert not isinstance(came[0], BaseException), came
    assert came[0].fresh and not mine.fresh
    assert (mine.folder / "answer").read_text() == "slow"
    assert store.has("fit", KEY, deep=True)


@pytest.mark.parametrize("asked", ["0", "-3", "soon", "inf", "nan"])
def test_a_patience_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv(PATIENCE, asked)
    with pytest.raises(UserError, match=rf"{PATIENCE}={asked} is no number of seconds above 0"):
        patience()


def test_a_file_system_that_gives_a_name_twice_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rename = os.rename

    def lies(a: Any, b: Any) -> None:
        if Path(b).is_dir():
            import shutil

            shutil.rmtree(b)
        rename(a, b)

    assert leases.check_exclusion(tmp_path / "honest")
    monkeypatch.setattr(leases.os, "rename", lies)
    assert not leases.check_exclusion(tmp_path / "lying")
    assert "gives two processes the same folder" in caplog.text


@pytest.mark.parametrize("pid", [True, -5, 0, 10**30, 1 << 31, 1.5, "7", None])
def test_a_process_number_that_is_none_says_nothing(pid: Any) -> None:
    assert not leases.is_gone({"machine": leases.this_machine(), "pid": pid})


def test_an_owner_whom_the_system_hides_from_us_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def hidden(pid: int) -> Any:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", hidden)
    assert not leases.is_gone({"machine": leases.this_machine(), "pid": os.getppid()})
    assert leases.is_gone({"machine": leases.this_machine(), "pid": DEAD})

    def not_ours(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", not_ours)
    assert not leases.is_gone({"machine": leases.this_machine(), "pid": DEAD})


def test_a_place_that_goes_while_an_attempt_begins_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process publishes, and removes the place of the work."""
    place, mkdir, times = tmp_path / "w", os.mkdir, []

    def undermined(path: Any, *args: Any, **more: Any) -> None:
        if str(path).startswith(str(place / ".")) and len(times) < 3:
            times.append(path)
            raise FileNotFoundError(2, "No such file or directory", str(path))
        mkdir(path, *args, **more)

    monkeypatch.setattr(os, "mkdir", undermined)
    lease = acquire(place, done=never, what="it")
    assert lease is not None and lease.own.is_dir() and len(times) == 3


@pytest.mark.parametrize("name", ["attempt-1", "attempt-", "attempt-x", "attempt-0000001"])
def test_folders_of_other_names_are_no_attempts(store: Store, name: str) -> None:
    (store.home / "work" / "fit" / KEY / name).mkdir(parents=True)
    began = time.monotonic()
    assert store.get_or_make("fit", IDENTITY, lambda out, _: (out / "answer").touch()).fresh
    assert time.monotonic() - began < 1.0


def test_a_file_in_the_place_of_an_attempt_is_waited_for_and_passed(store: Store) -> None:
    place = store.home / "work" / "fit" / KEY
    place.mkdir(parents=True)
    (place / "attempt-000001").touch()
    assert store.get_or_make("fit", IDENTITY, lambda out, _: (out / "answer").touch()).fresh


def test_a_file_in_the_place_of_the_work_is_one_line(store: Store) -> None:
    (store.home / "work" / "fit").mkdir(parents=True)
    (store.home / "work" / "fit" / KEY).touch()
    with pytest.raises(UserError, match="cannot write to"):
        store.get_or_make("fit", IDENTITY, lambda out, _: None)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_an_owner_who_cannot_be_read_is_judged_by_the_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    left(tmp_path / "w", 1, machine="elsewhere", pid=1)

    def refused(file: Path) -> Any:
        raise OSError(number, os.strerror(number), str(file))

    monkeypatch.setattr(leases, "read_json", refused)
    began = time.monotonic()
    assert acquire(tmp_path / "w", done=never, what="it") is not None
    assert time.monotonic() - began > 1.1


def test_who_waits_long_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "SAY_AFTER", 0.1)
    monkeypatch.setattr(leases, "SAY_AGAIN", 0.3)
    left(tmp_path / "w", 1, machine="elsewhere", pid=1)
    assert acquire(tmp_path / "w", done=never, what="it") is not None
    said = [record.getMessage() for record in caplog.records if "waiting for it" in record.getMessage()]
    assert said[0] == "another process (there, process 1) is making it; waiting for it"
    assert len(said) >= 2 and said[1].endswith("waiting for it, for 0 min by now")


def test_one_who_is_patient_shows_life_as_often_as_the_impatient_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "86400")
    assert leases.Lease(Path("w"), 1)._every <= leases.DEFAULT_PATIENCE / 12


def test_work_that_fails_because_another_published_it_is_taken_from_there(store: Store) -> None:
    """The other's tidying up takes our folder away; whatever comes of that is no error."""

    def make(out: Path, scratch: Path) -> None:
        other = store.home / "other"
        other.mkdir()
        (other / "answer").write_text("theirs")
        facts = {"kind": "fit", "key": KEY, "identity": IDENTITY, "seconds": 3.0}
        manifests.write_manifest(other, facts)
        publish(other, store.path("fit", KEY))
        raise RuntimeError("the folder is gone")

    got = store.get_or_make("fit", IDENTITY, make)
    assert not got.fresh and got.seconds == 3.0 and (got.folder / "answer").read_text() == "theirs"


def test_a_process_that_sleeps_between_look_and_hand_does_not_take_away_what_another_mended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(out: Path, scratch: Path) -> None:
        (out / "answer").write_text("right")

    folder = store.get_or_make("fit", IDENTITY, make).folder
    whole = shutil.copytree(folder, store.home / "whole")
    (folder / "answer").write_text("wrong")
    manifests._verified.clear()
    rename, mended = os.rename, []

    def late(a: Any, b: Any, **more: Any) -> None:
        if Path(a) == folder and not mended:
            mended.append(True)
            rename(folder, store.home / "aside")
            rename(whole, folder)
        rename(a, b, **more)

    monkeypatch.setattr(os, "rename", late)
    store.get_or_make("fit", IDENTITY, make)
    assert mended and (folder / "answer").read_text() == "right"
    assert not list((store.home / "damaged" / "fit").iterdir())
