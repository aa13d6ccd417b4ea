"""The pictures of the leaderboard's site in docs/images, taken of the real site: `python docs/screenshots.py`.

The site is built from the committed records and opened from disk in the system's Chromium, by Playwright (the extra
`test`). Take the pictures again when records, or what the site looks like, have changed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
RECORDS = ROOT / "results" / "reference"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Names under which a browser may be on PATH; the first that is there is taken."""
MARGIN = 16
"""Pixels above the first element of a picture that begins below the page's top."""
SCALE = 1.5
"""Pixels of a picture for each of the page's: sharp on fine screens."""


class Picture(NamedTuple):
    """A part of the front page, as a window of some width and scheme shows it.

    It begins with the element `first`, and ends above `last` or, where that lies too far down, below the last row of a
    table within `tallest` pixels.
    """

    name: str
    width: int
    scheme: str
    first: str
    last: str
    tallest: int


PICTURES = (
    Picture("site.png", 1080, "light", "body", "#table", 2000),
    Picture("site_table.png", 1440, "light", "#table", "[data-section=apart]", 900),
)


def build(out: Path) -> None:
    """Build the site of all committed records into a folder."""
    folders = sorted({str(file.parent.parent) for file in RECORDS.rglob("record.json")})
    command = [sys.executable, "-m", "leaderboard.build", "--format", "site", "--results", *folders]
    with tempfile.TemporaryDirectory() as home:
        subprocess.run([*command, "--out", str(out), "--home", home], cwd=ROOT, check=True)


def photograph(site: Path, out: Path) -> list[Path]:
    """Take every picture of a site that was built.

    Parameters
    ----------
    site : folder of the site.
    out : folder that takes the pictures; files of the same names are replaced.

    Returns
    -------
    list of Path
        The pictures, in the order of `PICTURES`.

    Raises
    ------
    SystemExit
        If no browser is on PATH.
    """
    from playwright.sync_api import sync_playwright

    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise SystemExit(f"a browser is needed, and PATH has none of {', '.join(BROWSERS)}: install chromium")
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])  # root has no sandbox
        taken = []
        for picture in PICTURES:
            page = chromium.new_page(
                viewport={"width": picture.width, "height": 900},
                device_scale_factor=SCALE,
                color_scheme=picture.scheme,
                reduced_motion="reduce",
            )
            page.goto((site / "index.html").as_uri())
            taken.append(_take(page, picture, out / picture.name))
            page.close()
        chromium.close()
    return taken


def _take(page: Any, picture: Picture, file: Path) -> Path:
    top, bottom = (page.locator(end).first.bounding_box()["y"] for end in (picture.first, picture.last))
    top = max(top - MARGIN, 0)
    if bottom > top + picture.tallest:
        boxes = [row.bounding_box() for row in page.locator("tbody tr").all()]
        bottom = max(end for box in boxes if (end := box["y"] + box["height"]) <= top + picture.tallest)
    clip = {"x": 0, "y": top, "width": picture.width, "height": bottom - top}
    page.screenshot(path=file, clip=clip, full_page=True)
    return file


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        for file in photograph(Path(folder), IMAGES):
            print(f"written {file.relative_to(ROOT)}")
