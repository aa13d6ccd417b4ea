"""Several rows of one image, one a box say, become one: what they must agree in, and what is joined."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from data.datasets.folder.rows import Rows
from data.films.labels import Labels
from synthworth.errors import UserError


def first_rows(rows: Rows) -> np.ndarray:
    """For each row the first that speaks of its image: int64 (N,)."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(os.path.normpath(path), i) for i, path in enumerate(rows.paths)], dtype=np.int64)


def say_different(rows: Rows, cells: Sequence[str]) -> bool:
    """Whether any image has rows with different cells."""
    return any(cells[i] != cells[first] for i, first in enumerate(first_rows(rows)))


def left(rows: Rows, dropped: np.ndarray) -> np.ndarray:
    """The rows to go on with, int64: those of images of which no row is dropped."""
    first = first_rows(rows)
    return np.flatnonzero(~np.isin(first, first[dropped]))


def join_rows(
    rows: Rows, labels: Labels, said: Mapping[str, Sequence[str] | np.ndarray], *, union: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each image, int64, and the marks of all its rows together, uint8 (n, K).

    Parameters
    ----------
    said
        What else is said of each row (its patient, its split): rows of one image must agree in it.
    union
        Let rows of one image have different labels.

    Raises
    ------
    UserError
        When two rows of one image do not agree; the message names them.
    """
    first = first_rows(rows)
    kept = np.flatnonzero(first == np.arange(len(first)))
    marks = labels.marks.copy()
    for i in np.flatnonzero(first != np.arange(len(first))).tolist():
        at = int(first[i])
        for what, values in said.items():
            if values[i] != values[at]:
                raise _differ(rows, at, i, f"{what} {values[at]!s} and {values[i]!s}. Mend the table")
        if not union and (labels.marks[i] != labels.marks[at]).any():
            names = [_names(labels, row) for row in (at, i)]
            raise _differ(
                rows, at, i,
                f"label {names[0]} and {names[1]}. Mend the table, or let such images have every label of their rows: "
                "--data.repeats any",
            )  # fmt: skip
        marks[at] |= labels.marks[i]
    return kept, marks[kept]


def _names(labels: Labels, row: int) -> str:
    return "|".join(name for name, mark in zip(labels.classes, labels.marks[row], strict=True) if mark) or "none"


def _differ(rows: Rows, one: int, other: int, why: str) -> UserError:
    assert rows.table is not None
    numbers = f"rows {rows.at[one] + 1} and {rows.at[other] + 1}"
    return UserError(f"{rows.table.path} names image {rows.ids[one]!r} twice, in {numbers}, with {why}")
