"""Folders of DICOM films are split by the headers' patients, and their names give nobody away."""

from __future__ import annotations

import csv
import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicom_files import BAD, cut, film
from pydicom import dcmread

from data.datasets.dicom.dataset import Dicom, DicomConfig
from data.datasets.dicom.header import read_facts
from data.datasets.dicom.pseudonyms import name_groups, pseudonym
from data.images import Split
from synthworth.errors import UserError
from synthworth.keys import digest


def test_without_pydicom_one_line_says_what_to_install(
    tmp_path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "films").mkdir()
    code = (
        "import sys; sys.modules['pydicom'] = None\n"
        "from pathlib import Path\n"
        "from data.datasets.dicom.dataset import Dicom, DicomConfig\n"
        "from synthworth.errors import UserError\n"
        "try: Dicom(DicomConfig(path=Path('films'))).source()\n"
        "except UserError as error: print(error)"
    )
    found = run_python("-c", code)
    assert found.stdout.strip() == 'dataset dicom needs pydicom: pip install "synthworth[dicom]"', found.stderr


@pytest.fixture
def hospital(tmp_path) -> Path:
    """24 films of 12 patients in two class folders, file names that hold patients' names."""
    root = tmp_path / "films"
    for i in range(24):
        sick = i // 2 % 2
        film(
            root / ("sick" if sick else "well") / f"Doe_Jane_{i:02d}.dcm", patient=f"MRN-{i // 2:04d}",
            PatientSex="MF"[sick], PatientAge=f"{20 + i:03d}Y", ViewPosition="PA" if i % 3 else "AP",
        )  # fmt: skip
    return root


def dataset(root: Path, **options: Any) -> Dicom:
    return Dicom(DicomConfig(path=root, size=8, **options))


def test_class_folders_are_split_by_the_headers_patients(hospital: Path) -> None:
    made = dataset(hospital, fractions=(0.5, 0.25, 0.25))
    table = made.films()
    assert table.classes == ("sick", "well") and len(table) == 24
    patients = {path: read_facts(path).patient for path in table.paths}
    of_group: dict[str, set[str | None]] = {}
    for path, group in zip(table.paths, table.groups, strict=True):
        of_group.setdefault(group, set()).add(patients[path])
    assert len(of_group) == 12 and all(len(names) == 1 for names in of_group.values())
    sets = made.build()
    groups = [set(images.groups) for images in sets.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert sets[Split.train].images.shape[1:] == (1, 8, 8)
    assert set(sets[Split.train].attributes) == {"sex", "age_band", "view"}
    assert set(table.attributes["age_band"]) == {"18-39", "40-64"}
    assert set(table.attributes["view"]) == {"PA", "AP"}


def test_nothing_written_names_a_patient(hospital: Path, tmp_path, caplog) -> None:
    (hospital / "sick" / "Doe_Jane_bad.dcm").write_bytes(b"")
    cut(film(hospital / "sick" / "Doe_Jane_cut.dcm"), 0.8)
    made, out = dataset(hospital, on_bad="skip"), tmp_path / "prepared"
    out.mkdir()
    with caplog.at_level(logging.WARNING):
        made.prepare(out)
    assert "Doe_Jane_bad.dcm" in caplog.text and "Doe_Jane_cut.dcm" in caplog.text
    uids = [str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in made.table.paths]
    secrets = ["Doe", "Jane", "MRN-", "mrn-", str(hospital), *uids]
    written = [path for path in out.rglob("*") if path.is_file()]
    assert written
    for path in written:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path
    for split in Split:
        if len(made.table.rows(split)):
            images = made.load(out, split)
            text = " ".join([*images.ids, *images.groups, repr(made.source())])
            assert not [secret for secret in secrets if secret in text]


def test_the_same_films_elsewhere_are_the_same_dataset(hospital: Path, tmp_path) -> None:
    first = dataset(hospital)
    table = first.films()
    moved = hospital.rename(tmp_path / "moved")
    for number, path in enumerate(sorted(moved.rglob("*.dcm"))):
        path.rename(path.with_name(f"IM{number:04d}"))
    second = dataset(moved)
    again = second.films()
    assert dict(zip(table.ids, table.groups, strict=True)) == dict(zip(again.ids, again.groups, strict=True))
    assert dict(zip(table.ids, table.splits, strict=True)) == dict(zip(again.ids, again.splits, strict=True))
    assert digest(first.config) == digest(second.config)


def test_a_key_changes_every_name_and_the_identity(hospital: Path, tmp_path) -> None:
    (tmp_path / "key").write_bytes(bytes(range(32)))
    plain, keyed = dataset(hospital), dataset(hospital, key=tmp_path / "key")
    assert not set(plain.films().ids) & set(keyed.films().ids)
    assert not set(plain.films().groups) & set(keyed.films().groups)
    assert plain.source() != keyed.source()
    assert dataset(hospital, key=tmp_path / "key").films().groups == keyed.films().groups
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(UserError, match="5 bytes; at least 16"):
        dataset(hospital, key=tmp_path / "key").films()
    with pytest.raises(UserError, match="no such file"):
        dataset(hospital, key=tmp_path / "nokey").source()


def test_names_hold_nothing_of_a_patients_number() -> None:
    one = name_groups(["MRN-1", "MRN-1", "MRN-2"], ["b", "a", "c"], kind="patient", key=b"k" * 16)
    two = name_groups(["x", "x", "y"], ["b", "a", "c"], kind="patient", key=b"k" * 16)
    assert one == two
    assert one[0] == one[1] == pseudonym("patient", "a", key=b"k" * 16) != one[2]
    assert pseudonym("film", "a", key=b"k" * 16) != one[0]


def test_films_without_a_number_belong_with_their_study(tmp_path, caplog) -> None:
    root = tmp_path / "films"
    for i in range(12):
        film(root / "ab"[i % 2] / f"{i}.dcm", patient=None if i % 3 else " ", StudyInstanceUID=f"1.2.{i // 4}")
    film(root / "a" / "alone.dcm", patient=None)
    table = dataset(root, fractions=(0.4, 0.3, 0.3)).films()
    assert len(set(table.groups)) == 4
    assert table.notes == {"films without a patient's number": 13}


def test_one_number_for_all_is_refused(tmp_path) -> None:
    for i in range(4):
        film(tmp_path / "ab"[i % 2] / f"{i}.dcm", patient="ANONYMOUS")
    with pytest.raises(UserError, match=r"one and the same patient .*--data\.patient-column"):
        dataset(tmp_path).films()


def test_a_patients_number_is_one_however_it_is_written(hospital: Path) -> None:
    path = next(hospital.rglob("*_03.dcm"))
    ds = dcmread(path)
    assert ds.PatientID == "MRN-0001"
    ds.PatientID = " mrn-0001 "
    ds.save_as(path)
    assert len(set(dataset(hospital).films().groups)) == 12


@pytest.mark.parametrize("how", ["empty", "text", "cut in the pixels", "frames", "no image"])
def test_a_bad_film_is_refused_by_default_and_skipped_when_asked(hospital: Path, tmp_path, how: str, caplog) -> None:
    bad = hospital / "well" / "bad.dcm"
    BAD[how][0](bad)
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    with pytest.raises(UserError, match=r"cannot read film .*bad\.dcm: .*--data\.on-bad skip"):
        dataset(hospital).prepare(out)
    assert not (out / "dataset.json").exists()
    made = dataset(hospital, on_bad="skip")
    with caplog.at_level(logging.WARNING):
        made.prepare(other)
    assert "bad.dcm" in caplog.text
    assert sum(len(made.load(other, split)) for split in (Split.train, Split.val, Split.test)) == 24


def test_a_film_that_is_there_twice_is_refused_or_counts_once(hospital: Path) -> None:
    original = next(hospital.rglob("*_05.dcm"))
    (original.parent / "copy.dcm").write_bytes(original.read_bytes())
    with pytest.raises(UserError, match=r"is the same film as .*--data\.on-bad skip"):
        dataset(hospital).films()
    assert len(dataset(hospital, on_bad="skip").films()) == 24


def test_other_files_are_left_alone_and_marks_count(hospital: Path) -> None:
    (hospital / "DICOMDIR").write_bytes(b"x")
    (hospital / "sick" / "notes.txt").write_text("notes")
    original = next(hospital.rglob("*_05.dcm"))
    original.rename(original.with_name("1.2.840.5"))
    assert len(dataset(hospital).films()) == 24
    film(hospital / "loose.dcm")
    with pytest.raises(UserError, match=r"loose\.dcm lies in no class folder"):
        dataset(hospital).films()


def test_given_split_folders_are_kept(tmp_path) -> None:
    for i in range(12):
        split = ("train", "val", "test")[i % 3]
        film(tmp_path / split / "ab"[i // 3 % 2] / f"{i}.dcm", patient=f"{i}")
    table = dataset(tmp_path).films()
    assert sorted(table.splits.tolist()) == sorted(["train", "val", "test"] * 4)
    for path, split in zip(table.paths, table.splits, strict=True):
        assert path.parts[-3] == split


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("column", ["image", "SOPInstanceUID"])
def test_a_table_names_films_by_file_or_by_uid(hospital: Path, column: str) -> None:
    rows = []
    for i, path in enumerate(sorted(hospital.rglob("*.dcm"))):
        name = path.relative_to(hospital).as_posix() if column == "image" else dcmread(path).SOPInstanceUID
        rows.append({column: name, "label": "Effusion|Mass" if i % 2 else "No Finding", "site": i % 3})
    write_table(hospital / "metadata.csv", rows)
    made = dataset(hospital, attributes=("site",))
    table = made.films()
    assert table.classes == ("Effusion", "Mass") and table.multilabel and len(table) == 24
    assert set(table.attributes) == {"sex", "age_band", "view", "site"}
    by_path = dict(zip(table.paths, table.labels.tolist(), strict=True))
    assert [by_path[p] for p in sorted(by_path)] == [[1, 1] if i % 2 else [0, 0] for i in range(24)]
    made.source()


def test_a_table_of_uids_says_what_is_missing_and_what_is_twice(hospital: Path) -> None:
    rows = [{"SOPInstanceUID": dcmread(p).SOPInstanceUID, "label": p.parent.name} for p in hospital.rglob("*.dcm")]
    write_table(hospital / "metadata.csv", [*rows, {"SOPInstanceUID": "1.2.3", "label": "sick"}])
    with pytest.raises(UserError, match=r"1 of 25 image files are missing: 1\.2\.3\..*--data\.missing skip"):
        dataset(hospital).films()
    assert len(dataset(hospital, missing="skip").films()) == 24
    write_table(hospital / "metadata.csv", [*rows, rows[0]])
    table = dataset(hospital).films()
    assert len(table) == 24 and table.notes == {"rows of an image named before": 1}
    other = {**rows[0], "label": "well" if rows[0]["label"] == "sick" else "sick"}
    write_table(hospital / "metadata.csv", [*rows, other])
    with pytest.raises(UserError, match=r"twice, in rows 1 and 25, with label \w+ and \w+\..*--data\.repeats any"):
        dataset(hospital).films()


def test_any_column_may_hold_uids_and_rows_may_repeat(hospital: Path) -> None:
    paths = sorted(hospital.rglob("*.dcm"))
    uids = [str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths]
    rows = [{" EncodedPixels": "1 2" if i % 2 else " -1", "ImageId": uid} for i, uid in enumerate(uids)]
    write_table(hospital / "masks.csv", [*rows, rows[1], rows[1]])
    options = {"table": hospital / "masks.csv", "image_column": "ImageId", "label_column": "EncodedPixels"}
    rename = ("No Finding=-1", "Pneumothorax=*")
    table = dataset(hospital, **options, rename=rename).films()
    by_path = dict(zip(table.paths, table.labels.tolist(), strict=True))
    assert [by_path[path] for path in paths] == [0, 1] * 12 and len(set(table.groups)) == 12
    assert table.notes == {"rows of an image named before": 2}
    for path, uid in zip(paths, uids, strict=True):
        path.rename(path.with_name(f"{uid}.dcm"))
    again = dataset(hospital, **options, rename=rename).films()
    assert dict(zip(again.ids, again.groups, strict=True)) == dict(zip(table.ids, table.groups, strict=True))
    assert again.notes == {"rows of an image named before": 2, "found under another name": 26}


def test_a_tables_patients_go_before_the_headers_and_are_hidden_too(hospital: Path) -> None:
    rows = [
        {"image": p.relative_to(hospital).as_posix(), "label": p.parent.name, "patient_id": f"P{i // 4}"}
        for i, p in enumerate(sorted(hospital.rglob("*.dcm")))
    ]
    write_table(hospital / "metadata.csv", rows)
    assert len(set(dataset(hospital).films().groups)) == 12
    table = dataset(hospital, patient_column="patient_id").films()
    assert len(set(table.groups)) == 6
    assert not any(group.startswith("P") for group in table.groups)


@pytest.mark.parametrize(
    ("elements", "band"),
    [
        ({"PatientAge": "008M"}, "0-17"),
        ({"PatientAge": "090Y"}, "65+"),
        ({"PatientBirthDate": "19800601", "StudyDate": "20200531"}, "18-39"),
        ({"PatientAge": "200Y"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_ages_come_in_bands(tmp_path, elements: dict[str, str], band: str) -> None:
    assert read_facts(film(tmp_path / "a.dcm", **elements)).age_band == band


def test_a_birthday_that_is_no_date_leaves_the_age_unknown(tmp_path) -> None:
    with pytest.warns(UserWarning, match="Invalid value for VR DA"):  # pydicom tells who writes such a film
        path = film(tmp_path / "a.dcm", PatientBirthDate="19801301", StudyDate="20200531")
    assert read_facts(path).age_band == "unknown"


@pytest.mark.parametrize("percentiles", [(50, 50), (-1, 99), (0, 101), (99, 1)])
def test_percentiles_that_cannot_be_are_refused(percentiles: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"--data\.percentiles"):
        Dicom(DicomConfig(percentiles=percentiles))


def test_a_folder_without_films_says_so(tmp_path) -> None:
    with pytest.raises(UserError, match="holds no DICOM film"):
        dataset(tmp_path).films()
