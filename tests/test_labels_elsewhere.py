"""Labels as other tables write them: other marks between findings, other words for unsure, other codes for nothing."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.datasets.folder.dataset import Folder, FolderConfig
from data.films.label_words import is_minus_one_a_code
from data.films.table import FilmTable
from synthworth.errors import UserError

N = 48


def read(root: Path, labels: Sequence[str], **options: Any) -> FilmTable:
    """A table in which the labels come round and round."""
    for i in range(N):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(root / f"{i:02d}.png")
    with (root / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image", "label"], *([f"{i:02d}.png", labels[i % len(labels)]] for i in range(N))])
    return Folder(FolderConfig(path=root, **options)).films()


def refused(root: Path, labels: Sequence[str], *parts: str, **options: Any) -> None:
    with pytest.raises(UserError) as caught:
        read(root, labels, **options)
    for part in (*parts, "metadata.csv, row "):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "mark",
    ["^", "~", "#", ">", "$", "\u00b7", "\uff1b", "\uff0c", "\u3001", "\u060c", "<br>", "@", "*", " with ", " und ",
     " y ", " plus ", " - ", " -> "],
)  # fmt: skip
def test_whatever_stands_between_two_labels_is_asked_about(tmp_path: Path, mark: str) -> None:
    labels = [f"mass{mark}edema", "mass", "edema"]
    shown = mark if mark.strip().isalpha() else mark.strip()
    refused(tmp_path, labels, f"--data.separator {shown!r}", "--data.task single")
    assert read(tmp_path, labels, separator=(mark,)).classes == ("edema", "mass")
    assert len(read(tmp_path, labels, task="single").classes) == 3


@pytest.mark.parametrize("mark", ["\uff1b", "\uff0c", "\u3001", "\u060c"])
def test_marks_of_other_scripts_are_asked_about_with_task_multi(tmp_path: Path, mark: str) -> None:
    refused(tmp_path, [f"mass{mark}edema", "cyst"], f"--data.separator {mark!r}", task="multi")


@pytest.mark.parametrize(
    "labels", [("1.5", "1", "5"), ("non-small", "small cell", "large"), ("a (b)", "a", "c"), ("grade ^2", "grade", "3")]
)
def test_marks_inside_one_label_are_no_question(tmp_path: Path, labels: Sequence[str]) -> None:
    assert len(read(tmp_path, labels).classes) == 3


def test_marks_without_brackets_are_no_labels(tmp_path: Path) -> None:
    refused(tmp_path, ["1 0 0", "0 1 0"], "holds marks and no names")
    refused(tmp_path, ["1,0,0", "0,1,1"], "holds marks and no names")


@pytest.mark.parametrize("word", ["maybe", "Possible", "not sure", "inconclusive", "b?", "unknown", "-", "...", "TBD"])
def test_other_words_for_unsure_are_asked_about(tmp_path: Path, word: str) -> None:
    labels = ["a", "b", word]
    refused(tmp_path, labels, f"has label {word!r}, one of 16 such", "--data.uncertain drop", "--data.classes")
    assert read(tmp_path, labels, uncertain="drop").classes == ("a", "b")
    assert len(read(tmp_path, labels, classes=tuple(labels)).classes) == 3


def test_a_u_beside_0_and_1_is_unsure_and_beside_others_a_class(tmp_path: Path) -> None:
    refused(tmp_path, ["0", "1", "U"], "has label 'U'")
    assert len(read(tmp_path, ["a", "b", "U"]).classes) == 3


def test_plus_and_minus_are_classes(tmp_path: Path) -> None:
    assert read(tmp_path, ["+", "-"]).classes == ("+", "-")


@pytest.mark.parametrize("word", ["missing", "n.a.", "#REF!", "\\N", "(blank)", "not available"])
def test_other_words_for_nothing_are_blank(tmp_path: Path, word: str) -> None:
    refused(tmp_path, ["a", "b", word], "has no label", "--data.blank drop")
    assert read(tmp_path, ["a", "b", word], blank="drop").classes == ("a", "b")


@pytest.mark.parametrize(
    "labels", [("\u22121", "0", "1"), ("\u20131", "0", "1"), ("-1", "0", "3"), ("-1.0", "1.0", "2.0")]
)
def test_minus_one_beside_other_codes_is_asked_about(tmp_path: Path, labels: Sequence[str]) -> None:
    refused(tmp_path, labels, f"has label {labels[0]!r} beside", "--data.uncertain", "drop")
    assert len(read(tmp_path, labels, uncertain="drop").classes) == 2


def test_zeros_and_ones_are_offered_only_where_these_are_the_labels(tmp_path: Path) -> None:
    refused(tmp_path, ["-1", "1", "2"], "--data.uncertain zeros needs --data.label-columns", uncertain="zeros")
    refused(tmp_path, ["-1", "1", "2"], "--data.uncertain ones needs --data.label-columns", uncertain="ones")


@pytest.mark.parametrize(
    ("values", "is_code"),
    [((-1, 1), False), ((-2, -1, 0, 1), False), ((-1, 0.5, 2), False), ((-1, None, 2), False), ((-1, 3, 4), True)],
)
def test_minus_one_is_a_code_only_beside_whole_numbers_from_zero(values: Sequence[Any], is_code: bool) -> None:
    assert is_minus_one_a_code([None if v is None else float(v) for v in values], blanks=False) is is_code


def test_measurements_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"20 labels are numbers with decimals, 0\.0 for one"):
        read(tmp_path, [str(i * 1.37) for i in range(20)])
    assert len(read(tmp_path, ["0.0", "0.5", "1.0"]).classes) == 3


@pytest.mark.parametrize("twin", ["benign.", "benign\u200b", "be\u00adnign", "BENIGN;", "benign "])
def test_labels_that_differ_in_what_is_not_seen_are_asked_about(tmp_path: Path, twin: str) -> None:
    labels = ["benign", twin, "malignant"]
    if twin.strip() == "benign":
        assert read(tmp_path, labels).classes == ("benign", "malignant")
        return
    with pytest.raises(UserError, match="differ in capitals or blanks alone, or in as little"):
        read(tmp_path, labels)


def test_hyphens_between_words_tell_no_labels_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'No Finding' and 'No-Finding'"):
        read(tmp_path, ["No Finding", "No-Finding", "x"])
    assert len(read(tmp_path, ["HER2-", "HER2+", "HER"]).classes) == 3


def test_a_finding_that_may_mean_none_is_named(tmp_path: Path) -> None:
    name = "labels that count as findings, and may mean none of them (--data.negative)"
    assert read(tmp_path, ["a", "b|a", "Normal"]).notes[name] == "Normal"
    assert name not in read(tmp_path, ["a", "b|a", "Normal"], negative=("Normal",)).notes
    assert name not in read(tmp_path, ["a", "b", "Normal"]).notes
