"""Tables that lie beside images and are not read: they may hold what folders do not say, patients for one."""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from data.datasets.folder.tree import is_folder, is_hidden, list_folder
from data.films.text_table import open_text
from synthworth.files import Unfit

ENDINGS = (".csv", ".tsv", ".parquet", ".csv.gz", ".tsv.gz", ".xlsx", ".xls", ".ods")
N_NAMED, N_COLUMNS = 3, 8


def tables_beside(root: Path, *, depth: int) -> list[Path]:
    """Tables in a folder and up to `depth` folders below it, the nearest first; hidden files and folders apart."""
    found, below = [], []
    for entry in list_folder(root):
        if is_hidden(entry.name):
            continue
        if entry.name.lower().endswith(ENDINGS) and os.path.isfile(entry.path):
            found.append(Path(entry.path))
        elif depth and is_folder(entry):
            below.append(Path(entry.path))
    found.sort()
    deeper = [table for folder in sorted(below) for table in tables_beside(folder, depth=depth - 1)]
    return sorted([*found, *deeper], key=lambda path: len(path.parts))


def name_tables(tables: Sequence[Path], root: Path) -> str:
    """`train.csv (id_code, diagnosis)`, for the first few."""
    said = []
    for table in tables[:N_NAMED]:
        columns = _columns(table)
        more = ", ..." if len(columns) > N_COLUMNS else ""
        listed = f" ({', '.join(columns[:N_COLUMNS])}{more})" if columns else ""
        said.append(f"{table.relative_to(root).as_posix()}{listed}")
    more = f" and {len(tables) - N_NAMED} more" if len(tables) > N_NAMED else ""
    return f"{', '.join(said)}{more}"


def _columns(table: Path) -> list[str]:
    """The header's cells of a text table; none of another kind, or of one that is no text."""
    name = table.name.lower()
    if not name.removesuffix(".gz").endswith((".csv", ".tsv")):
        return []
    try:
        with open_text(table) as file:
            line = file.readline(4096).rstrip("\r\n")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, Unfit):
        return []  # it is named all the same; whoever reads it is told what is wrong
    mark = max(",;\t", key=line.count)
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:
        return []
