"""Which pictures of a generator's images the site shows, and why others are not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report.figures.features import PCA, POINTS
from leaderboard.admission import pictures_of
from leaderboard.pages.folder import Folder
from leaderboard.tables import Row
from synthworth.files import Unfit, read_file

FOLDER = "pictures"
SHOWN = {
    "grid.png": ("Drawn images beside real ones", "Rows of drawn and of real images with the same labels, not chosen."),
    "nearest.png": ("Nearest neighbours", "Drawn images, each beside the training image that is nearest to it."),
    "features.png": (
        "Where drawn and real images lie", "Features of drawn and of real images, on their two principal components.",
    ),
}  # fmt: skip
"""Pictures beside a record that a generator's page shows, with what they show."""
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 20 * 2**20


@dataclass(frozen=True)
class Picture:
    """One picture on a page: its path below the site, and its text."""

    path: str
    title: str
    caption: str
    of: str


def copy_pictures(rows: Sequence[Row], out: Folder) -> tuple[list[Picture], list[str]]:
    """Copy the pictures of these arms that may be shown into the site.

    Returns
    -------
    pictures, why_not : what was copied, and a line for each arm of which images are not shown.
    """
    made: list[Picture] = []
    why_not: list[str] = []
    for row in rows:
        entry = row.standing.entry
        allowed = pictures_of(entry, allowed=False)
        there = [name for name in SHOWN if (entry.folder / name).is_file()]
        drawn_here = {PCA} if (entry.folder / POINTS).is_file() else set()
        for name in there:
            if name not in allowed or name in drawn_here:
                continue
            try:
                content = read_file(entry.folder / name, at_most=LARGEST)
            except (Unfit, OSError) as reason:
                why_not.append(f"{row.label}: {name} cannot be read: {reason}")
                continue
            if not content.startswith(PNG):
                why_not.append(f"{row.label}: {name} is no PNG")
                continue
            path = f"{FOLDER}/{entry.run_id[:16]}-{name}"
            out.write(path, content)
            made.append(Picture(path, SHOWN[name][0], SHOWN[name][1], row.label))
        if "grid.png" not in there:
            why_not.append(f"{row.label}: there is no picture of its images beside its record")
        elif "grid.png" not in allowed:
            dataset = entry.spec["dataset"]
            why_not.append(f"{row.label}: the licence of {dataset} is not known to let pictures of its images be shown")
    return made, why_not
