"""Whether two records of one run say the same, field by field: to the bit, within the first one's interval, or not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Word = Literal["same", "within", "other"]
LEFT_OUT = ("provenance", "cost", "reanalysed", "schema", "dataset", "pretrained")
"""Parts of a record that say where, when and how fast it was made, and on what terms: records of before lack some."""
ROUNDING = 1e-9
ESTIMATES = ("value", "difference", "worth")
"""Names of a number that an interval `low` .. `high` stands beside."""


@dataclass(frozen=True)
class Field:
    """One place of a record in two versions of it.

    Parameters
    ----------
    path : names and numbers that lead there, the part of the record first.
    word : `same` to the bit; `within` the first one's interval, or derived from a number that is; `other`.
    """

    path: tuple[str, ...]
    was: Any
    now: Any
    word: Word


def fields_of(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Field]:
    """Every field of two records of one run, in the first one's order."""
    parts = [name for name in (*was, *(name for name in now if name not in was)) if name not in LEFT_OUT]
    return [field for name in parts for field in _walk((name,), was.get(name), now.get(name), within=False)]


def disagreeing(fields: Sequence[Field]) -> list[Field]:
    """Of the fields of two records those that make the second no reproduction of the first.

    A number that the first does not hold, as its version did not measure it or could not, contradicts nothing; nor do
    the last digits of one that has no interval (`ROUNDING`, as a share of it).
    """
    return [field for field in fields if field.word == "other" and field.was is not None and not _rounded(field)]


def _rounded(field: Field) -> bool:
    both = _is_number(field.was) and _is_number(field.now)
    return both and math.isclose(field.was, field.now, rel_tol=ROUNDING)


def _walk(path: tuple[str, ...], was: Any, now: Any, *, within: bool) -> Iterator[Field]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        held = within or _is_within(was, now)
        for name in (*was, *(name for name in now if name not in was)):
            yield from _walk((*path, str(name)), was.get(name), now.get(name), within=held)
    elif _is_list(was) and _is_list(now) and len(was) == len(now):
        for k, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from _walk((*path, str(k)), one, other, within=within)
    elif was == now:
        yield Field(path, was, now, "same")
    else:
        yield Field(path, was, now, "within" if within and _is_number(was) and _is_number(now) else "other")


def _is_within(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a mapping holds an estimate with its interval, and the new estimate lies in the old interval."""
    low, high = was.get("low"), was.get("high")
    for name in ESTIMATES:
        new = now.get(name)
        if _is_number(was.get(name)) and _is_number(new):
            return (low is None or low <= new) and (high is None or new <= high) and (low, high) != (None, None)
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
