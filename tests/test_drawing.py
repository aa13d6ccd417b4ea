"""Tests of the generator's stages: how a fit is shared, watched and kept, through the command line."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.request.loggers import check_logger
from benchmarks.stages.generator import keep_snapshots, write_history
from benchmarks.stages.loggers import live_log
from synthworth.errors import UserError

SMALL = (
    "-m", "benchmarks.run", "--preset", "smoke", "--generator", "dcgan", "--seeds", "1", "--extractors",
    "--controls", "none", "--gen.width", "8", "--gen.noise", "8", "--gen.batch", "16", "--fit.steps", "8",
)  # fmt: skip
Run = Callable[..., subprocess.CompletedProcess[str]]


def fitted(folder: Path) -> Path:
    """The folder of the one generator fitted below a home."""
    (found,) = folder.glob("artifacts/fit/*/fit.json")
    return found.parent


@pytest.fixture
def alone(run_python: Run, tmp_path: Path) -> Path:
    done = run_python(*SMALL, "--gen.accumulate", "2", SYNTHWORTH_HOME=str(tmp_path / "alone"))
    assert done.returncode == 0, done.stderr
    return fitted(tmp_path / "alone")


def test_two_devices_learn_the_same_and_pictures_and_curves_are_kept(
    alone: Path, run_python: Run, tmp_path: Path
) -> None:
    done = run_python(
        *SMALL, "--gen.accumulate", "2", "--devices", "2", "--snapshot-epochs", "0.5", "--logger", "tensorboard",
        "--results", "two-results", SYNTHWORTH_HOME=str(tmp_path / "two"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shared = fitted(tmp_path / "two")
    assert shared.name == alone.name
    curves = [[row["loss"] for row in json.loads((f / "fit.json").read_text())["history"]] for f in (alone, shared)]
    assert curves[1] == pytest.approx(curves[0], rel=1e-2)
    assert len(curves[0]) == 8
    pictures = sorted(p.name for p in (shared / "snapshots").iterdir())
    assert pictures == ["step-000004.png", "step-000004.safetensors", "step-000008.png", "step-000008.safetensors"]
    with Image.open(shared / "snapshots/step-000008.png") as picture:
        assert min(picture.size) > 64
    assert not (alone / "snapshots").exists()
    assert list((tmp_path / "two/logs").rglob("events.out.tfevents.*"))
    rows = list(csv.DictReader((shared / "history.csv").open()))
    assert [float(row["loss"]) for row in rows] == pytest.approx(curves[1], rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--devices", "2", "--gen.batch", "33"), "set --gen.accumulate to 2"),
        (("--devices", "1000"), "this machine has"),
        (("--generator", "reconstruct"), "ask for it beside one"),
    ],
)
def test_what_cannot_be_shared_is_refused(flags: tuple[str, ...], says: str, run_python: Run, tmp_path: Path) -> None:
    small = SMALL if "--generator" not in flags else SMALL[:4]
    done = run_python(*small, *flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_logger_whose_package_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "synthworth\[mlflow\]"'):
        check_logger("mlflow")
    with live_log("none", folder=tmp_path, run="r") as log:
        log(1, loss=0.5)
    assert not list(tmp_path.iterdir())


def test_rows_of_several_phases_share_one_csv(tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", [{"stage": 1.0, "loss": 0.5}, {"stage": 2.0, "loss": 0.25, "kl": 3.0}])
    assert (tmp_path / "h.csv").read_text() == "stage,loss,kl\n1,0.5,\n2,0.25,3\n"


def test_snapshots_outlive_a_kill_before_publication(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    for part in ("snapshots", "class-0/snapshots"):
        (scratch / part).mkdir(parents=True)
        (scratch / part / "step-000001.png").write_bytes(b"picture")
    for out in (tmp_path / "killed", tmp_path / "again"):
        keep_snapshots(scratch, out)
        found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png"))
        assert found == ["class-0/snapshots/step-000001.png", "snapshots/step-000001.png"]
