"""What a part of a record may be: small checks, and how they are put together. They say where a value is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from benchmarks.metrics.value import LARGEST

Check = Callable[[Any], None]
ROUNDING = 1e-9
"""How far beyond its bound a number may lie: another machine rounds the last digits otherwise."""
DIGEST = re.compile(r"[0-9a-f]{64}")


class Wrong(ValueError):
    """A part of a record is not what it has to be; `where` leads to it, from the inside out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where: list[str] = []

    def __str__(self) -> str:
        return f"{'.'.join(reversed(self.where)) or 'it'} {self.problem}"


def _is(value: Any, wanted: str) -> Wrong:
    shown = type(value).__name__ if isinstance(value, (dict, list)) else repr(value)
    names = {"dict": "a mapping", "list": "a list"}
    return Wrong(f"is {names.get(shown, shown if len(shown) <= 40 else f'{shown[:36]} ...')}, not {wanted}")


def number(low: float = -LARGEST, high: float = LARGEST) -> Check:
    """A finite number from `low` to `high`, but for rounding."""
    least, most = low - ROUNDING, high + ROUNDING

    def check(value: Any) -> None:
        if type(value) is not float and type(value) is not int:
            raise _is(value, "a number")
        if not least <= value <= most:  # NaN is neither
            shown = f"{value:.6g}" if isinstance(value, float) or abs(value) < LARGEST else "beyond 1e15"
            if isinstance(value, float) and not math.isfinite(value):
                raise Wrong(f"is {shown}: a record holds finite numbers or null with a note")
            raise Wrong(f"is {shown}; it lies from {low:g} to {high:g}")

    return check


def in_order(*values: float) -> bool:
    """Whether numbers do not fall, but for rounding."""
    return all(one <= other + ROUNDING * max(1.0, abs(other)) for one, other in pairwise(values))


def whole(low: int = 0, high: int = 10**12) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> None:
        if type(value) is not int:
            raise _is(value, "a whole number")
        if not low <= value <= high:
            shown = f"{value}" if abs(value) < LARGEST else "beyond 1e15"
            raise Wrong(f"is {shown}; it lies from {low} to {high}")

    return check


def text(value: Any) -> None:
    """Text."""
    if type(value) is not str:
        raise _is(value, "text")


def said(value: Any) -> None:
    """Text that is not empty."""
    text(value)
    if not value:
        raise Wrong("is empty")


def flag(value: Any) -> None:
    """True or false."""
    if type(value) is not bool:
        raise _is(value, "true or false")


def digest_of(value: Any) -> None:
    """A sha256 as 64 hexadecimal digits."""
    if type(value) is not str or not DIGEST.fullmatch(value):
        raise _is(value, "a sha256 of 64 hexadecimal digits")


def anything(value: Any) -> None:
    """Whatever JSON can hold: nothing reads it as a number."""


def mapping(value: Any) -> None:
    """A mapping of anything."""
    if type(value) is not dict:
        raise _is(value, "a mapping")


def one_of(*wanted: str) -> Check:
    """One of these words."""

    def check(value: Any) -> None:
        if type(value) is not str or value not in wanted:
            raise _is(value, f"one of {', '.join(wanted)}")

    return check


def maybe(kind: Check) -> Check:
    """Null, or what `kind` takes."""

    def check(value: Any) -> None:
        if value is not None:
            kind(value)

    return check


def several(kind: Check, *, least: int = 0) -> Check:
    """A list of `least` or more."""

    def check(value: Any) -> None:
        if type(value) is not list:
            raise _is(value, "a list")
        if len(value) < least:
            raise Wrong(f"has {len(value)} entries, not {least} or more")
        for k, part in enumerate(value):
            try:
                kind(part)
            except Wrong as error:
                error.where.append(str(k))
                raise

    return check


def by_name(kind: Check) -> Check:
    """A mapping from any name to what `kind` takes."""

    def check(value: Any) -> None:
        if type(value) is not dict:
            raise _is(value, "a mapping")
        for name, part in value.items():
            try:
                kind(part)
            except Wrong as error:
                error.where.append(name)
                raise

    return check


def fields(needed: Mapping[str, Check], further: Mapping[str, Check] | None = None) -> Check:
    """A mapping with these fields: those of `needed`, and where they are there those of `further`; others may be."""
    every = {**needed, **(further or {})}

    def check(value: Any) -> None:
        if type(value) is not dict:
            raise _is(value, "a mapping")
        for name, kind in every.items():
            try:
                if name in value:
                    kind(value[name])
                elif name in needed:
                    raise Wrong("is missing")
            except Wrong as error:
                error.where.append(name)
                raise

    return check


def both(*checks: Check) -> Check:
    """What every one of these takes."""

    def check(value: Any) -> None:
        for each in checks:
            each(value)

    return check
