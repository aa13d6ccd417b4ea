"""Columns of a table that say which split a row is in, where nobody asked for one: it is said, not guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data.images import Split
from data.splits.words import SPLIT_WORDS

FLAG = "--data.split-column"


def split_columns(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of the columns whose every cell is a word for a split, train and another one among them."""
    found = []
    for name, cells in columns.items():
        words = {cell.strip().lower() for cell in cells} - {""}
        splits = {SPLIT_WORDS.get(word) for word in words} if len(words) <= len(SPLIT_WORDS) else {None}
        if None not in splits and Split.train in splits and len(splits) > 1:
            found.append(name)
    return found


def note_unused(columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The note on such columns; empty without any."""
    found = split_columns(columns)
    return {f"columns that name splits and are not used ({FLAG})": ", ".join(found)} if found else {}
