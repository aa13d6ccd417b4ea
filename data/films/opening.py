"""A picture's file is opened: its header is read without Pillow's own limit on pixels, in whose place ours stands."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SMALLEST = 8  # px on a side; what is narrower is no film
MAX_PIXELS = 50_000_000  # of a film; the largest that scanners make have some 30 million
BYTES_A_PIXEL, MORE_BYTES = 12, 64 << 20  # no file of so many pixels is larger: three channels of four bytes, and tags


class Damaged(Exception):
    """A file is not whole, or no film; the message is the reason."""


class TooLarge(Exception):
    """A picture has more pixels than may be decoded; the message is the reason."""


def refuse_sizes(width: int, height: int, *, max_pixels: int) -> None:
    """Raise Damaged where a side is too short for a film, TooLarge where it has more pixels than are decoded."""
    if min(width, height) < SMALLEST:
        raise Damaged(f"{width} x {height} px (width x height) is no film, at least {SMALLEST} are")
    if width * height > max_pixels:
        raise TooLarge(f"it has {width} x {height} = {width * height:,} pixels, and {max_pixels:,} are the most")


def most_bytes(max_pixels: int) -> int:
    """How large the file of a picture of so many pixels can be."""
    return BYTES_A_PIXEL * max_pixels + MORE_BYTES


def open_picture(source: IO[bytes]) -> Image.Image:
    """A picture whose header is read and whose pixels are not; whoever decodes them looks at its size first.

    Raises
    ------
    OSError, SyntaxError, ValueError, EOFError, ...
        What Pillow raises of bytes that are no picture.
    """
    from PIL import Image

    with _WITHOUT_LIMIT:
        return Image.open(source)


class _WithoutLimit:
    """Pillow's limit is one for the process; it is off while any thread reads a header, and then as it was.

    It would warn of what we take, and refuse what `max_pixels` was raised for. While pixels are decoded it holds, for
    pictures inside pictures (an icon's PNG).
    """

    def __init__(self) -> None:
        self.lock, self.n, self.before = threading.Lock(), 0, None

    def __enter__(self) -> None:
        from PIL import Image

        with self.lock:
            if not self.n:
                self.before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self.n += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        from PIL import Image

        with self.lock:
            self.n -= 1
            if not self.n:
                Image.MAX_IMAGE_PIXELS = self.before


_WITHOUT_LIMIT = _WithoutLimit()
