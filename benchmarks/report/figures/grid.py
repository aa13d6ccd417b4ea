"""The picture of an arm: real images beside synthetic ones, a row a class."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.images import showing
from synthworth.artifacts import write_bytes

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from data.images import ImageSet
    from data.mixing import SyntheticSet

COLUMNS = 8
TILE = 72  # pixels of the smallest tile
LABEL, GAP, HEAD = 150, 3, 28


def draw_grid(file: Path, *, real: ImageSet, fake: SyntheticSet, title: str, seed: int) -> None:
    """Write a PNG: for each class (or finding) eight real images on the left, eight synthetic on the right.

    Images are chosen by `seed`, not by eye; small ones are enlarged by whole factors without smoothing.
    """
    from PIL import Image, ImageDraw, ImageFont

    scale = max(1, -(-TILE // real.size))
    side = real.size * scale + GAP
    width = LABEL + 2 * COLUMNS * side + 4 * GAP
    canvas = Image.new("RGB", (width, HEAD + len(real.classes) * side + GAP), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=15)
    right = LABEL + COLUMNS * side + 4 * GAP
    pen.text((LABEL, 6), f"real, train ({len(real):,})", fill="black", font=font)
    pen.text((right, 6), f"{title} ({len(fake):,})", fill="black", font=font)
    rng = np.random.default_rng(seed)
    for k, name in enumerate(real.classes):
        top = HEAD + k * side
        pen.text((8, top + side // 2 - 10), name.replace("_", " "), fill="black", font=font)
        for left, images, labels in ((LABEL, real.images, real.labels), (right, fake.images, fake.labels)):
            rows = rng.permutation(showing(labels, k))[:COLUMNS]
            for column, row in enumerate(rows):
                canvas.paste(to_picture(images[int(row)], scale), (left + column * side, top))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    write_bytes(file, buffer.getvalue())


def to_picture(image: Tensor, scale: int) -> Image.Image:  # uint8 (C, H, W) -> RGB
    """One image, enlarged by a whole factor without smoothing."""
    from PIL import Image

    pixels = image.numpy().transpose(1, 2, 0)
    grey = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    picture = Image.fromarray(np.ascontiguousarray(grey)).convert("RGB")
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
