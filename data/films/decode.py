"""One image file becomes one array, or a reason why not; many of them side by side, in their order."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from data.films.any_format import TooDeep, decode_any
from data.films.opening import MAX_PIXELS, SMALLEST, Damaged, TooLarge, most_bytes, refuse_sizes
from data.films.windowing import Shares
from synthworth.errors import UserError
from synthworth.files import Unfit, read_file
from synthworth.threads import n_cores

Fit = Literal["crop", "pad", "squash"]
EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"}
)
AHEAD = 4  # films each thread may be ahead of whoever takes them: enough to never wait, too few to fill memory
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
GREY, RGB = 0, 2  # PNG colour types
PLAIN_PIXELS = 89_478_485
BASELINE_TO_PROGRESSIVE = (0xC0, 0xC1, 0xC2)  # the frames of JPEG that everybody reads: Huffman, 8 bits

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Plain:
    """What OpenCV may decode: an 8-bit grey or RGB picture of so many pixels, without tags that change its look."""

    width: int
    height: int
    colour: bool
    reducible: bool


def decode_film(
    path: Path,
    *,
    channels: int,
    target: int | None = None,
    fit: Fit = "crop",
    deep: Shares | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:  # file -> uint8 (H, W), or (H, W, 3) where it has colour and 3 channels are asked for
    """Decode one file upright.

    Its EXIF orientation is applied, transparency is laid over black, colour is turned into luma
    (ITU-R 601) when one channel is asked for. Colour profiles (ICC) are not applied: the numbers in the file count.

    Plain 8-bit PNG and JPEG files go through OpenCV, after a look at whether they are whole, which OpenCV does not
    always tell; palettes, transparency, EXIF tags and every other format go through Pillow.

    Parameters
    ----------
    target : pixels
        What the film will be brought to, so a JPEG may be decoded at the smallest scale libjpeg offers that is still
        twice that.
    deep : percent of the pixels
        Which become black and white in a picture of more than 8 bits; without it such a picture is refused. One of 8
        bits stays as it is.
    max_pixels
        Pixels that a film may have: one of so many takes up to 16 bytes of memory for each.

    Raises
    ------
    UserError
        When the file is missing, no ordinary file, empty, damaged, not an image, deeper than 8 bits without `deep`, of
        several pages, under 8 px on a side or of more than `max_pixels`; the message names it.
    """
    try:
        content = read_file(path, at_most=most_bytes(max_pixels))
        if not content:
            raise Damaged("the file is empty")
        plain = _look(content)
        if plain is not None:
            refuse_sizes(plain.width, plain.height, max_pixels=max_pixels)
            return _decode_plain(content, plain, channels=channels, target=target, fit=fit)
        return decode_any(content, channels=channels, target=target, deep=deep, max_pixels=max_pixels)
    except TooDeep as error:
        raise UserError(
            f"{path} has more than 8 bits a pixel ({error}). Window it to 8 bits first, or let dataset folder do so: "
            "--data.window percentile (or full)"
        ) from error
    except TooLarge as error:
        raise UserError(f"{path}: {error}. Scale it down, or allow more by --data.max-pixels") from error
    except (Damaged, Unfit) as error:
        raise _unreadable(path, str(error)) from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(f"cannot read image {path}: {' '.join(reason.split())}. Replace the file or take it out")


def _look(content: bytes) -> _Plain | None:
    """What the file says of itself; None when it is not plain."""
    if content.startswith(PNG):
        return _look_at_png(content)
    return _look_at_jpeg(content) if content.startswith(JPEG) else None


def _look_at_png(content: bytes) -> _Plain | None:
    """Walk the chunks: every critical one must carry its checksum, the last must be IEND (RFC 2083).

    Raises
    ------
    Damaged
        When they do not.
    """
    view, at, kinds = memoryview(content), len(PNG), set()
    while at + 12 <= len(content):
        length, kind = int.from_bytes(view[at : at + 4]), bytes(view[at + 4 : at + 8])
        end = at + 12 + length
        if end > len(content):
            break
        if kind[:1].isupper() and zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise Damaged(f"damaged: PNG chunk {kind.decode('latin-1')} does not have its checksum")
        kinds.add(kind)
        at = end
        if kind == b"IEND":
            break
    if not content[12:16] == b"IHDR" or b"IEND" not in kinds:
        raise Damaged("truncated: the PNG ends before its end mark")
    width, height = int.from_bytes(view[16:20]), int.from_bytes(view[20:24])
    depth, colour, interlaced = view[24], view[25], view[28]
    odd = interlaced or kinds & {b"tRNS", b"eXIf", b"zTXt", b"acTL"}
    if odd or depth != 8 or colour not in (GREY, RGB) or _is_huge(width, height):
        return None
    return _Plain(width, height, colour == RGB, reducible=False)


def _look_at_jpeg(content: bytes) -> _Plain | None:
    """Walk the segments up to the pixels. Where the end mark is missing or anything is unusual: None."""
    at, frame = 2, None
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if marker == 0xFF:
            at += 1
            continue
        if marker in BASELINE_TO_PROGRESSIVE and content[at + 4] == 8:
            height, width = int.from_bytes(content[at + 5 : at + 7]), int.from_bytes(content[at + 7 : at + 9])
            frame = width, height, content[at + 9]
        if marker == 0xE1 and content[at + 4 : at + 8] == b"Exif":
            return None
        if marker == 0xDA:
            whole = content.rfind(b"\xff\xd9", at) > 0
            if frame is None or not whole or frame[2] not in (1, 3) or not frame[1] or _is_huge(*frame[:2]):
                return None
            return _Plain(frame[0], frame[1], frame[2] == 3, reducible=True)
        at += 2 + length
    return None


def _is_huge(width: int, height: int) -> bool:
    """Whether Pillow decodes it, as it always did of so many pixels: libjpeg's luma differs in a last bit."""
    return width * height > PLAIN_PIXELS


def _decode_plain(content: bytes, plain: _Plain, *, channels: int, target: int | None, fit: Fit) -> np.ndarray:
    """Decode with OpenCV.

    Raises
    ------
    Damaged
        When the picture does not come out in the size that its header says.
    """
    import cv2

    scale = _reduction(plain, target, fit) if plain.reducible else 1
    as_luma = channels == 1 and (plain.reducible or not plain.colour)  # libjpeg has luma at hand, libpng's differs
    kind = "GRAYSCALE" if as_luma or not plain.colour else "COLOR"
    flag = getattr(cv2, f"IMREAD_{kind}" if scale == 1 else f"IMREAD_REDUCED_{kind}_{scale}")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise Damaged(str(error)) from error
    if pixels is None or pixels.shape[:2] != (-(-plain.height // scale), -(-plain.width // scale)):
        raise Damaged(f"damaged: its pixels do not fill the {plain.width} x {plain.height} px it announces")
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_BGR2RGB)


def _reduction(plain: _Plain, target: int | None, fit: Fit) -> int:
    """The largest of 8, 4, 2 and 1 by which the sides may be divided and still be twice what is asked for.

    Twice, because a side that is no multiple of 8 ends in a pixel that stands for less than the others, and all
    are then scaled as if it did not: the far edge moves by less than half a pixel of the result.
    """
    if target is None:
        return 1
    side = max(plain.width, plain.height) if fit == "pad" else min(plain.width, plain.height)
    shorter = min(plain.width, plain.height)
    return next(d for d in (8, 4, 2, 1) if d == 1 or (side // d >= 2 * target and shorter // d >= SMALLEST))


def fit_square(
    pixels: np.ndarray, *, size: int, resize: int | None = None, fit: Fit = "crop"
) -> np.ndarray:  # uint8 (H, W) or (H, W, 3) -> (S, S) or (S, S, 3)
    """Bring a picture to `size` x `size`: areas are averaged where it shrinks (antialiased), bilinear where it grows.

    Parameters
    ----------
    fit : crop, pad or squash
        crop: the shorter side becomes `size`, the middle is kept (the proportions stay, the ends are lost).
        pad: the longer side becomes `size`, the rest is black (nothing is lost, the bars are seen).
        squash: both sides become `size` (nothing is lost, the proportions change).
    resize : px
        Do this for `resize` px instead, then cut out the middle `size`.
    """
    height, width = pixels.shape[:2]
    side = resize or size
    longest = max if fit == "pad" else min
    scale = side / longest(height, width)
    if fit == "squash":
        scaled = _rescale(pixels, side, side)
    else:
        scaled = _rescale(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
    if fit == "pad":
        framed = np.zeros((side, side, *pixels.shape[2:]), np.uint8)
        top, left = (side - scaled.shape[0]) // 2, (side - scaled.shape[1]) // 2
        framed[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
        scaled = framed
    top, left = (scaled.shape[0] - size) // 2, (scaled.shape[1] - size) // 2
    return scaled[top : top + size, left : left + size]


def _rescale(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrink what shrinks, then enlarge what grows: OpenCV averages areas only where neither side grows."""
    import cv2

    small = min(width, pixels.shape[1]), min(height, pixels.shape[0])
    if small != pixels.shape[1::-1]:
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    if small != (width, height):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return pixels


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:  # uint8 (H, W) or (H, W, 3) -> (C, H, W)
    """Grey and colour are converted into each other: luma (ITU-R 601), or three equal channels."""
    import cv2

    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    if channels == 1:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY))[None]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def in_order(function: Callable[[Item], Answer], items: Iterable[Item]) -> Generator[Answer]:
    """`map(function, items)` with one thread a core and a bounded number of answers waiting.

    The first exception in order is raised and stops the rest. OpenCV's own threads are off meanwhile.
    """
    threads = n_cores()
    waiting: deque[Future[Answer]] = deque()
    with _opencv_in_one_thread():
        pool = ThreadPoolExecutor(threads)
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
    """Threads of OpenCV beside ours would fight for the cores; the caller's setting is put back."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
