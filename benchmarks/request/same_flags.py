"""One command line read over the options of many cells: tyro reads it once for each kind of cell, not for each cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from benchmarks.request.options import Request, given_flags, read_flags

PARTS = ("gen", "data", "clf")


class SameFlags:
    """Reads flags over the options and Configs of a cell, as `read_flags` does.

    The first cell with some three classes of Configs is read by tyro. Of the others the fields that the flags name are
    those of the first, and the rest is what stands already; each object is made anew, so that it checks itself. Where
    that would not be the same (a flag that names no field, a first cell that comes out otherwise, an object that
    refuses), tyro reads the cell too, and says what is wrong.
    """

    def __init__(self, args: Sequence[str], *, prog: str) -> None:
        self.args, self.prog = list(args), prog
        self._given = frozenset(given_flags(args))
        self._first: dict[tuple[type, ...], Request | None] = {}
        self._made: dict[str, tuple[Any, Any, Any]] = {}

    def __call__(self, default: Mapping[str, Any]) -> Request:
        """The request.

        Parameters
        ----------
        default : `options`, and the Configs `gen`, `data` and `clf`.
        """
        kind = tuple(type(default[part]) for part in PARTS)
        if kind not in self._first:
            request = self._by_tyro(default)
            self._first[kind] = request if self._laid_over(default, request) == request else None
            return request
        first = self._first[kind]
        made = None if first is None else self._laid_over(default, first)
        return self._by_tyro(default) if made is None else made

    def _by_tyro(self, default: Mapping[str, Any]) -> Request:
        return read_flags(self.args, default, prog=self.prog)

    def _laid_over(self, default: Mapping[str, Any], first: Request) -> Request | None:
        paths = {name: _path(name, default) for name in self._given}
        if None in paths.values():
            return None
        made = {}
        for part in ("options", *PARTS):
            own = [path[1:] for path in paths.values() if path is not None and path[0] == part]
            value, other = default[part], getattr(first, part)
            before = self._made.get(part)
            if before is None or before[0] is not value or before[1] is not other:
                try:
                    before = self._made[part] = value, other, _anew(value, other, own)
                except Exception:  # whatever a stranger's Config raises: tyro meets it too, and words it
                    return None
            made[part] = before[2]
        return Request(made["options"], made["gen"], made["data"], made["clf"], given=self._given)


def _path(name: str, default: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The part and the fields that a flag leads to; None where it names no field."""
    words = name.split(".")
    path = (*words,) if words[0] in PARTS else ("options", *words)
    place = default[path[0]]
    for step in path[1:]:
        if step not in _fields(type(place)):
            return None
        place = getattr(place, step)
    return None if len(path) == 1 or is_dataclass(place) else path


@cache
def _fields(kind: type) -> tuple[str, ...]:
    """Names of what a dataclass is made of; nothing for another type."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.init) if is_dataclass(kind) else ()


def _anew(value: Any, first: Any, paths: Sequence[tuple[str, ...]]) -> Any:
    """A dataclass made again, and those in it, with the values of `first` at some paths."""
    fields = {name: getattr(value, name) for name in _fields(type(value))}
    for name, inner in fields.items():
        own = [path[1:] for path in paths if path[0] == name]
        if () in own:
            fields[name] = getattr(first, name)
        elif _fields(type(inner)):
            fields[name] = _anew(inner, getattr(first, name), own)
    return type(value)(**fields)
