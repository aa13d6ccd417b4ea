"""No patient is lost: however a table writes him he is one, and where nobody is named that is said or refused."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.base import BaseDataset
from data.datasets.folder.dataset import Folder, FolderConfig
from data.films.patients import one_name_each, patient_column
from data.films.table import FilmTable
from data.images import Split
from data.prepared import data_preparation
from synthworth.errors import UserError
from synthworth.keys import digest


def table_of(root: Path, header: str, rows: Sequence[Sequence[str]], *, name: str = "metadata.csv") -> Path:
    """A table `image,label,HEADER` with a picture a row; labels alternate."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / name).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "label", *header.split(",")])
        for i, row in enumerate(rows):
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(root / f"{i}.png")
            writer.writerow([f"{i}.png", "ab"[i % 2], *row])
    return root


def films(root: Path, **options: Any) -> FilmTable:
    return Folder(FolderConfig(path=root, **options)).films()


def refused(root: Path, match: str, **options: Any) -> None:
    """By the identity already: a copy that an earlier version prepared is not believed."""
    with pytest.raises(UserError, match=match) as caught:
        Folder(FolderConfig(path=root, **options)).source()
    assert "\n" not in str(caught.value)


def key_of(root: Path, **options: Any) -> str:
    dataset: BaseDataset = Folder(FolderConfig(path=root, **options))
    return digest(data_preparation("folder", dataset))


# -- one patient, one name ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (("7", "7.0"), "7"),
        (("7.0", "7."), "7"),
        (("007", "7"), "7"),
        (("007", "7.00", " 7 "), "7"),
        (("P07", "P7"), "P7"),
        (("p07", "P07"), "P07"),
        (("A  1", "A 1"), "A 1"),
        (("Jose\u0301", "Jos\u00e9"), "Jos\u00e9"),
        (("00000007",), "00000007"),
        (("7.0",), "7"),
        (("+7", "7"), "7"),
        (("7,0", "7"), "7"),
        (('="007"', "007"), "007"),
        (("'7", "7"), "7"),
        (("\ufeff7", "7"), "7"),
        (("\uff17", "7"), "7"),
    ],
)
def test_a_patient_has_one_name_however_he_is_written(written: tuple[str, ...], name: str) -> None:
    names, merged = one_name_each([*written, "8"], str, column="who")
    assert names == [name] * len(written) + ["8"]
    assert one_name_each(["8", *reversed(written)], str, column="who")[0] == ["8"] + [name] * len(written)
    assert all(len(set(of)) > 1 for of in merged.values())


@pytest.mark.parametrize(
    "pair", [("7", "70"), ("7.5", "7"), ("1.10", "1.1"), ("P7", "Q7"), ("a7b", "a07b"), ("0", "10")]
)
def test_different_patients_stay_apart(pair: tuple[str, str]) -> None:
    assert len(set(one_name_each(pair, str, column="who")[0])) == 2


def test_zeros_are_kept_where_the_table_writes_each_patient_in_one_way() -> None:
    names = ["001", "002", "test/IM-0001", "01.50"]
    assert one_name_each(names, str, column="who") == (names, {})


def test_a_table_of_two_spellings_has_its_patients_on_one_side_and_says_so(tmp_path: Path) -> None:
    rows = [[f"{i // 2}" if i % 2 else f"{i // 2}.0"] for i in range(40)]
    table = films(table_of(tmp_path, "patient_id", rows))
    assert set(table.groups) == {str(i) for i in range(20)}
    assert all(len(set(np.asarray(table.splits)[2 * p : 2 * p + 2])) == 1 for p in range(20))
    assert table.notes["patients written in several ways, taken as one"] == "20 (0.0 = 0 for one)"


@pytest.mark.parametrize(
    "cell", ["", "nan", "NaN", "None", "NA", "<NA>", "null", "N/A", "unknown", "Anonymous", "-1", "?"]
)
def test_a_cell_that_names_nobody_is_no_patient(tmp_path: Path, cell: str) -> None:
    rows = [[cell if i in (2, 5, 6) else f"p{i // 2}"] for i in range(12)]
    refused(table_of(tmp_path, "patient_id", rows), r"row 3 \(2\.png\) and 2 more .* have no patient in column")


def test_a_number_that_a_spreadsheet_shortened_is_refused(tmp_path: Path) -> None:
    rows = [["1.23457E+11" if i < 4 else f"p{i}"] for i in range(12)]
    refused(table_of(tmp_path, "patient_id", rows), r"row 1 .*'1\.23457E\+11'.*shortened by a spreadsheet")


# -- which column ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "PatientID",
        "patientId",
        "Patient ID",
        "subject_id",
        "MRN",
        "pid",
        "participant-id",
        "anon_patient_uid",
        "PTID",
        "src_subject_id",
        "id_patient",
        "Patient Number",
        "subjectkey",
    ],
)
def test_a_column_that_names_patients_is_taken_with_a_note(tmp_path: Path, name: str) -> None:
    table = films(table_of(tmp_path, name, [[f"p{i // 3}"] for i in range(24)]))
    assert len(set(table.groups)) == 8
    assert repr(name) in table.notes["patients"]


@pytest.mark.parametrize(
    "name",
    [
        "lesion_id",
        "StudyInstanceUID",
        "case",
        "study_id",
        "AccessionNumber",
        "video_id",
        "slide",
        "series_uid",
        "acc_anon",
    ],
)
def test_a_column_that_may_name_patients_is_named_and_not_taken(tmp_path: Path, name: str, caplog) -> None:
    root = table_of(tmp_path, name, [[f"p{i // 3}"] for i in range(24)])
    table = films(root)
    assert table.groups == table.ids
    assert table.notes["columns that may name patients and are not used (--data.patient-column)"] == name
    assert len(set(films(root, patient_column=name).groups)) == 8


@pytest.mark.parametrize(
    "name", ["Patient Age", "PatientSex", "patient_position", "study_date", "subject_group", "view"]
)
def test_what_is_said_of_patients_names_none(tmp_path: Path, name: str) -> None:
    table = films(table_of(tmp_path, name, [[f"p{i // 3}"] for i in range(24)]))
    assert table.groups == table.ids
    assert set(table.notes) == {"patients"}


def test_a_column_of_two_values_names_no_patients(tmp_path: Path) -> None:
    table = films(table_of(tmp_path, "subject,case", [[("hand", "chest")[i % 2], str(i % 2)] for i in range(24)]))
    assert table.groups == table.ids
    assert table.notes["columns that may name patients and are not used (--data.patient-column)"] == "subject"


def test_two_columns_that_name_other_patients_are_a_question(tmp_path: Path) -> None:
    rows = [[f"p{i // 3}", f"s{i // 2}"] for i in range(24)]
    root = table_of(tmp_path, "PatientID,subject_id", rows)
    refused(root, "'PatientID' and 'subject_id' both name patients, and not the same")
    table = films(root, patient_column="subject_id")
    assert len(set(table.groups)) == 12
    assert "PatientID" in str(table.notes)
    alike = {"PatientID": [a for a, _ in rows], "mrn": [a.upper() for a, _ in rows]}
    assert patient_column(alike) == "PatientID"


def test_a_chosen_column_is_not_reminded_of_studies(tmp_path: Path) -> None:
    rows = [[f"p{i // 3}", f"s{i}"] for i in range(24)]
    assert films(table_of(tmp_path, "patient_id,study_id", rows)).notes == {}


# -- a pattern on the path ------------------------------------------------------------------------------------------


def grow(root: Path) -> Path:
    for i in range(24):
        file = root / "ab"[i % 2] / f"case-{i // 4:03d}_{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(file)
    return root


def test_a_pattern_finds_the_patient_in_the_path(tmp_path: Path) -> None:
    table = films(grow(tmp_path), patient_pattern=r"(case-\d+)_")
    assert sorted(set(table.groups)) == [f"case-{p:03d}" for p in range(6)]
    sides = [set(np.asarray(table.groups)[table.rows(split)]) for split in Split]
    assert sum(map(len, sides)) == 6
    assert "patients" not in table.notes


def test_a_pattern_that_says_otherwise_than_a_column_leaves_a_note(tmp_path: Path) -> None:
    root = table_of(tmp_path, "patient_id", [[f"p{i // 2}"] for i in range(24)])
    said = films(root, patient_pattern=r"(\d)\.png").notes
    assert said == {"columns that may name patients and are not used (--data.patient-column)": "patient_id"}


def test_patients_are_counted_in_the_splits_that_were_given(tmp_path: Path) -> None:
    """And not in those that val is carved into afterwards."""
    rows = [[f"p{i // 2}", "train" if i < 20 else "test"] for i in range(24)]
    rows += [[f"p{i}", "test"] for i in range(9)]
    with pytest.raises(
        UserError, match=r"\(9 patients are shared\): train and test 9 \('p0', 'p1', 'p2', \.\.\.\); the"
    ):
        films(table_of(tmp_path, "patient_id,part", rows), split_column="part")


def test_split_folders_that_share_patients_are_refused_with_every_pair(tmp_path: Path) -> None:
    for i, (split, patient) in enumerate((s, p) for s in ("train", "val", "test") for p in range(8)):
        file = (
            tmp_path / split / "ab"[patient % 2] / f"p{patient + 6 * (split == 'val') + 7 * (split == 'test')}_{i}.png"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(file)
    with pytest.raises(UserError) as caught:
        films(tmp_path, patient_pattern=r"/(p\d+)_")
    assert "(8 patients are shared): train and val 2 ('p6', 'p7'); train and test 1 ('p7'); val and test 7 (" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("pattern", "match"),
    [
        (r"case-00[0-4]", "groups"),
        (r"(case)-(\d+)", "groups"),
        (r"(case", "regular expression"),
        (r"case-(00[0-4])", r"4 of 24 .*(first|for one).*|4 of 24.*a/case-005"),
        (r"case-(x?)", "24 of 24"),
    ],
)
def test_a_pattern_that_does_not_find_every_patient_is_refused(tmp_path: Path, pattern: str, match: str) -> None:
    refused(grow(tmp_path), match, patient_pattern=pattern)


def test_a_pattern_beside_a_column_is_refused(tmp_path: Path) -> None:
    root = table_of(tmp_path, "patient_id", [[f"p{i}"] for i in range(12)])
    refused(root, "leave one out", patient_column="patient_id", patient_pattern=r"(\d+)")
    assert set(films(root, patient_pattern=r"(\d)\.png").groups) == set("0123456789")


# -- labels and attributes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["nan", "None", "NA", "<NA>", "null"])
def test_a_label_that_says_nothing_is_no_class_unless_it_is_declared(tmp_path: Path, cell: str) -> None:
    root = table_of(tmp_path, "patient_id,finding", [[f"p{i}", cell if i % 3 == 0 else "ab"[i % 2]] for i in range(24)])
    with pytest.raises(UserError, match=r"row 1 \(0\.png\)"):
        films(root, label_column="finding")
    counts = films(root, label_column="finding", classes=(cell, "a", "b")).counts()
    assert sum(of[cell] for of in counts.values()) == 8


@pytest.mark.parametrize("pair", [("Normal", "normal"), ("No Finding", "No_Finding"), ("a ", "A")])
def test_classes_that_differ_in_capitals_or_blanks_alone_are_refused(tmp_path: Path, pair: tuple[str, str]) -> None:
    root = table_of(tmp_path, "patient_id,finding", [[f"p{i}", (*pair, "z")[i % 3]] for i in range(24)])
    with pytest.raises(UserError, match="differ in capitals or blanks alone"):
        films(root, label_column="finding")
    both = tuple(name.strip() for name in pair)
    assert len(films(root, label_column="finding", classes=(*both, "z")).classes) == 3


def test_an_attribute_that_is_not_given_is_empty(tmp_path: Path) -> None:
    sexes = ["F", "nan", "M", "<NA>", "None", ""]
    table = films(
        table_of(tmp_path, "patient_id,sex", [[f"p{i}", sexes[i % 6]] for i in range(24)]), attributes=("sex",)
    )
    assert set(table.attributes["sex"].tolist()) == {"F", "M", ""}


# -- what was prepared before ---------------------------------------------------------------------------------------


def test_what_is_read_as_before_is_found_under_the_same_key(tmp_path: Path) -> None:
    """The form of the identity at commit 5e15ffd: options that are not used, and patients as they were, add nothing."""
    root = table_of(tmp_path, "patient_id,sex", [[f"{i // 2:03d}", "FM"[i % 2]] for i in range(24)])
    dataset = Folder(FolderConfig(path=root, attributes=("sex",)))
    assert set(dataset.source()) == {"files", "table"}
    config = {
        "attributes": ["sex"], "channels": 1, "classes": [], "fit": "crop", "fractions": [0.8, 0.1, 0.1],
        "image_column": "image", "label_column": "label", "label_columns": [], "missing": "refuse",
        "negative": ["No Finding"], "on_bad": "refuse", "patient_column": None, "resize": None, "seed": 0,
        "size": None, "split_column": None, "task": "auto",
    }  # fmt: skip
    assert digest(dataset.config) == digest(config)


@pytest.mark.parametrize(
    ("header", "row"),
    [("patient_id", ["7.0"]), ("subject_id", ["x"]), ("patient_id,sex", ["q", "nan"])],
)
def test_what_is_read_otherwise_has_another_key(tmp_path: Path, header: str, row: list[str]) -> None:
    rows = [[f"{i}.0" if row[0] == "7.0" else f"p{i}", *row[1:]] for i in range(12)]
    root = table_of(tmp_path, header, rows)
    attributes = ("sex",) if "sex" in header else ()
    assert set(Folder(FolderConfig(path=root, attributes=attributes)).source()) > {"files", "table"}
    assert key_of(grow(tmp_path / "x")) != key_of(tmp_path / "x", patient_pattern=r"(case-\d+)_")
