"""Text from elsewhere on one printed line: nothing in it steers a terminal, breaks the line or turns it round."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, ConsoleRenderable
    from rich.segment import Segment

BREAKS = re.compile(r"[\t\n\x0b\x0c\r\x85\u2028\u2029]+")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (escape sequences begin with one), marks that turn the direction of writing, line and paragraph
separators, and halves of surrogate pairs: what a file name that is not UTF-8 is read as."""
STEERING = re.compile(UNPRINTABLE.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))
"""The same without tabulator and line feed."""


def one_line(text: str) -> str:
    r"""Text as it can stand on one line: breaks are spaces, what else does not print is its escape (`\x1b`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in BREAKS.sub(" ", text))


def printable(text: str) -> str:
    """Text of several lines in which nothing but its line feeds and tabulators steers the terminal."""
    return STEERING.sub(_escaped, text)


def console() -> Console:
    """Standard output for tables, wide enough for them where there is no terminal; `printable` is all that it prints.

    Colours are its own: what steers a terminal in a text that is printed does not reach it.
    """
    from rich.console import Console, RenderHook

    class Printable(RenderHook):
        """Every renderable, with printable text."""

        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            """Wrap each of them."""
            return [_Rendered(one) for one in renderables]

    made = Console(highlight=False)
    made = made if made.is_terminal else Console(highlight=False, width=120)
    made.push_render_hook(Printable())
    return made


class _Rendered:
    """What a renderable comes to, with printable text."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for part in console.render(self.inner, options):
            yield part if part.control else Segment(printable(part.text), part.style)


def _escaped(found: re.Match[str]) -> str:
    return _escape(found[0])


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
