"""Two finished runs against each other, from their stored predictions: `python -m benchmarks.compare RUN_A RUN_B`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.records.predictions import Entry
from benchmarks.records.shape import FINISHED, reason_of
from benchmarks.records.store import Records
from benchmarks.report.tables import console
from benchmarks.verdicts.two_runs import compare_runs, sentences
from synthworth.commands import OK, guarded
from synthworth.errors import UserError


@dataclass(frozen=True)
class CompareOptions:
    """Compare two finished runs, pair by pair of classifier seeds, on the same test patients.

    Any two arms, two trainings of one generator (--generator-seed), two classifiers.
    """

    run_a: Annotated[str, tyro.conf.Positional]
    """The first run's id, or its first digits."""
    run_b: Annotated[str, tyro.conf.Positional]
    """The second's; what is printed is the first minus the second."""
    results: Path = Path("results/runs")
    """Folder of the records."""
    margin: float = 0.01
    """Difference of AUROC within which the two count as equivalent, where the data show that."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Print the comparison."""
    options = tyro.cli(CompareOptions, args=list(args), prog="python -m benchmarks.compare")
    if not 0 < options.margin < 1:
        raise UserError(f"--margin {options.margin} was asked for; it is a difference of AUROC between 0 and 1")
    records = Records(options.results)
    a, b = (_entry(records, prefix) for prefix in (options.run_a, options.run_b))
    found = compare_runs(a, b, margin=options.margin)
    if options.json:
        print(json.dumps(found, indent=1))
        return OK
    out = console()
    for line in sentences(found):
        out.print(line, markup=False, soft_wrap=True)
    return OK


def _entry(records: Records, prefix: str) -> Entry:
    record = records.match(prefix)
    if record["status"] != FINISHED:
        raise UserError(f"{record['name']} ({prefix}) has not finished: {reason_of(record)}")
    return Entry(record, records.path(record["run_id"]))


if __name__ == "__main__":
    sys.exit(guarded(main))
