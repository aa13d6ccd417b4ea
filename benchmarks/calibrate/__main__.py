"""The command `python -m benchmarks.calibrate`: whether the verdict is right as often as it says, for a known truth."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.calibrate.simulate import DESIGNS, HARNESS, METHODS, Task, run_experiments, summarise
from benchmarks.statistics.word import MIN_SEEDS
from synthworth.artifacts import ensure_folder, write_bytes
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.workers import map_tasks, n_workers

TARGETS = {"false_positives": (0.03, 0.07), "coverage": (0.93, 0.97)}
"""Where the false-positive rate at 5 % and the coverage of a 95 % interval ought to lie."""
PART = 10
"""Experiments a task."""


@dataclass(frozen=True)
class CalibrateOptions:
    """Simulate experiments with seed and patient effects and clustered films, and judge them as a run is judged."""

    experiments: int = 1000
    """Experiments a design, each with a null comparison and one with a true gain."""
    replicates: int = 500
    """Bootstrap replicates an experiment; a run has 2,000, which changes an interval's width by a few per cent."""
    gain: float = 0.02
    """True gain in AUROC for the power, and the margin of the equivalence test."""
    only: tuple[str, ...] = ()
    """Designs by name; all unless named."""
    seed: int = 0
    """Root of all randomness."""
    workers: int = 1
    """Processes side by side; 0 takes one for each core."""
    out: Path | None = None
    """A JSON file for the figures; the picture is written beside it, as .png."""


def main(args: Sequence[str]) -> int:
    """Simulate, print the tables, and with `--out` write JSON and picture."""
    options = tyro.cli(CalibrateOptions, args=list(args), prog="python -m benchmarks.calibrate")
    found = calibrate(options)
    print_tables(found)
    if options.out is not None:
        from benchmarks.calibrate.figure import draw_calibration

        ensure_folder(options.out.parent)
        write_bytes(options.out, (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
        picture = options.out.with_suffix(".png")
        draw_calibration(picture, found)
        print(f"written {options.out} and {picture}")
    return OK


def calibrate(options: CalibrateOptions) -> dict[str, Any]:
    """Summaries of every design (`benchmarks.calibrate.simulate.summarise`) as plain JSON values.

    Raises
    ------
    UserError
        For an unknown design, or numbers out of range.
    """
    names = [design.name for design in DESIGNS]
    unknown = sorted(set(options.only) - set(names))
    if unknown:
        raise UserError(f"no design {', '.join(unknown)}; there are {', '.join(names)}")
    if options.experiments < 2 or options.replicates < 2 or not 0 < options.gain < 0.19:
        raise UserError("--experiments and --replicates are 2 or more, and --gain lies between 0 and 0.19")
    chosen = [design for design in DESIGNS if design.name in (options.only or names)]
    tasks = [
        Task(design, tuple(range(start, min(start + PART, options.experiments))), options.gain, options.replicates,
             options.seed)
        for design in chosen
        for start in range(0, options.experiments, PART)
    ]  # fmt: skip
    answers = map_tasks(
        run_experiments, tasks, workers=n_workers(options.workers, device="cpu"), what="simulated experiments, tens"
    )
    rows: dict[str, list[dict[str, Any]]] = {design.name: [] for design in chosen}
    for task, answer in zip(tasks, answers, strict=True):
        rows[task.design.name] += answer
    return {
        "settings": {k: getattr(options, k) for k in ("experiments", "replicates", "gain", "seed")},
        "targets": {name: list(ends) for name, ends in TARGETS.items()},
        "methods": METHODS,
        "designs": [{**asdict(design), **summarise(rows[design.name])} for design in chosen],
    }


def missed(design: dict[str, Any]) -> list[str]:
    """The targets that the harness misses in a design; at fewer than `MIN_SEEDS` seeds it never says anything."""
    told = {"coverage": design["methods"][HARNESS]["coverage"]}
    if design["n_seeds"] >= MIN_SEEDS:
        told["false_positives"] = design["verdicts"]["false"]
    return [name for name, value in told.items() if not TARGETS[name][0] <= value <= TARGETS[name][1]]


def print_tables(found: dict[str, Any]) -> None:
    """The verdicts of the harness by design, then each way to judge beside it."""
    from benchmarks.report.tables import console, table

    def per_cent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f} %"

    settings, designs = found["settings"], found["designs"]
    error = 100 * np.sqrt(0.05 * 0.95 / settings["experiments"])
    out, gain = console(), f"{settings['gain']:g}"
    columns = ("design", "says helps or hurts", "95 % interval", f"helps, gain {gain}", "equivalent", "targets")
    made = table(f"verdicts over {settings['experiments']} experiments a design (+-{error:.1f} %)", columns)
    for d in designs:
        verdicts, equal = d["verdicts"], d["equivalence"]
        lacking = missed(d)
        made.add_row(
            d["name"],
            per_cent(verdicts["false"]),
            per_cent(d["methods"][HARNESS]["coverage"]),
            per_cent(verdicts["power"]),
            f"{per_cent(equal['true'])} / {per_cent(equal['false'])}",
            f"missed: {', '.join(lacking)}" if lacking else "met",
        )
    out.print(made)
    out.print(
        "says helps or hurts: where nothing differs. 95 % interval: holds the truth. equivalent: within "
        f"+-{gain} at a true difference of 0 / of {gain} (at most 5 %).",
        markup=False,
    )
    made = table("false positives of the other metrics' 95 % intervals", ("metric", *(d["name"] for d in designs)))
    for metric in dict.fromkeys(name for d in designs for name in d["metrics"]):
        made.add_row(metric, *(per_cent(d["metrics"].get(metric)) for d in designs))
    out.print(made)
    for title, key in (("false positives", "false_positives"), ("coverage", "coverage"), ("power", "power")):
        made = table(f"{title}, by what is taken for chance", ("method", *(d["name"] for d in designs)))
        for method, name in found["methods"].items():
            if any(d["methods"][method][key] is not None for d in designs):
                made.add_row(name, *(per_cent(d["methods"][method][key]) for d in designs))
        out.print(made)


if __name__ == "__main__":
    sys.exit(guarded(main))
