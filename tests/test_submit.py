"""What is submitted is whole, of its suite, and says what its predictions say; else nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_suites import SMALL

from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.records.seal import SEAL, write_seal
from benchmarks.records.store import Records
from leaderboard.admission import pictures_of
from leaderboard.submit import TEXT, main
from synthworth.commands import guarded


@pytest.fixture
def arms(lab: Any) -> Any:
    """Three finished runs, as a clean commit made them."""
    for made in (lab.run("none", 1.0), lab.run("duplicate", 1.0, jitter=2), lab.run("good", 2.0)):
        lab.change(made, provenance={**made["provenance"], "commit": "c" * 40})
    return lab


def home(lab: Any, generator: str) -> Path:
    return next(e.folder for e in Records(lab.folder).read().finished if e.spec["generator"] == generator)


def submit(lab: Any, place: Path, *words: str) -> int:
    (place / "small.yaml").write_text(yaml.safe_dump(SMALL))
    where = ["--to", str(place / "submitted"), "--suite", str(place / "small.yaml")]
    return guarded(main, [*(words or [str(lab.folder)]), *where])


def edit(folder: Path, **parts: Any) -> None:
    """Change parts of a record, and seal it anew as a forger would."""
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, **parts}))
    write_seal(folder, "record.json")


def test_records_that_hold_are_laid_out_with_the_text_of_the_request(
    arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home(arms, "good")
    (folder / "answers-x.csv").write_text("secret")
    (folder / "grid.png").write_bytes(b"a picture")
    write_seal(folder, "record.json")
    assert submit(arms, tmp_path) == 0
    said = capsys.readouterr().out
    assert said.count("ok  ") == 3 and "refused" not in said
    made = tmp_path / "submitted" / folder.name
    assert {file.name for file in made.iterdir()} == {"record.json", PREDICTIONS, SEAL, "grid.png"}
    assert len(Records(tmp_path / "submitted").read().finished) == 3
    text = (tmp_path / "submitted" / TEXT).read_text()
    assert "# 3 records for small" in text and "| good add 0.5 | augmenting |" in text and "cccccccccccc" in text
    auroc = json.loads((made / "record.json").read_text())["utility"]["auroc"]
    assert f"| {auroc['value']:.4f} [{auroc['low']:.4f}, {auroc['high']:.4f}] |" in text and "&#" not in text
    assert submit(arms, tmp_path) == 0  # once more is no harm
    assert capsys.readouterr().out.count("is there already") == 3


def test_one_record_goes_where_its_controls_are(arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = home(arms, "good")
    assert submit(arms, tmp_path, str(good / "record.json")) == 2
    assert "the record of duplicate (" in capsys.readouterr().out
    assert submit(arms, tmp_path, str(home(arms, "none"))) == 0
    assert submit(arms, tmp_path, str(home(arms, "duplicate"))) == 0
    assert submit(arms, tmp_path, str(good)) == 0


def of_schema(folder: Path) -> None:
    edit(folder, schema=2)


def not_a_number(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["utility"]["auroc"]["value"] = float("nan")
    edit(folder, utility=record["utility"])


def a_missing_seed(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    edit(folder, training={**record["training"], "stopped": record["training"]["stopped"][:5]})


def stopped_by_seconds(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    edit(folder, training={**record["training"], "stopped": ["seconds", *record["training"]["stopped"][1:]]})


def other_predictions(folder: Path) -> None:
    raw = bytearray((folder / PREDICTIONS).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / PREDICTIONS).write_bytes(raw)


def a_better_number(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    auprc = record["utility"]["auprc"]
    auprc["value"] += 0.01
    auprc["extra"]["per_seed"] = [x + 0.01 for x in auprc["extra"]["per_seed"]]
    edit(folder, utility=record["utility"])


def a_number_that_is_not_the_mean_of_its_seeds(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["validation"]["auroc"]["value"] = 0.1
    edit(folder, validation=record["validation"])


def a_day_that_is_none(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    edit(folder, provenance={**record["provenance"], "when": "3026-13-45"})


def a_seed_less_in_the_predictions(folder: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(folder / PREDICTIONS)
    pq.write_table(table.filter(pc.less(table["seed"], 5)), folder / PREDICTIONS)
    write_seal(folder, "record.json")


def without_a_seal(folder: Path) -> None:
    (folder / SEAL).unlink()


def without_predictions(folder: Path) -> None:
    (folder / PREDICTIONS).unlink()


def of_changed_code(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    edit(folder, provenance={**record["provenance"], "commit": "c" * 40 + "+"})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (of_schema, "schema 2, this version reads 4"),
        (not_a_number, "holds NaN: a record has finite numbers"),
        (a_missing_seed, "training.stopped of 5 classifiers, and 6 seeds"),
        (stopped_by_seconds, "stopped by seconds"),
        (other_predictions, f"{PREDICTIONS} has changed since it was written"),
        (a_better_number, "it says another thing than its predictions: auprc"),
        (
            a_number_that_is_not_the_mean_of_its_seeds,
            "validation.auroc has a value of 0.1, and the mean",
        ),
        (a_day_that_is_none, "provenance.when is '3026-13-45', and no time in UTC"),
        (a_seed_less_in_the_predictions, "600 rows; the record says 6 seeds of 120 test images"),
        (without_a_seal, "it has no seal.json"),
        (without_predictions, f"{PREDICTIONS} is missing"),
        (of_changed_code, "its commit is cccc"),
    ],
)
def test_a_record_that_does_not_hold_is_refused_with_the_reason_and_nothing_is_written(
    damage: Callable[[Path], None], said: str, arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(home(arms, "good"))
    assert submit(arms, tmp_path) == 2
    lines = capsys.readouterr().out.splitlines()
    (refused,) = (line for line in lines if line.startswith("refused"))
    assert said in refused
    assert "nothing was written: 1 of 3 records are refused" in lines
    assert not (tmp_path / "submitted").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "e" * 64}, "it is not of the suite small: another fingerprint: phantom eeeeeeeeeeee"),
        ({"seeds": 5}, "5 classifier seeds, the suite has at least 6"),
        ({"controls": ("none",)}, "it was not compared with duplicate"),
    ],
)
def test_a_run_that_was_asked_for_otherwise_is_refused(
    change: dict[str, Any], said: str, arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = arms.run("good", 2.0, **change)
    arms.change(made, provenance={**made["provenance"], "commit": "c" * 40})
    assert submit(arms, tmp_path) == 2
    assert said in capsys.readouterr().out


def test_a_run_that_failed_is_refused(arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms.fail("out of memory", ratio=0.25)
    assert submit(arms, tmp_path) == 2
    assert "the run did not finish: out of memory" in capsys.readouterr().out


def test_another_record_of_a_run_that_is_there_is_refused(
    arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(arms, tmp_path) == 0
    made = json.loads((home(arms, "good") / "record.json").read_text())
    arms.change(made, cost={"fit_seconds": 9.0})
    assert submit(arms, tmp_path) == 2
    assert "Records are never edited" in capsys.readouterr().err


def test_a_place_without_a_record_is_refused(arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(arms, tmp_path, str(tmp_path)) == 2
    assert "holds no record.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dataset", "data", "shown"),
    [
        ("phantom", {}, True),
        ("medmnist", {"name": "pneumoniamnist"}, True),
        ("medmnist", {"name": "dermamnist"}, False),
        ("folder", {}, False),
        ("dicom", {}, False),
    ],
)
def test_pictures_of_patients_go_where_the_licence_lets_them(
    dataset: str, data: dict[str, str], shown: bool, tmp_path: Path
) -> None:
    for name in ("grid.png", "nearest.png", "reliability.png", "record.json"):
        (tmp_path / name).write_bytes(b"")
    entry = Entry({"spec": {"dataset": dataset, "data": data}}, tmp_path)
    harmless = ["reliability.png"]
    assert pictures_of(entry, allowed=False) == (["grid.png", "nearest.png"] if shown else []) + harmless
    assert pictures_of(entry, allowed=True) == ["grid.png", "nearest.png", *harmless]


def test_a_record_that_lost_its_pictures_is_still_whole(arms: Any, tmp_path: Path) -> None:
    folder = home(arms, "good")
    (folder / "grid.png").write_bytes(b"a picture")
    write_seal(folder, "record.json")
    (folder / "grid.png").unlink()
    assert submit(arms, tmp_path) == 0
    shutil.rmtree(arms.folder)
    assert not Records(tmp_path / "submitted").read().unread
