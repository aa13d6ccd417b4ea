"""Speed as ratios against a peer in one run: `python -m benchmarks.speed`. Never a test: timings are a machine's."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import tyro

from benchmarks.speed.films import cache_row, epoch_row, memory_row
from benchmarks.speed.inception import inception
from benchmarks.speed.neighbours import neighbours_memory_row, neighbours_row
from benchmarks.speed.numbers import bootstrap_row, prdc_row
from benchmarks.speed.row import Row
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.progress import track


@dataclass(frozen=True)
class SpeedOptions:
    """Time what this suite computes against a peer doing the same, each best of some repetitions, in one run."""

    only: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Rows to measure; all of them unless some are named."""
    repeat: int = 3
    """Repetitions; the fastest counts."""
    json: bool = False
    """Print JSON."""


ROWS: dict[str, Callable[[int], Row]] = {
    "inception-fp32": lambda repeat: inception(repeat, precision="fp32"),
    "inception-bf16": lambda repeat: inception(repeat, precision="bf16"),
    "prdc": prdc_row,
    "neighbours": neighbours_row,
    "neighbours-memory": neighbours_memory_row,
    "bootstrap": bootstrap_row,
    "cache": cache_row,
    "epoch": epoch_row,
    "memory": memory_row,
}


def main(args: Sequence[str]) -> int:
    """Measure and print the table."""
    options = tyro.cli(SpeedOptions, args=list(args), prog="python -m benchmarks.speed")
    unknown = set(options.only) - set(ROWS)
    if unknown:
        raise UserError(f"no row {sorted(unknown)}; there are {', '.join(ROWS)}")
    from benchmarks.report.tables import console, table

    rows = [ROWS[name](options.repeat) for name in track(options.only or tuple(ROWS), "speed")]
    if options.json:
        print(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=1))
        return OK
    out = console()
    made = table("speed, fastest of some repetitions", ("what", "ours", "peer", "by ours", "by peer", "ratio"), left=3)
    for row in rows:
        values = (f"{value:.3g} {row.unit}" for value in (row.value, row.peer_value))
        made.add_row(row.what, row.ours, row.peer, *values, f"{row.ratio:.2f}")
    out.print(made)
    for row in rows:
        if row.note:
            out.print(f"{row.what}: {row.note}", markup=False)
    return OK


if __name__ == "__main__":
    sys.exit(guarded(main))
