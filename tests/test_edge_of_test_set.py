"""A test set that can judge nothing: one positive patient. Every command says so, and none says a number."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

REASON = "1 positive patient: 2 are needed"
OPTIONS = [
    "--dataset", "folder", "--data.path", "films", "--data.size", "32", "--data.table", "films/labels.csv",
    "--data.split-column", "split", "--preset", "smoke", "--generator", "noise", "--ratio", "0.5", "--extractors",
    "--workers", "1",
]  # fmt: skip


@pytest.fixture
def lonely(tmp_path: Path) -> Path:
    """Films of 90 patients for training, 30 for val, and a test split in which one patient is ill, with two films."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "films").mkdir()
    for split, n_well, n_ill in (("train", 60, 30), ("val", 20, 10), ("test", 30, 2)):
        for label, n in (("clear", n_well), ("ill", n_ill)):
            for k in range(n):
                level = 120 if label == "clear" else 150
                name, who = f"{len(rows)}.png", "alone" if (split, label) == ("test", "ill") else f"{split}{label}{k}"
                pixels = rng.normal(level, 25, (32, 32)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "films" / name)
                rows.append((name, label, who, split))
    with (tmp_path / "films" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "patient", "split"), *rows])
    return tmp_path


def test_one_positive_patient_gives_nulls_with_the_reason_in_every_command(
    lonely: Path, run_here: Callable[..., Any]
) -> None:
    done = run_here("-m", "benchmarks.run", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert REASON in done.stdout and "VERDICT  noise add 0.5: not compared with real images alone" in done.stdout
    files = sorted((lonely / "results" / "runs").glob("*/record.json"))
    records = {r["name"]: r for r in (json.loads(f.read_text()) for f in files)}
    for record in records.values():
        for metric in ("auroc", "auprc", "recall", "f1", "balanced_accuracy"):
            assert record["utility"][metric]["value"] is None and REASON in record["utility"][metric]["note"]
        assert record["utility"]["specificity"]["value"] is not None
        assert record["comparisons"] == {} and record["collapsed"] == [] and record["positive_control"] is None
    noise = records["noise add 0.5"]
    assert set(noise["not_compared"]) == {"none", "duplicate"} and noise["verdict"].endswith("on both sides")
    shown = run_here("-m", "benchmarks.show", noise["run_id"], "--explain")
    assert REASON in shown.stdout and "compared with nothing" in shown.stdout
    assert run_here("-m", "benchmarks.show", noise["run_id"]).returncode == 0
    built = run_here("-m", "leaderboard.build", "--out", "site")
    assert built.returncode == 0 and "not compared" in built.stdout
    assert REASON in (lonely / "site" / "leaderboard.md").read_text()


@pytest.fixture
def dominated(lonely: Path) -> Path:
    """The same films, but three quarters of the test films are one patient's, who has both kinds."""
    file = lonely / "films" / "labels.csv"
    with file.open() as opened:
        rows = list(csv.reader(opened))
    test = [row for row in rows if row[3] == "test"]
    for k, row in enumerate(test):
        row[2] = "most" if k % 4 else f"other{k}"
        row[1] = "ill" if k % 3 else "clear"
    with file.open("w", newline="") as opened:
        sites = ["site", *("AB"[k % 2] for k in range(1, len(rows)))]
        csv.writer(opened).writerows([*row, site] for row, site in zip(rows, sites, strict=True))
    return lonely


def test_one_patient_who_is_nearly_all_of_test_is_named_and_nothing_is_claimed(
    dominated: Path, run_here: Callable[..., Any]
) -> None:
    more = ["--curve", "0.5", "--data.attributes", "site"]
    done = run_here("-m", "benchmarks.run", *OPTIONS, *more)
    assert done.returncode == 0, done.stderr
    files = sorted((dominated / "results" / "runs").glob("*/record.json"))
    records = {r["name"]: r for r in (json.loads(f.read_text()) for f in files)}
    noise = records["noise add 0.5"]
    for metric in ("auroc", "brier", "recall"):
        value = noise["utility"][metric]
        assert value["value"] is not None and value["low"] is None and "one patient brings 75 %" in value["note"]
    assert "count as" in noise["not_compared"]["none"] and noise["comparisons"] == {} and noise["worth"] is None
    for extra in ([], ["--explain"]):
        shown = run_here("-m", "benchmarks.show", noise["run_id"], *extra)
        assert shown.returncode == 0, shown.stderr
    built = run_here("-m", "leaderboard.build", "--out", "site")
    assert built.returncode == 0 and "Traceback" not in built.stderr, built.stderr
    pair = run_here("-m", "benchmarks.compare", noise["run_id"], records["none"]["run_id"])
    assert pair.returncode == 2 and "cannot be compared" in pair.stderr and "Traceback" not in pair.stderr
    again = run_here("-m", "benchmarks.reanalyse", "--out", "again")
    assert again.returncode == 0, again.stderr
