"""The picture of points over two axes: curves with bands, scatters, a frontier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.pages.svg import LETTER, Canvas, cut, label_of, log_ticks, ticks


@dataclass(frozen=True)
class Point:
    """A point with the ends of its interval, up and down; None where it has none."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    said: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one name; joined where `line`, with the area between their ends where `band`."""

    name: str
    points: tuple[Point, ...]
    colour: str = "s1"
    line: bool = True
    band: bool = False
    control: bool = False
    dots: bool = True
    dash: int = 0


@dataclass(frozen=True)
class Level:
    """A line across at one height, with its name; a band where it has ends."""

    at: float
    name: str
    low: float | None = None
    high: float | None = None
    kind: str = "zero"


def draw_points(
    series: Sequence[Series],
    axes: tuple[str, str],
    width: float,
    *,
    levels: Sequence[Level] = (),
    log: bool = False,
    x_ticks: Sequence[float] | None = None,
    square: bool = False,
) -> Canvas:
    """Series over two axes, with their names below; x on a log scale where `log`.

    Parameters
    ----------
    axes : names of x and of y.
    x_ticks : where x has its numbers; round ones by default.
    square : both axes go from 0 to 1, with the diagonal.
    """
    narrow = width < 600
    left, right, top = 54.0, width - 14, 26.0
    tall = min(right - left, 380.0) if square else (230.0 if narrow else 330.0)
    if square:
        right = left + tall
    bottom = top + tall
    legend = _legend(series, width)
    canvas = Canvas(width, bottom + 50 + 19 * len(legend))
    across, numbers_x = _across(series, left, right, log, x_ticks, square, narrow)
    up, numbers_y = _up(series, levels, top, bottom, square)
    for at in numbers_y:
        canvas.line(left, up(at), right, up(at), "grid")
        canvas.text(left - 7, up(at) + 4, label_of(at), "small", anchor="end")
    for at in numbers_x:
        canvas.line(across(at), top, across(at), bottom, "grid")
        canvas.text(across(at), bottom + 17, label_of(at), "small", anchor="middle")
    canvas.text(2, 13, axes[1], "small", most=width - 4)
    canvas.text((left + right) / 2, bottom + 37, axes[0], "small", anchor="middle", most=width - 20)
    if square:
        canvas.line(across(0), up(0), across(1), up(1), "mark zero")
    for level in levels:
        if level.low is not None and level.high is not None:
            canvas.box(left, up(level.high), right - left, up(level.low) - up(level.high), f"band {level.kind}")
        canvas.line(left, up(level.at), right, up(level.at), f"mark {level.kind}")
    for one in series:
        _draw_series(canvas, one, across, up)
    placed: list[float] = []
    for level in sorted(levels, key=lambda level: -level.at):
        y = up(level.at) - 5
        while any(abs(y - other) < 13 for other in placed):
            y += 13
        placed.append(y)
        canvas.text(right - 4, y, level.name, f"small halo {level.kind}", anchor="end")
    _draw_legend(canvas, legend, bottom + 58)
    return canvas


def _draw_series(canvas: Canvas, one: Series, across: Callable[[float], float], up: Callable[[float], float]) -> None:
    whole = [p for p in one.points if p.low is not None and p.high is not None]
    if one.band and len(whole) > 1:
        upper = [(across(p.x), up(p.high)) for p in whole if p.high is not None]
        lower = [(across(p.x), up(p.low)) for p in reversed(whole) if p.low is not None]
        canvas.path([*upper, *lower], f"area {one.colour}", closed=True)
    if one.line and len(one.points) > 1:
        canvas.path([(across(p.x), up(p.y)) for p in one.points], f"curve {one.colour} dash{one.dash % 4}")
    for point in one.points if one.dots else ():
        if point.low is not None and point.high is not None and not one.band:
            canvas.line(across(point.x), up(point.low), across(point.x), up(point.high), f"whisker thin {one.colour}")
        kind = f"{'hollow' if one.control else 'fill'} {one.colour}"
        canvas.dot(across(point.x), up(point.y), kind, square=one.control, said=point.said)


def _across(
    series: Sequence[Series], left: float, right: float, log: bool, asked: Sequence[float] | None, square: bool,
    narrow: bool,
) -> tuple[Callable[[float], float], list[float]]:  # fmt: skip
    """Where an x lies, and which have their numbers."""
    values = [p.x for one in series for p in one.points] or [0.0, 1.0]
    if log:
        ends = math.log(min(values)), math.log(max(values))
        room = 0.07 * ((ends[1] - ends[0]) or 1.0)
        low, high = ends[0] - room, ends[1] + room
        numbers = list(asked) if asked else log_ticks(math.exp(low), math.exp(high))
        return lambda x: left + (math.log(x) - low) / (high - low) * (right - left), numbers
    low, high = (0.0, 1.0) if square else _wide(min(values), max(values))
    numbers = list(asked) if asked else ticks(low, high, 4 if narrow else 7)
    return lambda x: left + (x - low) / (high - low) * (right - left), numbers


def _up(
    series: Sequence[Series], levels: Sequence[Level], top: float, bottom: float, square: bool
) -> tuple[Callable[[float], float], list[float]]:
    """Where a y lies, and which have their numbers."""
    ends = [y for one in series for p in one.points for y in (p.y, p.low, p.high) if y is not None]
    ends += [y for level in levels for y in (level.at, level.low, level.high) if y is not None]
    low, high = (0.0, 1.0) if square else _wide(min(ends, default=0.0), max(ends, default=1.0))
    return lambda y: bottom - (y - low) / (high - low) * (bottom - top), ticks(low, high, 5)


def _wide(low: float, high: float) -> tuple[float, float]:
    room = 0.07 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room


def _legend(series: Sequence[Series], width: float) -> list[list[tuple[float, Series, str]]]:
    """Names in rows: where each begins, and how it is shortened."""
    rows: list[list[tuple[float, Series, str]]] = [[]]
    at = 4.0
    for one in series:
        if not one.name:
            continue
        shown = cut(one.name, width - 44)
        wide = 30 + len(shown) * LETTER + 14
        if at + wide > width and rows[-1]:
            rows.append([])
            at = 4.0
        rows[-1].append((at, one, shown))
        at += wide
    return [row for row in rows if row]


def _draw_legend(canvas: Canvas, rows: list[list[tuple[float, Series, str]]], top: float) -> None:
    for number, row in enumerate(rows):
        y = top + 19 * number
        for x, one, shown in row:
            if one.line:
                canvas.line(x, y - 4, x + 22, y - 4, f"curve {one.colour} dash{one.dash % 4}")
            if one.dots:
                kind = f"{'hollow' if one.control else 'fill'} {one.colour}"
                canvas.dot(x + 11, y - 4, kind, square=one.control)
            canvas.text(x + 28, y, shown, "small")
