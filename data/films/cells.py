"""What one cell of a column of labels holds: one label, several, a list written out."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Sequence

from data.films.blanks import is_blank
from synthworth.errors import UserError

BAR = "|"
PLAIN_MARKS = (";", ",", "\n", "\t", "\uff1b", "\uff0c", "\u3001", "\u060c")  # rarely part of a name
OTHER_MARKS = ("/", "+", "&", "\\")  # often part of one: asked about where a side is a label elsewhere
WORD_MARKS = (" and ", " ", "_", "-", ":")  # nearly always part of one: where all sides are labels elsewhere
ANY_MARK = re.compile(r"""<[^<>]*>|[^\w\s.'"()\[\]{}]+|\s\w{1,5}\s""")
LONGEST = 200  # characters of a label in which marks are looked for
EVERY = "*"
MAPPING = re.compile(r"""\{\s*(['"]).*?\1\s*:.*\}""", re.DOTALL)  # {"a": 1}
NUMBERS = re.compile(r"""\[\s*[01](\.0*)?([\s,]+[01](\.0*)?)+\s*\]|[01](\.0*)?([\s,]+[01](\.0*)?){2,}""")
"""[0, 1, 0] or 0 1 0"""
LIST = re.compile(r"""\[.*\]|\(\s*['"].*\)|\{\s*['"].*\}""", re.DOTALL)


def is_list(cell: str) -> bool:
    """Whether a cell is a list written out: ['a', 'b'], [a, b], ("a",), {'a'}, as Python, JSON or numpy print one."""
    return LIST.fullmatch(cell) is not None


def is_no_label(cell: str) -> bool:
    """Whether a cell holds marks and not names, {"a": 1, "b": 0} or [0, 1, 0], which stand for columns of their own."""
    return MAPPING.fullmatch(cell) is not None or NUMBERS.fullmatch(cell) is not None


def parts_of(cell: str, separators: Sequence[str]) -> list[str]:
    """The labels in a cell, in their order, blank ones left out; with no separator the cell is one unless a list."""
    if is_list(cell):
        found = _listed(cell)
    else:
        found = re.split("|".join(re.escape(_bare(mark)) for mark in separators), cell) if separators else [cell]
    return [part.strip() for part in found if not is_blank(part)]


def _bare(mark: str) -> str:
    """A separator without the blanks around it, unless it is blank or a word."""
    return mark if re.search(r"\w", mark) or not mark.strip() else mark.strip()


def _listed(cell: str) -> list[str]:
    between = re.sub(r"""(?<=['"])\s+(?=['"])""", ", ", cell)  # numpy sets no comma, and Python would join the two
    try:
        found = ast.literal_eval(between)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [part.strip().strip("'\"") for part in cell[1:-1].split(",")]
    return [str(part) for part in (found if isinstance(found, (list, tuple, set)) else [found])]


def joined_by(
    labels: Collection[str], among: Collection[str], *, sure: Collection[str], marks: Sequence[str]
) -> tuple[str, str] | None:
    """One of the labels that seems to hold several, and what stands between them; None where none does.

    A mark of `sure` is enough. Otherwise a part must be a label, or a part of one, elsewhere; where a blank or the like
    stands between parts, all must be whole labels.

    Parameters
    ----------
    among
        All labels there are.
    marks
        Those to look for.
    """
    for mark in marks:
        least = 1 if mark in PLAIN_MARKS else 2
        found = {label: set(parts_of(label, [mark])) for label in labels if mark in label}
        joined = {label: parts for label, parts in found.items() if len(parts) >= least and parts != {label}}
        if joined and mark in sure:
            return next(iter(joined)), mark
        whole = Counter(label for label in among if label not in joined)
        times = whole + Counter(part for parts in joined.values() for part in parts)
        for label, parts in joined.items():
            by_word = mark not in (*PLAIN_MARKS, *OTHER_MARKS)
            if all(whole[part] for part in parts) if by_word else any(times[part] > 1 for part in parts):
                return label, mark
    return None


def further_marks(labels: Collection[str]) -> list[str]:
    """Whatever else stands between words of labels: `^`, `<br>`, ` with `; those of more labels go first."""
    found = Counter(mark for label in labels for mark in set(ANY_MARK.findall(label[:LONGEST])))
    return [mark for mark, _ in found.most_common()]


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
