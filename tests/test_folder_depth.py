"""Folders of deep pictures, of pages and of other files: windowed, refused or counted, and old keys stay."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.datasets.folder.dataset import Folder, FolderConfig
from data.images import Split
from data.prepared import read_index
from synthworth.errors import UserError
from synthworth.keys import digest, plain


@pytest.fixture
def deep(tmp_path) -> Path:
    """24 pictures of 16 bits with values below 4096 in two class folders, each with a film of its own."""
    root = tmp_path / "films"
    for i in range(24):
        folder = root / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(100, 4000, (16, 16)).astype(np.uint16)
        pixels[0, 0], pixels[-1, -1] = 0, 4095
        Image.fromarray(pixels).save(folder / f"{i:02d}.{('png', 'tif')[i // 2 % 2]}")
    return root


def folder(root: Path, **options: Any) -> Folder:
    return Folder(FolderConfig(path=root, size=16, fractions=(0.5, 0.25, 0.25), **options))


def test_the_options_of_depth_change_no_key_at_their_default(tmp_path) -> None:
    assert not {"window", "percentiles"} & set(plain(FolderConfig(path=tmp_path)))
    assert (
        digest(FolderConfig(window="full")) != digest(FolderConfig()) != digest(FolderConfig(percentiles=(1.0, 99.0)))
    )


def test_deep_pictures_are_refused_with_what_to_do(deep: Path, tmp_path) -> None:
    with pytest.raises(
        UserError, match=r"more than 8 bits a pixel \(16-bit .*--data\.window percentile.*--data\.on-bad"
    ):
        folder(deep).prepare(tmp_path / "out")


@pytest.mark.parametrize("window", ["percentile", "full"])
def test_deep_pictures_are_windowed_each_by_its_own_values(deep: Path, window: str) -> None:
    made = folder(deep, window=window, percentiles=(0.0, 90.0))
    sets = made.build()
    images = sets[Split.train]
    for image, name in zip(images.images.numpy(), images.ids, strict=True):
        pixels = np.asarray(Image.open(deep / name)).astype(float)
        white = 4095 if window == "full" else np.percentile(pixels, 90, method="inverted_cdf")
        assert np.array_equal(image[0], np.round(255 * np.clip(pixels / white, 0, 1)))


def test_a_table_of_deep_pictures_is_windowed_too(deep: Path) -> None:
    files = sorted(path.relative_to(deep).as_posix() for path in deep.rglob("*.*"))
    (deep / "metadata.csv").write_text("image,label\n" + "\n".join(f"{f},{f[0]}" for f in files) + "\n")
    assert folder(deep, window="full").build()[Split.train].images.max() == 255


def test_percentiles_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match=r"--data\.percentiles 99 1"):
        Folder(FolderConfig(percentiles=(99.0, 1.0)))


def test_a_picture_of_several_pages_is_left_out_by_on_bad_skip(deep: Path, tmp_path) -> None:
    pages = [Image.new("L", (16, 16), 9 * i) for i in range(3)]
    pages[0].save(deep / "a" / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"stack\.tif: it holds 3 pages or frames"):
        folder(deep, window="full").prepare(tmp_path / "out")
    folder(deep, window="full", on_bad="skip").prepare(tmp_path / "skipped")
    assert [skip["id"] for skip in read_index(tmp_path / "skipped")["notes"]["skipped"]] == ["a/stack.tif"]


def test_transparent_films_are_counted_once(deep: Path, tmp_path, caplog) -> None:
    for i in range(3):
        Image.new("RGBA", (16, 16)).save(deep / "a" / f"clear{i}.png")
    with caplog.at_level(logging.WARNING):
        folder(deep, window="full").prepare(tmp_path / "out")
    said = [r.getMessage() for r in caplog.records if "wholly transparent" in r.getMessage()]
    assert len(said) == 1 and "3 films, first " in said[0]
    notes = read_index(tmp_path / "out")["notes"]
    assert notes["wholly transparent (alpha 0), and so black"].startswith("3 films, first a/clear")


def test_files_of_other_kinds_are_counted_and_said_once(deep: Path, tmp_path) -> None:
    (deep / "a" / ".ipynb_checkpoints").mkdir()
    (deep / "b" / "inner").mkdir()
    for name in (
        "a/x.dcm",
        "a/y.dcm",
        "b/inner/z.JP2",
        "b/README",
        "Thumbs.db",
        "a/.hidden",
        "a/.ipynb_checkpoints/n.txt",
    ):
        (deep / name).write_text("x")
    made = folder(deep, window="full")
    (note,) = [value for name, value in made.films().notes.items() if "no image" in name]
    assert note == "5 (2 .dcm, 1 .db, 1 .jp2, 1 no extension)"
    made.prepare(tmp_path / "out")
    assert note in read_index(tmp_path / "out")["notes"].values()


def test_the_table_that_is_read_and_images_that_no_row_names_are_no_other_files(deep: Path) -> None:
    files = sorted(path.relative_to(deep).as_posix() for path in deep.rglob("*.*"))
    (deep / "metadata.csv").write_text("image,label\n" + "\n".join(f"{f},{f[0]}" for f in files[1:]) + "\n")
    notes = folder(deep, window="full").films().notes
    assert notes["not_in_table"] == 1 and not [name for name in notes if "no image" in name]


def test_a_link_that_leads_back_is_walked_once(deep: Path) -> None:
    (deep / "a" / "notes.txt").write_text("x")
    (deep / "a" / "back").symlink_to(deep, target_is_directory=True)
    (note,) = [value for name, value in folder(deep, window="full").films().notes.items() if "no image" in name]
    assert note == "1 (1 .txt)"
