"""The commands that docs/data.md has for public datasets give the right films, labels and patients of each."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from pages import ROOT, commands
from public_layouts import LAYOUTS, OPTIONS, Truth

from data.films.table import FilmTable
from data.prepare import parse
from data.registry import datasets

COMMANDS = {
    name: next(c for c in commands(ROOT / "docs/data.md") if f"--data.path {name}" in c and "data.prepare" in c)
    for name in LAYOUTS
}
FROM_PATHS = ("chexpert", "breakhis")
"""The layouts that name patients in their paths alone."""


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any, Truth]:
    """Name, dataset as the page's command makes it, and what is true of its films."""
    name = request.param
    truth = LAYOUTS[name](tmp_path / name)
    monkeypatch.chdir(tmp_path)
    options, config = parse(shlex.split(COMMANDS[name])[3:])
    return name, datasets.get(options.dataset)(config), truth


def below(table: FilmTable, name: str) -> list[str]:
    return [Path(path).relative_to(name).as_posix() for path in table.paths]


def shown(table: FilmTable, i: int) -> Any:
    if not table.multilabel:
        return table.classes[int(table.labels[i])]
    return frozenset(c for c, mark in zip(table.classes, table.labels[i], strict=True) if mark)


def test_every_film_has_its_label_and_every_patient_its_films(layout: tuple[str, Any, Truth]) -> None:
    name, dataset, truth = layout
    table = dataset.table
    films = below(table, name)
    assert sorted(films) == sorted(truth)
    assert {film: shown(table, i) for i, film in enumerate(films)} == {film: said for film, (said, _) in truth.items()}
    if name in FROM_PATHS and "patient_pattern" not in OPTIONS:
        pytest.skip("there is no option yet that finds a patient in a path")
    pairs = {(group, truth[film][1]) for group, film in zip(table.groups, films, strict=True)}
    assert len(pairs) == len({group for group, _ in pairs}) == len({who for _, who in pairs})


def test_decoded_films_are_the_originals(layout: tuple[str, Any, Truth]) -> None:
    _, dataset, _ = layout
    sets = dataset.build()
    ids = dict(zip(dataset.table.ids, dataset.table.paths, strict=True))
    for images in sets.values():
        for i in range(0, len(images), 5):
            path = ids[images.ids[i]]
            if path.suffix == ".dcm":
                from pydicom import dcmread

                original = dcmread(path).pixel_array
            else:
                original = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                original = original if original.ndim == 2 else original[..., ::-1].transpose(2, 0, 1)
            found = images.images[i].numpy()
            assert np.corrcoef(found.ravel(), np.broadcast_to(original, found.shape).ravel())[0, 1] > 0.98
            assert int(found.max()) - int(found.min()) > 200


def test_published_splits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LAYOUTS["mimic-cxr-jpg"](tmp_path / "mimic-cxr-jpg")
    monkeypatch.chdir(tmp_path)
    _, config = parse(shlex.split(COMMANDS["mimic-cxr-jpg"])[3:])
    counts = datasets.get("folder")(config).table
    assert {s: int((counts.splits == s).sum()) for s in ("train", "val", "test")} == {
        "train": 24,
        "val": 12,
        "test": 12,
    }
    assert set(counts.attributes["ViewPosition"]) == {"PA", "LATERAL"}


def test_rsna_s_second_table_gives_its_three_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LAYOUTS["rsna"](tmp_path / "rsna")
    monkeypatch.chdir(tmp_path)
    command = COMMANDS["rsna"].replace("--data.label-column Target --data.rename Normal=0 Pneumonia=1", "")
    more = ["--data.join", "rsna/stage_2_detailed_class_info.csv", "--data.label-column", "class"]
    _, config = parse([*shlex.split(command)[3:], *more])
    table = datasets.get("dicom")(config).table
    assert table.classes == ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
    assert np.bincount(table.labels).tolist() == [12, 12, 12]
