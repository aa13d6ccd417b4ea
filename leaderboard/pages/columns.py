"""Which columns the site's table has: their names, groups and explanations, and which are shown at first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from leaderboard.numbers import FIDELITY, INTERVAL, added_columns

Kind = Literal["rank", "arm", "text", "number", "interval", "gain", "floor", "p", "cost", "status", "verdict"]


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    id : of the number in `leaderboard.numbers`, or of a text.
    kind : how a cell is written.
    better : `high` or `low`, which end is sorted to the top first; empty for text.
    shown : whether it is shown before a reader chooses.
    claimed : whether its numbers are the record's word in every row, as no predictions on test give them.
    """

    id: str
    label: str
    group: str
    help: str
    kind: Kind = "number"
    better: Literal["high", "low", ""] = "high"
    shown: bool = False
    claimed: bool = False


CLAIMED = "° The record's word: no predictions on test give it, so it was not made again here."
UTILITY = "Classifier on test"
"""The group that metrics of plugins join."""


@cache
def built_in() -> tuple[Column, ...]:
    """The built-in columns, in order."""
    import yaml

    rows = yaml.safe_load((Path(__file__).with_name("columns.yaml")).read_text(encoding="utf-8"))
    return tuple(Column(**row) for row in rows)


def columns() -> list[dict[str, Any]]:
    """Every column as the page's script takes it: the built-in ones, then those of added metrics."""
    added = [
        Column(name, heading, UTILITY, "A metric that a plugin added.", "interval", claimed=True)
        for name, heading in added_columns().items()
    ]
    told = (replace(one, help=f"{one.help} {CLAIMED}") if one.claimed else one for one in (*built_in(), *added))
    return [asdict(one) for one in told]


def parts_of(name: str) -> tuple[str, ...]:
    """Which parts of a number the script needs beside its value, by the fields of `leaderboard.numbers.Number`."""
    if name in FIDELITY:
        return ("n", "floor", "floor_n", "at_floor_n")
    return ("low", "high") if name in INTERVAL or name in added_columns() else ()
