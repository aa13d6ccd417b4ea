"""The images of a finished run as a folder for others: `python -m benchmarks.pool export RUN_ID FOLDER`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from synthworth.commands import OK, guarded

PROG = "python -m benchmarks.pool"


@dataclass(frozen=True)
class PoolOptions:
    """Write the images that a run's generator drew as a folder that `--generator pool` and any tool can read.

    Flags of `benchmarks.run` may follow that say where the images and files of the run lie (--home, --data.path, ...).
    """

    do: Annotated[Literal["export"], tyro.conf.Positional]
    """What to do: export."""
    record: Annotated[str, tyro.conf.Positional]
    """The run: its id or its first digits, the folder of its record, or the record."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Where the images go: a folder that is empty or not there yet."""
    licence: str = ""
    """Under which the images may be used; without it, as the films that they were learned from."""
    results: Path = Path("results/runs")
    """Folder of the records."""


def main(args: Sequence[str]) -> int:
    """Write the folder."""
    o, flags = tyro.cli(PoolOptions, args=list(args), prog=PROG, return_unknown_args=True)
    from benchmarks.job.stored_pool import stored_pool
    from benchmarks.pool.allowed import refuse_exact_copies, refuse_real_films
    from benchmarks.pool.write import refuse_target, write_pool
    from benchmarks.records.given import given_record
    from benchmarks.records.terms import licence_given_out
    from benchmarks.report.tables import console

    record = dict(given_record(o.record, o.results).record)
    refuse_real_films(record)
    refuse_target(o.folder)
    told = (record.get("dataset") or {}).get("licence")
    if told is not None:
        licence_given_out(record, dataset_licence=told, stated=o.licence)  # before the store is opened
    pool, images = stored_pool(record, flags, prog=PROG, results=o.results)
    of_dataset = told or getattr(images.dataset, "licence", None)
    licence = licence_given_out(record, dataset_licence=of_dataset, stated=o.licence)
    real = [images.train, images.val, images.test, *([images.donor] if images.spec.donor else [])]
    refuse_exact_copies(pool, *real, name=record["name"])
    n = write_pool(o.folder, pool, record, licence=licence, dataset_licence=of_dataset, train=images.train)
    out = console()
    out.print(f"written {o.folder}: {n} images of {record['name']}, licence: {licence}", markup=False, soft_wrap=True)
    out.print(f"read them with --generator pool --gen.path {o.folder}", markup=False, soft_wrap=True)
    return OK


if __name__ == "__main__":
    sys.exit(guarded(main))
