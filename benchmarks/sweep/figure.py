"""The figure of a sweep: what each cell gains over real images alone, along the axis that has numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks.sweep.rows import Row
from synthworth.artifacts import write_bytes
from synthworth.printable import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#3b4252", "#8c6d31")
"""Okabe & Ito (2008), told apart by people who see colours otherwise, and two darker ones."""
MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
MOST_NAMED = 60
"""Most values that are named below the axis; of more, some at even distances."""
COPIES = "as many copies of real images"
SAME = 1e-9
"""Difference of AUROC within which two numbers are one."""
REPEATED = "generator_seed"
"""Trainings of one method are points of one line."""


def draw_sweep(file: Path, rows: Sequence[Row], axes: Sequence[str], *, title: str) -> bool:
    """Write a PNG; whether there was anything to draw."""
    shown = [row for row in rows if row.numbers["vs_none"] is not None]
    along = _along(shown, axes)
    shown = [row for row in shown if along in row.axes]  # blocks may vary other options
    if not shown or along is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = _lines(shown, axes, along)
    figure = Figure(figsize=(8.0, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    places = _places(shown, along)
    step = 0.5 / max(len(lines), 1)
    numeric = all(isinstance(value, int | float) for value in places)
    ax.axhline(0, color="#3b4252", linewidth=1)
    for number, (name, points) in enumerate(list(lines.items())[: len(COLOURS)]):
        colour, mark = COLOURS[number], MARKS[number]
        shift = (number - (min(len(lines), len(COLOURS)) - 1) / 2) * step
        by_place: dict[float, list[Row]] = {}
        for row in points:
            by_place.setdefault(places[row.axes[along]] + shift, []).append(row)
        _draw_points(ax, by_place, colour, mark)
        middles = sorted((place, fmean(r.numbers["vs_none"] or 0.0 for r in same)) for place, same in by_place.items())
        # a line says that there is something between: not between names
        style = {"linewidth": 1.5} if numeric else {"linestyle": "", "marker": mark, "markersize": 5}
        ax.plot(*zip(*middles, strict=True), color=colour, label=_said(name, 60) or _said(along), **style)
    copies = _copies(shown, along)
    if copies:
        ends = sorted((places[value], gain) for value, gain in copies.items())
        ax.plot(*zip(*ends, strict=True), color="#6b7280", linestyle="--", marker="_", linewidth=1.5, label=COPIES)
    ax.margins(x=0.12)
    named = list(places.items())
    named = named[:: -(-len(named) // MOST_NAMED)]
    ax.set_xticks([place for _, place in named], [_said(value) for value, _ in named])
    ax.set_xlabel(_said(along))
    ax.set_ylabel("AUROC against real images alone")
    ax.set_title(_said(title, 80), loc="left", fontsize=11)
    ax.grid(axis="y", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1 or copies:
        more = len(lines) - len(COLOURS)
        ax.legend(frameon=False, fontsize=8, title=f"{more} more lines stand in the table" if more > 0 else None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(file, buffer.getvalue())
    return True


def _draw_points(ax: Axes, by_place: Mapping[float, Sequence[Row]], colour: str, mark: str) -> None:
    """Every cell of a line with its interval, all in two calls: one for each would take minutes of 10,000."""
    for alone, markersize, alpha in ((True, 5.0, 0.9), (False, 3.5, 0.55)):
        shown = [(at, row) for at, same in by_place.items() for row in same if (len(same) == 1) is alone]
        if shown:
            ax.errorbar(
                [at for at, _ in shown], [_gain(row) for _, row in shown],
                yerr=[[_reach(row, "low") for _, row in shown], [_reach(row, "high") for _, row in shown]],
                fmt=mark, color=colour, markersize=markersize, capsize=2, linewidth=1, alpha=alpha,
            )  # fmt: skip


def _copies(rows: Sequence[Row], along: str) -> dict[Any, float]:
    """What as many copies of real images gain, by the value of the axis; none where lines have other copies.

    The control is no cell. A cell's difference to real images alone less its difference to copies is theirs.
    """
    found: dict[Any, list[float]] = {}
    for row in rows:
        if (against := row.numbers["vs_duplicate"]) is not None:
            found.setdefault(row.axes[along], []).append(_gain(row) - against)
    if any(max(same) - min(same) > SAME for same in found.values()):
        return {}
    return {value: fmean(same) for value, same in found.items()}


def _gain(row: Row) -> float:
    value = row.numbers["vs_none"]
    assert value is not None
    return value


def _reach(row: Row, end: str) -> float:
    """How far an end of the interval lies from the gain; 0 where there is none."""
    found = row.numbers[f"vs_none_{end}"]
    return 0.0 if found is None else max(0.0, found - _gain(row) if end == "high" else _gain(row) - found)


def _along(rows: Sequence[Row], axes: Sequence[str]) -> str | None:
    """The axis that goes from left to right: the ratio, else the first with several numbers, else the first."""
    varied = [name for name in axes if name != REPEATED and len({_key(row.axes.get(name)) for row in rows}) > 1]
    numeric = [name for name in varied if all(isinstance(row.axes.get(name), int | float) for row in rows)]
    for name in ("ratio", *numeric, *varied, *(name for name in axes if name != REPEATED)):
        if name == "ratio" and name not in varied:
            continue
        return name
    return None


def _places(rows: Sequence[Row], along: str) -> dict[Any, float]:
    """Each value's place, evenly apart: ratios from a quarter to four would crowd on a plain scale."""
    values = list(dict.fromkeys(row.axes.get(along) for row in rows))
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    return {value: float(place) for place, value in enumerate(values)}


def _lines(rows: Sequence[Row], axes: Sequence[str], along: str) -> dict[str, list[Row]]:
    others = [name for name in axes if name not in (along, REPEATED)]
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = ", ".join(f"{row.axes[other]:g}" if isinstance(row.axes[other], int | float) else str(row.axes[other])
                         for other in others if other in row.axes)  # fmt: skip
        found.setdefault(name, []).append(row)
    return found


def _said(value: Any, most: int = 40) -> str:
    """In words, no longer than that; a dollar sign would begin a formula."""
    if value is None:
        return ""
    text = f"{value:g}" if isinstance(value, int | float) else one_line(str(value))
    return (text if len(text) <= most else text[: most - 3] + "...").replace("$", r"\$")


def _key(value: Any) -> str:
    return repr(value)
