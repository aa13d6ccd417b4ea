"""How a picture of the site is written: SVG whose text is text, in the colours of the page, light and dark."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from synthworth.escape import csv_cell
from synthworth.printable import one_line

WIDE, NARROW = 860, 360
"""Widths in px that every picture is drawn at: beside a desk, and on a phone."""
NULL = "\u2013"
"""What stands in the place of a number that is missing: an en dash."""
NOTHING = Markup("")
LETTER = 7.3
"""Mean width of a letter in px at the size of a label."""


@dataclass
class Canvas:
    """An empty picture of a width in px, which is filled from the top.

    Every mark has classes and no colour of its own: the style sheet gives colours, so that a page in the dark and a
    printed one have theirs.
    """

    width: float
    height: float = 0
    parts: list[Markup] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self._add("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)

    def box(self, x: float, y: float, width: float, height: float, kind: str, **more: Any) -> None:
        """A filled rectangle."""
        self._add("rect", kind, x=x, y=y, width=max(width, 0), height=max(height, 0), **more)

    def path(self, points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> None:
        """A line through points; an area where it is closed."""
        steps = "".join(f"{'L' if k else 'M'}{_short(x)} {_short(y)}" for k, (x, y) in enumerate(points))
        self._add("path", kind, d=steps + ("Z" if closed else ""))

    def dot(self, x: float, y: float, kind: str, *, square: bool = False, said: str = "") -> None:
        """A point: round for what is judged, square for a control; `said` is shown where the pointer rests."""
        title = _title(one_line(said)) if said else NOTHING
        if square:
            self._add("rect", kind, title, x=x - 4.5, y=y - 4.5, width=9, height=9)
        else:
            self._add("circle", kind, title, cx=x, cy=y, r=5)

    def text(
        self, x: float, y: float, said: str, kind: str = "", *, anchor: str = "start", most: float = 0, turn: float = 0
    ) -> None:
        """A line of text on its base line, cut in the middle where it is wider than `most` px; `turn` in degrees."""
        plain = one_line(said)
        shown = cut(plain, most) if most else plain
        title = _title(plain) if shown != plain else NOTHING
        more = {"transform": f"rotate({turn:g} {_short(x)} {_short(y)})"} if turn else {}
        self._add("text", f"t {kind}".strip(), escape(shown) + title, x=x, y=y, text_anchor=anchor, **more)

    def _add(self, tag: str, kind: str, inside: Markup = NOTHING, **attributes: Any) -> None:
        """A mark; `inside` is escaped already, everything else is here. Not by `Markup.format`, which takes thrice."""
        given = "".join(
            f' {name.replace("_", "-")}="{_short(value) if isinstance(value, float | int) else escape(value)}"'
            for name, value in attributes.items()
        )
        self.parts.append(Markup(f'<{tag} class="{escape(kind)}"{given}>{escape(inside)}</{tag}>'))

    def written(self, name: str, title: str, description: str, *, style: str = "") -> Markup:
        """The picture, with its title and what it shows in words for who does not see it.

        Parameters
        ----------
        name : of which ids are made; no other picture of a page has it.
        style : a style sheet, for a picture that stands alone in its file.
        """
        head = Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" viewBox="0 0 {w} {h}" width="{w}" '
            'height="{h}" aria-labelledby="{n}-t {n}-d"><title id="{n}-t">{t}</title><desc id="{n}-d">{d}</desc>'
        ).format(
            w=_short(self.width), h=_short(math.ceil(self.height)), n=name, t=one_line(title), d=one_line(description)
        )
        inner = Markup("<style>{}</style>").format(Markup(style)) if style else Markup("")
        return head + inner + Markup("").join(self.parts) + Markup("</svg>")


Draw = Callable[[float], Canvas]


@dataclass(frozen=True)
class Chart:
    """One figure of the site: what it shows, how it is drawn at a width, and the numbers behind it.

    Parameters
    ----------
    name : of its files.
    title, caption : above it, and how it is read.
    draw : the picture at a width in px.
    head, rows : the CSV behind it.
    wide : its width beside a desk; several of a small one stand side by side.
    """

    name: str
    title: str
    caption: str
    draw: Draw
    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    wide: float = WIDE

    @property
    def csv(self) -> str:
        """The numbers behind the picture; missing ones are `null`."""
        out = io.StringIO()
        lines = csv.writer(out, lineterminator="\n")
        lines.writerows([map(csv_cell, row) for row in (self.head, *self.rows)])
        return out.getvalue()

    def inline(self, width: float) -> Markup:
        """The picture as part of a page."""
        return self.draw(width).written(f"{self.name}-{int(width)}", self.title, self.caption)

    def alone(self, style: str) -> str:
        """The picture as a file, with its own style sheet."""
        return str(self.draw(self.wide).written(self.name, self.title, self.caption, style=style))


def _title(text: str) -> Markup:
    return Markup(f"<title>{escape(text)}</title>")


def cut(text: str, most: float) -> str:
    """A text cut in the middle to so many px."""
    letters = max(int(most / LETTER), 5)
    if len(text) <= letters:
        return text
    tail = letters // 3
    return f"{text[: letters - tail - 1]}…{text[-tail:]}"


def wrapped(text: str, most: float) -> list[str]:
    """A text in lines of so many px."""
    import textwrap

    return textwrap.wrap(text, max(int(most / LETTER), 12)) or [""]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers inside a range, about so many."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten inside a range; powers alone where those are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [m * 10.0**k for k in powers for m in (1, 2, 5) if low * 0.999 <= m * 10.0**k <= high * 1.001]
    return found if len(found) <= 7 else [t for t in found if math.isclose(math.log10(t), round(math.log10(t)))]


def label_of(value: float) -> str:
    """A number on an axis."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return minus(f"{value:.0e}")
    return minus(f"{value:,g}" if abs(value) >= 1000 else f"{value:g}")


def minus(written: str) -> str:
    """A number as it is set: with the sign of minus in the place of a hyphen."""
    return written.replace("-", "\u2212")


def _short(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
