"""How a short table of arms reads on a page without a script: text by cell, and why a number is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard.numbers import Number
from leaderboard.pages.svg import NULL, minus
from leaderboard.tables import Row, Table

COLUMNS = {
    "worth": "Worth", "vs_none": "Gain over real images alone", "vs_duplicate": "Gain over duplicates",
    "auroc": "AUROC",
}  # fmt: skip


@dataclass(frozen=True)
class CellText:
    """A number, what stands below it, and why it is missing or how it is to be read."""

    text: str
    below: str = ""
    note: str = ""


@dataclass(frozen=True)
class ArmText:
    """One arm of a short table."""

    rank: str
    label: str
    kind: str
    situation: str
    generator: str
    cells: tuple[CellText, ...]
    verdict: str
    word: str
    status: str
    beside: str
    why: str
    contaminated: str
    run_id: str


def arm_texts(table: Table, rows: Iterable[Row] | None = None) -> list[ArmText]:
    """Arms of a table as text, in its order.

    Parameters
    ----------
    rows : which of them; all by default.
    """
    return [_arm(row) for row in (table.rows if rows is None else rows)]


def by_kind(arms: Sequence[ArmText]) -> list[tuple[str, list[ArmText]]]:
    """What is judged, and apart from it what it is read against; no group without arms."""
    groups = (
        ("Judged", [arm for arm in arms if arm.kind == "judged"]),
        ("Controls and points of the learning curve", [arm for arm in arms if arm.kind != "judged"]),
    )
    return [(title, mine) for title, mine in groups if mine]


def _arm(row: Row) -> ArmText:
    return ArmText(
        NULL if row.place is None else f"{'=' * row.tied}{row.place}", row.label, row.kind, row.situation,
        str(row.standing.entry.spec["generator"]), tuple(_cell(name, row) for name in COLUMNS), row.verdict,
        row.word.kind.name.lower(), row.status.word, row.status.beside, row.status.why or "", row.contaminated or "",
        row.standing.entry.run_id,
    )  # fmt: skip


def _cell(name: str, row: Row) -> CellText:
    number = row.numbers[name]
    if number.value is None:
        return CellText(NULL, note=number.note or "not measured")
    sign, digits = ("+", 3) if name.startswith("vs_") else ("", 2 if name == "worth" else 3)
    below = _interval(number, sign, digits)
    corrected = row.numbers.get(name.replace("vs_", "holm_")) if sign else None
    if corrected is not None and corrected.value is not None:
        below += " · p < .001" if corrected.value < 0.0005 else f" · p {corrected.value:.3f}".replace("0.", ".", 1)
    return CellText(_signed(number.value, sign, digits), below, number.note or "")


def _interval(number: Number, sign: str, digits: int) -> str:
    if number.low is None and number.high is None:
        return ""
    low, high = ("…" if end is None else _signed(end, sign, digits) for end in (number.low, number.high))
    return f"[{low}, {high}]"


def _signed(value: float, sign: str, digits: int) -> str:
    return minus(f"{value:{sign}.{digits}f}")
