"""Which cells of a table say nothing: empty ones, and the words that programs write for these."""

from __future__ import annotations

BLANKS = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nat"})


def is_blank(cell: str) -> bool:
    """Whether a cell is empty, or holds what pandas, R, Excel or SQL write for an empty one."""
    return cell.strip().lower() in BLANKS
