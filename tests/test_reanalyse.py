"""Old records in today's statistics: what is made anew, what stays and says so, and that nothing old is touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reanalyse import main
from benchmarks.records.seal import SEAL
from benchmarks.records.store import Records
from benchmarks.request.spec import ANALYSIS
from synthworth.errors import UserError
from synthworth.keys import digest

REFERENCE = Path(__file__).resolve().parent.parent / "results/reference"
NEEDED = ("none", "none x 0.5", "none x 2", "none x 4", "duplicate add 1", "holdout_real add 1", "label_shuffle add 1")


def of_the_experiment() -> list[dict[str, Any]]:
    """Committed records of one experiment."""
    return [r for r in Records(REFERENCE) if (r["spec"]["dataset"], r["spec"]["real_fraction"]) == ("folder", 0.1)]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Committed records of one experiment as an earlier analysis wrote them: other numbers where predictions decide."""
    folder = tmp_path / "old"
    for record in (r for r in of_the_experiment() if r["name"] in NEEDED):
        ids = {record["run_id"]: digest({**record["spec"], "analysis": 1})}
        made = json.loads(json.dumps(record))
        made["spec"]["analysis"], made["run_id"] = 1, ids[record["run_id"]]
        made["verdict"] = "HURTS. What an earlier analysis said"
        made["utility"]["auroc"] |= {"low": 0.0, "high": 1.0}
        made["audit"]["patients_known"] = {"n_without": 9, "n_images": 9}
        for name in ("added", "positive_control", "not_compared", "collapsed", "reanalysed"):
            made.pop(name, None)
        for row in made["comparisons"].values():
            row |= {"low": -1.0, "high": 1.0, "p_interval": 1.0}
        home = folder / made["run_id"][:16]
        shutil.copytree(REFERENCE / record["run_id"][:16], home, ignore=shutil.ignore_patterns(SEAL))
        (home / "record.json").write_text(json.dumps(made))
    return folder


def rounded(part: Any) -> Any:
    """The same with nine digits: a p is solved for, and its last one is the processor's."""
    if isinstance(part, dict):
        return {key: rounded(value) for key, value in part.items()}
    if isinstance(part, list):
        return [rounded(value) for value in part]
    return float(f"{part:.9g}") if isinstance(part, float) else part


def by_name(folder: Path) -> dict[str, Any]:
    return {r["name"]: r for r in Records(folder)}


def test_numbers_that_predictions_decide_are_those_of_today(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {f: f.read_bytes() for f in sorted(old.rglob("*")) if f.is_file()}
    assert main(["--results", str(old), "--out", str(tmp_path / "new")]) == 0
    assert {f: f.read_bytes() for f in sorted(old.rglob("*")) if f.is_file()} == before
    today = {r["name"]: r for r in of_the_experiment()}
    made = by_name(tmp_path / "new")
    assert set(made) == set(NEEDED)
    for name, record in made.items():
        assert (record["run_id"], record["spec"]["analysis"]) == (today[name]["run_id"], ANALYSIS)
        assert rounded(record["utility"]["auroc"]) == rounded(today[name]["utility"]["auroc"])
        assert rounded(record["positive_control"]) == rounded(today[name]["positive_control"])
        assert rounded(record["worth"]) == rounded(today[name]["worth"])
        for control, row in record["comparisons"].items():
            assert rounded(row) == rounded(today[name]["comparisons"][control])
            assert row["run_id"] == today[control if control == "none" else f"{control} add 1"]["run_id"]
    duplicate = made["duplicate add 1"]
    assert set(duplicate["not_compared"]) == {"noise"} and "not among those" in duplicate["not_compared"]["noise"]
    assert duplicate["reanalysed"]["from_analysis"] == 1
    assert {"subgroups", "recall"} <= set(duplicate["reanalysed"]["kept"])
    assert duplicate["utility"]["recall"] == by_name(old)["duplicate add 1"]["utility"]["recall"]
    assert duplicate["verdict"].endswith("each image counts as a patient, and intervals may be too narrow.")
    said = capsys.readouterr().out
    assert "duplicate add 1 (folder): HURTS -> NO DIFFERENCE SHOWN" in said


def test_a_record_without_predictions_is_left_out_by_name(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = by_name(old)["none x 4"]
    (old / lost["run_id"][:16] / "predictions.parquet").unlink()
    assert main(["--results", str(old), "--out", str(tmp_path / "new")]) == 0
    assert "left out: none x 4" in capsys.readouterr().out
    made = by_name(tmp_path / "new")
    assert "none x 4" not in made and made["duplicate add 1"]["worth"] is None


def test_the_old_records_are_never_written_over(old: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is the folder of the records"):
        main(["--results", str(old), "--out", str(old)])
    with pytest.raises(UserError, match="no finished record"):
        main(["--results", str(tmp_path / "nothing"), "--out", str(tmp_path / "new")])
