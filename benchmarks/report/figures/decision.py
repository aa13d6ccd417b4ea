"""The figure of decisions: net benefit over threshold probabilities, beside treating everybody and treating nobody."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthworth.artifacts import write_bytes

DECISION = "decision.png"
REAL, ARM, GREY = "#3b4252", "#bf4a30", "0.55"
MOST_CLASSES = 14
"""Most classes that have a thin line of their own."""


def draw_decision(file: Path, record: Mapping[str, Any], *, alone: Mapping[str, Any] | None) -> None:
    """Write a PNG: the mean over classes as a line, each class as a thin one, and real images alone beside it.

    A record without curves says why in their place.

    Parameters
    ----------
    record : of the arm, with `decision`.
    alone : that of real images alone; None, the same run, or one at another prevalence leaves it out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    held = record["decision"]
    figure = Figure(figsize=(7.2, 4.8), dpi=150)
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axhline(0, color=GREY, linewidth=1, label="treat nobody")
    axes.plot(held["thresholds"], held["treat_all"], color=GREY, linestyle="--", linewidth=1, label="treat everybody")
    its = (alone or {}).get("decision")
    if alone is not None and its and its["mean"] and _are_beside(record, alone):
        axes.plot(its["thresholds"], its["mean"], color=REAL, linewidth=1.6, label=_short(alone["name"]))
    if held["mean"] is None:
        axes.plot([], [], color=ARM, label=f"{_short(record['name'])}: {held['note'] or 'no class can be judged'}")
    else:
        curves = [curve for curve in held["curves"].values() if curve is not None]
        for curve in curves if 1 < len(curves) <= MOST_CLASSES else ():
            axes.plot(held["thresholds"], curve, color=ARM, linewidth=0.6, alpha=0.5)
        several = f", mean of {len(curves)} classes" if len(curves) > 1 else ""
        axes.plot(
            held["thresholds"], held["mean"], color=ARM, linewidth=1.6, label=f"{_short(record['name'])}{several}"
        )
    axes.axvline(held["prevalence"], color="0.8", linewidth=1, zorder=0)
    top = max([held["prevalence"], *(held["mean"] or [])])
    axes.set_ylim(-0.35 * top, 1.08 * top)
    axes.set_xlim(0, held["thresholds"][-1])
    axes.set_xlabel("threshold probability at which one would act")
    axes.set_ylabel("net benefit, true positives a patient")
    axes.set_title(
        f"Is it worth deciding by it where {held['prevalence']:.3g} have the finding?", loc="left", fontsize=11
    )
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(file, buffer.getvalue())


def _are_beside(record: Mapping[str, Any], alone: Mapping[str, Any]) -> bool:
    """Whether real images alone are another run, at the same prevalence."""
    same = alone["decision"]["prevalence"] == record["decision"]["prevalence"]
    return same and alone["run_id"] != record["run_id"]


def _short(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
