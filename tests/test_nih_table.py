"""What NIH's tables say, in both editions, and where its films are found."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from nih_copy import BOX_HEAD, HEAD_2017, HEAD_2020, lines_of, names_of, rows_of, touch_films, write_table

from data.datasets.nih.dataset import NIH, TABLES, NIHConfig
from data.datasets.nih.files import find_films
from data.datasets.nih.table import FINDINGS, NO_FINDING, normalise, read_boxes, read_entries
from synthworth.errors import UserError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Pleural_Thickening", "Pleural_Thickening"),
        ("Pleural Thickening", "Pleural_Thickening"),
        ("PleuralThickening", "Pleural_Thickening"),
        ("pleural-thickening ", "Pleural_Thickening"),
        ("Infiltrate", "Infiltration"),
        ("INFILTRATES", "Infiltration"),
        ("Nodules", "Nodule"),
        ("masses", "Mass"),
        ("Oedema", "Edema"),
        ("No finding", NO_FINDING),
        ("no_findings", NO_FINDING),
        ("Tuberculosis", None),
        ("", None),
    ],
)
def test_labels_have_one_spelling(written: str, meant: str | None) -> None:
    assert normalise(written) == meant


def test_every_label_is_its_own_spelling() -> None:
    assert [normalise(name) for name in (NO_FINDING, *FINDINGS)] == [NO_FINDING, *FINDINGS]


def test_both_editions_of_the_table_say_the_same(tmp_path: Path) -> None:
    rows = rows_of()
    old = read_entries(write_table(tmp_path, lines_of(rows, old=True), head=HEAD_2017, name="old.csv"))
    new = read_entries(write_table(tmp_path, lines_of(rows), name="new.csv"))
    for field in ("images", "patients", "findings", "ages", "sexes", "views"):
        assert (getattr(old, field) == getattr(new, field)).all()
    assert old.patients[0] == "00000001"
    assert old.findings.dtype == np.uint8 and old.findings.shape == (80, 14)
    marked = [{FINDINGS[k] for k in np.flatnonzero(row)} for row in old.findings]
    assert marked == [set(labels.split("|")) - {NO_FINDING} for _, labels in rows]


@pytest.mark.parametrize("form", ["{}.0", "{:08d}", "{}", "{:08d}.0", " {} ", "+{}"])
def test_a_copy_saved_by_a_spreadsheet_or_by_pandas_has_the_same_patients(tmp_path: Path, form: str) -> None:
    rows = rows_of()
    plain = read_entries(write_table(tmp_path, lines_of(rows), name="plain.csv"))
    lines = lines_of(rows)
    for i in range(0, len(lines), 2):  # one film of each patient
        cells = lines[i].split(",")
        cells[3] = form.format(int(cells[3]))
        lines[i] = ",".join(cells)
    saved = read_entries(write_table(tmp_path, lines, name="saved.csv"))
    assert (saved.patients == plain.patients).all()
    assert len(set(saved.patients.tolist())) == 40


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("nan", "names no patient"),
        ("", "names no patient"),
        ("-1", "names no patient"),
        ("1.23E+07", "shortened by a spreadsheet"),
    ],
)
def test_a_cell_that_names_no_patient_for_sure_is_refused(tmp_path: Path, cell: str, said: str) -> None:
    lines = lines_of(rows_of(4))
    lines[2] = lines[2].replace(",2,", f",{cell},", 1)
    with pytest.raises(UserError, match=f"row 3, column 'Patient ID'.*{said}"):
        read_entries(write_table(tmp_path, lines))


def test_what_pandas_writes_for_an_empty_cell_is_unknown(tmp_path: Path) -> None:
    lines = [line.replace(",M,PA,", ",nan,<NA>,").replace(",F,AP,", ",None,NA,") for line in lines_of(rows_of(6))]
    entries = read_entries(write_table(tmp_path, lines))
    assert "unknown" in entries.sexes.tolist()
    assert set(entries.sexes.tolist()) <= {"M", "F", "unknown"}
    assert set(entries.views.tolist()) <= {"PA", "AP", "unknown"}


def test_a_quoted_header_a_byte_order_mark_and_the_later_name_of_sex_are_read(tmp_path: Path) -> None:
    head = HEAD_2020.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"').replace("Gender", "Sex")
    entries = read_entries(write_table(tmp_path, lines_of(rows_of(3)), head="\ufeff" + head))
    assert len(entries) == 6
    assert entries.sexes.tolist() == ["F", "F", "M", "M", "F", "F"]


@pytest.mark.parametrize(
    ("cell", "years", "band"),
    [
        ("58", 58, "40-64"),
        ("058Y", 58, "40-64"),
        ("013M", 13 / 12, "0-17"),
        ("003W", 3 / 52, "0-17"),
        ("011D", 11 / 365, "0-17"),
        ("0", 0, "0-17"),
        ("17", 17, "0-17"),
        ("18", 18, "18-39"),
        ("40", 40, "40-64"),
        ("65", 65, "65+"),
        ("100", 100, "65+"),
        ("101", -1, "unknown"),
        ("411", -1, "unknown"),
        ("", -1, "unknown"),
    ],
)
def test_ages_are_years_and_an_implausible_one_is_unknown(tmp_path: Path, cell: str, years: float, band: str) -> None:
    line = f"00000001_000.png,Mass,0,1,{cell},M,PA,1,1,1,1"
    entries = read_entries(write_table(tmp_path, [line]))
    assert entries.ages.tolist() == [pytest.approx(years)]
    assert entries.age_bands.tolist() == [band]


GOOD = "00000001_000.png,Mass,0,1,50,M,PA,1,1,1,1"


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        (
            [GOOD],
            HEAD_2020.replace("Finding Labels", "Findings"),
            "no column 'Finding Labels'; it has Image Index, Findings",
        ),
        ([GOOD], HEAD_2020.replace("Patient ID,", ""), "no column 'Patient ID'"),
        ([GOOD], HEAD_2020.replace("Patient Gender", "Genre"), "no column 'Patient Gender' or 'Patient Sex'"),
        ([GOOD], HEAD_2020.replace("Follow-up #", "Patient ID"), "two columns 'Patient ID'"),
        ([GOOD, GOOD], HEAD_2020, "names image '00000001_000.png' twice, in rows 1 and 2"),
        (
            [GOOD, GOOD.replace("_000", "_001").replace("Mass", "Broken Rib")],
            HEAD_2020,
            "row 2: 'Broken Rib' is none of",
        ),
        ([GOOD.replace("Mass", "Mass|Nodul")], HEAD_2020, "'Nodul' is none of .* Did you mean 'Nodule'"),
        (
            [GOOD.replace("Mass", "Mass|No Finding")],
            HEAD_2020,
            "row 1: 'Mass|No Finding' is a finding and 'No Finding'",
        ),
        ([GOOD.replace("Mass", "")], HEAD_2020, "row 1 has no label"),
        ([GOOD.replace("Mass", "Mass|")], HEAD_2020, "row 1: '' is none of"),
        ([GOOD.replace("00000001_000.png", "")], HEAD_2020, "row 1: the cell of 'Image Index' is empty"),
        ([GOOD.replace(",1,50", ",,50")], HEAD_2020, "row 1, column 'Patient ID': '' names no patient"),
        ([GOOD.replace("50", "old")], HEAD_2020, "row 1, column 'Patient Age': 'old' is no age"),
        ([GOOD.replace(",M,", ",X,")], HEAD_2020, "row 1, column 'Patient Gender': 'X' is neither M nor F"),
        ([GOOD + ",left"], HEAD_2020, "row 1: more cells than the header's 11 columns"),
        ([], HEAD_2020, "holds no row"),
        ([], "", "holds no row"),
    ],
)
def test_a_bad_table_is_refused_by_row_and_column(tmp_path: Path, lines: list[str], head: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("|", r"\|")):
        read_entries(write_table(tmp_path, lines, head=head))


def test_bytes_that_are_no_text_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        read_entries(tmp_path / "a.csv")
    with pytest.raises(UserError, match="no such table"):
        read_entries(tmp_path / "b.csv")


# --- the files


def test_films_are_found_in_the_twelve_folders_in_one_and_loose(tmp_path: Path) -> None:
    names = names_of(rows_of(7))
    touch_films(tmp_path / "images_001" / "images", names[:3])
    touch_films(tmp_path / "images_012" / "images", names[3:6])
    touch_films(tmp_path / "images_002", names[6:8])
    touch_films(tmp_path / "images", names[8:10])
    touch_films(tmp_path, names[10:])
    touch_films(tmp_path / "elsewhere", ["00000099_000.png"])
    touch_films(tmp_path / "images", ["._00000001_000.png", "README.txt"])
    layout = find_films(tmp_path)
    assert sorted(layout.files) == sorted(names)
    assert all(Path(path).is_file() and Path(path).name == name for name, path in layout.files.items())
    assert layout.twins == ()


def test_a_film_in_two_folders_counts_once_and_is_named(tmp_path: Path) -> None:
    touch_films(tmp_path / "images", ["a.png", "b.png"])
    touch_films(tmp_path / "images_001" / "images", ["b.png", "c.png"])
    layout = find_films(tmp_path)
    assert layout.twins == ("b.png",)
    assert Path(layout.files["b.png"]).parent == tmp_path / "images"


def test_rows_without_a_film_and_films_without_a_row_are_counted_and_named(tmp_path: Path) -> None:
    rows = rows_of()
    write_table(tmp_path, lines_of(rows))
    touch_films(tmp_path / "images", [*names_of(rows)[:60], "stranger.png"])
    table = NIH(NIHConfig(path=tmp_path, task="single", findings=("Effusion",))).table
    assert table.notes["rows of the table"] == 80
    assert table.notes["rows without a film on disk"] == 20
    assert table.notes["films on disk"] == 60
    assert table.notes["images on disk that are not in the table"] == "1 (stranger.png)"
    assert {path.name for path in table.paths} == set(table.ids) <= set(names_of(rows)[:60])


def test_no_film_at_all_is_refused_and_says_where_it_looked(tmp_path: Path) -> None:
    write_table(tmp_path, lines_of(rows_of()))
    touch_films(tmp_path / "images", ["stranger.png"])
    with pytest.raises(UserError, match=r"none of the 80 films .* 1 image files .*images, stranger.png for one"):
        _ = NIH(NIHConfig(path=tmp_path)).table


def test_the_folder_is_looked_for_in_synthworth_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nih").mkdir()
    write_table(tmp_path / "nih", lines_of(rows_of()))
    monkeypatch.setenv("SYNTHWORTH_DATA", str(tmp_path))
    assert NIH().root == tmp_path / "nih"
    monkeypatch.setenv("SYNTHWORTH_DATA", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"needs --data.path FOLDER .* there is no Data_Entry_2017_v2020.csv in"):
        _ = NIH().root
    monkeypatch.delenv("SYNTHWORTH_DATA")
    with pytest.raises(UserError, match="SYNTHWORTH_DATA is not set"):
        _ = NIH().root


def test_a_folder_or_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        _ = NIH(NIHConfig(path=tmp_path / "x")).table
    with pytest.raises(UserError, match=f"holds neither {TABLES[0]} nor"):
        _ = NIH(NIHConfig(path=tmp_path)).table
    with pytest.raises(UserError, match="no such table"):
        _ = NIH(NIHConfig(path=tmp_path, table=tmp_path / "t.csv")).table


def test_boxes_lie_on_the_films_taken_under_normalised_findings(tmp_path: Path) -> None:
    lines = [BOX_HEAD, "a.png,Infiltrate,1.5,2,3,4,,,", "b.png,Mass,5,6,7,8", "a.png,Nodule,9,9,9,9"]
    file = tmp_path / "BBox_List_2017.csv.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    boxes = read_boxes(file, ["a.png"])
    assert boxes["finding"] == ["Infiltration", "Nodule"] and boxes["id"] == ["a.png", "a.png"]
    assert [boxes[name][0] for name in "xywh"] == [1.5, 2, 3, 4]
    for broken, message in (
        ("a.png,Rash,1,2,3,4", "row 1: 'Rash' is none of"),
        ("a.png,Mass,1,2,3,", "not four numbers"),
    ):
        (tmp_path / "b.csv").write_text(f"{BOX_HEAD}\n{broken}\n")
        with pytest.raises(UserError, match=message):
            read_boxes(tmp_path / "b.csv", ["a.png"])
    with pytest.raises(UserError, match="is no list of boxes"):
        read_boxes(write_table(tmp_path, [GOOD]), ["a.png"])
