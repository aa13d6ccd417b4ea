"""Which file a table means: by name, and where no file has just that name by the only one that fits."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.datasets.folder.dataset import Folder, FolderConfig
from data.films.names import find_files
from data.films.table import FilmTable
from synthworth.errors import UserError


def make(root: Path, files: Sequence[str]) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def found(root: Path, names: Sequence[str]) -> list[str | None]:
    paths = find_files(names, root=root, listing=lambda: (p for p in root.rglob("*") if p.is_file())).paths
    return [path.relative_to(root).as_posix() if path else None for path in paths]


E_NFC, E_NFD = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")

FITTING = {
    "as it is": ("a/1.png", "a/1.png"),
    "without its ending": ("1", "1.png"),
    "without its ending, in a folder": ("a/1", "a/1.png"),
    "in a folder below": ("1.png", "x/y/1.png"),
    "without both": ("1", "x/y/1.png"),
    "with backslashes": ("a\\b\\1.png", "a/b/1.png"),
    "from a disk of Windows": ("D:\\study\\a\\1.png", "a/1.png"),
    "from the root of another machine": ("/scratch/me/set/a/1.png", "a/1.png"),
    "with the folder's own name before it": ("CheXpert-v1.0-small/a/1.png", "a/1.png"),
    "with a dot before it": ("./1", "1.png"),
    "composed, and taken apart on disk": (f"caf{E_NFC}.png", f"caf{E_NFD}.png"),
    "taken apart, and composed on disk": (f"caf{E_NFD}", f"caf{E_NFC}.png"),
    "in other letters": ("A/IMG_1.PNG", "a/img_1.png"),
    "in another folder": ("b/1.png", "a/1.png"),
    "with another ending": ("1.dcm", "1.png"),
    "an instance UID": ("1.2.840.113.5", "s/1.2.840.113.5.dcm"),
    "an instance UID whose end looks like an ending": ("1.2.840.png", "s/1.2.840.png.dcm"),
    "numbered": ("007", "007.jpeg"),
    "a number that lost its zeros": ("7", "x/0007.png"),
    "a number that became a float": ("7.0", "7.png"),
    "both, with an ending": ("7.0.png", "x/007.jpg"),
    "with blanks": ("benign (1)", "x/benign (1).png"),
}


@pytest.mark.parametrize("how", FITTING)
def test_the_only_file_that_fits_is_taken(tmp_path: Path, how: str) -> None:
    name, file = FITTING[how]
    make(tmp_path, [file, "other/2.png", "other/11.png"])
    assert found(tmp_path, [name]) == [file]


def test_a_file_of_that_very_name_goes_before_any_other(tmp_path: Path) -> None:
    make(tmp_path, ["1.png", "a/1.png", "b/1", "b/1.png"])
    assert found(tmp_path, ["1.png", "a/1.png", "b/1"]) == ["1.png", "a/1.png", "b/1"]


def test_letters_count_where_they_decide(tmp_path: Path) -> None:
    make(tmp_path, ["x/a.png", "x/A.png"])
    assert found(tmp_path, ["a", "A"]) == ["x/a.png", "x/A.png"]


UNFIT = {
    "two folders": ("1", ["a/1.png", "b/1.png"]),
    "two endings": ("1", ["1.png", "1.jpg"]),
    "a number with zeros, twice": ("7", ["x/007.png", "x/07.png"]),
    "part of a name": ("1", ["11.png", "a1.png", "1_mask.png"]),
    "part of a folder": ("a/1.png", ["ba/2.png"]),
    "another split": ("test/1.png", ["train/1.png"]),
    "another split by another word": ("valid/1.png", ["x/training/1.png"]),
    "a mask": ("1.png", ["masks/1.png"]),
    "a mask in a long name": ("1", ["HAM_segmentations_part/1.png"]),
    "nothing": ("1", []),
    "only dots": ("..", ["1.png"]),
    "a very long name": ("x" * 5000, ["1.png"]),
    "a byte that no name has": ("a\0b", ["1.png"]),
}


@pytest.mark.parametrize("how", UNFIT)
def test_where_none_or_several_fit_none_is_taken(tmp_path: Path, how: str) -> None:
    name, files = UNFIT[how]
    make(tmp_path, files)
    assert found(tmp_path, [name]) == [None]


def test_another_folder_is_not_guessed_where_the_table_has_the_name_twice(tmp_path: Path) -> None:
    make(tmp_path, ["a/1.png"])
    assert found(tmp_path, ["b/1.png", "c/1.png"]) == [None, None]
    assert found(tmp_path, ["a/1.png", "b/1.png"]) == ["a/1.png", None]


def test_zeros_are_added_to_a_number_only_where_all_files_are_numbers(tmp_path: Path) -> None:
    make(tmp_path, ["010.png", "00a.png", "8.png"])
    assert found(tmp_path, ["10", "8.0"]) == [None, "8.png"]


def test_only_folders_that_all_names_begin_with_are_taken_off(tmp_path: Path) -> None:
    make(tmp_path, ["p1/view1.jpg", "p2/view1.jpg"])
    assert found(tmp_path, ["set/p1/view1.jpg", "set/p2/view1.jpg"]) == ["p1/view1.jpg", "p2/view1.jpg"]
    assert found(tmp_path, ["set/p1/view1.jpg", "set/p3/view1.jpg"]) == ["p1/view1.jpg", None]


# -- in a dataset -----------------------------------------------------------------------------------------------------


def films(root: Path, names: Sequence[str], column: str = "image", **options: Any) -> FilmTable:
    rows = [f'"{name}",{"ab"[i % 2]}' for i, name in enumerate(names)]
    (root / "metadata.csv").write_text("\n".join([f"{column},label", *rows]) + "\n", encoding="utf-8")
    return Folder(FolderConfig(path=root, image_column=column, fractions=(0.5, 0.25, 0.25), **options)).films()


def notes(table: FilmTable) -> dict[str, Any]:
    """The notes but those on patients, of whom these tables say nothing, and on files that are no image."""
    return {name: said for name, said in table.notes.items() if not name.startswith(("patients", "files that are no"))}


def test_a_note_counts_films_found_under_another_name(tmp_path: Path) -> None:
    make(tmp_path, [f"part_{1 + i // 6}/{i:02d}.png" for i in range(12)])
    table = films(tmp_path, [f"{i:02d}" for i in range(12)])
    assert sorted(table.ids) == [f"part_{1 + i // 6}/{i:02d}.png" for i in range(12)]
    assert notes(table) == {
        "found under another name": 12,
        "found under another name, first": "00 is part_1/00.png",
    }


def test_what_is_there_is_said_where_nothing_fits(tmp_path: Path) -> None:
    make(tmp_path, [f"a/{i}.png" for i in range(5)])
    match = (
        r"12 of 12 image files are missing: n0, n1, n2, \.\.\.\. .* holds 5 image files \(a/0.png, a/1.png, a/2.png, "
    )
    with pytest.raises(UserError, match=match):
        films(tmp_path, [f"n{i}" for i in range(12)])
    make(tmp_path, [f"b/{i}.png" for i in range(5)])
    with pytest.raises(UserError, match=r"0 may be any of 2 files \(a/0.png, b/0.png\)"):
        films(tmp_path, [f"{i}" for i in range(5)])
    with pytest.raises(UserError, match=r"missing: x{200}\. ") as caught:
        films(tmp_path, ["x" * 150_000])
    assert len(str(caught.value)) < 900


def test_two_names_of_one_file_are_rows_of_one_image(tmp_path: Path) -> None:
    make(tmp_path, [f"x/{i:02d}.png" for i in range(12)])
    table = films(tmp_path, [f"x/{i:02d}.png" for i in range(12)] + ["00", "x\\01.png"])
    assert len(table) == 12 and table.notes["rows of an image named before"] == 2
    with pytest.raises(UserError, match=r"names image 'x/00.png' twice, in rows 1 and 14, with label a and b"):
        films(tmp_path, [f"x/{i:02d}.png" for i in range(13 - 1)] + ["x/02.png", "00"])


def test_a_header_cell_may_be_asked_for_with_or_without_its_blanks(tmp_path: Path) -> None:
    make(tmp_path, [f"{i:02d}.png" for i in range(12)])
    names = [f"{i:02d}.png" for i in range(12)]
    assert films(tmp_path, names, column=" EncodedPixels ").ids == films(tmp_path, names).ids


# -- patterns ---------------------------------------------------------------------------------------------------------


def tree(root: Path) -> None:
    make(
        root,
        [
            f"{s}/{k}/SOB_{k[0].upper()}-{i}-40.png"
            for s in ("train", "dev", "test")
            for k in ("ben", "mal")
            for i in range(3)
        ],
    )


def test_a_path_says_class_and_split(tmp_path: Path) -> None:
    tree(tmp_path)
    config = FolderConfig(path=tmp_path, label_pattern=r"SOB_(B|M)", split_pattern=r"^(\w+)/")
    table = Folder(config).films()
    assert table.classes == ("B", "M") and len(table) == 18
    for path, split, label in zip(table.paths, table.splits, table.labels, strict=True):
        assert {"train": "train", "dev": "val", "test": "test"}[path.parts[-3]] == split
        assert table.classes[label].lower() == path.parts[-2][0]


def test_only_what_has_a_pattern_in_its_path_is_taken(tmp_path: Path) -> None:
    tree(tmp_path)
    config = FolderConfig(path=tmp_path, label_pattern="(ben|mal)", split_pattern="^([a-z]+)", only=r"-[01]-")
    table = Folder(config).films()
    assert len(table) == 12 and notes(table) == {"without '-[01]-' in the path": 6}


def test_rows_of_a_table_without_the_pattern_are_neither_lost_nor_unnamed(tmp_path: Path) -> None:
    make(tmp_path, [f"{view}/{i:02d}.png" for view in ("frontal", "lateral") for i in range(12)])
    table = films(
        tmp_path, [f"{view}/{i:02d}.png" for view in ("frontal", "lateral") for i in range(12)], only="^front"
    )
    assert len(table) == 12 and notes(table) == {"without '^front' in the path": 12}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"label_pattern": "SOB_(M)"},
            r"--data\.label-pattern 'SOB_\(M\)' is not in 9 of 18 paths, first dev/ben/SOB_B-0",
        ),
        ({"label_pattern": "SOB_(M"}, r"--data\.label-pattern .* is no regular expression"),
        ({"label_pattern": "SOB_M"}, r"has 0 groups and needs 1"),
        ({"label_pattern": "(S)(O)"}, r"has 2 groups and needs 1"),
        ({"label_pattern": "(ben|mal)", "split_pattern": "SOB_(B|M)"}, r"is in split '[BM]'"),
        ({"label_pattern": "(ben|mal)", "only": "zebra"}, r"--data\.only 'zebra' is in none of 18 paths, dev/ben"),
        ({"label_pattern": "(ben|mal)", "only": "["}, r"--data\.only '\[' is no regular expression"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(tmp_path: Path, options: dict[str, str], match: str) -> None:
    tree(tmp_path)
    with pytest.raises(UserError, match=match):
        Folder(FolderConfig(path=tmp_path, **options)).films()  # type: ignore[arg-type]
