"""The plan as it is printed: what of every arm is there and what is to do, a few lines however many arms there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from benchmarks.report.tables import STAGES, table
from benchmarks.request.options import Request
from benchmarks.request.spec import RunSpec

MOST_ARMS = 12
"""Most arms that have lines of their own."""


@dataclass(frozen=True)
class Row:
    """A line of the plan: a stage of an arm, how many artifacts it has and how many are to do (None: not yet known)."""

    arm: str
    stage: str
    have: int
    todo: int | None
    spec: RunSpec | None = None
    """The arm's; None where the line is of none."""
    keys: tuple[tuple[str, bool], ...] = ()
    """Its artifacts and whether they are there: two arms may need the same ones."""


@dataclass(frozen=True)
class Expected:
    """A stage, the seconds that it is expected to take (None: not known), and where that is from, or why it is not."""

    stage: str
    seconds: float | None
    source: str


def print_header(out: Console, request: Request, *, device: str, precision: str, workers: int) -> None:
    """What a run is, in its first line: preset, device, precision, dataset, classifier, seeds, workers."""
    o = request.options
    chosen = "" if "preset" in request.given else " (chosen by auto)"
    out.print(
        f"preset {o.preset}{chosen}, device {device}, precision {precision}, dataset {o.dataset}, classifier "
        f"{o.classifier}, {o.seeds} seeds, {workers} workers", markup=False, soft_wrap=True,
    )  # fmt: skip


def print_expected(out: Console, lines: Sequence[Expected]) -> None:
    """How long a run is expected to take: one line, the sum first, then the stages."""
    known = sum(line.seconds or 0.0 for line in lines)
    least = "at least " if any(line.seconds is None for line in lines) else "about "
    parts = ", ".join(f"{WORDS[line.stage]} {in_words(line.seconds)}" for line in lines if line.seconds != 0.0)
    out.print(f"expected time: {least + in_words(known) if parts else 'none, all is there'}", end="", markup=False)
    out.print(f" ({parts})" if parts else "", markup=False, soft_wrap=True)


def print_stages(out: Console, lines: Sequence[Expected]) -> None:
    """The same by stage, with where each number is from."""
    made = table("expected time", ("stage", "seconds", "from"), left=1)
    for line in lines:
        made.add_row(STAGES[line.stage], "?" if line.seconds is None else f"{line.seconds:.1f}", escape(line.source))
    made.add_row("sum of what is known", f"{sum(line.seconds or 0.0 for line in lines):.1f}", "")
    out.print(made)


WORDS = {
    "data": "prepare", "fit": "fit", "pool": "draw", "classify": "classifiers", "features": "features",
    "judge": "judging",
}  # fmt: skip


def in_words(seconds: float | None) -> str:
    """Seconds as people say them: `40 s`, `4 min`, `2.5 h`."""
    if seconds is None:
        return "not known"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_plan(out: Console, rows: Sequence[Row]) -> None:
    """The plan as have / to do: a line an arm and stage, or for many arms one for all that differ in ratio or training.

    Such a line counts what several arms share once.
    """
    made = table("plan", ("arm", "stage", "have", "to do"), left=2)
    for row in together(rows) if len({row.arm for row in rows}) > MOST_ARMS else rows:
        made.add_row(escape(row.arm), STAGES[row.stage], str(row.have), "?" if row.todo is None else str(row.todo))
    out.print(made)


def together(rows: Sequence[Row]) -> list[Row]:
    """One row for those of one stage whose arms differ in ratio or training alone, where the first of them stands."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.spec.family if row.spec else row.arm, row.stage), []).append(row)
    return [_as_one(name, same) for (name, _), same in groups.items()]


def _as_one(name: str, rows: Sequence[Row]) -> Row:
    specs = [row.spec for row in rows if row.spec is not None]
    if len(rows) == 1 or not specs:
        return rows[0]
    there = dict(key for row in rows for key in row.keys)
    have = sum(there.values())
    todo = None if any(row.todo is None for row in rows) else len(there) - have
    ratios, trainings = sorted({spec.ratio for spec in specs}), {spec.generator_seed for spec in specs}
    said = [f"{len(ratios)} ratios {ratios[0]:g} to {ratios[-1]:g}" if len(ratios) > 1 else f"ratio {ratios[0]:g}"]
    said += [f"{len(trainings)} trainings"] if len(trainings) > 1 else []
    return Row(", ".join([name, *said]), rows[0].stage, have, todo)
