"""Tables of text from CSV and parquet: every cell a string, every complaint names a row or a column."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthworth.errors import UserError

TABLE_EXTENSIONS = (".csv", ".tsv", ".parquet")
YES_NO = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}


@dataclass(frozen=True)
class Table:
    """Columns of strings, all of one length; rows are counted from 1, the header apart."""

    path: Path
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str, *, flag: str) -> list[str]:
        """One column.

        Raises
        ------
        UserError
            When it is missing; the message names the flag to change and the columns there are.
        """
        if name not in self.columns:
            raise UserError(f"{self.path} has no column {name!r} ({flag}); it has {', '.join(self.columns)}")
        return self.columns[name]


def read_table(path: Path) -> Table:
    """Read a CSV (UTF-8, comma), TSV or parquet file; nothing in it is given a type.

    Raises
    ------
    UserError
        When the file is missing, of another kind, damaged, ragged, or without a row.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table")
    suffix = path.suffix.lower()
    if suffix not in TABLE_EXTENSIONS:
        raise UserError(f"{path} is none of {', '.join(TABLE_EXTENSIONS)}")
    delimiter = "\t" if suffix == ".tsv" else ","
    table = Table(path, _read_parquet(path) if suffix == ".parquet" else _read_csv(path, delimiter))
    if not len(table):
        raise UserError(f"{path} holds no row")
    return table


def read_rows(path: Path, *, delimiter: str = ",") -> list[list[str]]:
    """The rows of a text file with a table in it, the header first.

    The text is UTF-8, gzipped where its name ends in .gz. Lines without a cell are left out.

    Raises
    ------
    UserError
        When the file is missing or empty, or is no such text.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table")
    opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as handle:
            rows = [row for row in csv.reader(handle, delimiter=delimiter, strict=True) if row]
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text with a table in it: {error}") from error
    if not rows:
        raise UserError(f"{path} holds no row")
    return rows


def _read_csv(path: Path, delimiter: str) -> dict[str, list[str]]:
    header, *body = read_rows(path, delimiter=delimiter)
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise UserError(f"{path} has two columns named {repeated[0]!r}")
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise UserError(f"{path}, row {number}: {len(row)} cells under {len(header)} column names")
    return {name: [row[i].strip() for row in body] for i, name in enumerate(header)}


def _read_parquet(path: Path) -> dict[str, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as parquet: {error}") from error
    return {str(name): [_text(cell) for cell in table.column(name).to_pylist()] for name in table.column_names}


def _text(cell: Any) -> str:
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def to_numbers(cells: Sequence[str]) -> np.ndarray:
    """float64 (N,) where every cell is a finite number; else the strings as they are."""
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return np.array(cells, dtype=np.str_)
    return numbers if np.isfinite(numbers).all() else np.array(cells, dtype=np.str_)


def to_marks(table: Table, names: Sequence[str], *, flag: str) -> np.ndarray:
    """Columns of 0 and 1 as uint8 (N, K).

    Raises
    ------
    UserError
        For a cell that is neither; the message names row and column.
    """
    marks = np.empty((len(table), len(names)), np.uint8)
    for k, name in enumerate(names):
        for row, cell in enumerate(table.column(name, flag=flag)):
            mark = YES_NO.get(cell.lower())
            if mark is None:
                raise UserError(f"{table.path}, row {row + 1}, column {name!r}: {cell!r} is neither 0 nor 1")
            marks[row, k] = mark
    return marks
