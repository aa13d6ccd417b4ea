"""Splits as folders or a column give them, and what becomes of a missing one: val is the test where test is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data.films.blanks import is_blank
from data.images import Split
from data.splits.words import SPLIT_WORDS
from synthworth.errors import UserError


def read_splits(words: Sequence[str], where: Callable[[int], str]) -> tuple[dict[Split, np.ndarray], dict[str, Any]]:
    """Rows of each split that has any, int64 ascending; and notes on them.

    Where train and val are given and no test, val is the test: the suite chooses nothing by it, for val is then drawn
    from the patients of train, as it is wherever val is missing. Whoever gave a val may have chosen by it before, so
    the note says it.

    Parameters
    ----------
    words
        Of each image.
    where
        How a message names image i.

    Raises
    ------
    UserError
        For a word that is no split, and where train, or both val and test, hold no image.
    """
    given = []
    for i, word in enumerate(words):
        known = SPLIT_WORDS.get(word.strip().lower())
        if known is None:
            raise UserError(
                f"{where(i)} is in split {word!r}; there are train, val, test and reserve. Call it one of these, or "
                "let splits be drawn by patient"
            )
        given.append(known)
    parts = {split: np.flatnonzero([g is split for g in given]) for split in Split}
    parts = {split: at for split, at in parts.items() if len(at)}
    notes = {}
    if {Split.train, Split.val} <= set(parts) and Split.test not in parts:
        parts[Split.test] = parts.pop(Split.val)
        notes["test"] = f"no test split is given: the {len(parts[Split.test])} images of val are the test"
    for split in (Split.train, Split.test):
        if split not in parts:
            raise UserError(f"no image is in the {split.value} split; there are {', '.join(s.value for s in parts)}")
    return parts, notes


def note_unused_splits(columns: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A note on columns whose cells are words for splits, train among them; for where splits are taken from none."""
    found = []
    for name, cells in columns.items():
        given = {SPLIT_WORDS.get(cell.strip().lower()) for cell in set(cells) if not is_blank(cell)}
        if Split.train in given and None not in given and len(given) > 1:
            found.append(name)
    return {"columns that may hold splits and are not used (--data.split-column)": ", ".join(found)} if found else {}
