"""Speed as ratios against a peer in one run: `python -m benchmarks.speed`. Never a test: timings are a machine's."""

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

from benchmarks.speed.growth import Growth
from benchmarks.speed.peers import NoPeer
from benchmarks.speed.row import Row
from benchmarks.speed.rows import GROWTH, ROWS
from benchmarks.speed.show import print_tables, report
from synthworth.commands import FAILED, OK, guarded
from synthworth.errors import UserError
from synthworth.progress import track


@dataclass(frozen=True)
class SpeedOptions:
    """Time what this suite computes against a peer doing the same, each best of some repetitions, in one run.

    Rows named growth-... have no peer: they say by which power of n time and memory grow.
    """

    only: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Rows to measure; all of the device's unless some are named."""
    device: str = "cpu"
    """cpu, or cuda: a report of its own, with proofs and smoke, written after each part (docs/gpu.md)."""
    minutes: float = 8.0
    """On cuda: no part of the report begins later."""
    repeat: int = 3
    """Repetitions; the fastest counts."""
    sizes: tuple[int, ...] = ()
    """Sizes n that the growth rows are measured at; each has its own unless some are given. 1000 10000 100000 for
    films takes many minutes."""
    json: bool = False
    """Print JSON."""
    json_file: Path | None = None
    """File that takes the JSON as well, with the machine that it was measured on."""


def check(o: SpeedOptions) -> tuple[str, ...]:
    """The names of the rows to measure.

    Raises
    ------
    UserError
        For a device without rows, a row that is not there, numbers that cannot be, and a file that cannot be written.
    """
    there = ROWS.get(o.device)
    if there is None:
        raise UserError(f"--device {o.device}: there are rows for {' and '.join(ROWS)}")
    unknown = set(o.only) - set(there)
    if unknown:
        raise UserError(f"no row {sorted(unknown)} for {o.device}; there are {', '.join(there) or 'none yet'}")
    if o.repeat < 1:
        raise UserError(f"--repeat {o.repeat}: 1 or more")
    if o.sizes and (min(o.sizes) < 2 or len(set(o.sizes)) < len(o.sizes)):
        raise UserError(f"--sizes {' '.join(map(str, o.sizes))}: each 2 or more, and none twice")
    _check_minutes(o.minutes)
    if o.json_file is not None:
        _check_file(o.json_file)
    return o.only or tuple(there)


def _check_minutes(minutes: float) -> None:
    if not 0 <= minutes < float("inf"):  # NaN is neither
        raise UserError(f"--minutes {minutes:g}: 0 or more, and not without end")


def _check_file(file: Path) -> None:
    """Refuse a file that could not be written, before anything is measured."""
    from synthworth.artifacts import check_writable

    if file.is_dir():
        raise UserError(f"--json-file {file}: that is a folder. Name a file in it, {file / 'speed.json'} say")
    check_writable(file.absolute().parent)


def measure(names: Sequence[str], o: SpeedOptions) -> tuple[dict[str, list[Row | Growth]], dict[str, str]]:
    """What was measured, by row; and the rows that were left out for want of their peer, with the reason.

    Raises
    ------
    NoPeer
        When a row that was asked for by name has no peer here.
    """
    found: dict[str, list[Row | Growth]] = {}
    missing: dict[str, str] = {}
    for name in track(names, "speed"):
        row = ROWS[o.device][name]
        try:
            made = row(o.sizes) if name in GROWTH else row(o.repeat)
        except NoPeer as error:
            if name in o.only:
                raise
            missing[name] = str(error)
            continue
        found[name] = list(made) if isinstance(made, Sequence) else [made]
    return found, missing


def report_gpu(o: SpeedOptions) -> int:
    """The report of a GPU: a table, and a file with everything.

    Raises
    ------
    UserError
        Where there is no such GPU, or rows are named, and for minutes or a file that cannot be.
    """
    from benchmarks.speed.gpu.run import report as report_on_gpu
    from synthworth.devices import resolve_device

    _check_minutes(o.minutes)
    device = resolve_device(o.device)
    if o.only:
        raise UserError(f"--device {device} with {' '.join(o.only)}: the report of a GPU is made whole; name no rows")
    if o.json or o.sizes or o.repeat != SpeedOptions.repeat:
        raise UserError(f"--device {device}: --json, --sizes and --repeat are of the rows of a CPU; use --json-file")
    file = (o.json_file or Path("gpu.json")).absolute()
    _check_file(file)
    made = report_on_gpu(file, device=device, minutes=o.minutes)
    print_tables({"gpu": made.rows}, missing=made.wanting())
    print(f"written to {file}")
    return OK if not made.wanting() else FAILED


def main(args: Sequence[str]) -> int:
    """Measure; print the tables, or JSON."""
    options = tyro.cli(SpeedOptions, args=list(args), prog="python -m benchmarks.speed")
    if options.device.startswith("cuda"):
        return report_gpu(options)
    names = check(options)
    found, missing = measure(names, options)
    if options.json or options.json_file is not None:
        made = report(found, missing=missing, device=options.device, repeat=options.repeat)
        if options.json_file is not None:
            from synthworth.artifacts import ensure_folder, write_json

            ensure_folder(options.json_file.absolute().parent)
            write_json(options.json_file, made)
        if options.json:
            print(json.dumps(made, indent=1))
            return OK
    print_tables(found, missing=missing)
    return OK


if __name__ == "__main__":
    sys.exit(guarded(main))
