"""Records in today's layout: smaller, and not a bit of a number or a prediction is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import repack
from benchmarks.records.load import RECORD
from benchmarks.records.predictions import PREDICTIONS, read_predictions
from benchmarks.records.rest import REST, adds_up, from_steps, steps_to
from benchmarks.records.store import Records
from synthworth.artifacts import write_json
from synthworth.commands import guarded

HARD = [
    [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1e-45, 0.5, 0.5], [0.3333333, 0.3333333, 1e-30]
]  # fmt: skip


def softmax(n: int, k: int, scale: float) -> np.ndarray:
    logits = np.random.default_rng(k).normal(size=(n, k), scale=scale).astype(np.float32)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("scores", [softmax(500, 2, 8.0), softmax(500, 6, 1.0), np.array(HARD, np.float32)])
def test_the_last_score_is_made_again_from_the_others_to_the_bit(scores: np.ndarray) -> None:
    assert adds_up(scores)
    others = [scores[:, k] for k in range(scores.shape[1] - 1)]
    again = from_steps(steps_to(scores[:, -1], others), others)
    assert again.tobytes() == np.ascontiguousarray(scores[:, -1]).tobytes()


@pytest.mark.parametrize("wrong", [-0.0, -0.25, 1.5, np.nan])
def test_what_is_no_probability_is_stored_as_it_is(wrong: float) -> None:
    assert not adds_up(np.array([[0.5, wrong]], np.float32))


@pytest.mark.parametrize(
    ("steps", "others"), [([-1], [1.0]), ([2**31], [0.5]), ([0x3F800000], [0.5]), ([0], np.array([0.5]))]
)
def test_a_rest_that_leads_to_no_probability_is_refused(steps: list[int], others: Any) -> None:
    with pytest.raises(ValueError, match=REST):
        from_steps(np.array(steps), [others if isinstance(others, np.ndarray) else np.array(others, np.float32)])


@pytest.fixture
def old(lab: Any) -> Path:
    """Two records as earlier versions wrote them: every score, indented JSON, a picture."""
    for record in (lab.run("none", 0.3), lab.run("vae", 0.5)):
        folder = lab.folder / record["run_id"][:16]
        table = pq.read_table(folder / PREDICTIONS)
        scores = [name for name in table.column_names if name.startswith("score_")]
        last = from_steps(table[REST].to_numpy(), [table[name].to_numpy() for name in scores])
        classes = record["classes"]
        pq.write_table(table.drop([REST]).append_column(f"score_{classes[-1]}", pa.array(last)), folder / PREDICTIONS)
        write_json(folder / RECORD, record)
        (folder / "worth.png").write_bytes(b"x" * 1000)
        (folder / "seal.json").unlink()
    return lab.folder


def test_records_that_are_packed_again_say_the_same_in_less(old: Path, tmp_path: Path, capsys: Any) -> None:
    args = ["--results", str(old), "--out", str(tmp_path / "new"), "--without", "worth.png"]
    assert guarded(repack.main, args) == 0
    assert "2 records in" in capsys.readouterr().out
    was, now = (Records(place).read().finished for place in (old, tmp_path / "new"))
    assert [one.record for one in was] == [one.record for one in now]
    for one, other in zip(was, now, strict=True):
        for mine, its in zip(read_predictions(one), read_predictions(other), strict=True):
            assert np.array_equal(mine, its)
        for name in (RECORD, PREDICTIONS):
            assert (other.folder / name).stat().st_size < (one.folder / name).stat().st_size
        assert {file.name for file in other.folder.iterdir()} == {RECORD, PREDICTIONS, "seal.json"}
        assert REST in pq.read_table(other.folder / PREDICTIONS).column_names


def test_a_record_whose_files_have_changed_is_not_sealed_anew(lab: Any, tmp_path: Path, capsys: Any) -> None:
    good, bad = lab.run("none", 0.3), lab.run("vae", 0.5)
    (lab.folder / bad["run_id"][:16] / PREDICTIONS).write_bytes(b"other")
    assert guarded(repack.main, ["--results", str(lab.folder), "--out", str(tmp_path / "new")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"left out: {bad['name']}" in said and f"{PREDICTIONS} has changed since it was written" in said
    assert [record["run_id"] for record in Records(tmp_path / "new")] == [good["run_id"]]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--out", "{old}"], "name another, so that the old ones stay"),
        (["--out", "{new}", "--without", PREDICTIONS], "would leave out what a record rests on"),
        (["--out", "{new}", "--without", RECORD], "would leave out what a record rests on"),
    ],
)
def test_what_would_lose_a_record_is_refused(args: list[str], said: str, lab: Any, tmp_path: Path, capsys: Any) -> None:
    lab.run("none", 0.3)
    filled = [arg.format(old=lab.folder, new=tmp_path / "new") for arg in args]
    assert guarded(repack.main, ["--results", str(lab.folder), *filled]) == 2
    assert said in " ".join(capsys.readouterr().err.split()) and not (tmp_path / "new").exists()
