"""What an element of a DICOM header holds as numbers or as a word, whatever was written into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset


def is_given(header: Dataset, name: str) -> bool:
    """Whether an element is there and holds anything."""
    item: Any = header.get_item(name)
    if item is None or item.value is None:
        return False
    return len(item.value) > 0 if isinstance(item.value, bytes) else str(item.value).strip() not in ("", "[]")


def numbers(header: Dataset, name: str) -> list[float | None]:
    """The values of an element, None for one that is no number ("auto", "40,400", ""); empty where it is not given."""
    if not is_given(header, name):
        return []
    try:
        value: Any = header.get(name)
    except (ValueError, TypeError, ArithmeticError):  # pydicom refuses all values where one is none
        item: Any = header.get_item(name)
        value = _text(item.value).split("\\")
    several = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    return [_number(one) for one in (value if several else [value])]


def number(header: Dataset, name: str) -> float | None:
    """The first value of an element; None where it is missing, empty or no number."""
    found = numbers(header, name)
    return found[0] if found else None


def word(header: Dataset, name: str) -> str:
    """An element as a word in capitals; "" where it is not given."""
    value: Any = header.get(name)
    return str(value or "").strip().upper()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return None
