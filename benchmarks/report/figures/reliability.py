"""The figure of reliability: how often what an arm says with some confidence comes true, beside real images alone."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthworth.artifacts import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

RELIABILITY = "reliability.png"
REAL, ARM = "#3b4252", "#bf4a30"
FEWEST = 10
"""Predictions a seed below which a bin has no point: a handful would draw a jagged line."""
LEAST_SHARE = 0.001
"""Foot of the histogram."""


def draw_reliability(file: Path, record: Mapping[str, Any], *, alone: Mapping[str, Any] | None) -> None:
    """Write a PNG: left the probabilities as they are given, right after the temperature fitted on val.

    A record without bins says why in the place of the curves.

    Parameters
    ----------
    record : of the arm, with `calibration` and `utility`.
    alone : that of real images alone; None, or the same run, leaves them out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [(record, ARM, "o")]
    if alone is not None and alone["run_id"] != record["run_id"] and alone.get("calibration"):
        shown.append((alone, REAL, "s"))
    if len(shown) == 1 and record["spec"]["generator"] == "none":
        shown = [(record, REAL, "s")]
    figure = Figure(figsize=(9.6, 5.6), dpi=150)
    figure.set_layout_engine("constrained", wspace=0.06)
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3.2, 1))
    for column, (stage, suffix, title) in enumerate(
        (("as_given", "", "as the classifiers give them"), ("calibrated", "_calibrated", "after temperature scaling"))
    ):
        curve, bars = panels[:, column]
        for at, (one, colour, marker) in enumerate(shown):
            _draw_one(curve, bars, one, stage, suffix, colour=colour, marker=marker, at=at, n_shown=len(shown))
        _finish(curve, bars, title, ylabel=not column)
    of = record["calibration"]["of"]
    for bars in panels[1]:
        bars.set_xlabel(f"confidence: probability of {of}")
    figure.suptitle(f"Do the probabilities of {record['name']} come true?", x=0.01, ha="left", fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(file, buffer.getvalue())


def _draw_one(
    curve: Axes, bars: Axes, record: Mapping[str, Any], stage: str, suffix: str, *, colour: str, marker: str, at: int,
    n_shown: int,
) -> None:  # fmt: skip
    """One arm in one column: its curve, its histogram, and its ECE in the legend."""
    bins = record["calibration"][stage]
    if bins is None:
        curve.plot([], [], color=colour, marker=marker, label=f"{record['name']}: {record['calibration']['note']}")
        return
    n = np.array(bins["n"], dtype=np.float64)
    share = n / n.sum()
    kept = n >= FEWEST * len(record["calibration"]["temperature"])
    said, right = (np.array([np.nan if x is None else x for x in bins[k]]) for k in ("confidence", "correct"))
    label = f"{_short(record['name'])}: ECE {_interval(record['utility'].get(f'ece{suffix}'))}"
    if suffix:
        label += f", T {_span(record['calibration']['temperature'])}"
    (line,) = curve.plot(
        said[kept], right[kept], color=colour, marker=marker, markersize=4.5, linewidth=1.5, label=label, clip_on=False
    )
    line.set_in_layout(False)  # unclipped and without a point it would count as reaching across the figure
    width = 1 / len(n)
    left = np.arange(len(n)) * width + width * (0.08 + 0.84 * at / n_shown)
    bars.bar(left, share, width=0.84 * width / n_shown, align="edge", color=colour, linewidth=0)


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _interval(value: Mapping[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "null"
    if value["low"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _finish(curve: Axes, bars: Axes, title: str, *, ylabel: bool) -> None:
    ends: NDArray[np.float64] = np.array([0.0, 1.0])
    curve.plot(ends, ends, color="0.6", linestyle="--", linewidth=1, zorder=1)
    curve.set_xlim(0, 1)
    curve.set_ylim(0, 1)
    curve.set_title(title, loc="left", fontsize=10.5)
    curve.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=8, loc="lower right")
    bars.set_yscale("log")
    bars.set_ylim(LEAST_SHARE / 2, 1.5)
    bars.set_yticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "100 %"])
    if ylabel:
        curve.set_ylabel("share that came true")
        bars.set_ylabel("predictions")
    for axes in (curve, bars):
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
