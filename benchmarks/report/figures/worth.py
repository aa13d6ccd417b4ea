"""The figure of worth: the learning curve of real images alone, the augmented arm, and where the two meet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthworth.artifacts import write_bytes

REAL, ARM = "#3b4252", "#bf4a30"


def draw_worth(file: Path, worth: Mapping[str, Any], auroc: Mapping[str, Any], *, name: str) -> None:
    """Write a PNG.

    Parameters
    ----------
    worth : the record's `worth`.
    auroc : its `utility["auroc"]`, with the interval.
    name : of the arm.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    sizes = [point["n"] for point in worth["curve"]]
    heights = [point["auroc"] for point in worth["curve"]]
    reach = [[p["auroc"] - p["low"] for p in worth["curve"]], [p["high"] - p["auroc"] for p in worth["curve"]]]
    axes.plot(sizes, [p["fitted"] for p in worth["curve"]], color=REAL, linewidth=1.5, zorder=2)
    axes.errorbar(sizes, heights, yerr=reach, fmt="o", color=REAL, capsize=3, markersize=5, label="real images alone")
    at = worth["n_real"]
    axes.errorbar(
        [at], [auroc["value"]], yerr=[[auroc["value"] - auroc["low"]], [auroc["high"] - auroc["value"]]], fmt="D",
        color=ARM, capsize=3, markersize=6, zorder=4, label=f"{name}: {at} real + {worth['n_synthetic']} added",
    )  # fmt: skip
    if worth["n_equivalent"] is not None:
        axes.plot([at, worth["n_equivalent"]], [auroc["value"]] * 2, color=ARM, linestyle=":", linewidth=1.2)
        axes.plot([worth["n_equivalent"]], [auroc["value"]], marker="|", markersize=16, color=ARM)
    low, high = worth["n_low"] or sizes[0], worth["n_high"] or sizes[-1]
    if worth["where"] != "on a flat curve":
        axes.axvspan(low, high, color=ARM, alpha=0.12, linewidth=0, label="95 % of the equivalent number")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.set_xlabel("real training images (log scale)")
    axes.set_ylabel("AUROC on test")
    axes.set_title(headline(worth), loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(file, buffer.getvalue())


def headline(worth: Mapping[str, Any]) -> str:
    """What the figure shows, in a line."""
    if worth["where"] == "on a flat curve":
        return "real images alone do not lift the curve: worth cannot be read off it"
    low, high = ("..." if x is None else f"{x:.2f}" for x in (worth["low"], worth["high"]))
    if worth["worth"] is None:
        return f"{worth['where']}: an added image was worth [{low}, {high}] real images"
    return f"an added image was worth {worth['worth']:.2f} [{low}, {high}] real images"
