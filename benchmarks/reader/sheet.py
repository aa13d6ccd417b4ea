"""A sheet: the page that a reader opens, and the key, which is kept apart from it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthworth.artifacts import ensure_folder, read_json, write_bytes, write_json
from synthworth.errors import UserError
from synthworth.keys import digest

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.reader.films import Films

PAGE, KEY = "sheet.html", "key.json"
LEAST_SIDE = 384
"""Pixels on a side that a film is shown with, at least."""


@dataclass(frozen=True)
class Key:
    """What each film of a sheet is.

    Parameters
    ----------
    run_id : of the arm whose images are shown.
    synthetic : by film.
    shown : what each shows, in words.
    """

    run_id: str
    synthetic: tuple[bool, ...]
    shown: tuple[str, ...]

    @property
    def sheet(self) -> str:
        """Name of the sheet: a digest of the whole key, which tells nothing of it."""
        return digest(asdict(self))[:16]


def write_sheet(films: Films, run_id: str, out: Path) -> Key:
    """Write the page, and the key into a folder beside it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    key = Key(run_id, tuple(map(bool, films.synthetic)), films.shown)
    page = Environment(
        loader=PackageLoader("benchmarks.reader", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("sheet.html.j2")  # fmt: skip
    shown = [{"picture": _picture(image), "shown": said} for image, said in zip(films.images, films.shown, strict=True)]
    write_bytes(ensure_folder(out) / PAGE, page.render(sheet=key.sheet, films=shown).encode())
    write_json(ensure_folder(out / "key") / KEY, {"sheet": key.sheet, **asdict(key)})
    return key


def read_key(folder: Path) -> Key:
    """The key of the sheet that was written to a folder.

    Raises
    ------
    UserError
        When there is none, or it has changed.
    """
    file = folder / "key" / KEY
    try:
        found: Mapping[str, Any] = read_json(file)
        key = Key(str(found["run_id"]), tuple(found["synthetic"]), tuple(found["shown"]))
    except FileNotFoundError as error:
        raise UserError(f"{file} is not there: it was written with the sheet. Name its folder with --out") from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{file} is no key of a sheet: {error}") from error
    if key.sheet != found["sheet"]:
        raise UserError(f"{file} has changed since it was written: it is not the key of sheet {found['sheet']!s:.16}")
    return key


def _picture(image: np.ndarray) -> str:
    """A film as the address of a PNG, enlarged by a whole factor."""
    import numpy as np
    from PIL import Image

    factor = max(1, -(-LEAST_SIDE // image.shape[-1]))
    pixels = np.moveaxis(image, 0, -1)
    made = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    made = made.resize((made.width * factor, made.height * factor), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    made.save(file, "PNG", optimize=False)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
