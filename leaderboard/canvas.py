"""What the figures of a leaderboard share: an empty canvas, its title, and how an arm is called in them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leaderboard.tables import SEEN, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ARMS = 150
"""Most arms that a figure names, the best of the table; the others are left to the table, or stand without a name."""


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure, so many inches wide and high."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


WIDEST = 108  # characters of a small line across a figure


def heading_lines(table: Table) -> int:
    """Lines that a table's heading takes above a figure."""
    return len(textwrap.wrap(table.heading, WIDEST))


def add_title(figure: Figure, table: Table, text: str, *notes: str) -> None:
    """What the figure shows, of which setting, and how to read it, on the left above the axes."""
    lines = [line for part in (table.heading, *notes) for line in textwrap.wrap(part, WIDEST)]
    figure.suptitle(text, x=0.01, ha="left", fontsize=12)
    figure.axes[0].set_title("\n".join(lines), loc="left", fontsize=8, color="0.3", x=0)


def is_control(row: Row) -> bool:
    """Whether the arm is one of the fixed points that generators are read against."""
    return bool(row.standing.entry.record["is_control"])


def arm_name(row: Row, most: int = 44) -> str:
    """The arm's label, cut in the middle where it is too long for a figure; marked where it may have seen the films."""
    label = row.label
    label = label if len(label) <= most else f"{label[: most - 18]} … {label[-15:]}"
    return f"{label} ({SEEN})" if row.contaminated else label


def left_out(rows: Sequence[Row]) -> list[str]:
    """What is said of a figure that has not all of these arms."""
    return [f"the best {MOST_ARMS} of {len(rows)} arms; the others are in the table"] if len(rows) > MOST_ARMS else []
