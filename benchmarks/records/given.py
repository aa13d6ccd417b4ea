"""Which finished record an argument of a command means: a run id, the folder of a record, or its file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.records.load import RECORD, Unreadable, load_record
from benchmarks.records.predictions import Entry
from benchmarks.records.shape import FINISHED, reason_of
from benchmarks.records.store import Records
from synthworth.errors import UserError, bounded


def given_record(word: str, results: Path) -> Entry:
    """The finished record that a word names, wherever it lies.

    Parameters
    ----------
    word : a path to a record or to its folder where there is one, else the first digits of a run id.
    results : where run ids are looked up.

    Raises
    ------
    UserError
        Where there is none, where it cannot be read or believed, and for a run that did not finish.
    """
    file = Path(word)
    if file.exists():
        file = file / RECORD if file.is_dir() else file
        try:
            record = load_record(file, at_home=False)
        except Unreadable as reason:
            raise UserError(f"{file} {reason}") from reason
        folder = file.parent
    else:
        records = Records(results)
        record = records.match(word)
        folder = records.path(record["run_id"])
    if record["status"] != FINISHED:
        raise UserError(f"{record['name']} is no finished run: {bounded(reason_of(record))}. Carry it out again")
    return Entry(record, folder)
