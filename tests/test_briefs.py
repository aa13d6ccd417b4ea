"""Records in short: read whole once, and again as soon as anything beside them has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.job import briefs
from benchmarks.job.briefs import INDEX, Briefs
from benchmarks.records import store
from benchmarks.records.load import RECORD
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.store import Records

Look = Callable[[], Any]


def asked(record: Any) -> Any:
    return record["utility"]["auroc"]["value"]


@pytest.fixture
def kept(lab: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Records, str]:
    """A folder with a finished record, its picture, and an index that has it."""
    monkeypatch.setattr(briefs, "TICK", 0)
    record, records = lab.run("vae", 0.4), Records(lab.folder)
    predictions = (records.path(record["run_id"]) / PREDICTIONS).read_bytes()
    pictures = {PREDICTIONS: lambda to: to.write_bytes(predictions), "grid.png": lambda to: to.write_bytes(b"x" * 99)}
    records.write(record, pictures)
    time.sleep(0.02)  # the clock of a file system goes in steps of a few milliseconds
    found = Briefs(records, asked)
    brief = found.find(record["run_id"])
    assert brief is not None and brief.numbers == asked(record) and found.is_complete(record["run_id"])
    found.keep()
    return records, record["run_id"]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The records that are read whole."""
    seen: list[Path] = []
    read = store.load_record
    monkeypatch.setattr(store, "load_record", lambda file, **more: seen.append(file) or read(file, **more))
    return seen


def test_a_record_that_has_not_changed_is_not_read_again(kept: tuple[Records, str], reads: list[Path]) -> None:
    records, run_id = kept
    again = Briefs(Records(records.folder), asked)
    brief = again.find(run_id)
    assert brief is not None and brief.numbers == asked(records.find(run_id)) and len(reads) == 1  # the line above did
    assert again.is_complete(run_id) and again.find("0" * 64) is None and len(reads) == 1


@pytest.mark.parametrize(
    ("file", "found"), [(RECORD, False), (PREDICTIONS, False), ("seal.json", False), ("grid.png", True)]
)
def test_a_byte_that_changed_is_seen_though_size_and_time_are_as_they_were(
    kept: tuple[Records, str], file: str, found: bool, caplog: pytest.LogCaptureFixture
) -> None:
    records, run_id = kept
    place = records.path(run_id) / file
    before, raw = place.stat(), bytearray(place.read_bytes())
    raw[len(raw) // 2] ^= 1
    with place.open("r+b") as handle:  # in place: it keeps its inode
        handle.write(raw)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = place.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    for _ in range(2):
        caplog.clear()
        again = Briefs(Records(records.folder), asked)
        assert (again.find(run_id) is not None) is found and "chang" in caplog.text
        again.keep()


def test_what_was_removed_or_made_anew_is_seen(kept: tuple[Records, str], lab: Any, reads: list[Path]) -> None:
    records, run_id = kept
    (records.path(run_id) / PREDICTIONS).unlink()
    assert Briefs(Records(records.folder), asked).find(run_id) is not None and len(reads) == 1
    records.write({**records.find(run_id), "added": "something else"}, {})  # type: ignore[dict-item]
    reads.clear()
    assert Briefs(Records(records.folder), asked).find(run_id) is not None and len(reads) == 1
    (records.path(run_id) / RECORD).unlink()
    assert Briefs(Records(records.folder), asked).find(run_id) is None


def test_what_was_written_a_moment_before_its_check_is_not_noted(
    kept: tuple[Records, str], reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change within one tick of the file system's clock would leave no trace."""
    records, run_id = kept
    monkeypatch.setattr(briefs, "TICK", 10**12)
    (records.folder / INDEX).unlink()
    for _ in range(2):
        found = Briefs(Records(records.folder), asked)
        assert found.find(run_id) is not None
        found.keep()
    assert len(reads) == 2 and not (records.folder / INDEX).exists()


@pytest.mark.parametrize("how", ["other code", "another number", "half of it", "no index", "a link"])
def test_an_index_that_is_not_whole_or_of_other_code_is_not_believed(
    kept: tuple[Records, str], reads: list[Path], how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    records, run_id = kept
    file, right = records.folder / INDEX, asked(records.find(run_id))
    text = file.read_text()
    if how == "other code":
        monkeypatch.setattr(briefs, "_code", lambda: "another version")
    elif how == "a link":
        (tmp_path / "elsewhere").write_text(text)
        file.unlink()
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_text({"another number": text.replace(str(right), "0.99"), "half of it": text[: len(text) // 2]}
                        .get(how, "{"))  # fmt: skip
    reads.clear()
    brief = Briefs(Records(records.folder), asked).find(run_id)
    assert brief is not None and brief.numbers == right and len(reads) == 1


def test_where_nothing_can_be_written_every_look_is_a_whole_one(
    kept: tuple[Records, str], reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    records, run_id = kept
    (records.folder / INDEX).unlink()
    monkeypatch.setattr(briefs, "_time_there", lambda folder: None)
    for _ in range(2):
        found = Briefs(Records(records.folder), asked)
        assert found.find(run_id) is not None
        found.keep()
    assert len(reads) == 2 and not (records.folder / INDEX).exists()
