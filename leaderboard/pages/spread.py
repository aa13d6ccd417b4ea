"""Where drawn and real images lie: the picture of the points beside a record, in the colours of the page."""

from __future__ import annotations

import csv
import io
import math

from benchmarks.report.figures.features import IN_CSV, KINDS, POINTS
from leaderboard.pages.points import Point, Series, draw_points
from leaderboard.pages.svg import Chart
from leaderboard.suite import dataset_of
from leaderboard.tables import Row, Table
from synthworth.errors import Unavailable
from synthworth.files import Unfit, read_file
from synthworth.printable import one_line

LARGEST = 1 << 18
COLOURS = ("s7", "s3", "s1")
"""Of `KINDS`."""


def spread_chart(table: Table, row: Row, name: str) -> Chart | None:
    """Features of drawn and of real images on two principal components; None where no points lie beside the record.

    Raises
    ------
    Unavailable
        Where the file of the points holds something else.
    """
    file = row.standing.entry.folder / POINTS
    if not file.is_file():
        return None
    try:
        head, *rows = csv.reader(io.StringIO(read_file(file, at_most=LARGEST).decode("utf-8")))
        points = [(kind, float(x), float(y)) for kind, x, y in rows]
        _, across, up = map(one_line, head)
    except (Unfit, OSError, ValueError, csv.Error) as reason:
        raise Unavailable(f"{POINTS} cannot be read: {one_line(str(reason))}") from reason
    if len(points) > IN_CSV * len(KINDS) or any(
        kind not in KINDS or not math.isfinite(x) or not math.isfinite(y) for kind, x, y in points
    ):
        raise Unavailable(f"{POINTS} holds more than {IN_CSV} points of a kind, or what is none")
    series = [
        Series(kind, tuple(Point(x, y) for of, x, y in points if of == kind), colour, line=False)
        for kind, colour in zip(KINDS, COLOURS, strict=True)
    ]
    return Chart(
        name, f"Where drawn and real images lie: {row.label}, {dataset_of(table.setting)}",
        "Features of drawn and of real images, on two principal components of the real training images.",
        lambda width: draw_points(series, (across, up), width), ("kind", across, up), tuple(points),
    )  # fmt: skip
