"""Which cells of a table say nothing: empty ones, and the words that programs write for these."""

from __future__ import annotations

BLANKS = frozenset({
    "", "nan", "-nan", "na", "n/a", "n.a.", "n.a", "n. a.", "#n/a", "<na>", "null", "(null)", "<null>", "[null]",
    "none", "nat", "\\n", "missing", "(missing)", "(blank)", "(empty)", "<empty>", "not available", "not applicable",
    "undefined", "#ref!", "#value!", "#name?", "#num!", "#div/0!", "#null!", "#nv", "#wert!", "#bezug!",
})  # fmt: skip


def is_blank(cell: str) -> bool:
    """Whether a cell is empty, or holds what pandas, R, Excel, SQL or people write for an empty one."""
    return cell.strip().lower() in BLANKS
