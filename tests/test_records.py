"""A record is written whole, holds no NaN, and is found by its id; a failed one is shown but never found."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.records.predictions import write_predictions
from benchmarks.records.rest import from_steps
from benchmarks.records.seal import SEAL
from benchmarks.records.store import RECORD, SCHEMA, Records
from data.images import ImageSet, Split
from synthworth import artifacts
from synthworth.errors import UserError

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def records(lab: Any) -> Records:
    """A folder that holds nothing yet."""
    lab.folder.mkdir()
    return Records(lab.folder)


@pytest.fixture
def record(lab: Any) -> Make:
    """Records that can be read, each of another run by its `seed`, with what a keyword changes."""

    def make(*, seed: int = 0, **change: Any) -> dict[str, Any]:
        made: dict[str, Any] = lab.run("none", 1.0, seed=seed)
        shutil.rmtree(lab.folder / made["run_id"][:16])
        return {**made, **change}

    return make


def everything(records: Records) -> list[str]:
    return sorted(p.relative_to(records.folder).as_posix() for p in records.folder.rglob("*"))


def test_what_is_written_is_found(records: Records, record: Make) -> None:
    one = record()
    folder = records.write(one, {"note.txt": lambda f: f.write_text("beside it")})
    assert folder == records.path(one["run_id"])
    assert records.find(one["run_id"]) == one
    assert records.find("cd" * 32) is None
    name = one["run_id"][:16]
    assert everything(records) == [name, f"{name}/note.txt", f"{name}/{RECORD}", f"{name}/{SEAL}"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_is_refused_and_nothing_stays_behind(records: Records, record: Make, number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write(record(cost={"fit_seconds": number}), {"note.txt": lambda f: f.write_text("x")})
    assert everything(records) == []


def test_a_companion_that_cannot_be_written_leaves_nothing_behind(records: Records, record: Make) -> None:
    def full(file: Path) -> None:
        file.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        records.write(record(), {"note.txt": full})
    assert everything(records) == []


def test_a_full_disk_leaves_the_older_record(records: Records, record: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = record(verdict="old")
    records.write(one, {})

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(artifacts.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            records.write({**one, "verdict": "new"}, {})
    found = records.find(one["run_id"])
    assert found is not None
    assert found["verdict"] == "old"


def test_a_failed_record_is_shown_and_never_found(records: Records, record: Make) -> None:
    one = record(status="failed", error="Diverged: at step 3")
    records.write(one, {})
    assert records.find(one["run_id"]) is None
    assert [r["error"] for r in records] == ["Diverged: at step 3"]


def test_a_finished_run_takes_the_place_of_a_failed_one(records: Records, record: Make) -> None:
    one = record()
    records.write({**one, "status": "failed"}, {"note.txt": lambda f: f.write_text("x")})
    records.write(one, {})
    assert records.find(one["run_id"]) == one
    name = one["run_id"][:16]
    assert everything(records) == [name, f"{name}/{RECORD}", f"{name}/{SEAL}"]


def test_a_record_of_another_schema_is_refused_with_its_place(records: Records, record: Make) -> None:
    one = record(schema=2)
    records.write(one, {})
    with pytest.raises(UserError, match=r"record\.json schema 2, this version reads 4\. It was written by another"):
        records.match(one["run_id"][:5])


@pytest.mark.parametrize("schema", [2, SCHEMA + 1])
def test_a_record_of_another_schema_is_not_found_and_is_kept(records: Records, record: Make, schema: int) -> None:
    one = record()
    records.write({**one, "schema": schema}, {})
    assert records.find(one["run_id"]) is None
    records.write(one, {})
    (kept,) = records.folder.glob(".damaged.*")
    assert json.loads((kept / RECORD).read_text())["schema"] == schema
    assert records.find(one["run_id"]) == one


def test_a_finished_record_of_schema_3_counts_as_done(records: Records, record: Make) -> None:
    old = {"value": 0.5, "low": None, "high": None, "n": 120, "direction": "higher", "note": None, "extra": {}}
    macro = {**old, "extra": {"per_seed": [0.5] * 6}}
    one = record(schema=3, utility={"auroc": macro, "auroc[a]": old}, validation={"auroc": macro}, fidelity={})
    records.write(one, {})
    found = records.find(one["run_id"])
    assert found is not None and found == records.match(one["run_id"][:4]) == next(iter(records))
    assert (found["schema"], found["utility"]["auroc[a]"]["label"]) == (SCHEMA, "a")


def test_a_record_is_matched_by_its_first_digits(records: Records, record: Make) -> None:
    ones = [record(seed=seed) for seed in range(20)]  # some two of them begin with one digit
    for one in ones:
        records.write(one, {})
    first = sorted(one["run_id"] for one in ones)
    for run_id in first:
        assert records.match(run_id[:12])["run_id"] == records.match(run_id)["run_id"] == run_id
    shared = next(a[0] for a, b in pairwise(first) if a[0] == b[0])
    with pytest.raises(UserError, match=rf"'{shared}' fits \d+ runs.*There are: {', '.join(i[:12] for i in first)}"):
        records.match(shared)
    for unknown in ("xy", "", f"{first[0]}0", f"../{first[0]}", "*"):
        with pytest.raises(UserError, match="is no run"):
            records.match(unknown)


def test_a_folder_without_records_says_so(records: Records) -> None:
    with pytest.raises(UserError, match="There are: none"):
        records.match("ab")
    assert list(records) == []


def test_what_a_killed_write_left_is_no_record(records: Records, record: Make) -> None:
    one = record()
    folder = records.write(one, {})
    shutil.copytree(folder, records.folder / f".{folder.name}.01234567")
    assert len(list(records)) == 1
    assert records.match(one["run_id"][:6])["run_id"] == one["run_id"]


@pytest.mark.parametrize("multi", [False, True])
def test_predictions_hold_a_row_for_every_seed_and_image(
    tmp_path: Path, make_images: Callable[..., ImageSet], multi: bool
) -> None:
    test = make_images((3, 2, 2), split=Split.test, multi=multi)
    scores = np.random.default_rng(0).random((2, len(test), 3), dtype=np.float32)
    write_predictions(tmp_path / "p.parquet", test, scores)
    table = pq.read_table(tmp_path / "p.parquet")
    truth = [f"truth_{c}" for c in test.classes] if multi else ["truth"]
    named = [f"score_{c}" for c in test.classes]
    assert table.column_names == ["seed", "id", "group", *truth, *(named if multi else [*named[:-1], "rest"])]
    assert table["seed"].to_pylist() == [0] * len(test) + [1] * len(test)
    assert tuple(table["id"].to_pylist()) == test.ids * 2
    assert tuple(table["group"].to_pylist()) == test.groups * 2
    columns = [table[c].to_numpy() for c in named if c in table.column_names]
    columns += [] if multi else [from_steps(table["rest"].to_numpy(), columns)]
    back = np.stack([column.reshape(2, -1) for column in columns], axis=2)
    assert back.dtype == np.float32
    assert np.array_equal(back, scores)
    labels = np.stack([table[t].to_numpy()[: len(test)] for t in truth], axis=1)
    assert np.array_equal(labels, test.labels.numpy().reshape(len(test), -1))
