"""The command `python -m benchmarks.calibrate`: whether the verdict is right as often as it says, for a known truth."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from benchmarks.calibrate.design import DESIGNS
from benchmarks.calibrate.families import (
    FAMILY_DESIGNS,
    FAMILY_METHODS,
    FamilyTask,
    run_families,
    summarise_families,
)
from benchmarks.calibrate.judge import HARNESS, METHODS, Task, run_experiments
from benchmarks.calibrate.share import SHARE_DESIGNS, ShareTask, run_share, summarise_share
from benchmarks.calibrate.summary import LUCK, summarise
from benchmarks.calibrate.worth import WORTH_DESIGNS, WorthTask, run_worth, summarise_worth
from benchmarks.statistics.word import MIN_SEEDS
from synthworth.artifacts import ensure_folder, write_bytes
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.workers import map_tasks, n_workers

if TYPE_CHECKING:
    from rich.console import Console

TARGETS = {"false_positives": (0.03, 0.07), "coverage": (0.93, 0.97), "arm": (0.93, 0.97)}
"""Where the rate of false verdicts at 5 % and the coverage of a 95 % interval, of a difference and of one arm's AUROC,
ought to lie."""
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
    names = [design.name for design in (*DESIGNS, *WORTH_DESIGNS, *FAMILY_DESIGNS, *SHARE_DESIGNS)]
    unknown = sorted(set(options.only) - set(names))
    if unknown:
        raise UserError(f"no design {', '.join(unknown)}; there are {', '.join(names)}")
    if options.experiments < 2 or options.replicates < 2 or not 0 < options.gain < 0.19:
        raise UserError("--experiments and --replicates are 2 or more, and --gain lies between 0 and 0.19")
    chosen = [design for design in DESIGNS if design.name in (options.only or names)]
    valued = [design for design in WORTH_DESIGNS if design.name in (options.only or names)]
    over = [design for design in FAMILY_DESIGNS if design.name in (options.only or names)]
    kept = [design for design in SHARE_DESIGNS if design.name in (options.only or names)]
    parts = [
        tuple(range(start, min(start + PART, options.experiments))) for start in range(0, options.experiments, PART)
    ]
    rows = _carried_out(
        run_experiments,
        [Task(design, part, options.gain, options.replicates, options.seed) for design in chosen for part in parts],
        options, "simulated experiments, tens",
    )  # fmt: skip
    worths = _carried_out(
        run_worth,
        [WorthTask(design, part, options.replicates, options.seed) for design in valued for part in parts],
        options, "simulated worths, tens",
    )  # fmt: skip
    families = _carried_out(
        run_families,
        [FamilyTask(design, part, options.gain, options.replicates, options.seed) for design in over for part in parts],
        options, "simulated experiments with families, tens",
    )  # fmt: skip
    shares = _carried_out(
        run_share,
        [ShareTask(design, part, options.replicates, options.seed) for design in kept for part in parts],
        options, "simulated shares, tens",
    )  # fmt: skip
    return {
        "settings": {k: getattr(options, k) for k in ("experiments", "replicates", "gain", "seed")},
        "targets": {name: list(ends) for name, ends in TARGETS.items()},
        "methods": METHODS,
        "designs": [
            {**asdict(design), "asked": options.experiments, **summarise(rows[design.name], margin=options.gain)}
            for design in chosen
        ],
        "worth": [{**asdict(design), **summarise_worth(worths[design.name])} for design in valued],
        "family_methods": FAMILY_METHODS,
        "families": [{**asdict(design), **summarise_families(families[design.name])} for design in over],
        "shares": [{**asdict(design), **summarise_share(shares[design.name])} for design in kept],
    }


def _carried_out(
    work: Callable[[Any], list[dict[str, Any]]], tasks: Sequence[Any], options: CalibrateOptions, what: str
) -> dict[str, list[dict[str, Any]]]:
    """The rows of all tasks, by the name of their design."""
    rows: dict[str, list[dict[str, Any]]] = {}
    if tasks:
        answers = map_tasks(work, tasks, workers=n_workers(options.workers, device="cpu"), what=what)
        for task, answer in zip(tasks, answers, strict=True):
            rows.setdefault(task.design.name, []).extend(answer)
    return rows


def missed(design: dict[str, Any]) -> list[str]:
    """The targets that the harness misses in a design; at fewer than `MIN_SEEDS` seeds it never says anything."""
    told = {"coverage": design["methods"][HARNESS]["coverage"], "arm": design["arm"]["coverage"]}
    if design["n_seeds"] >= MIN_SEEDS:
        told["false_positives"] = design["verdicts"]["false"]
    return [name for name, value in told.items() if not TARGETS[name][0] <= value <= TARGETS[name][1]]


def print_tables(found: dict[str, Any]) -> None:
    """The verdicts of the harness by design, then each way to judge beside it."""
    from benchmarks.report.tables import console, table

    settings, designs = found["settings"], found["designs"]
    error = 100 * np.sqrt(0.05 * 0.95 / settings["experiments"])
    out, gain = console(), f"{settings['gain']:g}"
    columns = (
        "design", "says helps or hurts", "95 % interval", "of one arm (low, high)", f"helps, gain {gain}",
        "would have shown (power)", "equivalent", "targets",
    )  # fmt: skip
    made = table(f"verdicts over {settings['experiments']} experiments a design (+-{error:.1f} %)", columns)
    for d in designs:
        verdicts, equal = d["verdicts"], d["equivalence"]
        lacking = missed(d)
        made.add_row(
            d["name"],
            _share(verdicts["false"]),
            _share(d["methods"][HARNESS]["coverage"]),
            f"{_share(d['arm']['coverage'])} ({_share(d['arm']['below'])}, {_share(d['arm']['above'])})",
            _share(verdicts["power"]),
            f"{d['detectable']['median']:.3f} ({_share(d['detectable']['power'])})",
            f"{_share(equal['true'])} / {_share(equal['false'])}",
            f"missed: {', '.join(lacking)}" if lacking else "met",
        )
    out.print(made)
    out.print(
        "says helps or hurts: where nothing differs. 95 % interval: of the difference, holds the truth; of one arm's "
        "AUROC likewise (in brackets: lies below it, above it). would have shown: the smallest difference that the "
        "median experiment says, and how often it is shown (80 %). equivalent: "
        f"within +-{gain} at a true difference of 0 / of {gain} (at most 5 %).",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    _print_luck(out, designs)
    _print_worth(out, found["worth"])
    _print_families(out, found["families"])
    _print_shares(out, found["shares"])
    metrics = tuple(dict.fromkeys(name for d in designs for name in d["metrics"]))
    made = table("false verdicts of the other metrics' 95 % intervals", ("design", *metrics))
    for d in designs:
        made.add_row(d["name"], *(_share(d["metrics"].get(name)) for name in metrics))
    out.print(made)
    for title, key in (("false verdicts", "false_positives"), ("coverage", "coverage"), ("power", "power")):
        made = table(f"{title}, by what is taken for chance", ("design", *found["methods"]))
        for d in designs:
            made.add_row(d["name"], *(_share(d["methods"][method][key]) for method in found["methods"]))
        out.print(made)
    for method, said in found["methods"].items():
        out.print(f"{method}: {said}", markup=False)


def _print_luck(out: Console, designs: Sequence[Mapping[str, Any]]) -> None:
    """False verdicts where the seeds agreed by luck, and where they did not."""
    from benchmarks.report.tables import table

    made = table(
        "false verdicts, by how wide the interval would be without its bound (in standard errors of the patients)",
        ("design", *LUCK),
    )
    for d in designs:
        shown = (f"{100 * b['false']:.1f} % of {b['n']}" if b["n"] else "-" for b in d["luck"].values())
        made.add_row(d["name"], *shown)
    if designs:
        out.print(made)


def _print_worth(out: Console, designs: Sequence[Mapping[str, Any]]) -> None:
    """Coverage of the worth, where it is known."""
    from benchmarks.report.tables import table

    made = table("worth, where it is known", ("design", "read off", "holds the truth", "both ends", "median"))
    for d in designs:
        median = "-" if d["median"] is None else f"{d['median']:.2f}"
        made.add_row(d["name"], *(_share(d[name]) for name in ("said", "coverage", "closed")), median)
    if designs:
        out.print(made)


def _print_shares(out: Console, designs: Sequence[Mapping[str, Any]]) -> None:
    """Coverage of the share of the sharing gain, where it is known."""
    from benchmarks.report.tables import table

    made = table("share of the sharing gain kept, where it is known", ("design", "told", "holds the truth", "median"))
    for d in designs:
        median = "-" if d["median"] is None else f"{d['median']:.2f}"
        made.add_row(d["name"], *(_share(d[name]) for name in ("said", "coverage")), median)
    if designs:
        out.print(made)
        out.print("told: where the gain of sharing itself is shown; no share is said elsewhere.", markup=False)


def _print_families(out: Console, designs: Sequence[Mapping[str, Any]]) -> None:
    """Verdicts over several classifier families, and what other ways to put them together would have covered."""
    from benchmarks.report.tables import table

    others = [method for method in FAMILY_METHODS if method != HARNESS]
    columns = ("families", "says helps or hurts", "95 % interval", "helps", "would have shown", *others)
    made = table("verdicts over classifier families; behind them the coverage of other ways", columns)
    for d in designs:
        mine = d["methods"][HARNESS]
        made.add_row(
            d["name"], _share(d["verdicts"]["false"]), f"{_share(mine['coverage'])} +-{100 * mine['error']:.1f}",
            _share(d["verdicts"]["power"]), f"{d['detectable']:.3f}",
            *(_share(d["methods"][method]["coverage"]) for method in others),
        )  # fmt: skip
    if designs:
        out.print(made)
        for method, said in FAMILY_METHODS.items():
            out.print(f"{method}: {said}", markup=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


if __name__ == "__main__":
    sys.exit(guarded(main))
