"""Patients as other tables write them, other words for nobody, other names of columns; patients in file names."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import film
from PIL import Image

from data.datasets.dicom.dataset import Dicom, DicomConfig
from data.datasets.folder.dataset import Folder, FolderConfig
from data.datasets.folder.file_names import note_patients_in_names
from data.datasets.nih.table import read_entries
from data.films.patients import one_name_each, patient_column, unused_columns, whole_number
from data.films.table import FilmTable
from synthworth.errors import UserError

N = 24


def films(root: Path, column: str, cells: Sequence[str], **options: Any) -> FilmTable:
    for i in range(N):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(root / f"{i}.png")
    with (root / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", column])
        writer.writerows([f"{i}.png", "ab"[i % 2], cell] for i, cell in enumerate(cells))
    return Folder(FolderConfig(path=root, **options)).films()


def names(*cells: str) -> list[str]:
    return one_name_each(cells, lambda i: f"row {i}", column="who")[0]


SPELLINGS = {
    "thousands": ("1234", "1,234", "1,234.0"),
    "a hyphen": ("P7", "P-7", "p_7", "P 7", "P.07"),
    "a hyphen after a word": ("Case12", "case-12", "CASE #012"),
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_other_spellings_of_one_patient_are_one(how: str) -> None:
    assert len(set(names(*SPELLINGS[how], "other"))) == 2


def test_a_thousand_is_not_one() -> None:
    assert names("1,000", "1", "1000", "12,000") == ["1000", "1", "1000", "12000"]
    assert whole_number("1,000") == "1000" and whole_number("7,0") == "7"


@pytest.mark.parametrize(
    "pair", [("A-1-2", "A-12"), ("1-7", "17"), ("A7", "B-7"), ("1.5", "15"), ("1,2", "12"), ("12,34", "1234")]
)
def test_other_patients_stay_apart(pair: tuple[str, str]) -> None:
    assert len(set(names(*pair))) == 2


@pytest.mark.parametrize(
    "word",
    ["missing", "N.A.", "#REF!", "\\N", "TBD", "undefined", "not available", "Unbekannt", "desconocido", "未知", "xxx",
     "De-Identified", "not recorded", "(blank)", "..."],
)  # fmt: skip
def test_other_words_for_nobody_are_nobody(word: str) -> None:
    with pytest.raises(UserError, match="no patient in column 'who'"):
        names("p1", word)


@pytest.mark.parametrize(
    "column",
    ["Patientennummer", "id_paciente", "Número de paciente", "ID_patiente", "paziente_id", "患者ID", "病人编号",
     "환자번호",
     "Hospital No.", "hospital_number", "NHS Number", "UHID", "пациент", "Study Subject ID", "pasien_id", "hasta_no"],
)  # fmt: skip
def test_a_column_that_names_patients_in_other_words_is_taken(tmp_path: Path, column: str) -> None:
    table = films(tmp_path, column, [f"q{i // 3}" for i in range(N)])
    assert len(set(table.groups)) == N // 3
    assert repr(column) in table.notes["patients"]


@pytest.mark.parametrize("column", ["id", "Name", "record_id", "Pseudonym", "pseudo_id", "HN", "UR"])
def test_a_column_that_may_be_one_is_named(tmp_path: Path, column: str) -> None:
    table = films(tmp_path, column, [f"q{i // 3}" for i in range(N)])
    assert table.groups == table.ids
    assert table.notes["columns that may name patients and are not used (--data.patient-column)"] == column


@pytest.mark.parametrize(
    "column", ["number of patients", "hospital_id", "hospital", "Edad del paciente", "Patientenalter", "hasta", "urine"]
)
def test_a_column_about_patients_is_none(column: str) -> None:
    columns = {column: [f"q{i // 3}" for i in range(N)]}
    assert patient_column(columns) is None
    assert unused_columns(columns, chosen=None, taken=()) == []


def test_headers_of_dicom_are_read_by_the_same_rules(tmp_path: Path) -> None:
    for i in range(N):
        who = (f"P-{i // 4}", f"p{i // 4}", f"P_{i // 4}", f"P {i // 4}")[i % 4]
        film(tmp_path / "ab"[i % 2] / f"{i}.dcm", patient=who if i > 3 else "REDACTED")
    table = Dicom(DicomConfig(path=tmp_path)).films()
    assert len(set(table.groups)) == N // 4 - 1 + 4
    assert table.notes["films without a patient's number"] == 4


def test_nih_reads_a_thousand(tmp_path: Path) -> None:
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    rows = [f'{i:08d}_000.png,Mass,0,"{who}",58,M,PA' for i, who in enumerate(("1,000", "1", "1,001"))]
    (tmp_path / "a.csv").write_text("\n".join([head, *rows]) + "\n")
    assert read_entries(tmp_path / "a.csv").patients.tolist() == ["00001000", "00000001", "00001001"]


# -- what nobody chose ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "words"),
    [("Set", ("Train", "Test")), ("fold", ("train", "valid", "")), ("x", ("training", "validation"))],
)
def test_a_column_of_splits_that_was_not_chosen_is_named(tmp_path: Path, column: str, words: Sequence[str]) -> None:
    table = films(tmp_path, column, [words[i % len(words)] for i in range(N)])
    assert table.notes["columns that may hold splits and are not used (--data.split-column)"] == column


@pytest.mark.parametrize("words", [("train", "test", "other"), ("train",), ("val", "test"), ("1", "2")])
def test_a_column_of_other_words_is_no_split(tmp_path: Path, words: Sequence[str]) -> None:
    notes = films(tmp_path, "x", [words[i % len(words)] for i in range(N)]).notes
    assert not any("may hold splits" in name for name in notes)


def test_a_split_that_was_chosen_is_not_named(tmp_path: Path) -> None:
    notes = films(tmp_path, "x", ["train" if i % 3 else "test" for i in range(N)], split_column="x").notes
    assert not any("may hold splits" in name for name in notes)


# -- in file names ----------------------------------------------------------------------------------------------------

IN_NAMES = {
    "eyes": lambda i: f"{10 + i // 2}_{('left', 'right')[i % 2]}.jpeg",
    "counted": lambda i: f"patient{i // 2:03d}_img{i % 2}.png",
    "in folders": lambda i: f"{'ab'[i // 2 % 2]}/person{i // 2}_bacteria_{i}.jpeg",
    "with a class": lambda i: f"CNV-{i // 2}-{i % 2}.jpeg",
    "views": lambda i: f"x/P{i // 2}_L_{('CC', 'MLO')[i % 2]}.tif",
}


@pytest.mark.parametrize("how", IN_NAMES)
def test_patients_in_file_names_are_hinted_at_with_a_pattern_that_finds_them(tmp_path: Path, how: str) -> None:
    for i in range(N):
        file = tmp_path / f"{'ab'[i // 2 % 2]}c" / IN_NAMES[how](i)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(file)
    found = Folder(FolderConfig(path=tmp_path)).films()
    said = found.notes["file names that may hold patients"]
    assert f"{N} names begin in {N // 2} ways" in said
    pattern = shlex.split(said.partition("--data.patient-pattern ")[2])[0]
    assert len(set(Folder(FolderConfig(path=tmp_path, patient_pattern=pattern)).films().groups)) == N // 2


@pytest.mark.parametrize(
    "name",
    [
        lambda i: f"{i}.png",
        lambda i: f"ISIC_{i:07d}.jpg",
        lambda i: f"benign ({i}).png",
        lambda i: f"normal_{i}.jpeg",
        lambda i: f"stage{i % 2}_{i}.png",
        lambda i: f"T{i % 5}/img.png",
        lambda i: f"2019_{i}_x.png",
        lambda i: "a.png",
    ],
)
def test_names_without_patients_are_passed_over(name: Any) -> None:
    assert note_patients_in_names([name(i) for i in range(N)], ["ab"[i % 2] for i in range(N)]) == {}
