"""Names and notes from records inside a page or a table: they are text there, and nothing else."""

from __future__ import annotations

import html
import re
from typing import Any

from synthworth.printable import one_line

MARKS = re.compile(r"[\\|*`~$]|!(?=\[)|(?<=\])[(\[:]|(?<![^\W_])_|_(?![^\W_])")
"""What makes a link, a picture, a cell, code, a formula or emphasis. Brackets alone do not, nor an underscore inside a
word: intervals and names stay as they are."""
LINKS = re.compile(r"(?i)(?<=[a-z]):(?=//)|(?<=\bwww)\.|@(?=[\w-]+\.\w)|(?<=\bmailto):|(?<=\bxmpp):")
"""The sign by which a page of GitHub would make a link of an address."""
BLOCKS = re.compile(r"^(?:[#>=\[]|\+(?=\s|$)|-(?=[\s-]|$)|\d{1,9}(?=[.)](?:\s|$)))")
"""What begins a heading, a quotation, a list, a box to tick or a rule where it begins a line; a number such as
`0.9` or `+0.1` does not."""
FORMULA = re.compile(r"^[\s\u200b\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet would compute; some take the full-width signs too, and skip what is not seen."""


def markdown_text(text: str) -> str:
    """As `markdown_cell` where the text begins a line or an entry of a list: nor is a block begun."""
    return BLOCKS.sub(_apart, markdown_cell(text))


def markdown_cell(text: str) -> str:
    """Text as it is inside a line of Markdown, or a cell of a table, where no block can begin.

    No column, link, picture or tag is opened, no line broken. What is written by GitHub as a link by itself
    (`https://...`, `www...`, an address of mail) is kept from it by an entity inside.
    """
    plain = " ".join(one_line(text).replace("&", "&amp;").replace("<", "&lt;").split())
    plain = MARKS.sub(lambda found: f"\\{found[0]}", plain)
    return LINKS.sub(lambda found: f"&#{ord(found[0])};", plain)


def plain_text(cell: str) -> str:
    """The text that `markdown_cell` made this of."""
    return html.unescape(re.sub(r"\\(.)", r"\1", cell))


def picture_text(text: str) -> str:
    """Text between the brackets of a picture."""
    return re.sub(r"[\[\]]", lambda found: f"&#{ord(found[0])};", markdown_cell(text))


def _apart(found: re.Match[str]) -> str:
    sign = found[0]
    return f"&#{ord(sign[0])};{sign[1:]}"


def csv_cell(value: Any) -> Any:
    """A cell of a CSV that a spreadsheet takes as text where it is text; numbers stay numbers, null is `null`.

    Text that begins like a formula is given an apostrophe in front, as OWASP advises ("CSV Injection").
    """
    if value is None:
        return "null"
    if not isinstance(value, str):
        return value
    plain = one_line(value)
    return f"'{plain}" if FORMULA.match(value) or FORMULA.match(plain) else plain
