"""What can be seen of a picture file without decoding it: its format, its mode and its size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.films.opening import open_picture
from synthworth.files import Unfit, open_file

DEEP = "deep"


@dataclass(frozen=True)
class Look:
    """A file as it lies there.

    Parameters
    ----------
    format
        By its content (PNG, JPEG, ...), and by its name where that says otherwise.
    mode
        grey, RGB, palette, CMYK, ..., with transparency and depth where there are such.
    width, height : px
        As stored, before any EXIF orientation.
    """

    format: str
    mode: str
    width: int
    height: int


MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "PA": "palette with transparency",
    "RGBA": "RGB with transparency",
    "I": "deep grey",
    "F": "deep grey",
}


def look_at(path: Path) -> Look | None:
    """The look of a picture file, by its header; None where Pillow cannot tell."""
    from data.films.any_format import depth_of

    try:
        with open_file(path) as handle:
            head = handle.read(32)
            handle.seek(0)
            with open_picture(handle) as opened:
                what = opened.format or "unknown"
                mode = MODES.get(opened.mode.partition(";")[0], opened.mode)
                if depth_of(opened, head) and not mode.startswith(DEEP):
                    mode = f"{DEEP} {mode}"
                if mode in ("grey", "RGB", "palette") and "transparency" in opened.info:
                    mode += " with transparency"
                return Look(_format(what, path), mode, *opened.size)
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, Unfit):
        return None


def _format(what: str, path: Path) -> str:
    """PNG; or "PNG called .jpg" where the name says something else."""
    from PIL import Image

    suffix = path.suffix.lower()
    named = Image.registered_extensions().get(suffix, what)
    return what if named == what else f"{what} called {suffix}"
