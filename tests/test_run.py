"""The main job as its user meets it: one command, its record, its verdict, and the same command again."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import warm

from benchmarks.run import main as run_main

TINY = ["--preset", "smoke", "--extractors", "--gen.sampling-steps", "3"]
ROOT = Path(__file__).parent.parent


def run(folder: Path, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks.run` in `folder`, its artifacts and records below it."""
    environment = {**os.environ, "SYNTHWORTH_HOME": str(folder / "home"), **(env or {})}
    return warm.run(["-m", "benchmarks.run", *args], folder=folder, environment=environment, seconds=600)


def records(folder: Path) -> dict[str, dict]:
    """Records below `folder` by the name of their arm."""
    found = [json.loads(p.read_text()) for p in folder.glob("results/runs/*/record.json")]
    return {record["name"]: record for record in found}


def predictions(folder: Path) -> dict[str, bytes]:
    """Test-set scores of every arm, by name, bit for bit."""
    found = {}
    for name, record in records(folder).items():
        table = pq.read_table(folder / "results/runs" / record["run_id"][:16] / "predictions.parquet").to_pandas()
        scores = table[[c for c in table.columns if c.startswith("score_")]].to_numpy()
        found[name] = scores.astype(np.float32).tobytes()
    return found


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The main job, run once at two ratios."""
    folder = tmp_path_factory.mktemp("main-job")
    done = run(folder, *TINY, "--generator", "latent_ddpm", "--ratio", "0.5", "1")
    assert done.returncode == 0, done.stderr
    return folder, done


ARMS = ("none", "duplicate add 0.5", "duplicate add 1", "latent_ddpm add 0.5", "latent_ddpm add 1")


def test_a_run_writes_a_record_for_every_arm(finished) -> None:
    folder, _ = finished
    assert sorted(records(folder)) == sorted(ARMS)
    for record in records(folder).values():
        assert record["status"] == "ok"
        assert 0 <= record["utility"]["auroc"]["value"] <= 1
        assert 0 <= record["validation"]["auroc"]["value"] <= 1
        assert record["utility"]["auroc"]["low"] <= record["utility"]["auroc"]["high"]


def test_a_run_prints_plan_verdict_and_timings(finished) -> None:
    _, done = finished
    for words in (
        "plan",
        "RATIO    val chooses ",
        "VERDICT",
        "latent_ddpm add 0.5",
        "harness",
        "SCREENING ONLY, 2 seeds",
    ):
        assert words in done.stdout


def test_every_arm_takes_the_same_number_of_steps_and_images(finished) -> None:
    folder, _ = finished
    seen = {
        (steps, images, json.dumps(r["learning_rate"]))
        for r in (record["training"] for record in records(folder).values())
        for steps, images in zip(r["steps"], r["images_seen"], strict=True)
    }
    assert len(seen) == 1
    (_, _, rates), *_ = seen
    assert [step for step, _ in json.loads(rates)] == [1, 2, 3, 4, 5, 6]
    for record in records(folder).values():
        assert all(row["unequal"] is None for row in record["comparisons"].values())


def test_counts_by_class_are_recorded_and_balanced(finished) -> None:
    folder, _ = finished
    record = records(folder)["latent_ddpm add 0.5"]
    assert sum(record["counts"]["real"].values()) == 120
    assert set(record["counts"]["synthetic"].values()) == {10}


def test_the_generators_record_is_compared_with_both_controls(finished) -> None:
    folder, _ = finished
    arms = records(folder)
    for name in ("latent_ddpm add 0.5", "latent_ddpm add 1"):
        comparisons = arms[name]["comparisons"]
        assert comparisons["none"]["run_id"] == arms["none"]["run_id"]
        assert comparisons["duplicate"]["run_id"] == arms[name.replace("latent_ddpm", "duplicate")]["run_id"]
        assert comparisons["none"]["low"] <= comparisons["none"]["difference"] <= comparisons["none"]["high"]


def test_ratios_given_together_share_one_fit(finished) -> None:
    folder, _ = finished
    fits = [json.loads(p.read_text()) for p in folder.glob("home/artifacts/fit/*/manifest.json")]
    assert sorted(f["identity"]["generator"] for f in fits) == ["duplicate", "latent_ddpm"]


def test_the_picture_shows_real_and_synthetic_of_every_class(finished) -> None:
    from PIL import Image

    folder, _ = finished
    run_id = records(folder)["latent_ddpm add 0.5"]["run_id"]
    with Image.open(folder / "results/runs" / run_id[:16] / "grid.png") as picture:
        assert picture.width > 1000
        assert picture.height > 6 * 64


def test_a_second_identical_call_computes_nothing(finished, monkeypatch, capsys) -> None:
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    monkeypatch.chdir(folder)
    assert run_main([*TINY, "--home", str(folder / "home"), "--generator", "latent_ddpm", "--ratio", "0.5", "1"]) == 0
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == before
    assert "to do" in capsys.readouterr().out


def test_a_dry_run_makes_nothing(finished, run_here, tmp_path: Path) -> None:
    done = run_here("-m", "benchmarks.run", *TINY, "--dry-run")
    assert done.returncode == 0
    assert "everything is to do" in done.stdout
    assert not list(tmp_path.iterdir())
    for row in (
        ("phantom", "data", 0, 1),
        ("none", "train classifiers", 0, 2),
        ("latent_ddpm add 0.5", "fit generator", 0, 1),
        ("latent_ddpm add 0.5", "draw images", 0, "[?]"),
        ("latent_ddpm add 0.5", "train classifiers", 0, 2),
    ):
        assert re.search(r"\W+".join(map(str, row)) + r"\s", done.stdout), row
    folder, _ = finished
    planned = run_here(
        "-m", "benchmarks.run", *TINY, "--ratio", "2", "--dry-run", "--home", str(folder / "home"), "--results",
        str(folder / "results/runs"),
    )  # fmt: skip
    fit = next(line for line in planned.stdout.splitlines() if "latent_ddpm" in line and "fit" in line)
    assert re.search(r"\b1\D+\b0\D*$", fit), "one fit is there, and none is to do"


def test_show_prints_a_record_by_the_first_digits_of_its_id(finished, run_here) -> None:
    folder, _ = finished
    run_id = records(folder)["latent_ddpm add 1"]["run_id"]
    done = run_here("-m", "benchmarks.show", run_id[:10], "--results", str(folder / "results/runs"))
    assert done.returncode == 0
    assert run_id in done.stdout
    assert "auroc[effusion]" in done.stdout


def test_the_same_spec_in_fresh_folders_gives_the_same_bits(finished, tmp_path: Path) -> None:
    folder, _ = finished
    done = run(tmp_path, *TINY, "--generator", "latent_ddpm", "--ratio", "0.5")
    assert done.returncode == 0, done.stderr
    made, known = predictions(tmp_path), predictions(folder)
    assert set(made) == {"none", "duplicate add 0.5", "latent_ddpm add 0.5"}
    assert made == {name: known[name] for name in made}
