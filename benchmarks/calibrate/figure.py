"""The picture of a calibration: false positives, coverage and power of each way to judge, design by design."""

from __future__ import annotations

import io
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.calibrate.judge import HARNESS
from synthworth.artifacts import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

PANELS = {
    "false_positives": ("False positives at 5 %", "share of null experiments called a difference"),
    "coverage": ("Coverage of the 95 % interval", "share of intervals that hold the truth"),
    "arm": ("Coverage of one arm's AUROC", "share of intervals that hold the truth"),
    "power": ("Power at a true gain of {gain:g}", "share of experiments called a gain"),
}
HEIGHT = 0.7
"""What the markers of a design take of its row."""


def draw_calibration(file: Path, found: dict[str, Any]) -> None:
    """Write a PNG of what `benchmarks.calibrate` found; bars are 95 % of the simulation's own error."""
    import seaborn as sns
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    designs, methods = found["designs"], list(found["methods"])
    colours = ["black", *sns.color_palette("colorblind", len(methods) - 1)]
    with sns.axes_style("whitegrid", {"axes.edgecolor": "0.6"}):
        figure = Figure(figsize=(16, 1.6 + 0.62 * len(designs)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for axes, (key, (title, label)) in zip(panels, PANELS.items(), strict=True):
            if key in found["targets"]:
                axes.axvspan(*(100 * x for x in found["targets"][key]), color="0.85", zorder=0)
            for place, (method, colour) in enumerate(zip(methods, colours, strict=True)):
                _draw_method(axes, designs, method, key, place / (len(methods) - 1) - 0.5, colour, found["methods"])
            axes.set_title(title.format(gain=found["settings"]["gain"]), loc="left", weight="bold")
            axes.set_xlabel(f"{label}, %")
            axes.grid(visible=False, axis="y")
            sns.despine(ax=axes, left=True)
        panels[0].set_yticks(range(len(designs)), [fill(d["summary"], 34) for d in designs])
        panels[0].set_ylim(len(designs) - 0.5, -0.5)
        for axes in panels:
            low, high = axes.get_xlim()
            axes.set_xlim(max(low, -4), min(high, 104))
            for y in range(1, len(designs)):
                axes.axhline(y - 0.5, color="0.9", linewidth=1, zorder=0)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    write_bytes(file, buffer.getvalue())


def _draw_method(
    axes: Axes, designs: list[dict[str, Any]], method: str, key: str, shift: float, colour: Any, names: dict[str, str]
) -> None:
    if key == "arm":
        rows = [(y, d["arm"]["coverage"] if method == HARNESS else None, d) for y, d in enumerate(designs)]
    else:
        rows = [(y, d["methods"][method][key], d) for y, d in enumerate(designs)]
    there = [(y, x, d) for y, x, d in rows if x is not None]
    x = np.array([value for _, value, _ in there])
    trials = np.array([d["n_experiments"] * (2 if key == "coverage" else 1) for _, _, d in there])
    axes.errorbar(
        100 * x,
        np.array([y for y, _, _ in there]) + HEIGHT * shift,
        xerr=100 * 1.96 * np.sqrt(x * (1 - x) / np.maximum(trials, 1)),
        fmt="D" if method == HARNESS else "o",
        markersize=8 if method == HARNESS else 6,
        color=colour,
        elinewidth=1.2,
        linestyle="none",
        label=names[method],
    )
