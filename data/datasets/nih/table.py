"""What NIH's tables say: a row a film, findings under one spelling, ages in years, boxes; complaints name the row."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from data.attributes import AGE_BANDS, UNKNOWN
from data.films.blanks import is_blank
from data.films.patients import is_nobody, whole_number
from data.films.text_table import read_rows
from synthworth.errors import UserError

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""The 14 findings, in the order of Wang et al. and of those who report on this set."""
NO_FINDING = "No Finding"
LABELS = (NO_FINDING, *FINDINGS)
VARIANTS = {
    "atelectases": "Atelectasis",
    "atelectasys": "Atelectasis",
    "cardiomegally": "Cardiomegaly",
    "effussion": "Effusion",
    "pleuraleffusion": "Effusion",
    "infiltrate": "Infiltration",
    "infilteration": "Infiltration",
    "lungmass": "Mass",
    "masses": "Mass",
    "lungnodule": "Nodule",
    "pnuemonia": "Pneumonia",
    "pneumothoraces": "Pneumothorax",
    "pnuemothorax": "Pneumothorax",
    "oedema": "Edema",
    "pulmonaryedema": "Edema",
    "emphesema": "Emphysema",
    "fibroses": "Fibrosis",
    "pleuralthickenning": "Pleural_Thickening",
    "plueralthickening": "Pleural_Thickening",
    "pleuralthicking": "Pleural_Thickening",
    "hiatalhernia": "Hernia",
}
"""Other spellings met in copies of the table and in its boxes ("Infiltrate"): small letters alone, no plural s."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": ("Image Index",),
    "labels": ("Finding Labels",),
    "patient": ("Patient ID",),
    "age": ("Patient Age",),
    "sex": ("Patient Gender", "Patient Sex"),
    "view": ("View Position",),
}
"""Columns that are read, under the names NIH has given them."""
OLDEST = 100  # years; above it an age is a slip of the pen (the table of 2017 has 411)
MONTHS, WEEKS, DAYS = 12, 52, 365


@dataclass(frozen=True)
class Entries:
    """Rows of the table; all arrays are of one length N.

    Parameters
    ----------
    images : str (N,)
        File names.
    patients : str (N,)
        8 digits as in the file names, whatever the table wrote.
    findings : uint8 (N, 14)
        Columns in the order of `FINDINGS`; a row of zeros is No Finding.
    ages : float64 (N,), years
        -1 where unknown.
    sexes, views : str (N,)
        "unknown" where the cell is empty.
    """

    images: np.ndarray
    patients: np.ndarray
    findings: np.ndarray
    ages: np.ndarray
    sexes: np.ndarray
    views: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> Self:
        """The given rows (indices, or a mask), in that order."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def age_bands(self) -> np.ndarray:
        """0-17, 18-39, 40-64, 65+ or unknown, str (N,)."""
        names = np.array([UNKNOWN, *(name for _, name in AGE_BANDS)])
        band = np.digitize(self.ages, [below for below, _ in AGE_BANDS]) + 1
        return names[np.where(self.ages < 0, 0, band)]

    def counts(self) -> dict[str, int]:
        """Films with each of the 15 labels; a film counts once for each of its findings."""
        found = {NO_FINDING: int((~self.findings.any(1)).sum())}
        return found | {name: int(n) for name, n in zip(FINDINGS, self.findings.sum(0, dtype=np.int64), strict=True)}


def normalise(label: str) -> str | None:
    """The label's one spelling, or None for a label that is none of the 15.

    Capitals, spaces, hyphens and underscores do not matter, nor does a plural s, nor the misspellings in `VARIANTS`.
    """
    letters = re.sub(r"[^a-z]", "", label.lower())
    for key in (letters, letters.removesuffix("s")):
        if key in _SPELLINGS:
            return _SPELLINGS[key]
    return None


_SPELLINGS = {re.sub(r"[^a-z]", "", name.lower()): name for name in LABELS} | VARIANTS


def require_label(name: str, *, where: str) -> str:
    """`normalise`, or an error that says where the label stands and what it may have meant.

    Raises
    ------
    UserError
        For a label that is none of the 15.
    """
    known = normalise(name)
    if known is None:
        near = difflib.get_close_matches(name.title(), LABELS, n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UserError(f"{where}: {name!r} is none of NIH's 15 labels.{hint} They are {', '.join(LABELS)}")
    return known


def read_entries(path: Path) -> Entries:
    """Read Data_Entry_2017.csv or Data_Entry_2017_v2020.csv (or a copy, gzipped or not), every row.

    Patient numbers are brought to 8 digits: both editions, and copies saved by a spreadsheet or by pandas (7, 7.0),
    give the same patients. Ages may be "58", "058Y", "013M"
    (months), "003W" or "011D"; an empty one and one above 100 years are unknown.

    Raises
    ------
    UserError
        When the file is missing or no table, lacks a column, or has a cell that cannot stand: the message names the row
        (counted from 1, the header apart) and the cell.
    """
    header, cells = read_cells(path)
    place = {what: _find_column(header, names, path=path) for what, names in COLUMNS.items()}
    if not cells:
        raise UserError(f"{path} holds no row")
    _refuse_nameless(header, cells, path=path)
    column = {what: [row[at] for row in cells] for what, at in place.items()}
    images = np.array(column["image"], dtype=str)
    _refuse_empty(images, COLUMNS["image"][0], path=path)
    _refuse_twins(images, path=path)
    return Entries(
        images=images,
        patients=_by_value(column["patient"], read_patient, COLUMNS["patient"][0], path=path).astype(str),
        findings=_read_findings(column["labels"], path=path),
        ages=_by_value(column["age"], _read_age, COLUMNS["age"][0], path=path).astype(np.float64),
        sexes=_by_value(column["sex"], _read_sex, COLUMNS["sex"][0], path=path).astype(str),
        views=_by_value(column["view"], _read_view, COLUMNS["view"][0], path=path).astype(str),
    )


def read_cells(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header, and rows of at least as many cells; a comma inside a quoted column name counts as one of the table's.

    NIH's header `OriginalImage[Width,Height]` falls into two columns that way, and fits its rows.

    Raises
    ------
    UserError
        When the file is missing or is no table.
    """
    first, *body = read_rows(path)
    header = [name.strip() for name in ",".join(first).split(",")]
    return header, [[*row, *[""] * (len(header) - len(row))] for row in body]


def _refuse_nameless(header: Sequence[str], cells: Sequence[Sequence[str]], *, path: Path) -> None:
    """Cells beyond the last column name: the row is shifted."""
    for number, row in enumerate(cells, start=1):
        if any(row[len(header) :]):
            raise UserError(f"{path}, row {number}: more cells than the header's {len(header)} columns")


def _find_column(header: Sequence[str], names: Sequence[str], *, path: Path) -> int:
    at = [i for i, name in enumerate(header) if name in names]
    there = ", ".join(name for name in header if name)
    if not at:
        raise UserError(f"{path} has no column {' or '.join(map(repr, names))}; it has {there}")
    if len(at) > 1:
        raise UserError(f"{path} has two columns {header[at[0]]!r} and {header[at[1]]!r}; leave one of them out")
    return at[0]


def _refuse_empty(cells: np.ndarray, name: str, *, path: Path) -> None:
    empty = np.flatnonzero(np.char.strip(cells) == "")
    if len(empty):
        raise UserError(f"{path}, row {empty[0] + 1}: the cell of {name!r} is empty")


def _refuse_twins(images: np.ndarray, *, path: Path) -> None:
    """Every film has one row."""
    order = np.argsort(images, kind="stable")
    same = np.flatnonzero(images[order][1:] == images[order][:-1])
    if len(same):
        first, second = sorted(int(row) for row in order[[same[0], same[0] + 1]])
        more = f" ({len(same)} rows repeat an earlier one)" if len(same) > 1 else ""
        raise UserError(f"{path} names image {str(images[first])!r} twice, in rows {first + 1} and {second + 1}{more}")


def _by_value(cells: Sequence[str], read: Any, name: str, *, path: Path) -> np.ndarray:
    """`read` applied to each different cell once; what it cannot read (ValueError) is named with its row."""
    import pandas as pd

    codes, values = pd.factorize(np.array(cells, dtype=object))
    out = []
    for code, value in enumerate(values):
        try:
            out.append(read(value.strip()))
        except ValueError as error:
            row = int(np.argmax(codes == code)) + 1
            raise UserError(f"{path}, row {row}, column {name!r}: {value!r} {error}") from error
    return np.array(out)[codes]


def read_patient(cell: str) -> str:
    """The patient's number in 8 digits, as in the file names: `00000007` of `7`, and of `7.0` as pandas writes it.

    Raises
    ------
    ValueError
        For a cell that names nobody, and for a number that a spreadsheet shortened.
    """
    if is_nobody(cell):
        raise ValueError("names no patient")
    number = whole_number(cell)
    return number.zfill(8) if number.isdecimal() else number


def _read_age(cell: str) -> float:
    """Years; -1 for a blank cell and for an age above `OLDEST`."""
    if is_blank(cell):
        return -1.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([YMWD]?)", cell.upper())
    if found is None:
        raise ValueError("is no age (58, 058Y, 013M, 003W and 011D are)")
    years = float(found[1]) / {"": 1, "Y": 1, "M": MONTHS, "W": WEEKS, "D": DAYS}[found[2]]
    return years if years <= OLDEST else -1.0


def _read_sex(cell: str) -> str:
    if is_blank(cell):
        return UNKNOWN
    known = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}
    if cell.upper() not in known:
        raise ValueError("is neither M nor F")
    return known[cell.upper()]


def _read_view(cell: str) -> str:
    return UNKNOWN if is_blank(cell) else cell.upper()


def _read_findings(cells: Sequence[str], *, path: Path) -> np.ndarray:
    """uint8 (N, 14). The table has some 840 different combinations: each is read once."""
    import pandas as pd

    codes, texts = pd.factorize(np.array(cells, dtype=object))
    marks = np.zeros((len(texts), len(FINDINGS)), np.uint8)
    for code, text in enumerate(texts):

        def where(code: int = code) -> str:
            return f"{path}, row {int(np.argmax(codes == code)) + 1}"

        if is_blank(text):
            raise UserError(f"{where()} has no label; NIH writes {NO_FINDING!r}")
        names = {normalise(part) or require_label(part.strip(), where=where()) for part in text.split("|")}
        if NO_FINDING in names and len(names) > 1:
            raise UserError(f"{where()}: {text!r} is a finding and {NO_FINDING!r} at once")
        for name in names - {NO_FINDING}:
            marks[code, FINDINGS.index(name)] = 1
    return marks[codes]


def read_boxes(path: Path, images: Sequence[str]) -> dict[str, list[Any]]:
    """The boxes of BBox_List_2017.csv (gzipped or not) that lie on one of `images`, in the file's order.

    Returns
    -------
    Columns id, finding, x, y, w, h
        Left, top, width and height in pixels of the published 1024 x 1024 film.

    Raises
    ------
    UserError
        For a file of another kind, an unknown finding, or a number that is none.
    """
    header, cells = read_cells(path)
    if [name.lower() for name in header[:3]] != ["image index", "finding label", "bbox [x"]:
        raise UserError(f"{path} is no list of boxes: its columns are {', '.join(header)}")
    wanted = set(images)
    found: dict[str, list[Any]] = {name: [] for name in ("id", "finding", "x", "y", "w", "h")}
    for row, cell in enumerate(cells, start=1):
        image, label, *numbers = cell[:6]
        finding = require_label(label, where=f"{path}, row {row}")
        try:
            box = [float(number) for number in numbers]
        except ValueError as error:
            raise UserError(f"{path}, row {row}: {','.join(numbers)} are not four numbers x, y, w, h") from error
        if image in wanted:
            for name, value in zip(found, (image, finding, *box), strict=True):
                found[name].append(value)
    return found
