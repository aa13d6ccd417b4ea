"""The picture of numbers with their intervals, a line each: worth, gains, gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.pages.svg import LETTER, Canvas, label_of, ticks, wrapped

TALL, HEAD = 26, 30
BOLD = 1.25
"""How much wider bold letters are."""


@dataclass(frozen=True)
class Line:
    """One line: a value between two ends, each None where it is open or unknown.

    Parameters
    ----------
    colour : class of its marks: s1 to s8, helps, hurts, control.
    text : what stands at its right.
    control : drawn as a square.
    heading : a line of text without a number, which begins a group.
    """

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    colour: str = "s1"
    text: str = ""
    control: bool = False
    heading: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Mark:
    """A place on the axis that lines are read against, with its name above; an area where it has two ends."""

    at: float
    name: str
    end: float | None = None
    kind: str = "zero"


def draw_lines(lines: Sequence[Line], marks: Sequence[Mark], axis: str, width: float) -> Canvas:
    """A line of text, an interval and its number for every line; names above the intervals where there is little room.

    An end that is None is drawn as an arrow to the edge.
    """
    narrow = width < 600
    longest = max((len(line.label) for line in lines if not line.heading), default=0)
    names = 0.0 if narrow else min(max(longest * LETTER + 14, 90), 0.44 * width)
    texts = 0.0 if narrow else max((len(line.text) for line in lines), default=0) * LETTER + 16
    talls = [_tall(line, width, narrow) for line in lines]
    left, right = names + 10, width - texts - 12
    low, high = _reach(lines, marks)

    def scale(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    levels = _levels([(scale(m.at), len(m.name) * LETTER * 0.92) for m in marks if m.name], width)
    top = HEAD + 15 * (max(levels, default=1) - 1)
    canvas = Canvas(width, top + sum(talls) + 46)
    bottom = top + sum(talls) + 4
    for tick in ticks(low, high, 4 if narrow else 7):
        canvas.line(scale(tick), top, scale(tick), bottom, "grid")
        canvas.text(scale(tick), bottom + 17, label_of(tick), "small", anchor="middle")
    named = iter(levels)
    for mark in marks:
        if mark.end is not None:
            canvas.box(scale(mark.at), top, scale(mark.end) - scale(mark.at), bottom - top, f"band {mark.kind}")
        else:
            canvas.line(scale(mark.at), top, scale(mark.at), bottom, f"mark {mark.kind}")
        if mark.name:
            place = scale(mark.at) if mark.end is None else (scale(mark.at) + scale(mark.end)) / 2
            half = len(mark.name) * LETTER * 0.46
            place = min(max(place, half + 2), width - half - 2)
            canvas.text(place, top - 8 - 15 * (next(named) - 1), mark.name, f"small {mark.kind}", anchor="middle")
    canvas.text((left + right) / 2, bottom + 37, axis, "small", anchor="middle", most=width)
    for line, tall in zip(lines, talls, strict=True):
        _draw_line(canvas, line, top, tall, names, scale, (low, high), narrow)
        top += tall
    return canvas


def _tall(line: Line, width: float, narrow: bool) -> float:
    """Height of a line in px."""
    if line.heading:
        return 14 + 17 * len(wrapped(line.label, width / BOLD))
    if not narrow:
        return TALL
    return TALL + (16 if _fits(line, width) else 31)


def _fits(line: Line, width: float) -> bool:
    """Whether the name of a line and its number stand side by side on a narrow page."""
    return (len(line.label) + len(line.text)) * LETTER + 12 <= width


def _draw_line(
    canvas: Canvas,
    line: Line,
    top: float,
    tall: float,
    names: float,
    scale: Callable[[float], float],
    reach: tuple[float, float],
    narrow: bool,
) -> None:
    middle = top + (tall - 11 if narrow else tall / 2)
    if line.heading:
        canvas.box(0, top, canvas.width, tall - 2, "paper")  # no line of the scale runs through the words
        for number, part in enumerate(wrapped(line.label, canvas.width / BOLD)):
            canvas.text(2, top + 19 + 17 * number, part, "strong halo")
        canvas.line(0, top + tall - 2, canvas.width, top + tall - 2, "rule")
        return
    soft = "control" if line.control else ""
    if narrow:
        above = 13 if _fits(line, canvas.width) else 28
        canvas.box(0, middle - above - 13, canvas.width, above + 5, "paper")  # nor through those of a line
        canvas.text(2, middle - above, line.label, f"small halo {soft}", most=canvas.width)
        canvas.text(canvas.width - 2, middle - 13, line.text, f"small num halo {soft}", anchor="end")
    else:
        canvas.text(names, middle + 4.5, line.label, soft, anchor="end", most=names - 4)
        canvas.text(canvas.width - 4, middle + 4.5, line.text, f"small num {soft}", anchor="end")
    if line.value is None and line.low is None and line.high is None:
        return
    low, high = reach
    faint = " faint" if line.faint else ""
    ends = [scale(low if line.low is None else line.low), scale(high if line.high is None else line.high)]
    canvas.line(ends[0], middle, ends[1], middle, f"whisker {line.colour}{faint}")
    for at, open_end, way in ((ends[0], line.low is None, -1), (ends[1], line.high is None, 1)):
        if open_end:
            tip = [(at - 6 * way, middle - 5), (at + 2 * way, middle), (at - 6 * way, middle + 5)]
            canvas.path(tip, f"fill {line.colour}{faint}", closed=True)
    if line.value is not None:
        said = f"{line.label}: {line.text}"
        kind = f"{'hollow' if line.control else 'fill'} {line.colour}{faint}"
        canvas.dot(scale(line.value), middle, kind, square=line.control, said=said)


def _reach(lines: Sequence[Line], marks: Sequence[Mark]) -> tuple[float, float]:
    ends = [x for line in lines for x in (line.value, line.low, line.high) if x is not None]
    ends += [x for mark in marks for x in (mark.at, mark.end) if x is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.05 * ((high - low) or 1.0)
    return low - room, high + room


def _levels(names: Sequence[tuple[float, float]], width: float) -> list[int]:
    """In which row above the axis each name stands, so that none lies on another."""
    rows: list[list[tuple[float, float]]] = []
    levels = []
    for at, wide in names:
        at = min(max(at, wide / 2 + 2), width - wide / 2 - 2)
        span = (at - wide / 2 - 6, at + wide / 2 + 6)
        level = next((k for k, row in enumerate(rows) if all(span[1] < a or span[0] > b for a, b in row)), len(rows))
        if level == len(rows):
            rows.append([])
        rows[level].append(span)
        levels.append(level + 1)
    return levels
