"""What a table's labels mean: several in a cell, lists, blank and uncertain ones, rows of one image."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.datasets.folder.dataset import Folder, FolderConfig
from data.films.table import FilmTable
from data.prepare import parse
from synthworth.errors import UserError
from synthworth.keys import digest

A, B, AB, NONE = frozenset("a"), frozenset("b"), frozenset("ab"), frozenset()


def write(folder: Path, header: Sequence[str], rows: Sequence[Sequence[str]], name: str = "metadata.csv") -> None:
    """A table, and an empty file for each image that it names."""
    with (folder / name).open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    for row in rows:
        (folder / row[0]).touch()


def label(folder: Path, labels: Sequence[str]) -> None:
    write(folder, ("image", "label"), [(f"{i:02d}.png", said) for i, said in enumerate(labels)])


def read(folder: Path, **options: Any) -> FilmTable:
    options.setdefault("fractions", (0.5, 0.25, 0.25))
    return Folder(FolderConfig(path=folder, **options)).films()


def shown(table: FilmTable) -> dict[str, Any]:
    if not table.multilabel:
        return dict(zip(table.ids, (table.classes[k] for k in table.labels), strict=True))
    marks = (frozenset(np.array(table.classes)[row == 1].tolist()) for row in table.labels)
    return dict(zip(table.ids, marks, strict=True))


def in_order(table: FilmTable) -> list[Any]:
    return [said for _, said in sorted(shown(table).items())]


def notes(table: FilmTable) -> dict[str, Any]:
    """The notes but those on patients, of whom these tables say nothing, and on the table itself, which is no image."""
    return {name: said for name, said in table.notes.items() if not name.startswith(("patients", "files that are no"))}


def refused(folder: Path, match: str, **options: Any) -> None:
    with pytest.raises(UserError, match=match) as caught:
        read(folder, **options)
    assert "\n" not in str(caught.value)


# -- several in one cell ----------------------------------------------------------------------------------------------

LISTS = {
    "python": ("['a', 'b']", "['a']", "['b']", "[]"),
    "json": ('["a", "b"]', '["a"]', '["b"]', '[""]'),
    "numpy": ("['a' 'b']", "['a']", "['b']", "[]"),
    "bare": ("[a, b]", "[a]", "[b]", "[ ]"),
    "tuples": ("('a', 'b')", "('a',)", "('b')", "[]"),
    "sets": ("{'b', 'a'}", "{'a'}", "{'b'}", "[]"),
    "blanks around": ("[' a', 'b ']", "['a ']", "[' b']", "['']"),
    "with a negative": ("['a', 'b', 'No Finding']", "['a']", "['b']", "['No Finding']"),
}


@pytest.mark.parametrize("how", LISTS)
@pytest.mark.parametrize("task", ["auto", "multi"])
def test_lists_are_read_as_findings(tmp_path: Path, how: str, task: str) -> None:
    label(tmp_path, LISTS[how] * 3)
    found = read(tmp_path, task=task, blank="zeros")
    assert found.classes == ("a", "b")
    assert in_order(found) == [AB, A, B, NONE] * 3


def test_a_list_of_one_is_a_class_and_of_two_is_refused_with_task_single(tmp_path: Path) -> None:
    label(tmp_path, ["['a']", "['b']"] * 4)
    assert in_order(read(tmp_path, task="single")) == ["a", "b"] * 4
    label(tmp_path, ["['a']", "['b', 'a']"] * 4)
    refused(tmp_path, r"row 2 \(01.png\) has labels b, a, and task single wants one.*--data\.task multi", task="single")


def test_lists_in_a_parquet_file_are_lists(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = [["a", "b"], ["a"], ["b"], []] * 3
    names = [f"{i:02d}.png" for i in range(12)]
    for name in names:
        (tmp_path / name).touch()
    pq.write_table(pa.table({"image": names, "label": said}), tmp_path / "metadata.parquet")
    assert in_order(read(tmp_path, blank="zeros")) == [AB, A, B, NONE] * 3


@pytest.mark.parametrize("between", ["; ", ",", ", ", "/", " + ", " and ", "\n", "\\", "||"])
def test_a_separator_parts_findings(tmp_path: Path, between: str) -> None:
    label(tmp_path, [f"a{between}b", "a", "b", "No Finding"] * 3)
    assert in_order(read(tmp_path, separator=(between,))) == [AB, A, B, NONE] * 3
    loose = between.strip(" ") if between != " and " else ""
    label(tmp_path, [f"a{between}b{loose}", f"{loose}a", "b", "No Finding"] * 3)
    assert in_order(read(tmp_path, separator=(between,))) == [AB, A, B, NONE] * 3


@pytest.mark.parametrize("between", [";", ",", ", ", "\n"])
def test_with_task_multi_a_cell_that_looks_like_several_is_asked_about(tmp_path: Path, between: str) -> None:
    label(tmp_path, ["c", f"a{between}b", "No Finding"] * 4)
    refused(tmp_path, r"row 2 \(01.png\) has label 'a.{1,2} ?b'.*--data\.separator", task="multi")
    one = f"a{between}b"
    assert read(tmp_path, task="multi", classes=(one, "c")).classes == (one, "c")
    assert read(tmp_path, task="multi", separator=("|",)).classes == (one, "c")


@pytest.mark.parametrize("between", [";", ", ", "/", "+", " & "])
def test_without_a_task_it_is_asked_about_where_a_part_is_a_label_elsewhere(tmp_path: Path, between: str) -> None:
    label(tmp_path, ["a", f"a{between}b", "No Finding", f"b{between}c"] * 3)
    refused(tmp_path, r"has label 'a.*b'.*--data\.separator .*--data\.task single")
    assert len(read(tmp_path, task="single").classes) == 4
    label(tmp_path, ["x", f"a{between}b"] * 6)
    assert read(tmp_path).classes == (f"a{between}b", "x")


@pytest.mark.parametrize("between", [" ", " and ", "_", "-"])
def test_blanks_and_hyphens_are_asked_about_where_all_parts_are_labels(tmp_path: Path, between: str) -> None:
    label(tmp_path, ["a", "b", f"a{between}b"] * 4)
    refused(tmp_path, r"row 3 .*has label 'a.*b'.*--data\.separator")
    assert in_order(read(tmp_path, separator=(between,))) == [A, B, AB] * 4
    label(tmp_path, [f"lung{between}opacity", f"lung{between}lesion", "lung", "Not Normal", "Normal"] * 4)
    assert len(read(tmp_path).classes) == 5


def test_a_mark_after_a_label_is_asked_about(tmp_path: Path) -> None:
    label(tmp_path, ["a", "a;", "b"] * 4)
    refused(tmp_path, "row 2 .*has label 'a;'")
    assert in_order(read(tmp_path, separator=(";",))) == [A, A, B] * 4


def test_several_separators_may_stand_side_by_side(tmp_path: Path) -> None:
    label(tmp_path, ["a;b", "a, b", "b"] * 4)
    assert in_order(read(tmp_path, separator=(";", ","))) == [AB, AB, B] * 4
    refused(tmp_path, r"row 2 .*has label 'a, b'.*--data\.separator ';' ','", separator=(";",))
    label(tmp_path, ["a|b", "a;c|b", "b"] * 4)
    refused(tmp_path, r"row 2 .*has label 'a;c'.*--data\.separator '\|' ';'.*--data\.separator '\|'$")
    label(tmp_path, ["a, large|b", "b"] * 6)
    assert read(tmp_path).classes == ("a, large", "b")


@pytest.mark.parametrize("cell", ['{"a": 1, "b": 0}', "[0, 1, 0]", "[0. 1. 0.]", "[1 0]"])
def test_marks_in_one_cell_are_no_labels(tmp_path: Path, cell: str) -> None:
    label(tmp_path, ["a", cell] * 6)
    refused(tmp_path, r"row 2 .*holds marks and no names.*--data\.label-columns")


def test_a_class_named_twice_is_refused(tmp_path: Path) -> None:
    chexpert(tmp_path, ("1", "0"))
    refused(tmp_path, "--data.label-columns names 'Mass' twice", label_columns=("Mass", "Edema", "Mass"))
    label(tmp_path, ["a", "b"] * 6)
    refused(tmp_path, "--data.classes names 'a' twice", classes=("a", "b", "a"))


def test_a_separator_that_cannot_be_is_refused(tmp_path: Path) -> None:
    label(tmp_path, ["a", "b"] * 6)
    refused(tmp_path, "--data.separator ';' parts findings.*task single", separator=(";",), task="single")
    refused(tmp_path, "--data.separator '' is empty", separator=("",))


# -- blank and uncertain ----------------------------------------------------------------------------------------------

BLANKS = ("", "nan", "NaN", "NA", "N/A", "None", "null", "<NA>", "#N/A", " ")


@pytest.mark.parametrize("word", BLANKS)
def test_a_blank_label_is_no_class(tmp_path: Path, word: str) -> None:
    label(tmp_path, ["a", "b", "a", word] * 4)
    refused(tmp_path, r"row 4 \(03.png\) has no label, one of 4 such.*--data\.blank drop")
    found = read(tmp_path, blank="drop")
    assert found.classes == ("a", "b") and len(found) == 12
    assert found.notes["blank labels (left out)"] == 4
    found = read(tmp_path, task="multi", blank="zeros")
    assert in_order(found) == [A, B, A, NONE] * 4 and found.notes["blank labels (taken for zeros)"] == 4
    refused(tmp_path, "--data.blank ones needs --data.label-columns", task="multi", blank="ones")
    refused(tmp_path, "--data.blank zeros needs --data.label-columns", blank="zeros")


def test_a_word_for_nothing_is_a_class_where_it_is_declared_or_renamed(tmp_path: Path) -> None:
    label(tmp_path, ["None", "b"] * 6)
    assert in_order(read(tmp_path, classes=("None", "b"))) == ["None", "b"] * 6
    assert in_order(read(tmp_path, rename=("healthy=",))) == ["healthy", "b"] * 6
    assert in_order(read(tmp_path, task="multi", negative=("None",))) == [NONE, B] * 6


@pytest.mark.parametrize(("minus", "zero", "one"), [("-1", "0", "1"), ("-1.0", "0.0", "1.0")])
def test_minus_one_in_a_column_of_labels_is_no_class(tmp_path: Path, minus: str, zero: str, one: str) -> None:
    label(tmp_path, [one, zero, minus] * 6)
    refused(tmp_path, r"row 3 .*has label '-1.* beside 0 and 1, one of 6 such.*--data\.uncertain zeros or ones or drop")
    assert in_order(read(tmp_path, uncertain="zeros")) == [one, zero, zero] * 6
    assert in_order(read(tmp_path, uncertain="ones")) == [one, zero, one] * 6
    assert in_order(read(tmp_path, uncertain="drop")) == [one, zero] * 6
    assert read(tmp_path, classes=(minus, zero, one)).classes == (minus, zero, one)
    label(tmp_path, [one, minus] * 6)
    assert set(read(tmp_path).classes) == {minus, one}
    label(tmp_path, [one, minus, zero, ""] * 6)
    assert len(read(tmp_path, uncertain="ones", blank="drop")) == 18


def test_a_word_for_uncertain_is_asked_about(tmp_path: Path) -> None:
    label(tmp_path, ["a", "b", "Uncertain"] * 6)
    refused(tmp_path, r"has label 'Uncertain', one of 6 such.*--data\.uncertain drop")
    assert read(tmp_path, uncertain="drop").classes == ("a", "b")
    assert len(read(tmp_path, classes=("a", "b", "Uncertain")).classes) == 3


STATES = ("1.0", "-1.0", "", "0.0")
COLUMNS = {"label_columns": ("Edema", "Mass")}


def chexpert(folder: Path, states: Sequence[str] = STATES) -> None:
    rows = [(f"{i:02d}.png", states[i % len(states)], str(i % 2)) for i in range(16)]
    write(folder, ("image", "Edema", "Mass"), rows)


@pytest.mark.parametrize("uncertain", ["zeros", "ones", "drop"])
@pytest.mark.parametrize("blank", ["zeros", "ones", "drop"])
def test_columns_with_uncertain_and_blank_cells(tmp_path: Path, uncertain: Any, blank: Any) -> None:
    chexpert(tmp_path)
    found = read(tmp_path, **COLUMNS, uncertain=uncertain, blank=blank)
    value = {"zeros": 0, "ones": 1}
    of_state = {0: 1, 1: value.get(uncertain), 2: value.get(blank), 3: 0}
    expected = {f"{i:02d}.png": [of_state[i % 4], i % 2] for i in range(16) if of_state[i % 4] is not None}
    assert dict(zip(found.ids, found.labels.tolist(), strict=True)) == expected
    said = {"zeros": "taken for zeros", "ones": "taken for ones", "drop": "left out"}
    assert notes(found) == {f"uncertain cells ({said[uncertain]})": 4, f"blank cells ({said[blank]})": 4}


def test_columns_refuse_them_by_default_and_count_them(tmp_path: Path) -> None:
    chexpert(tmp_path)
    asked = r"row 2, column 'Edema': '-1.0' is neither 0 nor 1; 4 cells are {}: choose zeros, ones or drop by {}$"
    both = asked.format("blank and 4 cells are uncertain", "--data.blank and --data.uncertain")
    refused(tmp_path, both, **COLUMNS)
    refused(tmp_path, asked.format("uncertain", "--data.uncertain"), **COLUMNS, blank="ones")
    refused(tmp_path, r"row 3, column 'Edema': ''.*4 cells are blank.*--data\.blank$", **COLUMNS, uncertain="drop")


@pytest.mark.parametrize(
    "states", [("1", "-1", "nan", "0"), ("True", "uncertain", "NA", "False"), ("yes", "u", "None", "NO"),
               ("1.00", "-1.00", "null", "0.00")],
)  # fmt: skip
def test_the_four_states_of_a_cell_are_known_in_other_spellings(tmp_path: Path, states: Sequence[str]) -> None:
    chexpert(tmp_path, states)
    found = read(tmp_path, **COLUMNS, uncertain="ones", blank="zeros")
    assert found.labels[np.argsort(found.ids), 0].tolist() == [1, 1, 0, 0] * 4


@pytest.mark.parametrize("cell", ["2", "0.5", "-2", "inf", "perhaps"])
def test_any_other_cell_stays_an_error(tmp_path: Path, cell: str) -> None:
    chexpert(tmp_path, ("1", cell, "0", "0"))
    refused(tmp_path, f"row 2, column 'Edema': '{cell}' is neither 0 nor 1$", **COLUMNS, blank="ones", uncertain="ones")


def test_rows_without_a_file_have_no_say(tmp_path: Path) -> None:
    chexpert(tmp_path, ("1", "0"))
    (tmp_path / "metadata.csv").open("a").write("gone.png,-1,\n")
    found = read(tmp_path, **COLUMNS, missing="skip")
    assert len(found) == 16 and notes(found) == {"rows": 17, "without_file": 1}


@pytest.mark.parametrize("options", [{"separator": (";",)}, {"rename": ("a=b",)}, {"others": "drop"}])
def test_options_without_a_say_over_columns_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    chexpert(tmp_path, ("1", "0"))
    refused(tmp_path, f"--data.{next(iter(options))} is for labels in one column", **COLUMNS, **options)


# -- names of classes -------------------------------------------------------------------------------------------------


def test_rename_joins_classes_names_them_and_takes_the_rest(tmp_path: Path) -> None:
    label(tmp_path, ["mel", "bcc", "nv", "df"] * 6)
    found = read(tmp_path, rename=("malignant=mel", "malignant=bcc", "benign=*"))
    assert in_order(found) == ["malignant", "malignant", "benign", "benign"] * 6
    refused(tmp_path, r"--data.rename 'mel': NAME=CELL", rename=("mel",))
    refused(tmp_path, r"gives 'mel' two names, 'a' and 'b'", rename=("a=mel", "b=mel"))


def test_labels_that_are_not_declared_are_refused_left_out_or_passed_over(tmp_path: Path) -> None:
    label(tmp_path, ["a", "b", "c"] * 6)
    refused(tmp_path, r"row 3 .*'c', which is not declared.*--data\.others drop", classes=("a", "b"))
    refused(tmp_path, r"row 3 .*'c', which is not declared", classes=("a", "b"), others="allow")
    found = read(tmp_path, classes=("a", "b"), others="drop")
    assert in_order(found) == ["a", "b"] * 6 and notes(found) == {"labels not declared (left out)": 6}
    found = read(tmp_path, classes=("a", "b"), others="allow", task="multi")
    assert in_order(found) == [A, B, NONE] * 6 and notes(found) == {"labels not declared (passed over)": 6}


@pytest.mark.parametrize("twin", ["NORMAL", "normal ", "No rmal", "no_rmal"])
def test_labels_that_differ_in_capitals_or_blanks_alone_are_asked_about(tmp_path: Path, twin: str) -> None:
    first = "normal" if "rm" in twin.lower()[2:4] else "No_Rmal"
    label(tmp_path, [first, twin, "x"] * 6)
    if twin.strip() == first:
        assert len(read(tmp_path).classes) == 2
        return
    refused(tmp_path, r"differ in capitals or blanks alone.*--data\.rename")
    assert len(read(tmp_path, classes=(first, twin, "x")).classes) == 3
    assert in_order(read(tmp_path, rename=(f"{first}={twin}",))) == [first, first, "x"] * 6


def test_a_negative_label_in_other_letters_is_asked_about(tmp_path: Path) -> None:
    label(tmp_path, ["a", "No finding"] * 6)
    refused(tmp_path, r"'No Finding' and 'No finding' differ", task="multi")
    assert in_order(read(tmp_path, task="multi", negative=("No finding",))) == [A, NONE] * 6


def test_one_and_one_point_zero_are_one_class(tmp_path: Path) -> None:
    label(tmp_path, ["1", "0", "1.0", "0.0"] * 6)
    assert in_order(read(tmp_path)) == ["1", "0", "1", "0"] * 6


# -- rows of one image ------------------------------------------------------------------------------------------------


def boxes(folder: Path, *, other: str = "a") -> None:
    """Twelve images of six patients, the first with three rows."""
    rows = [(f"{i:02d}.png", "ab"[i % 2], f"p{i // 2}", "10") for i in range(12)]
    write(
        folder, ("image", "label", "patient", "x"), [*rows, ("00.png", other, "p0", "20"), ("00.png", "a", "p0", "30")]
    )


def test_rows_that_agree_are_one_image(tmp_path: Path) -> None:
    boxes(tmp_path)
    found = read(tmp_path)
    assert len(found) == 12 and shown(found)["00.png"] == "a"
    assert notes(found) == {"rows of an image named before": 2}
    assert in_order(read(tmp_path, repeats="any")) == in_order(found)


def test_rows_that_do_not_agree_are_refused_or_joined(tmp_path: Path) -> None:
    boxes(tmp_path, other="b")
    refused(tmp_path, r"names image '00.png' twice, in rows 1 and 13, with label a and b\. .*--data\.repeats any")
    found = read(tmp_path, repeats="any")
    assert found.multilabel and shown(found)["00.png"] == AB and shown(found)["02.png"] == A
    refused(tmp_path, r"row 1 \(00.png\) has 2 classes, and task single", repeats="any", task="single")
    for column in ("patient_column", "attributes"):
        value: Any = "x" if column == "patient_column" else ("x",)
        refused(tmp_path, r"twice, in rows 1 and 13, with (patient|x) 10", repeats="any", **{column: value})


def test_a_finding_in_any_row_goes_before_no_finding_in_another(tmp_path: Path) -> None:
    boxes(tmp_path, other="No Finding")
    assert shown(read(tmp_path, repeats="any"))["00.png"] == A


def test_an_image_with_a_row_that_is_dropped_is_left_out(tmp_path: Path) -> None:
    boxes(tmp_path, other="")
    assert "00.png" not in read(tmp_path, blank="drop").ids
    assert len(read(tmp_path, blank="drop")) == 11


# -- identity ---------------------------------------------------------------------------------------------------------


def test_options_at_their_default_change_no_key() -> None:
    """Computed at commit 5e15ffd, before there were these options."""
    assert digest(FolderConfig())[:16] == "49acd8ceb8cb5c9e"
    assert digest(FolderConfig(separator=(";",)))[:16] != "49acd8ceb8cb5c9e"


def test_what_was_prepared_when_a_list_was_a_class_is_not_believed(tmp_path: Path) -> None:
    label(tmp_path, ["a", "b"] * 6)
    assert set(Folder(FolderConfig(path=tmp_path)).source()) == {"files", "table"}
    label(tmp_path, ["['a']", "['b']"] * 6)
    assert Folder(FolderConfig(path=tmp_path)).source()["labels"] == "lists"
    label(tmp_path, ["a", "nan"] * 6)
    with pytest.raises(UserError, match="has no label"):
        Folder(FolderConfig(path=tmp_path)).source()


def test_the_options_can_be_typed() -> None:
    words = [
        "--dataset",
        "folder",
        "--data.separator",
        ";",
        "--data.uncertain",
        "ones",
        "--data.blank",
        "drop",
        "--data.repeats",
        "any",
    ]
    _, config = parse([*words, "--data.rename", "No Finding=-1", "x=*", "--data.others", "drop"])
    assert (config.separator, config.uncertain, config.blank, config.repeats) == ((";",), "ones", "drop", "any")
    assert config.rename == ("No Finding=-1", "x=*") and config.others == "drop"
