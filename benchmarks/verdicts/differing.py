"""In what numbers that stand in a record and the same made again differ; texts are not compared but made anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.records.predictions import AGREEMENT


def differing(made: Any, stored: Any, where: str = "it") -> Iterator[str]:
    """A line for each number, flag or null that differs by more than rounding.

    Of two mappings the names that both have are compared: an older record lacks some. Two texts always agree, as their
    words may be those of another version (`in_words_of`).

    Parameters
    ----------
    made, stored : plain JSON values.
    where : what they are called in the lines.
    """
    if isinstance(made, Mapping) and isinstance(stored, Mapping):
        for name, part in made.items():
            if name in stored:
                yield from differing(part, stored[name], name if where == "it" else f"{where}.{name}")
    elif isinstance(made, (list, tuple)) and isinstance(stored, list):
        if len(made) != len(stored):
            yield f"{where} has {len(stored)} entries in the record and {len(made)} by its predictions"
        for k, pair in enumerate(zip(made, stored, strict=False)):
            yield from differing(*pair, where=f"{where}.{k}")
    elif not _alike(made, stored):
        yield f"{where} is {_shown(stored)} in the record and {_shown(made)} by its predictions"


def in_words_of(made: Any, stored: Any) -> Any:
    """What is stored, with the texts of what was made again."""
    if isinstance(made, Mapping) and isinstance(stored, Mapping):
        return {name: in_words_of(made[name], part) if name in made else part for name, part in stored.items()}
    if isinstance(made, (list, tuple)) and isinstance(stored, list) and len(made) == len(stored):
        return [in_words_of(*pair) for pair in zip(made, stored, strict=True)]
    return made if isinstance(made, str) and isinstance(stored, str) else stored


def _alike(made: Any, stored: Any) -> bool:
    if isinstance(made, bool) or isinstance(stored, bool) or made is None or stored is None:
        return made is stored
    if isinstance(made, (int, float)) and isinstance(stored, (int, float)):
        return abs(made - stored) <= AGREEMENT * max(1.0, abs(made))
    return isinstance(made, str) and isinstance(stored, str)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.8g}"
    return str(value) if isinstance(value, int) else "a text" if isinstance(value, str) else "another kind"
