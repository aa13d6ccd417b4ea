"""Whose each image of a folder is: by a column, by a pattern on its path, or nobody knows; and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from data.datasets.folder.file_names import note_patients_in_names
from data.datasets.folder.rows import Rows
from data.films.patients import notes_on_spelling, one_name_each, patient_column, unused_columns
from data.films.patterns import find_in_paths
from synthworth.errors import UserError

PATIENT_COLUMNS = ("patient_id", "patient")
"""Taken before any other column that names patients."""
FLAG, PATTERN_FLAG = "--data.patient-column", "--data.patient-pattern"
NOT_GIVEN = (
    "no patient column: each image counts as a patient of its own, and splits may share one; name it by "
    "--data.patient-column, or find it in the path by --data.patient-pattern"
)


@dataclass(frozen=True)
class Whose:
    """The patient of each image.

    Parameters
    ----------
    names
        One an image; the images' own where no patient is given.
    notes
        How they were found, where nobody said how; that they were not; what looks like one and is not used.
    as_written
        The names as earlier versions took them: where they differ, what is prepared is another thing.
    """

    names: list[str]
    notes: dict[str, Any] = field(default_factory=dict)
    as_written: list[str] = field(default_factory=list)


def find_patients(rows: Rows, *, column: str | None, pattern: str | None, taken: Sequence[str] = ()) -> Whose:
    """The patient of each image.

    Parameters
    ----------
    column, pattern
        The column asked for, or a regular expression whose one group is the patient in an image's path.
    taken
        Columns of the table that hold something else.

    Raises
    ------
    UserError
        For a column and a pattern at once; for a column that is not there, cells that name nobody, a pattern that does
        not match an image; for two columns that name different patients, where none was chosen.
    """
    columns = {} if rows.table is None else rows.table.columns
    if pattern is not None:
        if column is not None:
            raise UserError(f"{FLAG} {column} and {PATTERN_FLAG} both say whose an image is; leave one out")
        found = find_in_paths(rows.ids, pattern, flag=PATTERN_FLAG)
        names, merged = one_name_each(found, rows.where, column=PATTERN_FLAG)
        said = {name: rows.column(name, flag=FLAG) for name in columns}
        others = unused_columns({PATTERN_FLAG: names, **said}, chosen=PATTERN_FLAG, taken=taken)
        return Whose(names, {**note_unused(others), **notes_on_spelling(merged)}, found)
    older = column or next((name for name in PATIENT_COLUMNS if name in columns), None)
    chosen = column or patient_column(columns, first=PATIENT_COLUMNS)
    cells = rows.ids if chosen is None else rows.column(chosen, flag=FLAG)
    others = unused_columns(columns, chosen=chosen, taken=taken)
    notes = note_unused(others)
    if chosen is None:
        hint = note_patients_in_names(rows.ids, rows.labels)
        return Whose(rows.ids, {"patients": NOT_GIVEN, **notes, **hint}, rows.ids)
    names, merged = one_name_each(cells, rows.where, column=chosen)
    if chosen != older:
        notes = {"patients": f"those of column {chosen!r}, by its name; {FLAG} takes another", **notes}
    return Whose(names, {**notes, **notes_on_spelling(merged)}, cells if older else rows.ids)


def note_unused(columns: Sequence[str]) -> dict[str, Any]:
    """The note on columns that may name patients and are not used; empty without any."""
    return {f"columns that may name patients and are not used ({FLAG})": ", ".join(columns)} if columns else {}
