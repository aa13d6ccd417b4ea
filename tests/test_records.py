"""A record is written whole, holds no NaN, and is found by its id; a failed one is shown but never found."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.records.predictions import write_predictions
from benchmarks.records.store import RECORD, SCHEMA, Records
from data.images import ImageSet, Split
from synthworth import artifacts
from synthworth.errors import UserError


def record(run_id: str = "ab" * 32, **change: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "status": "ok", "run_id": run_id, "name": "arm", "utility": {}, **change}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "runs")


def everything(records: Records) -> list[str]:
    return sorted(p.relative_to(records.folder).as_posix() for p in records.folder.rglob("*"))


def test_what_is_written_is_found(records: Records) -> None:
    folder = records.write(record(), {"note.txt": lambda f: f.write_text("beside it")})
    assert folder == records.path("ab" * 32)
    assert records.find("ab" * 32) == record()
    assert records.find("cd" * 32) is None
    assert everything(records) == ["ab" * 8, f"{'ab' * 8}/note.txt", f"{'ab' * 8}/{RECORD}"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_is_refused_and_nothing_stays_behind(records: Records, number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write(record(utility={"auroc": {"value": number}}), {"note.txt": lambda f: f.write_text("x")})
    assert everything(records) == []


def test_a_companion_that_cannot_be_written_leaves_nothing_behind(records: Records) -> None:
    def full(file: Path) -> None:
        file.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        records.write(record(), {"note.txt": full})
    assert everything(records) == []


def test_a_full_disk_leaves_the_older_record(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    records.write(record(name="old"), {})

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(artifacts.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            records.write(record(name="new"), {})
    found = records.find("ab" * 32)
    assert found is not None
    assert found["name"] == "old"


def test_a_failed_record_is_shown_and_never_found(records: Records) -> None:
    records.write(record(status="failed", error="Diverged: at step 3"), {})
    assert records.find("ab" * 32) is None
    assert [r["error"] for r in records] == ["Diverged: at step 3"]


def test_a_finished_run_takes_the_place_of_a_failed_one(records: Records) -> None:
    records.write(record(status="failed"), {"note.txt": lambda f: f.write_text("x")})
    records.write(record(), {})
    assert records.find("ab" * 32) == record()
    assert everything(records) == ["ab" * 8, f"{'ab' * 8}/{RECORD}"]


def test_a_record_of_another_schema_is_refused_with_its_place(records: Records) -> None:
    records.write(record(schema=2), {})
    with pytest.raises(UserError, match=r"written by another version .* Run it again, or read .*record\.json"):
        records.match("a")


@pytest.mark.parametrize("schema", [2, SCHEMA + 1])
def test_a_record_of_another_schema_is_not_found(records: Records, schema: int) -> None:
    records.write(record(schema=schema), {})
    assert records.find("ab" * 32) is None


def test_a_finished_record_of_schema_3_counts_as_done(records: Records) -> None:
    old = {"value": 0.5, "low": None, "high": None, "n": 9, "direction": "higher", "note": None, "extra": {}}
    records.write(record(schema=3, utility={"auroc[a]": old}), {})
    found = records.find("ab" * 32)
    assert found is not None and found == records.match("ab") == next(iter(records))
    assert (found["schema"], found["utility"]["auroc[a]"]["label"]) == (SCHEMA, "a")


def test_a_record_is_matched_by_its_first_digits(records: Records) -> None:
    for run_id in ("ab" * 32, "ac" * 32):
        records.write(record(run_id), {})
    assert records.match("ac")["run_id"] == "ac" * 32
    assert records.match("ab" * 32)["run_id"] == "ab" * 32
    with pytest.raises(UserError, match=r"'a' fits 2 runs.*There are: abababababab, acacacacacac"):
        records.match("a")
    for unknown in ("ff", "", "ab" * 33):
        with pytest.raises(UserError, match="is no run"):
            records.match(unknown)


def test_a_folder_without_records_says_so(records: Records) -> None:
    with pytest.raises(UserError, match="There are: none"):
        records.match("ab")
    assert list(records) == []


def test_what_a_killed_write_left_is_no_record(records: Records) -> None:
    records.write(record(), {})
    half = records.folder / f".{'ab' * 8}.01234567"
    half.mkdir()
    (half / RECORD).write_text((records.path("ab" * 32) / RECORD).read_text())
    assert len(list(records)) == 1
    assert records.match("ab")["run_id"] == "ab" * 32


@pytest.mark.parametrize("multi", [False, True])
def test_predictions_hold_a_row_for_every_seed_and_image(
    tmp_path: Path, make_images: Callable[..., ImageSet], multi: bool
) -> None:
    test = make_images((3, 2, 2), split=Split.test, multi=multi)
    scores = np.random.default_rng(0).random((2, len(test), 3), dtype=np.float32)
    write_predictions(tmp_path / "p.parquet", test, scores)
    table = pq.read_table(tmp_path / "p.parquet")
    truth = [f"truth_{c}" for c in test.classes] if multi else ["truth"]
    assert table.column_names == ["seed", "id", "group", *truth, *(f"score_{c}" for c in test.classes)]
    assert table["seed"].to_pylist() == [0] * len(test) + [1] * len(test)
    assert tuple(table["id"].to_pylist()) == test.ids * 2
    assert tuple(table["group"].to_pylist()) == test.groups * 2
    back = np.stack([table[f"score_{c}"].to_numpy().reshape(2, -1) for c in test.classes], axis=2)
    assert back.dtype == np.float32
    assert np.array_equal(back, scores)
    labels = np.stack([table[t].to_numpy()[: len(test)] for t in truth], axis=1)
    assert np.array_equal(labels, test.labels.numpy().reshape(len(test), -1))
