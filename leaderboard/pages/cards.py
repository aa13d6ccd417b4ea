"""What is known of a generator by its name: how it works, its equation and its source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.request.remedies import REMEDIES
from generators.registry import BUILT_IN, CONTROLS

CONTROL = "control: "


@dataclass(frozen=True)
class Card:
    """A generator in a few words.

    Parameters
    ----------
    summary : what it is.
    equation : lines of plain text, with what it minimises or does; empty where none is known.
    source : papers by author and year; empty where none is known.
    weak : what it is bad at; empty where nothing is known.
    """

    summary: str
    equation: tuple[str, ...] = ()
    source: str = ""
    weak: str = ""
    is_control: bool = False


@cache
def known() -> dict[str, dict[str, Any]]:
    """What `cards.yaml` has of each built-in generator."""
    import yaml

    found: dict[str, dict[str, Any]] = yaml.safe_load(
        Path(__file__).with_name("cards.yaml").read_text(encoding="utf-8")
    )
    return found


def card_of(name: str) -> Card:
    """The card of a generator, a control or a remedy; of a plugin from elsewhere its name is all that is known."""
    if name in REMEDIES:
        return Card(f"classical remedy on real images: {REMEDIES[name].summary}", is_control=True)
    row = BUILT_IN.get(name)
    if row is None:
        return Card("a plugin that is not part of this suite")
    summary, found = row.summary.removeprefix(CONTROL), known().get(name)
    if found is None:
        return Card(summary, is_control=name in CONTROLS)
    return Card(summary, tuple(found["equation"]), found["source"], found["weak"], name in CONTROLS)
