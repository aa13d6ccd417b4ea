"""What more training of a generator buys: `python docs/budgets.py` makes the table and picture of docs/budgets.md.

They come from the committed records: arms at ratio 1 whose generators differ in the steps of their training alone. On
PneumoniaMNIST the sweep budgets_pneumoniamnist makes them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records.telling import telling

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "results/reference", ROOT / "docs/budgets.md"
PICTURE = ROOT / "docs/images/budgets.png"
ARMS = {"ratio": 1.0, "mode": "add", "generator_seed": 0, "seed": 0, "classifier": "resnet10t", "learn_from": ""}
"""What the records have in common."""
SETS = {
    "phantom": ("rendered films, 32 px", {"dataset": "phantom", "real_fraction": 1.0}),
    "medmnist": ("PneumoniaMNIST, 28 px", {"dataset": "medmnist", "real_fraction": 0.1}),
}
"""Name of a table -> title, and which films."""
COLOURS = {"latent_ddpm": "#0072B2", "flow": "#D55E00", "dcgan": "#000000", "vae": "#009E73"}
"""Generators that are shown, in this order."""
FEATURES = "efficientnet_lite0"


@dataclass(frozen=True)
class Point:
    """A generator after so many steps, read off its record."""

    generator: str
    record: dict[str, Any]
    folder: Path

    @property
    def steps(self) -> int:
        """Optimiser steps of its training."""
        return int(self.record["spec"]["fit"]["steps"])

    @property
    def tflop(self) -> float:
        """Operations of its training, in 1e12."""
        cost = self.record["cost"]["fit"]["cost"]
        return float(cost["gflop_per_image"] * cost["images_seen"] / 1000)

    @property
    def gain(self) -> dict[str, Any]:
        """Its AUROC minus that of real images alone."""
        return dict(self.record["comparisons"]["none"])

    def fidelity(self, metric: str) -> dict[str, Any]:
        """A number of quality."""
        found = [v for v in self.record["fidelity"].values() if v["metric"] == metric and v["extractor"] == FEATURES]
        return dict(found[0])


def points(films: str) -> list[Point]:
    """The records of a set that are there, by generator and steps."""
    wanted = ARMS | SETS[films][1]
    found = []
    for file in sorted(RESULTS.glob("*/record.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        spec = record["spec"]
        plain = not (spec["gen"] or {}).get("augment")
        if spec["generator"] in COLOURS and plain and all(spec.get(name, "") == v for name, v in wanted.items()):
            found.append(Point(spec["generator"], record, file.parent))
    return sorted(found, key=lambda point: (list(COLOURS).index(point.generator), point.steps))


COLUMNS = ("generator", "steps", "TFLOP", "FD", "precision", "recall", "copy rate", "gain in AUROC", "worth", "record")


def table_of(found: list[Point]) -> str:
    """A row a record, as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 2) + " --- |"]
    for point in found:
        gain, copies = point.gain, telling(point.record["privacy"], "copy_rate")
        worth = point.record.get("worth") or {}
        cells = (
            f"`{point.generator}`", f"{point.steps:,}", f"{point.tflop:.1f}",
            *(f"{point.fidelity(name)['value']:.{digits}f}" for name, digits in (("fd", 0), ("manifold_precision", 2),
                                                                               ("manifold_recall", 2))),
            "null" if copies is None else f"{copies['value']:.3f}",
            f"{gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]",
            "null" if worth.get("worth") is None else f"{worth['worth']:.2f}",
            f"[{point.folder.name[:7]}](../{(point.folder / 'record.json').relative_to(ROOT).as_posix()})",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled(page: str, found: dict[str, list[Point]]) -> str:
    """The page with the table of each set below its mark."""
    for films, its in found.items():
        mark = f"<!-- table: {films} -->\n"
        before, there, after = page.partition(mark)
        assert there, f"{PAGE.name} has no {mark}"
        rest = after.lstrip("\n")
        rest = rest.partition("\n\n")[2] if rest.startswith("|") else rest
        page = f"{before}{mark}\n{table_of(its)}\n\n{rest}"
    return page


def draw(file: Path, found: dict[str, list[Point]]) -> None:
    """FD and gain by operations of training: a row a set, a line a generator."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(found), 2, squeeze=False)
    handles: dict[str, Any] = {}
    for (films, its), (quality, use) in zip(found.items(), grid, strict=True):
        draw_set(quality, use, its, SETS[films][0], handles)
    for axes in grid[-1]:
        axes.set_xlabel("TFLOP of the generator's training")
    figure.legend(list(handles.values()), list(handles), frameon=False, loc="outside right center")
    figure.savefig(file, dpi=110)


def draw_set(quality: Any, use: Any, found: list[Point], title: str, handles: dict[str, Any]) -> None:
    """The two panels of a set; what was drawn of each generator joins `handles`."""
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    shown = [name for name in COLOURS if any(point.generator == name for point in found)]
    for k, name in enumerate(shown):
        mine = [point for point in found if point.generator == name]
        x = [point.tflop for point in mine]
        (handles[name],) = quality.plot(x, [p.fidelity("fd")["value"] for p in mine], "-o", color=COLOURS[name], ms=5)
        moved = [at * math.exp(0.05 * (k - (len(shown) - 1) / 2)) for at in x]  # bars stand beside each other
        low = [point.gain["difference"] - point.gain["low"] for point in mine]
        high = [point.gain["high"] - point.gain["difference"] for point in mine]
        middle = [point.gain["difference"] for point in mine]
        use.errorbar(moved, middle, yerr=[low, high], fmt="-o", color=COLOURS[name], ms=5, lw=1.4, elinewidth=1)
    floor = found[0].fidelity("fd")["extra"]["floor"]
    quality.axhline(floor, color="#666666", lw=1)
    quality.annotate(
        f"real films of test, {floor:.0f}", (0.99, floor), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", ha="right", fontsize=9,
    )  # fmt: skip
    use.axhline(0, color="#666666", lw=1)
    quality.set(yscale="log", ylabel="FD to real films (lower is nearer)", title=f"How near the films are: {title}")
    quality.yaxis.set_major_locator(FixedLocator((40, 60, 80, 100, 150, 200, 300)))
    quality.yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    quality.yaxis.set_minor_formatter(NullFormatter())
    use.set(ylabel="AUROC minus that of real films alone", title=f"What they add: {title}")
    for axes in (quality, use):
        axes.set(xscale="log", xlim=(9, 480))
        axes.xaxis.set_major_locator(FixedLocator((10, 20, 50, 100, 200, 400)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="#e5e5e5", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write the tables into the page, and draw the picture."""
    found = {films: points(films) for films in SETS}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    draw(PICTURE, found)


if __name__ == "__main__":
    main()
