"""The picture of the nearest pairs: synthetic images beside the training images they come closest to."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report.figures.grid import to_picture
from synthworth.artifacts import write_bytes

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont
    from torch import Tensor

    from benchmarks.judging.privacy import Pair

COLUMNS = 5
NEAREST = "nearest.png"
TILE, LARGEST = 104, 208  # pixels of the smallest and the largest tile
GAP, BETWEEN, HEAD, LINE, MARGIN = 2, 22, 34, 15, 14


def draw_pairs(file: Path, blocks: Mapping[str, Sequence[Pair]], *, space: str) -> None:
    """Write a PNG: under each title its pairs, nearest first, five a row, with distance and names below each.

    Parameters
    ----------
    space : what the distances are taken in.
    """
    from PIL import Image, ImageDraw, ImageFont

    size = next(int(pair.left.shape[-1]) for pairs in blocks.values() for pair in pairs)
    side = min(size * max(1, -(-TILE // size)), LARGEST)
    wide, high = 2 * side + GAP + BETWEEN, side + 3 * LINE + BETWEEN
    rows = sum(-(-len(pairs) // COLUMNS) for pairs in blocks.values())
    canvas = Image.new(
        "RGB", (2 * MARGIN + COLUMNS * wide - BETWEEN, MARGIN + len(blocks) * HEAD + rows * high), "white"
    )
    pen, title, small = ImageDraw.Draw(canvas), ImageFont.load_default(size=16), ImageFont.load_default(size=12)
    top = MARGIN
    for name, pairs in blocks.items():
        pen.text((MARGIN, top), f"{name}   (distance in {space})", fill="black", font=title)
        top += HEAD
        for number, pair in enumerate(pairs):
            x, y = MARGIN + number % COLUMNS * wide, top + number // COLUMNS * high
            canvas.paste(_tile(pair.left, side), (x, y))
            canvas.paste(_tile(pair.right, side), (x + side + GAP, y))
            y += side + 3
            pen.text((x, y), f"distance {pair.distance:.4g}", fill="black", font=small)
            for line, text in enumerate((pair.left_name, pair.right_name), start=1):
                pen.text((x, y + line * LINE), fitted(pen, text, small, 2 * side + GAP), fill="#555555", font=small)
        top += -(-len(pairs) // COLUMNS) * high
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    write_bytes(file, buffer.getvalue())


def _tile(image: Tensor, side: int) -> Image.Image:
    """Enlarged by a whole factor, or averaged down to `side`."""
    from PIL import Image

    size = int(image.shape[-1])
    picture = to_picture(image, max(1, side // size))
    return picture if picture.width == side else picture.resize((side, side), Image.Resampling.BOX)


def fitted(pen: ImageDraw, text: str, font: FreeTypeFont | ImageFont, width: int) -> str:
    """The text, its middle left out where it is too wide.

    Parameters
    ----------
    width : pixels at most.
    """
    shown, kept = text, len(text)
    while kept > 4 and pen.textlength(shown, font=font) > width:
        kept -= 1
        shown = f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}"
    return shown
