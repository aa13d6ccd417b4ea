"""Whose DICOM films are, and which of their folders are classes: as for other films, and nobody is given away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicom_files import film

from data.datasets.dicom.dataset import Dicom, DicomConfig
from data.films.table import FilmTable
from synthworth.errors import UserError


def films(root: Path, **options: Any) -> FilmTable:
    return Dicom(DicomConfig(path=root, size=8, **options)).films()


def grow(root: Path, numbers: list[str | None]) -> Path:
    for i, number in enumerate(numbers):
        film(root / "ab"[i % 2] / f"case{i // 4}-{i}.dcm", patient=number)
    return root


@pytest.mark.parametrize("pair", [("MRN-7", "mrn-0007"), ("0007", "7"), ("7", "7.0")])
def test_a_number_in_headers_is_one_however_it_is_written(tmp_path: Path, pair: tuple[str, str]) -> None:
    numbers = [pair[i % 2] if i < 4 else f"Q{i}X" for i in range(12)]
    table = films(grow(tmp_path, list(numbers)))
    assert len(set(table.groups)) == 9
    assert not any(number in str(table.notes) + str(table.groups) for number in numbers if len(number) > 2)


def test_a_word_for_nobody_is_no_patient_where_others_are_named(tmp_path: Path) -> None:
    numbers: list[str | None] = [("UNKNOWN", "ANONYMOUS", "none")[i % 3] if i < 6 else f"Q{i}X" for i in range(12)]
    table = films(grow(tmp_path, numbers))
    assert len(set(table.groups)) == 12
    assert table.notes == {"films without a patient's number": 6}


def test_a_pattern_finds_patients_and_their_names_stay_unknown(tmp_path: Path) -> None:
    table = films(grow(tmp_path, [f"Q{i}X" for i in range(24)]), patient_pattern=r"(case\d+)-")
    assert len(set(table.groups)) == 6
    assert "case" not in str(table.groups) + str(table.notes)


def test_a_table_that_writes_a_patient_in_two_ways_keeps_his_number_to_itself(tmp_path: Path) -> None:
    grow(tmp_path, [None] * 24)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.dcm"))
    lines = [f"{name},{name[0]},{4711 + i // 2}{'.0' * (i % 2)}" for i, name in enumerate(names)]
    (tmp_path / "metadata.csv").write_text("image,label,subject_id\n" + "\n".join(lines) + "\n")
    table = films(tmp_path)
    assert len(set(table.groups)) == 12
    assert table.notes["patients written in several ways, taken as one"] == "12"
    assert "subject_id" in table.notes["patients"]
    assert "47" not in str(table.notes)


def test_a_patient_column_that_says_otherwise_than_the_headers_leaves_a_note(tmp_path: Path) -> None:
    grow(tmp_path, [f"Q{i}X" for i in range(24)])
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.dcm"))
    lines = [f"{name},{name[0]},{4711 + i // 2}" for i, name in enumerate(names)]
    (tmp_path / "metadata.csv").write_text("image,label,patient_id\n" + "\n".join(lines) + "\n")
    table = films(tmp_path)
    assert len(set(table.groups)) == 24
    assert table.notes == {"columns that may name patients and are not used (--data.patient-column)": "patient_id"}
    assert len(set(films(tmp_path, patient_column="patient_id").groups)) == 12


def test_patients_whom_splits_share_are_counted_under_their_pseudonyms(tmp_path: Path) -> None:
    for i, split in enumerate(("train", "val", "test") * 4):
        film(tmp_path / split / "ab"[i // 3 % 2] / f"{i}.dcm", patient=f"SECRET-{i % 5}")
    with pytest.raises(UserError, match=r"5 patients are shared\): .*train and val") as caught:
        films(tmp_path)
    assert "SECRET" not in str(caught.value).upper()


def test_containers_hidden_folders_and_masks_are_told_apart_for_dicom_too(tmp_path: Path) -> None:
    for i in range(4):
        film(tmp_path / "parts" / f"part{i % 2}" / f"{i}.dcm", patient=f"Q{i}X")
    with pytest.raises(UserError, match="part0, part1, no classes by their names"):
        films(tmp_path / "parts")
    root = grow(tmp_path / "films", [f"Q{i}X" for i in range(12)])
    film(root / "a" / "@eaDir" / "x.dcm", patient="Q1X")
    film(root / "b" / "masks" / "y.dcm", patient="Q2X")
    table = films(root)
    assert len(table) == 12
    assert table.notes == {"images in hidden folders, left out": 1, "masks, left out": 1}
