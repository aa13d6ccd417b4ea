"""What the labels of a table mean: classes, findings that co-occur, blank and uncertain ones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from data.films.blanks import is_blank
from data.films.cells import (
    BAR,
    EVERY,
    OTHER_MARKS,
    PLAIN_MARKS,
    WORD_MARKS,
    Renaming,
    further_marks,
    is_list,
    is_no_label,
    joined_by,
    parts_of,
)
from data.films.label_options import LabelConfig
from data.films.label_words import (
    MARKS,
    NOTHING,
    UNCERTAIN,
    are_measurements,
    is_minus_one_a_code,
    is_uncertain,
    to_number,
)
from synthworth.errors import UserError

CHOICES = "zeros, ones or drop"

Where = Callable[[int], str]


@dataclass(frozen=True)
class Labels:
    """What the images show.

    Parameters
    ----------
    marks : uint8 (N, K)
        1 where an image shows a class; exactly one in each row that stays, where `multi` is False.
    multi
        Whether findings co-occur.
    dropped : bool (N,)
        Images to be left out.
    notes : JSON
        What became of blank and uncertain labels, and of those that are not declared.
    as_lists
        Whether cells were read as lists, or `1.0` as 1: before they were so read, each was a class.
    """

    classes: tuple[str, ...]
    marks: np.ndarray
    multi: bool
    dropped: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)
    as_lists: bool = False

    def take(self, kept: np.ndarray) -> Labels:
        """The images at `kept`."""
        return replace(self, marks=self.marks[kept], dropped=self.dropped[kept])


def read_cells(cells: Sequence[str], config: LabelConfig, *, where: Where, table: bool, differ: bool) -> Labels:
    """One column of labels.

    Parameters
    ----------
    where
        How a message names the image at a place.
    table
        Whether the labels are cells of a table, not names of folders.
    differ
        Whether several rows speak of one image, with different labels, and all are to count.

    Raises
    ------
    UserError
        For a label that is blank, uncertain, not declared or probably several in one, where the options do not say
        what it is to become; for two that differ in capitals or blanks alone.
    """
    _refuse_twice(config.classes, "classes")
    distinct = list(dict.fromkeys(cells))
    multi = _is_multi(distinct, config, table=table, differ=differ)
    if table:
        _refuse_joined(cells, config, multi=multi, where=where)
    read = _Reader(config, cells, multi=multi, where=where, table=table)
    classes = config.classes or _classes(read.names(), config, multi=multi)
    place = {name: k for k, name in enumerate(classes)}
    marks = np.zeros((len(cells), len(classes)), np.uint8)
    dropped = read.dropped()
    n_other = 0
    for i, cell in enumerate(cells):
        for name in () if dropped[i] else read.of[cell]:
            if name in place:
                marks[i, place[name]] = 1
                continue
            if config.others == "refuse" or (config.others == "allow" and not multi):
                raise UserError(
                    f"{where(i)} has label {name!r}, which is not declared; --data.classes has {', '.join(classes)}. "
                    f"Others are left out by --data.others drop{' and passed over by allow' if multi else ''}"
                )
            n_other += 1
            dropped[i] = config.others == "drop"
    notes = read.notes | ({f"labels not declared ({_became(config.others)})": n_other} if n_other else {})
    none = [name for name in classes if plain_name(name) in NOTHING]
    if multi and table and none and not config.classes:
        notes["labels that count as findings, and may mean none of them (--data.negative)"] = ", ".join(none)
    as_lists = read.merged or (table and any(map(is_list, distinct)))
    return Labels(classes, marks, multi, dropped, notes, as_lists)


def _is_multi(distinct: Sequence[str], config: LabelConfig, *, table: bool, differ: bool) -> bool:
    if "" in config.separator:
        raise UserError("--data.separator '' is empty; it is what stands between findings, ';' for one")
    if config.separator and config.task == "single":
        raise UserError(
            f"--data.separator {config.separator[0]!r} parts findings that co-occur, and --data.task single has one "
            "class an image"
        )
    if config.task != "auto":
        return config.task == "multi"
    return bool(config.separator) or differ or any(BAR in c or (table and is_list(c)) for c in distinct)


def _refuse_joined(cells: Sequence[str], config: LabelConfig, *, multi: bool, where: Where) -> None:
    """A label holds several findings by its looks, and nothing says what parts them."""
    renaming = Renaming(config.rename)
    known = {*config.classes, *config.negative, *renaming.names}
    odd = next((cell for cell in cells if is_no_label(cell) and cell not in known), None)
    if odd is not None:
        raise UserError(
            f"{where(list(cells).index(odd))} has label {odd!r}, which holds marks and no names: make each a column, "
            "and name these by --data.label-columns"
        )
    if config.task == "single" or EVERY in renaming.names:
        return
    parts = {cell: parts_of(cell, _separators(config, multi=multi)) for cell in dict.fromkeys(cells)}
    among = {part for found in parts.values() for part in found}
    plain = {part for cell, found in parts.items() if not is_list(cell) for part in found} - known
    marks = PLAIN_MARKS if config.separator else (*PLAIN_MARKS, *OTHER_MARKS, *WORD_MARKS, *further_marks(plain))
    sure: tuple[str, ...] = () if config.separator or not multi else PLAIN_MARKS
    if sure and any(BAR in cell for cell in cells):
        sure = tuple(mark for mark in sure if mark != ",")  # between bars a comma may belong to a name
    found = joined_by(sorted(plain), among, sure=sure, marks=marks)
    if found is not None:
        part, mark = found
        cell = next(cell for cell, of in parts.items() if part in of)
        given = " ".join(map(repr, (*(config.separator or ((BAR,) if cell != part else ())), mark)))
        one = "declare it in --data.classes" if config.separator else f"--data.separator '{BAR}'"
        raise UserError(
            f"{where(list(cells).index(cell))} has label {part!r}. If these are several findings, say what stands "
            f"between them: --data.separator {given}. If it is one: {one if multi else '--data.task single'}"
        )


def _separators(config: LabelConfig, *, multi: bool) -> tuple[str, ...]:
    return (config.separator or (BAR,)) if multi else ()


class _Reader:
    """Each distinct cell as the names in it, blank and uncertain ones as the options say."""

    def __init__(self, config: LabelConfig, cells: Sequence[str], *, multi: bool, where: Where, table: bool) -> None:
        self.config, self.cells, self.multi, self.where = config, cells, multi, where
        self.declared = {*config.classes, *config.negative}
        self.notes: dict[str, Any] = {}
        self.leave: set[str] = set()
        self.merged = False
        renaming = Renaming(config.rename)
        if table:
            self.of = {cell: self._names(cell, renaming) for cell in dict.fromkeys(cells)}
            self._settle_blank(renaming)
            self._settle_numbers()
            self._settle_uncertain()
        else:  # a folder's name is a name, whatever it would be as a cell
            self.of = {cell: [renaming(p) for p in (cell.split(BAR) if multi else [cell])] for cell in {*cells}}
        if multi:
            self.of = {c: [n for n in names if n not in config.negative] for c, names in self.of.items()}

    def names(self) -> set[str]:
        return {name for cell, names in self.of.items() if cell not in self.leave for name in names}

    def dropped(self) -> np.ndarray:
        return np.fromiter((cell in self.leave for cell in self.cells), bool, len(self.cells))

    def _names(self, cell: str, renaming: Renaming) -> list[str]:
        declared = cell in self.declared
        parts = [cell] if declared else parts_of(cell, _separators(self.config, multi=self.multi))
        names = list(dict.fromkeys(renaming(part) for part in parts))
        if not self.multi and len(names) > 1:
            raise UserError(
                f"{self._first(cell)} has labels {', '.join(names)}, and task single wants one an image: "
                "--data.task multi"
            )
        return names

    def _first(self, *cells: str) -> str:
        return self.where(next(i for i, cell in enumerate(self.cells) if cell in cells))

    def _settle_blank(self, renaming: Renaming) -> None:
        blank = [cell for cell, names in self.of.items() if not names]
        if renaming.blank is not None:
            self.of |= {cell: [renaming.blank] for cell in blank}
        elif blank:
            self._settle("blank", blank, "has no label", zeros=[] if self.multi else None, ones=None)

    def _settle_numbers(self) -> None:
        """`1` and `1.0` are one class; the first is its name."""
        names = {name for found in self.of.values() for name in found}
        whole = {name: _whole(name) for name in names if _whole(name) in names and _whole(name) != name}
        if whole and not self.config.classes:
            self.merged = True
            self.of = {c: list(dict.fromkeys(whole.get(n, n) for n in found)) for c, found in self.of.items()}

    def _settle_uncertain(self) -> None:
        names = {n for found in self.of.values() for n in found}
        words = {n for n in names if is_uncertain(n, names)} - self.declared
        if words:
            cells = [cell for cell, found in self.of.items() if words & set(found)]
            self._settle("uncertain", cells, f"has label {min(words)!r}", zeros=[] if self.multi else None, ones=None)
        value = {name: to_number(name) for found in self.of.values() for name in found}
        blanks = any(not found for found in self.of.values()) or bool(self.leave)
        if is_minus_one_a_code(value.values(), blanks=blanks) and not self.declared & set(value):
            cells = [cell for cell, found in self.of.items() if any(value.get(n) == -1 for n in found)]
            of = {number: [name] for name, number in value.items()}
            others = " and ".join(f"{number:g}" for number in sorted(set(value.values()) - {-1}))
            said = f"has label {of[-1][0]!r} beside {others}"
            zeros, ones = (of.get(0), of.get(1)) if set(of) <= {-1, 0, 1} else (None, None)
            self._settle("uncertain", cells, said, zeros=zeros, ones=ones)

    def _settle(
        self, kind: str, cells: list[str], said: str, *, zeros: list[str] | None, ones: list[str] | None
    ) -> None:
        """Give cells the names that the option of this kind asks for; None is none to be had."""
        choice = getattr(self.config, kind)
        among = set(cells)
        n = sum(cell in among for cell in self.cells)
        offers = [c for c, names in (("zeros", zeros), ("ones", ones)) if names is not None] + ["drop"]
        if choice not in offers:
            here = f"; --data.{kind} {choice} needs --data.label-columns" if choice != "refuse" else ""
            columns = "" if ones else " (in columns of 0 and 1, --data.label-columns, also zeros or ones)"
            raise UserError(
                f"{self._first(*cells)} {said}, one of {n} such{here}. Choose what they become by --data.{kind} "
                f"{' or '.join(offers)}{columns}, declare it in --data.classes if it is a class, or take them out"
            )
        self.notes[f"{kind} labels ({_became(choice)})"] = n
        if choice == "drop":
            self.leave |= among
        else:
            self.of |= dict.fromkeys(cells, (zeros if choice == "zeros" else ones) or [])


def _became(choice: str) -> str:
    return {"drop": "left out", "allow": "passed over"}.get(choice, f"taken for {choice}")


def _classes(names: Iterable[str], config: LabelConfig, *, multi: bool) -> tuple[str, ...]:
    """All names, sorted; two that are spelled almost alike are asked about."""
    found = tuple(sorted(names, key=_numbers_first))
    if are_measurements(found):
        raise UserError(
            f"{len(found)} labels are numbers with decimals, {found[0]} for one: measurements, it seems, and no "
            "classes. Name the column of classes by --data.label-column, or declare these in --data.classes"
        )
    spelled: dict[str, str] = {plain_name(name): name for name in config.negative} if multi else {}
    for name in found:
        twin = spelled.setdefault(plain_name(name), name)
        if twin != name and len(name) > 1:
            raise UserError(
                f"labels {twin!r} and {name!r} differ in capitals or blanks alone, or in as little. If they are one: "
                f"--data.rename {f'{twin}={name}'!r}; if not, declare both in --data.classes"
            )
    return found


def plain_name(name: str) -> str:
    """A name of a class without what two spellings of one name may differ in.

    That is capitals, blanks, `_` and hyphens between words, a closing dot, ligatures, and what is not seen at all.
    """
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return re.sub(r"[\s_]+|(?<=\w)-(?=\w)", " ", seen).strip().rstrip(".,;:").rstrip().casefold()


def read_columns(columns: Sequence[Sequence[str]], config: LabelConfig, *, where: Callable[[int, str], str]) -> Labels:
    """Columns of 0 and 1, one a finding.

    Parameters
    ----------
    columns
        The cells of each of `config.label_columns`.
    where
        How a message names the cell of an image in a column.

    Raises
    ------
    UserError
        For a cell that is neither 0 nor 1, nor blank or uncertain where the options say what these become; for options
        that have no say here; with task single, for an image that is not of exactly one class.
    """
    _refuse_without_say(config)
    names = config.label_columns
    n = len(columns[0]) if columns else 0
    marks, dropped = np.zeros((n, len(names)), np.uint8), np.zeros(n, bool)
    odd: dict[str, list[tuple[int, str, str]]] = {"blank": [], "uncertain": []}
    for k, (name, cells) in enumerate(zip(names, columns, strict=True)):
        kinds = {cell: _mark(cell) for cell in dict.fromkeys(cells)}
        for i, cell in enumerate(cells):
            kind = kinds[cell]
            if isinstance(kind, int):
                marks[i, k] = kind
                continue
            if kind is None:
                raise UserError(f"{where(i, name)}: {cell!r} is neither 0 nor 1")
            odd[kind].append((i, name, cell))
            marks[i, k] = getattr(config, kind) == "ones"
            dropped[i] |= getattr(config, kind) == "drop"
    _refuse_odd(odd, config, where=where)
    notes = {f"{kind} cells ({_became(getattr(config, kind))})": len(found) for kind, found in odd.items() if found}
    return Labels(names, marks, config.task != "single", dropped, notes)


def _refuse_odd(
    odd: dict[str, list[tuple[int, str, str]]], config: LabelConfig, *, where: Callable[[int, str], str]
) -> None:
    left = {kind: found for kind, found in odd.items() if found and getattr(config, kind) == "refuse"}
    if left:
        i, name, cell = min(found[0] for found in left.values())
        counts = " and ".join(f"{len(found):,} cells are {kind}" for kind, found in left.items())
        flags = " and ".join(f"--data.{kind}" for kind in left)
        raise UserError(f"{where(i, name)}: {cell!r} is neither 0 nor 1; {counts}: choose {CHOICES} by {flags}")


def _refuse_without_say(config: LabelConfig) -> None:
    if config.classes and config.classes != config.label_columns:
        raise UserError("--data.classes and --data.label-columns name different classes; leave out the first")
    for flag, names in (("label-columns", config.label_columns), ("classes", config.classes)):
        _refuse_twice(names, flag)
    for flag, given in (
        ("separator", config.separator), ("rename", config.rename), ("others", config.others != "refuse"),
    ):  # fmt: skip
        if given:
            raise UserError(f"--data.{flag} is for labels in one column, and --data.label-columns names several")


def _refuse_twice(names: Sequence[str], flag: str) -> None:
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise UserError(f"--data.{flag} names {twice!r} twice")


def refuse_several(marks: np.ndarray, *, where: Where) -> None:
    """Refuse an image that is not of exactly one class.

    Raises
    ------
    UserError
        Naming the first.
    """
    bad = np.flatnonzero(marks.sum(1) != 1)
    if len(bad):
        n = int(marks[bad[0]].sum())
        raise UserError(f"{where(int(bad[0]))} has {n} classes, and task single wants one an image")


def _mark(cell: str) -> int | str | None:
    """0, 1, "blank", "uncertain", or None for anything else."""
    word = cell.strip().lower()
    if is_blank(word):
        return "blank"
    if word in UNCERTAIN or word == "u" or to_number(word) == -1:
        return "uncertain"
    number = MARKS.get(word, to_number(word))
    return int(number) if number in (0, 1) else None


def _whole(name: str) -> str:
    return re.sub(r"^(-?\d+)\.0+$", r"\1", name)


def _numbers_first(name: str) -> tuple[int, int, str]:
    """Sort key: whole numbers by value, then words."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
