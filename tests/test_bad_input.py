"""Bad requests: one line that says what was asked, what is there and what to do; exit code 2; nothing written."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.run import main
from synthworth.commands import WRONG, guarded

SMOKE = ["--preset", "smoke", "--generator", "noise", "--extractors", "--seeds", "1"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place to run in."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(folder / "home"))
    return folder


def refuse(capsys: pytest.CaptureFixture[str], home: Path, *args: str) -> str:
    """Run the command; it must refuse in one line, with code 2, publishing nothing. Returns the line."""
    code = guarded(main, [*SMOKE, *args])
    said = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in said if line.startswith("error: ")]
    assert code == WRONG
    assert len(errors) == 1
    assert said[-1] == errors[0]
    assert not list(home.glob("results/**/*"))
    assert not [p for p in home.glob("home/artifacts/**/*") if p.is_file()]
    return errors[0]


def test_an_unknown_generator_is_answered_with_the_nearest_names(capsys, home: Path) -> None:
    said = refuse(capsys, home, "--generator", "latent_dpm")
    assert "no generator named 'latent_dpm'. Did you mean 'latent_ddpm'" in said
    assert "Available: consistency, dcgan, dcgan_per_class, duplicate" in said


@pytest.mark.parametrize("ratio", ["-0.5", "nan", "inf"])
def test_a_ratio_that_means_nothing_is_refused(capsys, home: Path, ratio: str) -> None:
    assert f"--ratio {float(ratio)}" in refuse(capsys, home, f"--ratio={ratio}")


def test_a_share_above_one_is_refused_in_mode_replace(capsys, home: Path) -> None:
    assert "between 0 and 1" in refuse(capsys, home, "--mode", "replace", "--ratio", "1.5")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--controls", "none", "dcgan"), "not a control"),
        (("--controls", "nothing"), "no generator named 'nothing'"),
        (("--extractors", "incepton"), "Did you mean 'inception'"),
        (("--classifier", "resnet19"), "no classifier named 'resnet19'"),
        (("--dataset", "medmist"), "Did you mean 'medmnist'"),
        (("--real-fraction", "0"), "--real-fraction"),
        (("--seeds", "0"), "at least 1"),
        (("--fit.steps", "0"), "at least 1"),
        (("--device", "cuda:7"), "no such device"),
        (("--plugin", "absent.py"), "no such file"),
        (("--config", "absent.yaml"), "absent.yaml"),
        (("--workers", "-1"), "--workers"),
        (("--mode", "only", "--ratio", "0"), "leaves no image"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_option_is_named(capsys, home: Path, args: tuple[str, ...], words: str) -> None:
    assert words in refuse(capsys, home, *args)


@pytest.mark.parametrize("generator", ["latent_ddpm", "latent_flow", "consistency"])
def test_a_budget_too_short_for_the_stages_is_refused(capsys, home: Path, generator: str) -> None:
    said = refuse(capsys, home, "--generator", generator, "--fit.steps", "1")
    assert "trains 2 networks or stages in turn, and has 1 steps for them; set --fit.steps to 2 or more" in said


def test_a_budget_with_less_than_a_step_a_class_is_refused_before_anything_is_trained(capsys, home: Path) -> None:
    """How many classes there are is known once the films are prepared."""
    code = guarded(main, [*SMOKE, "--generator", "dcgan_per_class", "--fit.steps", "4"])
    assert code == WRONG
    assert "networks or stages in turn, and has 4 steps" in capsys.readouterr().err
    kinds = {p.name for p in home.glob("home/artifacts/*")}
    assert kinds == {"data"} and not list(home.glob("results/**/*"))


def write_film(file: Path, *, size: int = 32, level: int = 0) -> None:
    """A small grey PNG with a little noise, different for each `level`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(level).integers(0, 255, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Sixty films of thirty patients in two classes, with a table."""
    folder = tmp_path / "films"
    rows = ["image,label,patient_id"]
    for k in range(60):
        write_film(folder / f"images/{k:02}.png", level=k)
        rows.append(f"images/{k:02}.png,{'sick' if k % 3 == 0 else 'well'},p{k // 2:02}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def from_folder(films: Path, *more: str) -> list[str]:
    """Arguments for a run on these films."""
    return ["--dataset", "folder", "--data.path", str(films), *more]


def test_a_corrupt_png_is_named(capsys, home: Path, films: Path) -> None:
    broken = films / "images/17.png"
    broken.write_bytes(broken.read_bytes()[:60])
    assert "17.png" in refuse(capsys, home, *from_folder(films))


def test_a_label_that_is_not_declared_is_named(capsys, home: Path, films: Path) -> None:
    assert "sick" in refuse(capsys, home, *from_folder(films, "--data.classes", "well", "ill"))


def test_images_of_mixed_sizes_are_refused(capsys, home: Path, films: Path) -> None:
    write_film(films / "images/05.png", size=48)
    said = refuse(capsys, home, *from_folder(films))
    assert "48" in said
    assert "--data.size" in said


def test_a_val_split_that_shares_a_patient_with_train_is_refused(capsys, home: Path, films: Path) -> None:
    rows = (films / "metadata.csv").read_text().splitlines()
    splits = ["split", *(["train", "val", "test"][k % 3] for k in range(60))]
    (films / "metadata.csv").write_text("\n".join(f"{r},{s}" for r, s in zip(rows, splits, strict=True)) + "\n")
    assert "patient" in refuse(capsys, home, *from_folder(films, "--data.split-column", "split"))


def test_a_class_without_a_training_image_is_named(capsys, home: Path, films: Path) -> None:
    assert "rare" in refuse(capsys, home, *from_folder(films, "--data.classes", "well", "sick", "rare"))


def test_an_npz_without_the_needed_keys_is_refused(capsys, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "half.npz"
    np.savez(file, train_images=np.zeros((4, 28, 28), np.uint8))
    said = refuse(capsys, home, "--dataset", "medmnist", "--data.name", "pneumoniamnist", "--data.file", str(file))
    assert "train_labels" in said


def test_an_unwritable_results_folder_is_refused_before_anything_runs(capsys, home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is not a folder" in refuse(capsys, home, "--results", str(tmp_path / "file" / "runs"))


def test_a_full_disk_is_one_line_and_publishes_nothing(home: Path) -> None:
    """A limit on the size of a file makes the operating system refuse a write, as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", *SMOKE],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == WRONG, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: no room to write")
    assert os.strerror(errno.EFBIG) in done.stderr
    assert not list(home.glob("results/**/*"))
    assert not list(home.glob("home/artifacts/data/*"))
