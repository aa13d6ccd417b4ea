"""The audit tries what is seen of a film at a glance: file mode, format and size, border, mean grey."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.audit.__main__ import main
from data.audit.report import audit_dataset
from data.audit.seen import of_pixels, shortcuts_seen
from data.audit.shortcuts import LITTLE, TOGETHER, measure_shortcuts
from data.films.looks import look_at
from data.images import ImageSet, Split
from synthworth.commands import guarded

pytestmark = pytest.mark.usefixtures("one_thread")

N = 120


def picture(seed: int, width: int = 48, height: int = 48) -> np.ndarray:
    """A film of its own, of one and the same mean grey."""
    coarse = np.random.default_rng(seed).integers(40, 200, (12, 12), dtype=np.uint8)
    grown = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    return np.clip(np.round(grown - grown.mean() + 120), 0, 255).astype(np.uint8)


def save(folder: Path, name: str, pixels: np.ndarray, **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name, **options)


def make(root: Path, kind: str) -> Path:
    """Two classes whose films tell nothing, and one thing about them that tells all."""
    for i in range(N):
        ill = i % 2
        folder, name, pixels = root / ("ill" if ill else "well"), f"{i:03d}.png", picture(i)
        if ill and kind == "file mode":
            pixels = np.dstack([pixels] * 3)
        elif ill and kind == "file format":
            name = f"{i:03d}.bmp"
        elif ill and kind == "file size in px":
            pixels = picture(i, 96, 96)
        elif ill and kind == "file shape":
            pixels = picture(i, 96, 24)
        elif kind == "border":
            pixels[:3] = pixels[-3:] = pixels[:, :3] = pixels[:, -3:] = 255 if ill else 0
            pixels = np.clip(pixels.astype(float) + 120 - pixels.mean(), 0, 255).astype(np.uint8)
        elif ill and kind == "mean grey":
            pixels = pixels + np.uint8(40)
        save(folder, name, pixels)
    return root


def report(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert guarded(main, [*args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


KINDS = ("file mode", "file format", "file size in px", "file shape", "border", "mean grey")


@pytest.mark.parametrize("kind", KINDS)
def test_what_gives_the_class_away_is_named(tmp_path, capsys, kind: str) -> None:
    root = make(tmp_path / "films", kind)
    found = report(capsys, "--data.path", str(root), "--data.size", "32", "--home", str(tmp_path / "home"))
    told = {row["attribute"]: row for row in found["seen"]}
    assert told[kind]["auroc"] == pytest.approx(1.0, abs=0.01) and told[kind]["low"] > 0.95
    lines = [line for line in found["warnings"] if line.startswith(f"{kind} alone tells well: AUROC ")]
    assert len(lines) == 1
    assert ("disease or the machine" in lines[0]) == (kind in ("border", "mean grey"))


def test_the_tables_print_what_was_seen(tmp_path, capsys) -> None:
    root = make(tmp_path / "films", "file mode")
    args = ["--data.path", str(root), "--data.size", "32", "--home", str(tmp_path / "home")]
    assert guarded(main, args) == 0
    said = capsys.readouterr().out
    assert "seen at a glance" in said and "FOUND  file mode alone tells well: AUROC 1.000 [1.000, 1.000]" in said


def test_what_is_the_same_everywhere_tells_nothing_and_is_not_named(tmp_path, capsys) -> None:
    root = make(tmp_path / "films", "nothing")
    found = report(capsys, "--data.path", str(root), "--data.size", "32", "--home", str(tmp_path / "home"))
    assert not {row["attribute"] for row in found["seen"]} & {"file mode", "file format", "file shape"}
    assert not [line for line in found["warnings"] if "alone tells" in line]


def test_a_prepared_dataset_is_looked_at_as_a_fresh_one_is(tmp_path, capsys) -> None:
    root = make(tmp_path / "films", "file mode")
    args = ["--data.path", str(root), "--data.size", "32", "--home", str(tmp_path / "home")]
    assert report(capsys, *args)["seen"] == report(capsys, *args)["seen"]


def test_dicom_films_are_looked_at_by_their_headers(tmp_path, capsys) -> None:
    pytest.importorskip("pydicom", reason="pydicom is not installed")
    from dicom_files import film

    for i in range(40):
        deep = {"bits": 12 if i % 2 else 10}
        film(tmp_path / "films" / "ab"[i % 2] / f"{i}.dcm", picture(i).astype(np.uint16), patient=f"{i}", **deep)
    found = report(
        capsys, "--dataset", "dicom", "--data.path", str(tmp_path / "films"), "--data.size", "16", "--home",
        str(tmp_path / "home"),
    )  # fmt: skip
    told = {row["attribute"]: row for row in found["seen"]}
    assert told["file mode"]["auroc"] == 1.0 and "file format" not in told


def sets(images: np.ndarray, labels: np.ndarray) -> dict[Split, ImageSet]:
    """Train, val and test of equal size, each image a patient."""
    found = {}
    for k, split in enumerate((Split.train, Split.val, Split.test)):
        rows = np.arange(k, len(images), 3)
        found[split] = ImageSet(
            images=torch.from_numpy(images[rows]),
            labels=torch.from_numpy(labels[rows]),
            ids=tuple(str(i) for i in rows),
            groups=tuple(str(i) for i in rows),
            split=split,
            classes=("well", "ill"),
        )
    return found


def test_images_without_files_are_seen_by_their_pixels() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    images = rng.integers(0, 200, (300, 1, 8, 8)).astype(np.uint8) + (50 * labels).astype(np.uint8)[:, None, None, None]
    found = {s.attribute: s for s in shortcuts_seen(sets(images, labels))}
    assert set(found) == {"mean grey"} and found["mean grey"].auroc > 0.95


def test_noise_is_no_shortcut_and_has_no_interval() -> None:
    rng = np.random.default_rng(1)
    made = sets(rng.integers(0, 256, (300, 3, 8, 8)).astype(np.uint8), rng.integers(0, 2, 300))
    (grey,) = [s for s in shortcuts_seen(made) if s.attribute == "mean grey"]
    assert not grey.notable and grey.low is None and grey.note == LITTLE
    assert json.dumps(audit_dataset(made).to_json(), allow_nan=False)


@pytest.mark.parametrize("n_test", [100, 400])
def test_in_short_the_numbers_are_the_same_and_fewer(n_test: int) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 3 * n_test)
    made = sets(rng.integers(0, 256, (3 * n_test, 1, 8, 8)).astype(np.uint8), labels)
    leaning = {
        split: replace(
            images,
            attributes={"lean": images.labels.numpy() + rng.normal(size=n_test), "flat": rng.normal(size=n_test)},
        )
        for split, images in made.items()
    }
    whole = {s.attribute: s for s in measure_shortcuts(leaning)}
    short = {s.attribute: s for s in measure_shortcuts(leaning, in_short=True)}
    assert set(whole) - set(short) == {TOGETHER}
    assert short["lean"] == whole["lean"] and short["lean"].notable
    assert short["flat"].auroc == pytest.approx(whole["flat"].auroc) and short["flat"].low is None


@pytest.mark.parametrize(
    ("edges", "colour", "wanted"),
    [
        ((0, 0, 0, 0), 0, "none"),
        ((4, 4, 4, 4), 0, "black 10 %"),
        ((4, 4, 4, 4), 255, "white 10 %"),
        ((8, 8, 0, 0), 128, "grey 10 %"),
        ((0, 0, 2, 0), 255, "white 5 %"),
    ],
)
def test_borders_are_known_by_colour_and_width(edges: tuple[int, ...], colour: int, wanted: str) -> None:
    top, bottom, left, right = edges
    image = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    image[:top] = image[40 - bottom :] = image[:, :left] = image[:, 40 - right :] = colour
    found = of_pixels(torch.from_numpy(np.stack([image, image])[:, None].repeat(3, axis=1)))
    assert found["border"].tolist() == [wanted] * 2
    assert found["mean grey"] == pytest.approx(image.mean())


@pytest.mark.parametrize(
    ("name", "mode", "wanted"),
    [
        ("a.png", "L", ("PNG", "grey")),
        ("a.jpg", "RGB", ("JPEG", "RGB")),
        ("a.png", "1", ("PNG", "black and white")),
        ("a.png", "RGBA", ("PNG", "RGB with transparency")),
        ("a.png", "P", ("PNG", "palette")),
        ("a.tif", "I;16", ("TIFF", "deep grey")),
    ],
)
def test_a_file_is_known_by_its_header(tmp_path, name: str, mode: str, wanted: tuple[str, str]) -> None:
    Image.new(mode, (16, 12)).save(tmp_path / name)
    look = look_at(tmp_path / name)
    assert look is not None and (look.format, look.mode, look.width, look.height) == (*wanted, 16, 12)


def test_a_file_that_is_called_something_else_is_told_apart(tmp_path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    look = look_at(tmp_path / "a.jpg")
    assert look is not None and look.format == "PNG called .jpg"
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert look_at(tmp_path / "b.png") is None
