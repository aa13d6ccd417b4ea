"""The figure of sharing: what copies, a donor's synthetic films, its weights and its films gain a recipient."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.request.spec import NONE
from synthworth.artifacts import write_bytes
from synthworth.printable import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARING = "sharing.png"
Record = Mapping[str, Any]
NAMED = {
    "duplicate": "its own films again",
    "shared_real": "the donor's films",
    "shared_pretrained": "the donor's weights",
}
PLACES = {"duplicate": 0, "shared_pretrained": 2, "shared_real": 3}
"""From bottom to top; a generator comes between copies and weights."""
COLOURS = {"duplicate": "#6b7280", "shared_real": "#2563eb", "shared_pretrained": "#0d9488"}
ARM = "#bf4a30"
LONGEST = 34  # characters of a name


@dataclass(frozen=True)
class Panel:
    """The arms of one donor and one recipient.

    Parameters
    ----------
    title : one line.
    records : finished ones that were compared with the recipient's real films alone.
    """

    title: str
    records: Sequence[Record]

    @property
    def rows(self) -> list[Record]:
        """From bottom to top: by ratio, the largest first; in each the gain of the donor's films on top."""
        shown = [r for r in self.records if NONE in r["comparisons"] and r["spec"]["ratio"]]
        return sorted(shown, key=lambda r: (-r["spec"]["ratio"], PLACES.get(r["spec"]["generator"], 1), _steps(r)))

    @property
    def names(self) -> list[str]:
        """What the rows are called; arms of one generator that learned for other numbers of steps say for how many."""
        names = [(row["spec"]["ratio"], _called(row)) for row in self.rows]
        return [
            f"{name}, {_steps(row):,} steps" if names.count((ratio, name)) > 1 else name
            for row, (ratio, name) in zip(self.rows, names, strict=True)
        ]


def draw_sharing(file: Path, panels: Sequence[Panel]) -> None:
    """Write a PNG: gains of AUROC over the recipient's films alone, with 95 % intervals; a column a panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = max(len(panel.rows) for panel in panels)
    named = [panel.names for panel in panels]
    alike = all(one == named[0] for one in named)
    width = 2.2 + 4.0 * len(panels) if alike else 5.8 * len(panels)
    figure = Figure(figsize=(width, 1.3 + 0.46 * height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, len(panels), squeeze=False, sharey=alike)[0]
    for k, (axes, panel) in enumerate(zip(places, panels, strict=True)):
        _draw(axes, panel, names=not (alike and k))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(file, buffer.getvalue())


def _draw(axes: Axes, panel: Panel, *, names: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    rows = panel.rows
    ratios = [row["spec"]["ratio"] for row in rows]
    places = [k + 0.6 * len(set(ratios[: k + 1])) for k in range(len(rows))]
    for place, row in zip(places, rows, strict=True):
        found, name = row["comparisons"][NONE], row["spec"]["generator"]
        colour = COLOURS.get(name, ARM)
        reach = [[found["difference"] - found["low"]], [found["high"] - found["difference"]]]
        axes.errorbar(
            [found["difference"]], [place], xerr=reach, fmt="D" if colour == ARM else "o", color=colour, capsize=3,
            markersize=6, linewidth=1.6,
        )  # fmt: skip
        if said := kept_text(row):
            axes.annotate(
                said, (found["difference"], place), (0, 7), textcoords="offset points", ha="center", fontsize=8,
                color=colour,
            )  # fmt: skip
    axes.axvline(0, color="0.4", linewidth=1)
    if names:
        axes.set_yticks(places, panel.names, fontsize=9)
        for label, row in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_color(COLOURS.get(row["spec"]["generator"], ARM))
    axes.tick_params(axis="y", length=0, labelleft=names)
    for ratio in dict.fromkeys(ratios):
        top = max(place for place, own in zip(places, ratios, strict=True) if own == ratio)
        axes.annotate(
            f"{ratio:g} added for each of its own", (0.01, top + 0.55), xycoords=("axes fraction", "data"), ha="left",
            fontsize=8, style="italic", color="0.35",
        )  # fmt: skip
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(places[0] - 0.7, places[-1] + 1.1)
    axes.set_xlabel("gain of AUROC over its own films alone", fontsize=9)
    axes.set_title(_plain(panel.title, 80).replace(": ", "\n"), loc="left", fontsize=10)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def kept_text(record: Record) -> str:
    """`keeps 0.64 [0.41, 0.87]`; empty where no share is told."""
    kept = (record.get("sharing") or {}).get("kept")
    if not kept or kept["kept"] is None:
        return ""
    low, high = ("..." if x is None else f"{x:.2f}" for x in (kept["low"], kept["high"]))
    return f"keeps {kept['kept']:.2f} [{low}, {high}]"


def _steps(record: Record) -> int:
    """Of the generator's training; 0 where nothing was trained."""
    return int((record["spec"]["fit"] or {"steps": 0})["steps"])


def _called(record: Record) -> str:
    spec = record["spec"]
    if name := NAMED.get(spec["generator"]):
        return name
    whose = "the donor's" if spec.get("learn_from") else "its own"
    return _plain(f"{spec['generator']} ({whose})", LONGEST)


def _plain(text: str, most: int) -> str:
    """On one line, no longer than that; a dollar sign would begin a formula."""
    said = one_line(text)
    return (said if len(said) <= most else f"{said[: most - 3]}...").replace("$", r"\$")
