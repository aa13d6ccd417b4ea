"""Tables of text from CSV and parquet: every cell a string, every complaint names a row or a column."""

from __future__ import annotations

import csv
import gzip
import io
import threading
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from synthworth.errors import UserError
from synthworth.files import Unfit, open_file

DELIMITERS = (",", ";", "\t", "|")
TEXT_EXTENSIONS = (".csv", ".tsv", ".tab", ".txt")
GZIP, PARQUET = ".gz", ".parquet"
WAYS = dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), ": save it from the spreadsheet as CSV (UTF-8)")
WAYS |= dict.fromkeys((".zip", ".bz2", ".xz", ".7z", ".zst", ".tar", ".tgz", ".rar"), ": unpack it first")
WAYS |= dict.fromkeys((".json", ".jsonl", ".xml", ".mat", ".pkl", ".feather", ".dta", ".sav"), ": export it as CSV")
LONGEST_CELL = 1 << 26  # characters; Python's csv stops at 131,072, and a mask as text is longer
MAX_BYTES = 1 << 29  # of a table's text, or of a parquet's cells, unpacked: a hundred million cells of five letters
MAX_COLUMNS, MAX_ROWS, MAX_CELLS = 20_000, 5_000_000, 100_000_000
LOOKED_AT = 200  # rows from which the delimiter is told
PIECE = 1 << 20  # characters read at a time
GZIP_MARK = b"\x1f\x8b"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks
_CSV = threading.Lock()


@dataclass(frozen=True)
class Table:
    """Columns of strings, all of one length; rows are counted from 1, the header apart.

    Parameters
    ----------
    torn
        Names that cannot be asked for, and why: two columns have them, say.
    """

    path: Path
    columns: dict[str, list[str]]
    torn: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str, *, flag: str) -> list[str]:
        """One column.

        Raises
        ------
        UserError
            When it is missing, or is not one; the message names the flag to change and the columns there are.
        """
        name = _seen(name)
        if name in self.torn:
            raise UserError(f"{self.path} {self.torn[name]} ({flag})")
        if name not in self.columns:
            raise UserError(f"{self.path} has no column {name!r} ({flag}); it has {', '.join(self.columns)}")
        return self.columns[name]


def read_table(path: Path) -> Table:
    """Read a table; nothing in it is given a type.

    Parquet, or text in UTF-8 (or UTF-16 with its mark), gzipped or not: .csv, .tsv, .tab, .txt or no ending, and .gz
    after it. Cells stand between commas, semicolons, tabs or bars, which the header and the first rows tell. Blanks
    around cells and names are taken off; rows without any text, and columns without a name, are left out.

    Raises
    ------
    UserError
        When the file is missing, of another kind, damaged, ragged, or without a row; for two columns of one name
        that differ, once it is asked for.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table")
    name = path.name.lower()
    suffix = Path(name.removesuffix(GZIP)).suffix
    if suffix == PARQUET and not name.endswith(GZIP):
        table = _read_parquet(path)
    elif suffix in ("", *TEXT_EXTENSIONS):
        table = _read_text(path, "\t" if suffix in (".tsv", ".tab") else ",")
    else:
        kinds = f"{', '.join(TEXT_EXTENSIONS)} (or one of these with {GZIP}) and {PARQUET}"
        raise UserError(f"{path} is none of {kinds}{WAYS.get(Path(name).suffix, '')}")
    if not len(table):
        raise UserError(f"{path} holds no row")
    return table


def read_rows(path: Path, *, delimiter: str = ",") -> list[list[str]]:
    """The rows of a text file with a table in it, the header first.

    The text is UTF-8, or UTF-16 with its mark, gzipped or not. Lines without a text are left out.

    Parameters
    ----------
    delimiter
        What stands between cells, unless the header and the first rows tell of another.

    Raises
    ------
    UserError
        When the file is missing or empty, or is no such text.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table")
    try:
        lines = _lines(path)
        if lines and lines[0].strip().lower().startswith("sep=") and len(lines[0].strip()) <= len("sep=") + 1:
            delimiter = lines.pop(0).strip()[len("sep=") :] or "\t"  # Excel's own line, which says what it is
        _refuse_columns(path, max(map(lines[0].count, {delimiter, *DELIMITERS})) if lines else 0)
        with _long_cells():
            delimiter = _tell(lines, delimiter)
            rows = [row for row in csv.reader(lines, delimiter=delimiter, strict=True) if any(map(str.strip, row))]
    except UnicodeError as error:
        raise UserError(
            f"{path} cannot be read as UTF-8 text ({error}). Save it as CSV UTF-8; where it is of Windows or Western "
            f"Europe: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        ) from error
    except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error, Unfit) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text with a table in it: {error}") from error
    if not rows:
        raise UserError(f"{path} holds no row")
    if any("\0" in cell for cell in rows[0]):
        raise UserError(f"{path} cannot be read as UTF-8 text: it looks like UTF-16 without mark. Save as UTF-8")
    _refuse_columns(path, len(rows[0]))
    return rows


def _lines(path: Path) -> list[str]:
    """The lines of a file, gzipped or not, each with its end; no more is unpacked than a table has.

    Raises
    ------
    UserError
        When there is more of it.
    """
    pieces, n = [], 0
    with open_text(path) as handle:
        while n <= MAX_BYTES and (piece := handle.read(PIECE)):  # as much as is asked for is allocated
            pieces.append(piece)
            n += len(piece)
    text = "".join(pieces)
    if n > MAX_BYTES:
        raise UserError(f"{path} unpacks to more than {MAX_BYTES:,} characters, the most that a table may have")
    _refuse_rows(path, max(text.count("\n"), text.count("\r")))
    if (n := max(map(text.count, DELIMITERS))) > MAX_CELLS:
        raise UserError(
            f"{path} has some {n:,} cells, and {MAX_CELLS:,} are read at most. Leave out what is not needed"
        )
    return io.StringIO(text, newline="").readlines()


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """The text of an ordinary file; whether it is gzipped its first bytes say: browsers unpack and keep the name.

    Raises
    ------
    Unfit, OSError
        As `synthworth.files.open_file`.
    """
    with open_file(path) as raw:
        zipped = raw.read(2) == GZIP_MARK
        raw.seek(0)
        unpacked: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        mark = unpacked.read(2)
        unpacked.seek(0)
        yield io.TextIOWrapper(unpacked, encoding="utf-16" if mark in UTF_16 else "utf-8-sig", newline="")


def _refuse_columns(path: Path, n: int) -> None:
    if n > MAX_COLUMNS:
        raise UserError(f"{path} has {n:,} columns, and {MAX_COLUMNS:,} are read at most. Leave out what is not needed")


def _refuse_rows(path: Path, n: int) -> None:
    if n > MAX_ROWS:
        raise UserError(f"{path} has {n:,} rows, and {MAX_ROWS:,} are read at most")


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let csv read long cells; its limit is one for the whole process, and is put back."""
    with _CSV:
        before = csv.field_size_limit(LONGEST_CELL)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _tell(lines: Sequence[str], default: str) -> str:
    """What stands between the cells.

    Of those that cut the first rows into as many cells as the header, the one that gives most; where none does, the
    default if the header has it.
    """
    widths: dict[str, list[int]] = {}
    for mark in dict.fromkeys((default, *DELIMITERS)):
        try:
            rows = [row for row in csv.reader(lines[:LOOKED_AT], delimiter=mark) if any(map(str.strip, row))]
        except csv.Error:
            continue
        if rows and len(rows[0]) > 1:
            widths[mark] = [len(row) for row in rows]
    even = [mark for mark, found in widths.items() if len(set(found)) == 1]
    if even:
        return max(even, key=lambda mark: widths[mark][0])
    return default if default in widths else max(widths, key=lambda mark: widths[mark][0], default=default)


def _read_text(path: Path, delimiter: str) -> Table:
    header, *body = read_rows(path, delimiter=delimiter)
    names = [_seen(name) for name in header]
    for number, row in enumerate(body, start=1):
        while len(row) > len(names) and not row[-1].strip():
            row.pop()
        if len(row) != len(names):
            raise UserError(f"{path}, row {number}: {len(row)} cells under {len(names)} column names")
    return _of_columns(path, [(name, [row[i].strip() for row in body]) for i, name in enumerate(names)])


def _seen(name: str) -> str:
    """A column's name without blanks and unseen marks (a second byte order mark, say) around it."""
    return "".join(c for c in name if unicodedata.category(c) != "Cf").strip()


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa

    try:
        with open_file(path) as handle:
            table = _read_bounded(handle, path)
            cells = [_texts(column, path) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, LookupError, Unfit) as error:
        raise UserError(f"{path} cannot be read as parquet: {error}") from error
    return _of_columns(path, [(_seen(str(name)), of) for name, of in zip(table.column_names, cells, strict=True)])


def _read_bounded(handle: BinaryIO, path: Path) -> Any:
    """The table, its texts as numbers into a list of distinct ones: a page may say one of them a million times."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(handle)
    said, schema = file.metadata, file.schema_arrow
    _refuse_columns(path, len(schema.names))
    _refuse_rows(path, said.num_rows)
    if (n := sum(said.row_group(k).total_byte_size for k in range(said.num_row_groups))) > MAX_BYTES:
        raise UserError(f"{path} unpacks to {n:,} bytes, and {MAX_BYTES:,} are the most that a table may have")
    words = [name for name, kind in zip(schema.names, schema.types, strict=True) if pa.types.is_string(kind)]
    return pq.ParquetFile(handle, read_dictionary=words).read()


def _texts(column: Any, path: Path) -> list[str]:
    """The cells of a column as text; of equal ones one object, and no more text than a table of text may have."""
    cells: list[str] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            words = [_text(word) for word in chunk.dictionary.to_pylist()]
            times = np.bincount(chunk.indices.drop_null().to_numpy(), minlength=len(words))
            if len(times) > len(words):
                raise LookupError(f"a cell is word {len(times):,} of {len(words):,}")
            if sum(len(word) * int(n) for word, n in zip(words, times, strict=True)) > MAX_BYTES:
                raise UserError(f"{path} holds a column of more than {MAX_BYTES:,} characters, the most that is read")
            cells += ["" if i is None else words[i] for i in chunk.indices.to_pylist()]
        else:
            cells += [_text(cell) for cell in chunk.to_pylist()]
    return cells


def _of_columns(path: Path, found: Sequence[tuple[str, list[str]]]) -> Table:
    columns: dict[str, list[str]] = {}
    torn = {}
    for name, cells in found:
        if columns.setdefault(name, cells) != cells:
            torn[name] = f"has two columns named {name!r}, and they differ: name them apart"
    columns.pop("", None)
    return Table(path, columns, {name: why for name, why in torn.items() if name})


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
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
