"""A picture in whatever format Pillow reads: its pages, depth, orientation and transparency."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from data.films.opening import MAX_PIXELS, Damaged, open_picture, refuse_sizes
from data.films.remarks import remark
from data.films.windowing import Shares, window_picture

if TYPE_CHECKING:
    from PIL import Image

DEEP_MODES = ("I", "F")  # Pillow's, of more than 8 bits; deeper colour it cuts to 8 without a word
ORIENTATION, SUBFILE, BITS, PHOTOMETRIC, SAMPLE_FORMAT = 0x0112, 254, 258, 262, 339  # tags of EXIF and TIFF
PREVIEW_OR_MASK = 0b101  # in the tag SUBFILE: this page is a smaller copy of another, or what is transparent in it
MIN_IS_WHITE, UNSIGNED = 0, 1


class TooDeep(Exception):
    """A picture has more than 8 bits a pixel, and nothing says what becomes of them; the message is the depth."""


def decode_any(
    content: bytes,
    *,
    channels: int,
    target: int | None = None,
    deep: Shares | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:  # file -> uint8 (H, W) for one channel, else (H, W, 3)
    """Decode a file upright, by the rules of `data.films.decode.decode_film`.

    Raises
    ------
    Damaged
        When it is no whole picture, has several pages, or is a sliver.
    TooDeep
        When it has more than 8 bits a pixel and `deep` is None.
    TooLarge
        When it has more than `max_pixels`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    mode = "L" if channels == 1 else "RGB"
    try:
        with open_picture(io.BytesIO(content)) as opened:
            if opened.format == "EPS":
                raise Damaged("it is PostScript, which is a program and no picture")
            refuse_sizes(*opened.size, max_pixels=max_pixels)
            _refuse_pages(opened)
            what = depth_of(opened, content)
            if what and deep is None:
                raise TooDeep(what)
            if what:
                return _as_channels(window_picture(_deep_pixels(opened, content), deep or (0, 100)), mode)
            if target is not None:
                opened.draft(mode, (2 * target, 2 * target))
            upright = ImageOps.exif_transpose(opened)
            return np.array(_over_black(upright).convert(mode), dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise Damaged("not an image") from error
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError) as error:
        raise Damaged(str(error)) from error


# -- pages ----------------------------------------------------------------------------------------------------------


def _refuse_pages(opened: Image.Image) -> None:
    """Which page of several is the film, and whose, is nobody's to guess. Previews and masks are no pages."""
    if opened.format == "MPO":  # the further pictures of a camera's file are previews and depth maps
        return
    try:
        n = _count_pages(opened)
    except (TypeError, LookupError, struct.error) as error:  # what Pillow raises on a page that makes no sense
        raise Damaged(f"its pages cannot be read ({error})") from error
    if n > 1:
        raise Damaged(f"it holds {n} pages or frames, and a film has one")


def _count_pages(opened: Any) -> int:
    n: int = getattr(opened, "n_frames", 1)
    if n > 1 and opened.format == "TIFF":
        n = sum(_is_page(opened, page) for page in range(n))
        opened.seek(0)
    return n


def _is_page(opened: Any, page: int) -> bool:
    opened.seek(page)
    kind = opened.tag_v2.get(SUBFILE, 0)
    return not (isinstance(kind, int) and kind & PREVIEW_OR_MASK)


# -- depth ----------------------------------------------------------------------------------------------------------


def depth_of(opened: Any, content: bytes) -> str:
    """What of a picture that has more than 8 bits a sample, in words; "" where it has not."""
    if opened.format == "PNG":
        return f"{content[24]}-bit PNG" if content[24] > 8 else ""
    if opened.format == "TIFF":
        bits = opened.tag_v2.get(BITS, (1,))
        deepest = max(bits) if isinstance(bits, tuple) else bits
        return f"{deepest}-bit TIFF" if deepest > 8 or opened.mode.startswith(DEEP_MODES) else ""
    if opened.format == "PPM":
        largest = opened.tile[0].args[-1] if opened.tile and isinstance(opened.tile[0].args, tuple) else 255
        is_deep = opened.mode.startswith(DEEP_MODES) or (isinstance(largest, int) and largest > 255)
        return "PNM of more than 8 bits" if is_deep else ""
    return f"mode {opened.mode}" if opened.mode.startswith(DEEP_MODES) else ""


def _deep_pixels(opened: Any, content: bytes) -> np.ndarray:  # numbers (H, W) or (H, W, 3), upright
    """All bits of a deep picture; what is transparent is black.

    Raises
    ------
    ValueError
        For colours that are neither grey nor RGB.
    """
    tags = opened.tag_v2 if opened.format == "TIFF" else {}
    if opened.mode.startswith(DEEP_MODES):
        from PIL import ImageOps

        pixels = np.array(ImageOps.exif_transpose(opened))
        if pixels.dtype == np.int32 and tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED:
            pixels = pixels.view(np.uint32)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
        return pixels.max() - pixels if tags.get(PHOTOMETRIC) == MIN_IS_WHITE else pixels
    import cv2

    if opened.mode not in ("RGB", "RGBA", "LA"):
        raise ValueError(f"deep colours of mode {opened.mode} are not read here; save it as RGB of 8 or 16 bits")
    orientation = opened.getexif().get(ORIENTATION, 1)
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.ndim != 3 or found.dtype == np.uint8:
        raise ValueError("its deep colours cannot be read; save it as RGB of 8 bits")
    colours = found[..., 2::-1]
    if found.shape[2] == 4:
        opaque = found[..., 3:].astype(np.float64) / np.iinfo(found.dtype).max
        _remark_on_transparency(float(opaque.min()), float(opaque.max()), opaque=1)
        colours = np.round(colours * opaque).astype(found.dtype)
    return _upright(colours, orientation)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture by its EXIF orientation (1 to 8; anything else means upright)."""
    mirrored = orientation in (2, 4, 5, 7)
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    turned = np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)
    return np.ascontiguousarray(turned)


def _as_channels(pixels: np.ndarray, mode: str) -> np.ndarray:
    from PIL import Image

    return np.array(Image.fromarray(pixels).convert(mode), dtype=np.uint8)


# -- transparency ---------------------------------------------------------------------------------------------------


def _over_black(image: Image.Image) -> Image.Image:
    """Lay what is transparent over black, as a film is seen before a dark box; an opaque picture stays as it is."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    clear = image.convert("RGBA")
    low, high = clear.getchannel("A").getextrema()
    _remark_on_transparency(low, high, opaque=255)
    return Image.alpha_composite(Image.new("RGBA", clear.size, (0, 0, 0, 255)), clear).convert("RGB")


def _remark_on_transparency(low: Any, high: Any, *, opaque: int) -> None:
    """Say of a picture by its smallest and largest opacity that it is seen in part, dimly, or not at all."""
    if high == 0:
        remark("wholly transparent (alpha 0), and so black")
    elif low == 0:
        remark("transparent in part (alpha 0), and black there")
    elif high < opaque:
        remark("nowhere opaque (alpha), and so darker than it is stored")
