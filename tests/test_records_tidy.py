"""What a killed write leaves is put back or swept away, whenever it was killed; what cannot be read is kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import store
from benchmarks.records.attempt import new_attempt
from benchmarks.records.seal import SEAL
from benchmarks.records.store import RECORD, Records
from leaderboard.build import collect


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def kept(lab: Any) -> Records:
    """A folder with one finished record, which is then written again."""
    lab.old = lab.run("none", 1.0)
    return Records(lab.folder)


def killed(kept: Records, record: dict[str, Any], at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Write a record again, and end before the `at`-th change on disk as `kill -9` does; whether it came to that."""
    left = at
    with monkeypatch.context() as patched:

        def counted(real: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                return real(*args, **kwargs)

            return call

        patched.setattr(store, "write_parts", counted(store.write_parts))
        patched.setattr(store, "write_seal", counted(store.write_seal))
        patched.setattr(store.os, "replace", counted(os.replace))
        patched.setattr(store, "publish", counted(store.publish))
        patched.setattr(store.shutil, "rmtree", counted(shutil.rmtree))
        try:
            kept.write({**record, "verdict": "new"}, {})
        except Killed:
            return True
    return False


def test_a_record_is_there_after_a_kill_at_any_moment(kept: Records, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for at in range(20):
        ended = killed(kept, lab.old, at, monkeypatch)
        if not ended:
            break
        gone = kept.find(lab.old["run_id"]) is None
        said = collect([lab.folder]).skipped if list(kept) else kept.read().unread
        assert not gone or "the next run there puts it back" in said[0]
        Records(lab.folder).tidy()
        found = kept.find(lab.old["run_id"])
        assert found is not None
        seen.append((gone, found["verdict"]))
        assert [p.name for p in lab.folder.glob(".old*")] == []
        lab.run("none", 1.0)
    assert ended is False, "the last write was not killed"
    assert (True, lab.old["verdict"]) in seen and (False, "new") in seen, "killed in the gap, and after it"


def test_what_an_earlier_version_left_in_the_gap_is_put_back(kept: Records, lab: Any) -> None:
    folder = kept.path(lab.old["run_id"])
    folder.rename(lab.folder / ".old-0123abcd")
    assert kept.find(lab.old["run_id"]) is None and "0123abcd was left" in kept.read().unread[0]
    kept.tidy()
    assert kept.find(lab.old["run_id"]) == lab.old and kept.read().unread == ()


def test_what_was_moved_away_for_a_record_that_is_there_is_swept(kept: Records, lab: Any) -> None:
    folder = kept.path(lab.old["run_id"])
    for name in (".old-0123abcd", f".old.{folder.name}.0123abcd"):
        shutil.copytree(folder, lab.folder / name)
    kept.tidy()
    assert [p.name for p in lab.folder.iterdir()] == [folder.name]


def test_what_a_process_that_ended_left_half_made_is_swept_and_a_living_ones_stays(kept: Records, lab: Any) -> None:
    final = kept.path(lab.old["run_id"])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = new_attempt(final)
    theirs = final.with_name(mine.name.replace(f"-{os.getpid()}.", f"-{ended.pid}."))
    elsewhere = final.with_name(mine.name.replace(mine.name[18:26], "0" * 8))
    earlier, hour_old = final.with_name(f".{final.name}.01234567"), final.with_name(f".{final.name}.76543210")
    for place in (mine, theirs, elsewhere, earlier, hour_old):
        place.mkdir()
        (place / RECORD).write_text("{")
    os.utime(hour_old, (time.time() - 4000,) * 2)
    kept.tidy()
    assert {p.name for p in lab.folder.iterdir()} == {p.name for p in (final, mine, elsewhere, earlier)}


def test_what_does_not_say_where_it_belongs_is_left(kept: Records, lab: Any) -> None:
    (lab.folder / ".old-0123abcd").mkdir()
    (lab.folder / ".old-0123abcd" / RECORD).write_text("{}")
    kept.tidy()
    assert (lab.folder / ".old-0123abcd").is_dir() and len(list(kept)) == 1


@pytest.mark.parametrize("damage", ["bytes", "folder", "file", "fifo"])
def test_what_cannot_be_read_is_kept_beside_the_new_record(
    kept: Records, lab: Any, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = kept.path(lab.old["run_id"])
    if damage == "bytes":
        (folder / RECORD).write_bytes(b"\x00")
        (folder / SEAL).unlink()
    else:
        shutil.rmtree(folder)
        {"folder": folder.mkdir, "file": folder.touch, "fifo": lambda: os.mkfifo(folder)}[damage]()
    assert kept.find(lab.old["run_id"]) is None
    assert "It counts as missing, and the run is made again" in caplog.text
    kept.write(lab.old, {})
    assert kept.find(lab.old["run_id"]) == lab.old
    (old,) = lab.folder.glob(".damaged.*")
    assert f"It is kept as {old}" in caplog.text


def test_a_run_that_another_has_overtaken_writes_its_record_all_the_same(
    kept: Records, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what is there and the move, the other run has moved it."""
    real = os.replace

    def overtaken(source: Path, target: Path) -> None:
        if Path(target).name.startswith(".old"):
            shutil.rmtree(source)
        real(source, target)

    monkeypatch.setattr(store.os, "replace", overtaken)
    kept.write({**lab.old, "verdict": "new"}, {})
    found = kept.find(lab.old["run_id"])
    assert found is not None and json.loads((kept.path(lab.old["run_id"]) / RECORD).read_text())["verdict"] == "new"
