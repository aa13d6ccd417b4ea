"""Image files become one array: decoded in parallel, fitted to a square, at one size."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from synthworth.errors import UserError
from synthworth.progress import track

if TYPE_CHECKING:
    from PIL import Image

Fit = Literal["crop", "pad", "squash"]
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"})
DEEP_MODES = ("I", "F")  # more than 8 bits a pixel: which bits are seen is a decision (windowing), not ours


def decode_files(
    paths: Sequence[Path], *, size: int | None, channels: int, fit: Fit = "crop"
) -> np.ndarray:  # N files -> uint8 (N, C, S, S)
    """Decode image files with one thread a core.

    size : pixels on a side; None keeps the files' own size, which must then be one and the same square.
    channels : 1 or 3; grey and colour are converted into each other.
    fit : what becomes of a picture that is not square, see `fit_square`.

    Raises
    ------
    UserError
        When a file is missing, damaged, not an image or deeper than 8 bits (it is named), and when `size` is
        None and the sizes are mixed (two files are named) or not square.
    """
    if not paths:
        raise UserError("there is no image file to decode")
    side = size if size is not None else _own_side(paths[0], channels)
    out = np.empty((len(paths), channels, side, side), np.uint8)

    def decode(row: int) -> None:
        pixels = read_fitted(paths[row], size=size, channels=channels, fit=fit)
        if pixels.shape[1:] != (side, side):
            height, width = pixels.shape[1:]
            raise UserError(
                f"images of mixed sizes: {paths[0]} is {side} x {side}, {paths[row]} is {width} x {height} "
                "(width x height). Give one with --data.size"
            )
        out[row] = pixels

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for _ in track(pool.map(decode, range(len(paths))), "decode", total=len(paths), unit="images"):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return out


def _own_side(path: Path, channels: int) -> int:
    _, height, width = read_fitted(path, size=None, channels=channels).shape
    if height != width:
        raise UserError(f"{path} is {width} x {height}, and the suite takes squares. Give one with --data.size")
    return int(height)


def read_fitted(
    path: Path, *, size: int | None, channels: int, fit: Fit = "crop"
) -> np.ndarray:  # file -> uint8 (C, H, W)
    """Decode one file upright (its EXIF orientation applied), then fit it.

    A JPEG is decoded at the smallest scale libjpeg offers that is not below `size`.

    Raises
    ------
    UserError
        When the file is missing, damaged, not an image, or deeper than 8 bits; the message names it.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(path) as opened:
            if opened.mode.startswith(DEEP_MODES):
                raise UserError(f"{path} has more than 8 bits a pixel ({opened.mode}). Window it to 8 bits first")
            if size is not None:
                opened.draft(mode, (size, size))
            upright = ImageOps.exif_transpose(opened).convert(mode)
            fitted = upright if size is None else fit_square(upright, size, fit)
            pixels = np.asarray(fitted, dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise _unreadable(path, "not an image" if path.stat().st_size else "the file is empty") from error
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError) as error:
        raise _unreadable(path, str(error)) from error
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(f"cannot read image {path}: {reason}. Replace the file or take it out")


def fit_square(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """Bring a picture to `size` x `size`, antialiased bilinear.

    crop : the shorter side becomes `size`, the middle is kept (the proportions stay, the ends are lost).
    pad : the longer side becomes `size`, the rest is black (nothing is lost, the bars are seen).
    squash : both sides become `size` (nothing is lost, the proportions change).
    """
    from PIL import Image, ImageOps

    bilinear = Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(image, (size, size), bilinear)
    if fit == "pad":
        return ImageOps.pad(image, (size, size), bilinear, color=0)
    return image.resize((size, size), bilinear)
