"""What one cell of a column of labels holds: one label, several, a list written out."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Sequence

from data.films.blanks import is_blank
from synthworth.errors import UserError

BAR = "|"
PLAIN_MARKS = (";", ",", "\n", "\t")  # rarely part of a name
OTHER_MARKS = ("/", "+", "&", "\\")  # often part of one: asked about where a side is a label elsewhere
WORD_MARKS = (" and ", " ", "_", "-", ":")  # nearly always part of one: where all sides are labels elsewhere
EVERY = "*"
LIST = re.compile(r"""\[.*\]|\(\s*['"].*\)|\{\s*['"].*\}""", re.DOTALL)


def is_list(cell: str) -> bool:
    """Whether a cell is a list written out: ['a', 'b'], [a, b], ("a",), {'a'}, as Python, JSON or numpy print one."""
    return LIST.fullmatch(cell) is not None


def parts_of(cell: str, separator: str | None) -> list[str]:
    """The labels in a cell, in their order, blank ones left out; with no separator the cell is one unless a list."""
    mark = separator.strip() if separator and not re.search(r"\w", separator) else separator
    found = _listed(cell) if is_list(cell) else cell.split(mark or separator) if separator else [cell]
    return [part.strip() for part in found if not is_blank(part)]


def _listed(cell: str) -> list[str]:
    between = re.sub(r"""(?<=['"])\s+(?=['"])""", ", ", cell)  # numpy sets no comma, and Python would join the two
    try:
        found = ast.literal_eval(between)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [part.strip().strip("'\"") for part in cell[1:-1].split(",")]
    return [str(part) for part in (found if isinstance(found, (list, tuple, set, dict)) else [found])]


def joined_by(cells: Collection[str], *, known: Collection[str], multi: bool) -> tuple[str, str] | None:
    """A cell that seems to hold several labels, and what stands between them; None where none does.

    Parameters
    ----------
    known
        Cells that are declared to be one label.
    multi
        Findings co-occur: then a semicolon or a comma is enough. Otherwise a part must be a label, or a part of one,
        elsewhere; where a blank or the like stands between them, all parts must be whole labels.
    """
    single = [cell for cell in cells if not is_list(cell) and cell not in known]
    for mark in (*PLAIN_MARKS, *OTHER_MARKS, *WORD_MARKS):
        found = {cell: set(parts_of(cell, mark)) for cell in single if mark in cell}
        least = 1 if mark in PLAIN_MARKS else 2
        joined = {cell: parts for cell, parts in found.items() if len(parts) >= least and parts != {cell}}
        if joined and multi and mark in PLAIN_MARKS:
            return next(iter(joined)), mark
        times = Counter(part for cell in cells for part in joined.get(cell, {cell}))
        enough = all if mark in WORD_MARKS else any
        whole = times - Counter(part for parts in joined.values() for part in parts) if mark in WORD_MARKS else times
        for cell, parts in joined.items():
            if enough(whole[part] > (mark not in WORD_MARKS) for part in parts):
                return cell, mark
    return None


class Renaming:
    """What `--data.rename` says: NAME=CELL."""

    def __init__(self, rules: Sequence[str]) -> None:
        self.names: dict[str, str] = {}
        for rule in rules:
            name, given, cell = (part.strip() for part in rule.partition("="))
            if not given or not name:
                raise UserError(f"--data.rename {rule!r}: NAME=CELL is needed, as in Pneumothorax=1")
            if self.names.setdefault(cell, name) != name:
                raise UserError(f"--data.rename gives {cell!r} two names, {self.names[cell]!r} and {name!r}")

    @property
    def blank(self) -> str | None:
        """The name of a blank cell, where one is given."""
        return self.names.get("")

    def __call__(self, label: str) -> str:
        """The name of a label."""
        if label in self.names or EVERY not in self.names or label in self.names.values():
            return self.names.get(label, label)
        return self.names[EVERY]
