"""Records as they are laid out today: `python -m benchmarks.repack --results DIR --out DIR`; no number changes."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from benchmarks.records.elsewhere import CORRUPTED, holds_predictions
from benchmarks.records.load import RECORD
from benchmarks.records.predictions import Entry, write_again
from benchmarks.records.seal import Broken, changed_files
from benchmarks.records.store import Records, copies_of
from benchmarks.report.tables import console
from synthworth.commands import OK, guarded
from synthworth.errors import UserError


@dataclass(frozen=True)
class RepackOptions:
    """Write finished records again in today's layout, which is smaller; every number and prediction stays as it is."""

    out: Path
    """Folder that takes the new records; the old ones stay as they are."""
    results: Path = Path("results/runs")
    """Folder of the records."""
    without: tuple[str, ...] = ()
    """Names of files beside a record that are left out: reliability.png, say, which no page of a leaderboard shows."""


def main(args: Sequence[str]) -> int:
    """Read, write, and say what was gained."""
    options = tyro.cli(RepackOptions, args=list(args), prog="python -m benchmarks.repack")
    records, written, out = Records(options.results), Records(options.out), console()
    if options.out.resolve() == options.results.resolve():
        raise UserError(f"--out {options.out} is the folder of the records; name another, so that the old ones stay")
    if needed := [name for name in options.without if name == RECORD or holds_predictions(name)]:
        raise UserError(f"--without {needed[0]} would leave out what a record rests on; name pictures, or other files")
    shelf = records.read()
    if not shelf.finished:
        unread = f" that can be read ({shelf.unread[0]})" if shelf.unread else ""
        raise UserError(f"no finished record{unread} in {options.results.resolve()}; name the folder with --results")
    for line in shelf.unread:
        out.print(f"not read: {line}", markup=False, soft_wrap=True)
    before = after = n = 0
    for entry in shelf.finished:
        if why := _damage(entry):
            out.print(f"left out: {entry.record['name']} ({entry.run_id[:12]}): {why}", markup=False, soft_wrap=True)
            continue
        before += _size(entry.folder)
        after += _size(written.write(entry.record, _companions(entry, options.without)))
        n += 1
    out.print(f"{n} records in {options.out}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")
    return OK


def _damage(entry: Entry) -> str | None:
    """Why the files beside a record are not those that were written with it: a new seal would hide that."""
    try:
        changed = changed_files(entry.folder, record=RECORD)
    except Broken as reason:
        return str(reason)
    return f"{changed[0]} has changed since it was written" if changed else None


def _companions(entry: Entry, without: Sequence[str]) -> dict[str, Any]:
    """What stands beside a record, copied; predictions in today's layout."""
    files: dict[str, Any] = copies_of(entry.folder, but=without)
    tables = [name for name in files if holds_predictions(name) and name != CORRUPTED]
    return files | {name: partial(write_again, entry.folder / name, classes=entry.record["classes"]) for name in tables}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


if __name__ == "__main__":
    sys.exit(guarded(main))
