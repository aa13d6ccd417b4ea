"""The picture of the rooms in docs/architecture.md, drawn from the import contracts: `python docs/rooms.py`.

Floors and rooms, and their order, are read from `[tool.importlinter]` in pyproject.toml. The picture carries them
as its description, so that a test sees when it is out of date.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE = Path(__file__).with_name("images") / "rooms.png"

FLOORS = {
    "leaderboard": ("how it is reported", "#efe6f3"),
    "benchmarks": ("how it is judged", "#e4ecf5"),
    "generators": ("what is judged", "#f8ece4"),
    "classifiers": ("what judges", "#f7f1dc"),
    "data": ("what is learned from", "#e5f0e4"),
    "synthworth": ("the ground", "#ececec"),
}
"""What each floor is for, and its colour."""

CAPTIONS = {
    "leaderboard.build": "command: tables and pages, from records alone",
    "leaderboard.submit": "command: records for the published one",
    "leaderboard.pages": "the static site: pages, their table, pictures with the numbers behind them",
    "leaderboard.latex": "booktabs",
    "leaderboard.text": "Markdown",
    "leaderboard.flat": "CSV, Parquet",
    "leaderboard.admission": "what may be submitted and shown",
    "leaderboard.figures": "PNG",
    "leaderboard.suite": "frozen lists",
    "leaderboard.canvas": "what PNGs share",
    "leaderboard.tables": "which records share a table, and what a row holds",
    "leaderboard.numbers": "a row's numbers",
    "leaderboard.quality": "against usefulness",
    "leaderboard.status": "how far to trust",
    "leaderboard.contamination": "seen the films?",
    "leaderboard.rank": "ranks that the data can tell apart",
    "leaderboard.best_ratio": "chosen on val",
    "leaderboard.judge": "what predictions say",
    "leaderboard.gather": "records in folders",
    "leaderboard.packed": "in memory",
    "leaderboard.slim": "a record in short",
    "leaderboard.known": "found by earlier builds",
    "generators": "diffusion, GANs, VAEs and the controls,\nunder one contract: fit, sample, save, load",
    "benchmarks.cli": "one name for all commands",
    "benchmarks.run": "main job",
    "benchmarks.list": "plugins",
    "benchmarks.show": "a record",
    "benchmarks.compare": "paired",
    "benchmarks.reader": "by eye",
    "benchmarks.export": "papers",
    "benchmarks.pool": "images",
    "benchmarks.reanalyse": "anew",
    "benchmarks.repack": "smaller",
    "benchmarks.reproduce": "again",
    "benchmarks.sweep": "many",
    "benchmarks.tune": "options",
    "benchmarks.artifacts": "the store",
    "benchmarks.job": "a request from end to end",
    "benchmarks.check": "is the contract kept?",
    "benchmarks.calibrate": "are the statistics right?",
    "benchmarks.speed": "ratios against peers",
    "benchmarks.report": "printed tables and figures",
    "benchmarks.trackers": "records in TensorBoard, MLflow, W&B",
    "benchmarks.verdicts": "what may be said, in which words",
    "benchmarks.judging": "everything measured on an arm: utility, fidelity, privacy, subgroups",
    "benchmarks.records": "records and predictions on disk",
    "benchmarks.statistics": "intervals, paired differences, worth",
    "benchmarks.stages": "fit, draw, train, embed: each kept under its key",
    "benchmarks.metrics": "one metric a file, and the feature extractors",
    "benchmarks.request": "what was asked: options, presets, identity of an arm",
    "classifiers.factory": "the built-in classifier: ResNets and DenseNets of timm",
    "classifiers.training": "a fixed number of steps on one mixture",
    "classifiers.balance": "remedies",
    "classifiers.eye": "inputs",
    "classifiers.logits": "loss",
    "classifiers.selection": "checkpoint",
    "classifiers.config": "options",
    "classifiers.bfloat16": "precision",
    "classifiers.base": "contract",
    "classifiers.registry": "names",
    "classifiers.stems": "first layers",
    "data.download": "command: published files",
    "data.prepare": "command: decode once",
    "data.audit": "leaks, near duplicates, shortcuts",
    "data.registry": "the datasets by name",
    "data.datasets": "phantom, nih, dicom, medmnist, folder, digits",
    "data.films": "film files: listed, decoded, cached",
    "data.base": "contract of a dataset",
    "data.downloads": "fetch, verify, unpack",
    "data.prepared": "splits on disk",
    "data.mixing": "how many synthetic images, and how they join",
    "data.splits": "which patient is in which split",
    "data.images": "what a set of real images is",
    "data.attributes": "values of subgroups",
    "data.augment": "classical augmentation",
    "data.corruptions": "worse films",
    "synthworth.api": "one import path for a plugin's author",
    "synthworth.training": "the one training kit",
    "synthworth.workers": "where tasks run",
    "synthworth.processes": "processes that work for a parent, and what crosses to them",
    "synthworth.store": "kept under a key, checked when read",
    "synthworth.in_use": "who uses a store now",
    "synthworth.manifest": "size and sha256 of every file",
    "synthworth.lease": "who may go on",
    "synthworth.sealed": "half-made, with a digest",
    "synthworth.artifacts": "files on disk",
    "synthworth.commands": "exit codes",
    "synthworth.devices": "CPU or GPU",
    "synthworth.images": "bytes, floats",
    "synthworth.registry": "plugins",
    "synthworth.work": "given to a fit",
    "synthworth.cost": "of a fit",
    "synthworth.energy": "NVML, RAPL",
    "synthworth.files": "read to a bound",
    "synthworth.progress": "progress on stderr",
    "synthworth.keys": "identity and seeds",
    "synthworth.interrupts": "Ctrl-C and SIGTERM",
    "synthworth.errors": "what errors say",
    "synthworth.escape": "safe pages",
    "synthworth.printable": "safe text",
    "synthworth.search_space": "what to try",
    "synthworth.threads": "cores; threads of a step; how they wait",
}
"""What each room is for, in a few words."""

Rows = list[list[str]]


def floors() -> list[list[tuple[str, Rows]]]:
    """The floors from top to bottom: for each those side by side, with their rows of rooms from top to bottom."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layered = [c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    inside = {c["containers"][0]: [_names(row, c["containers"][0]) for row in c["layers"]]
              for c in layered if "containers" in c}  # fmt: skip
    whole = next(c for c in layered if "containers" not in c)
    return [[(name, inside.get(name, [[name]])) for name in _names(row)] for row in whole["layers"]]


def rooms() -> list[str]:
    """Every room of every floor."""
    return [room for level in floors() for _, rows in level for row in rows for room in row]


def description() -> str:
    """The floors and rooms as one line of text."""
    return json.dumps(floors())


def _names(row: str, floor: str = "") -> list[str]:
    return [f"{floor}.{name.strip()}" if floor else name.strip() for name in row.split("|")]


def draw(file: Path) -> None:
    """Draw the house: a band a floor, a box a room, imports pointing down."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    levels = floors()
    heights = [max(len(rows) for _, rows in level) for level in levels]
    figure, axes = plt.subplots(figsize=(12.5, 0.5 * (sum(heights) + 0.5 * len(levels)) + 0.5))
    top = 0.0
    for level, height in zip(levels, heights, strict=True):
        width = (100 - 1.2 * (len(level) - 1)) / len(level)
        for k, (floor, rows) in enumerate(level):
            _draw_floor(axes, floor, rows, left=k * (width + 1.2), width=width, top=top, height=height)
        top -= height + 0.5
    arrow = {"arrowstyle": "-|>", "color": "#3a4055", "linewidth": 1.6, "mutation_scale": 18}
    axes.annotate("", xy=(102.5, top + 0.6), xytext=(102.5, -0.1), arrowprops=arrow)
    axes.text(103.4, top / 2, "imports only point down", rotation=-90, va="center", color="#3a4055", fontsize=11)
    axes.set(xlim=(-0.3, 105.2), ylim=(top + 0.3, 0.3))
    axes.axis("off")
    figure.savefig(
        file, dpi=130, bbox_inches="tight", facecolor="white", metadata={"Description": description(), "Software": None}
    )
    plt.close(figure)


def _draw_floor(axes: Any, floor: str, rows: Rows, *, left: float, width: float, top: float, height: int) -> None:
    """One floor: its name at the left, its rows of rooms at the right."""
    purpose, colour = FLOORS[floor]
    _box(axes, left, top - height, width, height, face=colour, edge="none")
    label = 15.5
    axes.text(left + 1, top - height / 2 + 0.17, floor, weight="bold", fontsize=12, va="center", color="#3a4055")
    axes.text(left + 1, top - height / 2 - 0.25, purpose, fontsize=8.5, va="center", style="italic", color="#3a4055")
    tall = height / len(rows)
    for k, row in enumerate(rows):
        _draw_row(axes, row, left=left + label, width=width - label - 0.5, bottom=top - (k + 1) * tall, tall=tall)


def _draw_row(axes: Any, row: Sequence[str], *, left: float, width: float, bottom: float, tall: float) -> None:
    """Rooms side by side: a name in bold, and below it what it is for; a floor of one room needs no second name."""
    gap = 0.5
    each = (width - gap * (len(row) - 1)) / len(row)
    for k, room in enumerate(row):
        x, middle = left + k * (each + gap), bottom + tall / 2
        _box(axes, x, bottom + 0.06, each, tall - 0.12, face="white", edge="#b9bfcc")
        name, below = room.rpartition(".")[2], 0.0
        if name != room:
            below = 0.2
            size = min(9.5, 1.05 * 9.5 * each / len(name))  # a long name in a narrow box is set smaller
            axes.text(x + each / 2, middle + 0.17, name, weight="bold", fontsize=size, va="center", ha="center")
        axes.text(x + each / 2, middle - below, CAPTIONS[room], fontsize=8, va="center", ha="center", color="#555555")


def _box(axes: Any, x: float, y: float, width: float, height: float, *, face: str, edge: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.25"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=face, edgecolor=edge, linewidth=0.8))


if __name__ == "__main__":
    draw(PICTURE)
