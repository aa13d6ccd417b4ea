"""Several tables become one: rows below rows where the columns are the same, else columns beside columns by a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from data.films.text_table import TEXT_EXTENSIONS, Table, read_table
from synthworth.errors import UserError

SOURCE = "table"
"""The column that says which file a row came from, by its name without ending, where rows came from several."""


def read_tables(file: Path, further: Sequence[Path], *, by: Sequence[str] = ()) -> tuple[Table, int]:
    """The first table with the rows or columns of the others; and the most rows that one has nothing to say of.

    A table with the columns of the first adds its rows. Any other adds its columns to the rows that have its values in
    `by`, or without that in all columns that both have; cells are blank where it has no such row. A column in which
    several of its rows for one key differ cannot be asked for.

    Raises
    ------
    UserError
        As `read_table`; when two tables have no column in common, or no key.
    """
    first, *others = (read_table(path) for path in (file, *further))
    same = [other for other in others if set(other.columns) == set(first.columns)]
    if same:
        first = _stack([first, *same])
    unmatched = 0
    for other in others:
        if other not in same:
            first, n = _join(first, other, by)
            unmatched = max(unmatched, n)
    return first, unmatched


def _stack(tables: Sequence[Table]) -> Table:
    columns = {name: [cell for table in tables for cell in table.columns[name]] for name in tables[0].columns}
    columns.setdefault(SOURCE, [_stem(table.path) for table in tables for _ in range(len(table))])
    return Table(tables[0].path, columns, {name: why for table in tables for name, why in table.torn.items()})


def _join(first: Table, other: Table, by: Sequence[str]) -> tuple[Table, int]:
    keys = list(by) or [name for name in first.columns if name in other.columns]
    if not keys:
        raise UserError(
            f"--data.join {other.path}: it has no column in common with {first.path}, which has "
            f"{', '.join(first.columns)}; it has {', '.join(other.columns)}"
        )
    flag = "--data.join-by"
    mine = _keys([first.column(name, flag=flag) for name in keys])
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(_keys([other.column(name, flag=flag) for name in keys])):
        rows.setdefault(key, []).append(row)
    unmatched = sum(key not in rows for key in mine)
    if unmatched == len(mine):
        raise UserError(
            f"--data.join {other.path}: none of its rows has the {', '.join(keys)} of a row of {first.path}, "
            f"{', '.join(mine[0])} for one. Name the columns to join by: --data.join-by"
        )
    added, torn = {}, {name: why for name, why in other.torn.items() if name not in first.columns}
    for name, cells in other.columns.items():
        if name in first.columns:
            continue
        added[name] = [cells[rows[key][0]] if key in rows else "" for key in mine]
        several = [key for key, at in rows.items() if any(cells[row] != cells[at[0]] for row in at)]
        if several:
            torn[name] = (
                f"has no single {name!r} for each row: {other.path} has several for {', '.join(keys)} "
                f"{', '.join(several[0])}. Make it the first table (--data.table), and join the others to it"
            )
    return Table(first.path, first.columns | added, {**first.torn, **torn}), unmatched


def _keys(columns: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """One key a row; `7.0` is `7`, as a number that went through a table of floats."""
    whole = re.compile(r"^(\d+)\.0+$")
    return list(zip(*([whole.sub(r"\1", cell) for cell in column] for column in columns), strict=True))


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.removesuffix(next((e for e in (*TEXT_EXTENSIONS, ".parquet") if name.lower().endswith(e)), ""))
