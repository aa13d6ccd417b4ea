"""Can a person tell the films apart? `python -m benchmarks.reader RUN_ID`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.keys import digest

PROG = "python -m benchmarks.reader"
FOLDER = Path("results/reader")


@dataclass(frozen=True)
class ReaderOptions:
    """Make a page of real and synthetic films in random order for a reader, or take the answers to it.

    Flags of `benchmarks.run` may follow that say where the images and files of the run lie (--home, --data.path, ...).
    """

    run_id: Annotated[str, tyro.conf.Positional]
    """The run whose synthetic films are shown: its id, or its first digits."""
    n: int = 60
    """Films on the page, half of them real films of the test split."""
    sheet_seed: int = 0
    """Draws the films and their order: another page of the same run."""
    out: Path | None = None
    """Folder of the page, and of the key in a folder `key` of it; results/reader and the run unless it is given."""
    answers: Path | None = None
    """The file that the page saved: what it comes to is put into the record."""
    reader: str = ""
    """Who answered, in words (a radiologist, 12 years)."""
    results: Path = Path("results/runs")
    """Folder of the records."""


def main(args: Sequence[str]) -> int:
    """Write a sheet, or take answers."""
    options, flags = tyro.cli(ReaderOptions, args=list(args), prog=PROG, return_unknown_args=True)
    from benchmarks.records.shape import FINISHED
    from benchmarks.records.store import Records

    records = Records(options.results)
    record = records.match(options.run_id)
    if record["status"] != FINISHED:
        raise UserError(f"{record['name']} did not finish: there are no films of it to show")
    folder = options.out or FOLDER / record["run_id"][:16]
    if options.answers is not None:
        return take_answers(options, records, record, folder)
    return make_sheet(options, record, folder, flags)


def make_sheet(o: ReaderOptions, record: dict[str, Any], folder: Path, flags: Sequence[str]) -> int:
    """Write page and key."""
    from benchmarks.job.stored_pool import stored_pool
    from benchmarks.reader.films import choose_films
    from benchmarks.reader.sheet import PAGE, write_sheet
    from benchmarks.report.tables import console
    from synthworth.artifacts import check_writable

    if not sum(record["counts"]["synthetic"].values()):
        raise UserError(f"{record['name']} adds no images: there is nothing to tell apart. Name a generator's run")
    check_writable(folder)
    pool, images = stored_pool(record, flags, prog=PROG, results=o.results)
    films = choose_films(pool, images.test, n=o.n, seed=o.sheet_seed)
    key = write_sheet(films, record["run_id"], folder)
    out = console()
    out.print(
        f"written {folder / PAGE}: open it in a browser, or send it to a reader; it needs no network", markup=False
    )
    out.print(f"the key lies in {folder / 'key'}: keep it from the reader", markup=False, soft_wrap=True)
    again = f"{PROG} {record['run_id'][:12]} --answers answers-{key.sheet}.csv --reader NAME"
    out.print(f"afterwards: {again}" + (f" --out {o.out}" if o.out else ""), markup=False, soft_wrap=True)
    return OK


def take_answers(o: ReaderOptions, records: Any, record: dict[str, Any], folder: Path) -> int:
    """Judge the answers, put what they come to into the record, and keep them beside it."""
    import shutil

    from benchmarks.reader.answers import judge, read_answers
    from benchmarks.reader.sheet import read_key
    from benchmarks.records.store import ANSWERS
    from benchmarks.report.tables import console
    from benchmarks.verdicts.sentences import reader_sentence
    from synthworth.artifacts import check_writable

    key = read_key(folder)
    if key.run_id != record["run_id"]:
        raise UserError(
            f"the sheet in {folder} shows films of run {key.run_id[:12]}, not of {record['run_id'][:12]}. Name the "
            "folder of that run's sheet with --out"
        )
    assert o.answers is not None
    found = judge(read_answers(o.answers, key), key, reader=o.reader)
    check_writable(o.results)
    before = [one for one in record.get("readers", ()) if (one["sheet"], one["reader"]) != (key.sheet, found["reader"])]
    replaced = len(before) < len(record.get("readers", ()))
    name = f"{ANSWERS}{key.sheet}-{digest(found['reader'])[:8]}.csv"
    files = records.beside_it(record["run_id"]) | {name: lambda to: shutil.copyfile(o.answers, to)}
    records.write({**record, "readers": [*before, found]}, files)
    out = console()
    out.print(f"READER   {reader_sentence(found)}", markup=False, soft_wrap=True)
    if replaced:
        out.print("what this reader had answered to this sheet before is replaced", markup=False)
    out.print(f"in the record {records.path(record['run_id'])}", markup=False, soft_wrap=True)
    return OK


if __name__ == "__main__":
    sys.exit(guarded(main))
