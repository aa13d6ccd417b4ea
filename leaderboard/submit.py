"""The command `python -m leaderboard.submit RECORDS...`: records checked, and laid out as a pull request adds them."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import os
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from benchmarks.records.load import RECORD, Unreadable, load_record
from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.records.seal import SEAL
from benchmarks.records.store import Records
from benchmarks.request.situations import situation_of
from leaderboard.admission import pictures_of, why_refused
from leaderboard.suite import Suite, dataset_of, read_suite, suites
from synthworth.artifacts import ensure_folder, publish, sync, write_bytes
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.escape import markdown_cell
from synthworth.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console

REFUSED = 2
TEXT = "PULL_REQUEST.md"


@dataclass(frozen=True)
class SubmitOptions:
    """Check finished records, and lay them out as a pull request adds them; nothing is written where one is refused."""

    records: tyro.conf.Positional[tuple[Path, ...]]
    """Records, the folders they lie in, or a folder of such folders; their controls must be among them or in --to."""
    to: Path = Path("results/submitted")
    """Folder that takes a folder a record, and the text of the pull request."""
    suite: str = ""
    """The suite they are for: its name, or a YAML file of one; default the newest that is shipped."""
    pictures: bool = False
    """Take pictures along of datasets whose licence is not known here (`folder`, `dicom`): you may show them."""


@dataclass(frozen=True)
class Looked:
    """A record that was looked at: what it is called, itself where it can be read, and why it is refused."""

    name: str
    entry: Entry | None
    refused: str | None


def main(args: Sequence[str]) -> int:
    """Look at each, say what came of it, write all or nothing.

    Returns
    -------
    int
        0 where every record was taken, 2 where one was refused.
    """
    options = tyro.cli(SubmitOptions, args=list(args), prog="python -m leaderboard.submit")
    suite = read_suite(options.suite or suites()[-1])
    from benchmarks.report.tables import console

    out = console()
    looked = [_look(place) for place in _places(options.records)]
    entries = [one.entry for one in looked if one.entry is not None]
    there = {entry.run_id: entry for entry in (*_taken(options.to), *entries)}
    looked = [_judged(one, there, suite) for one in looked]
    for one in looked:
        out.print(f"{'refused' if one.refused else 'ok'}  {one.name}" + (f": {one.refused}" if one.refused else ""),
                  markup=False, soft_wrap=True)  # fmt: skip
    if n := sum(one.refused is not None for one in looked):
        out.print(f"nothing was written: {n} of {len(looked)} records are refused", markup=False, soft_wrap=True)
        return REFUSED
    _write(entries, options, suite, out)
    return OK


def _places(named: Sequence[Path]) -> list[Path]:
    """The folders of the records that were named, once each.

    Raises
    ------
    UserError
        For a place that holds no record.
    """
    if not named:
        raise UserError("no record was named. Name records, their folders, or a folder of them")
    places: dict[Path, None] = {}
    for place in named:
        place = place.parent if place.name == RECORD else place
        found = [place] if os.path.lexists(place / RECORD) else Records(place).places()
        if not found:
            raise UserError(f"{place} holds no {RECORD}. Name records, their folders, or a folder of them")
        places |= dict.fromkeys(one.absolute() for one in found)
    return list(places)


def _look(place: Path) -> Looked:
    try:
        record = load_record(place / RECORD)
    except Unreadable as reason:
        return Looked(one_line(str(place / RECORD)), None, str(reason))
    return Looked(f"{record['name']} ({record['run_id'][:16]})", Entry(record, place), None)


def _taken(to: Path) -> list[Entry]:
    """The finished records that lie where these go."""
    return list(Records(to).read().finished)


def _judged(one: Looked, there: Mapping[str, Entry], suite: Suite) -> Looked:
    if one.entry is None:
        return one
    return Looked(one.name, one.entry, why_refused(one.entry, there, suite))


def _write(entries: Sequence[Entry], options: SubmitOptions, suite: Suite, out: Console) -> None:
    """Copy each record with its predictions, its seal, and its pictures where they may be shown; write the text."""
    ensure_folder(options.to)
    for entry in entries:
        pictures = pictures_of(entry, allowed=options.pictures)
        final = options.to / entry.folder.name
        if final.absolute() == entry.folder or _is_there(entry, final):
            out.print(f"{final} is there already", markup=False, soft_wrap=True)
            continue
        made = options.to / f".{entry.folder.name}.{uuid.uuid4().hex[:8]}"
        try:
            made.mkdir()
            for name in (RECORD, PREDICTIONS, SEAL, *pictures):
                shutil.copyfile(entry.folder / name, made / name)
            sync(made)
            if not publish(made, final):
                raise UserError(f"{final} was made by somebody else meanwhile. Look at it, and start again")
        finally:
            shutil.rmtree(made, ignore_errors=True)
        out.print(f"written {final}", markup=False, soft_wrap=True)
    write_bytes(options.to / TEXT, text_of(entries, suite).encode())
    out.print(f"written {options.to / TEXT}", markup=False, soft_wrap=True)


def _is_there(entry: Entry, final: Path) -> bool:
    """Whether the same record is there; another one of this run is refused.

    Raises
    ------
    UserError
        Where another record of the run is there.
    """
    if not os.path.lexists(final):
        return False
    if (final / RECORD).is_file() and (final / RECORD).read_bytes() == (entry.folder / RECORD).read_bytes():
        return True
    raise UserError(f"{final} holds another record of {entry.record['name']}. Records are never edited: take one away")


def text_of(entries: Sequence[Entry], suite: Suite) -> str:
    """The text of the pull request: what is added, where and with what it was made."""
    lines = [
        f"# {len(entries)} record{'s' * (len(entries) != 1)} for {suite.name}", "",
        "Each was checked by `python -m leaderboard.submit`: whole, sealed, with all of its seeds, its statistics made "
        "again from its predictions.", "",
        "| record | dataset | arm | situation | AUROC | commit | machine |", "|---|---|---|---|---:|---|---|",
    ]  # fmt: skip
    for entry in sorted(entries, key=lambda one: (dataset_of(one.spec), one.record["name"])):
        about, auroc = entry.record["provenance"], entry.record["utility"]["auroc"]
        cells = (
            entry.run_id[:16], dataset_of(entry.spec), entry.record["name"], situation_of(entry.spec),
            f"{auroc['value']:.4f} [{auroc['low']:.4f}, {auroc['high']:.4f}]", str(about.get("commit"))[:12],
            str(about.get("gpu") if str(about["device"]).startswith("cuda") else about["processor"]),
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(markdown_cell, cells))} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(guarded(main))
