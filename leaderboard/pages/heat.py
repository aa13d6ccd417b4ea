"""The picture of a number by arm and class: a cell each, coloured by how far it lies from the zero line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.pages.svg import LETTER, Canvas, wrapped

TALL = 26
STEPS = 4
"""Shades to each side of zero."""


@dataclass(frozen=True)
class Cell:
    """A number as it is shown, and its difference to the zero line, which gives the shade; None where there is none."""

    text: str
    difference: float | None


def draw_heat(
    rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Cell]], width: float, *, bound: float
) -> Canvas:
    """A grid of numbers; orange below the zero line and blue above it, at most at `bound`.

    On a narrow page it is turned: a name stands above its row of cells.
    """
    narrow = width < 600
    names = 0.0 if narrow else min(max(len(row) for row in rows) * LETTER + 12, 0.34 * width)
    wide = (width - names) / max(len(columns), 1)
    heads = [wrapped(column, wide - 4) if wide > 70 else [column] for column in columns]
    upright = wide <= 70
    top = 14 + (max(len(c) for c in columns) * LETTER if upright else 15 * max(map(len, heads)))
    tall = TALL + 18 if narrow else TALL
    canvas = Canvas(width, top + tall * len(rows) + 8)
    for k, head in enumerate(heads):
        middle = names + wide * (k + 0.5)
        if upright:
            canvas.text(middle + 4, top - 6, columns[k], "small", turn=-90)
            continue
        for i, part in enumerate(head):
            canvas.text(middle, top - 8 - 15 * (len(head) - 1 - i), part, "small", anchor="middle")
    for i, row in enumerate(rows):
        y = top + tall * i
        if narrow:
            canvas.text(2, y + 13, row, "small", most=width - 4)
            y += 18
        else:
            canvas.text(names - 8, y + TALL / 2 + 4.5, row, anchor="end", most=names - 12)
        for k, cell in enumerate(cells[i]):
            canvas.box(names + wide * k + 1, y + 1, wide - 2, TALL - 2, f"heat {_shade(cell.difference, bound)}", rx=3)
            canvas.text(names + wide * (k + 0.5), y + TALL / 2 + 4.5, cell.text, "small num", anchor="middle")
    return canvas


def _shade(difference: float | None, bound: float) -> str:
    if difference is None:
        return "none"
    step = min(round(abs(difference) / bound * STEPS), STEPS)
    return f"{'up' if difference > 0 else 'down'}{step}" if step else "even"
