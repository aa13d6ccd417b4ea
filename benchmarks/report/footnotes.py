"""Footnotes of a table: equal notes share a letter, so that a long reason stands once."""

from __future__ import annotations


class Notes:
    """Letters by note, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}

    def mark(self, note: str) -> str:
        """The letter of a note: a, b, ..., z, aa."""
        return self.marks.setdefault(note, _letters(len(self.marks)))


def _letters(n: int) -> str:
    return (_letters(n // 26 - 1) if n >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[n % 26]
