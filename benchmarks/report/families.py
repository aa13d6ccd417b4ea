"""How several classifiers of one call are printed: one plan, and one table of what they come to together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.markup import escape

from benchmarks.report.plan import Expected, Row
from benchmarks.report.tables import P_TITLE, table

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.verdicts.over_families import Over

SHARED = ("data", "fit", "pool", "features")
"""Stages that know of no classifier: what one family made is there for the next."""


def one_plan(plans: Sequence[tuple[str, Sequence[Row]]]) -> list[Row]:
    """The plans of several classifiers as one: what they share stands in it once, and trainings name the classifier.

    Parameters
    ----------
    plans : classifier and its plan.
    """
    made: list[Row] = []
    seen: set[object] = set()
    for name, rows in plans:
        for row in rows:
            shared = row.stage in SHARED
            if shared and (told := (row.stage, row.keys or row.arm)) in seen:
                continue
            if shared:
                seen.add(told)
            made.append(row if shared else replace(row, arm=f"{row.arm}, {name}"))
    return made


def one_time(each: Sequence[Sequence[Expected]]) -> list[Expected]:
    """The expected times of several classifiers as one: what they share once, the rest added up; by stage."""
    made: dict[str, Expected] = {}
    for lines in each:
        for line in lines:
            before = made.get(line.stage)
            if before is None:
                made[line.stage] = line
            elif line.stage in SHARED:
                made[line.stage] = max(before, line, key=lambda one: one.seconds or 0.0)
            else:
                both = None if None in (before.seconds, line.seconds) else (before.seconds or 0) + (line.seconds or 0)
                made[line.stage] = Expected(line.stage, both, before.source)
    return list(made.values())


def print_families(out: Console, found: Sequence[Over]) -> None:
    """The differences over classifiers, an arm and control a row, and below it a row for each classifier."""
    columns = ("arm", "against", "classifier", "difference", "95 % interval", P_TITLE)
    made = table("AUROC, paired differences over classifiers", columns, left=3)
    for over in found:
        for control, row in over.against.items():
            if isinstance(row, str):
                made.add_row(escape(over.name), escape(control), "all", "null", escape(row), "")
                continue
            made.add_row(
                escape(over.name), escape(control), f"all {len(over.entries)}", f"{row['difference']:+.4f}",
                f"[{row['low']:+.4f}, {row['high']:+.4f}]", f"{row['p_interval']:.3f}",
            )  # fmt: skip
            for family, entry in over.entries.items():
                its = entry.record["comparisons"][control]
                made.add_row(
                    "", "", escape(f"  {family}"), f"{its['difference']:+.4f}",
                    f"[{its['low']:+.4f}, {its['high']:+.4f}]", f"{its['p_interval']:.3f}", style="dim",
                )  # fmt: skip
    if made.row_count:
        out.print(made)
