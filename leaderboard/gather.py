"""Which records the folders hold: each read once, kept in short, and known again by its bytes in the next build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.records.load import RECORD, Unreadable, check_home, read_sealed, record_in
from benchmarks.records.predictions import Entry
from benchmarks.records.reproduced import content_of
from benchmarks.records.shape import FINISHED
from benchmarks.records.store import Records
from leaderboard.known import Known
from leaderboard.packed import Packed, pack
from leaderboard.slim import Slim, slim
from synthworth.errors import UserError
from synthworth.keys import sha256_of
from synthworth.printable import one_line
from synthworth.progress import track
from synthworth.workers import map_tasks

AT_ONCE = 100
"""Records that a process reads in one go."""
IN_A_ROUND = 20_000
"""Records that are read before they are put away in short: what is in memory at a time."""
MANY = 1000
"""Records from which on it pays to read them in several processes."""


@dataclass(frozen=True)
class Found:
    """What the folders hold: finished runs, unfinished ones, and what cannot be read or believed, with the reason."""

    entries: tuple[Entry, ...]
    failed: tuple[Mapping[str, Any], ...]
    skipped: tuple[str, ...]


def collect(folders: Sequence[Path], known: Known | None = None, *, workers: int = 1) -> Found:
    """Read every record in the folders in short; of several with one run id, the first finished one counts.

    A copy of it is the same record. One of other content is named among what was not read, and in the row of the first.

    Parameters
    ----------
    known : where records are looked up by their bytes; what is read is kept there.
    workers : processes that read what is not known, where that is much.

    Raises
    ------
    UserError
        For a folder that is not there, and when there is no record in any of them.
    """
    entries: dict[str, Slim] = {}
    others: dict[str, list[str]] = {}
    failed: dict[str, Mapping[str, Any]] = {}
    skipped = []
    shared: dict[str, Any] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--results {folder}: no such folder. Run python -m benchmarks.run first, or name another")
        shelf = Records(folder)
        for place, found in _read(shelf.places(), known, workers, shared):
            if isinstance(found, str):
                skipped.append(f"{one_line(str(place / RECORD))} {found}")
                continue
            sha256, record = found
            if record["status"] == FINISHED:
                first = entries.setdefault(record["run_id"], Slim(record, place, sha256))
                if not _same(first, place, sha256):
                    others.setdefault(record["run_id"], []).append(one_line(str(place / RECORD)))
            else:
                failed.setdefault(record["run_id"], record)
        skipped += shelf.left_over()
    for run_id, files in others.items():
        first = entries[run_id] = replace(entries[run_id], others=tuple(files))
        here = one_line(str(first.folder / RECORD))
        skipped += [
            f"{file} is another record of the run of {here}, which was named first and counts" for file in files
        ]
    if not entries and not failed:
        where = ", ".join(str(f) for f in folders)
        unread = f"; not read: {skipped[0]}" if skipped else ""
        unread += f"; and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        raise UserError(
            f"there is no record in {where}{unread}. Run python -m benchmarks.run first, or name another --results"
        )
    unfinished = tuple(record for run_id, record in failed.items() if run_id not in entries)
    return Found(tuple(entries.values()), unfinished, tuple(skipped))


def _same(first: Slim, place: Path, sha256: str) -> bool:
    """Whether a folder holds the same record as the first of its run, with the same predictions."""
    return place == first.folder or content_of(place, sha256) == content_of(first.folder, first.sha256)


FoundOrWhy = tuple[str, bytes] | str
"""Digest of a file and the record in it, in short and packed; or why it cannot be read."""
Outcome = tuple[str, Mapping[str, Any]] | str
"""The same with the record as it is read."""


def _read(
    places: Sequence[Path], known: Known | None, workers: int, shared: dict[str, Any]
) -> Iterable[tuple[Path, Outcome]]:
    """What each folder holds, in their order; parts of specs that many records have alike are held once, in `shared`.

    What is not known is read in rounds; what is in memory in full at a time is one record a process.
    """
    parts = [places[k : k + AT_ONCE] for k in range(0, len(places), AT_ONCE)]
    if known is None:
        for part in track(parts, "reading records", unit="parts"):
            yield from ((place, _opened(_record(place), shared)) for place in part)
        return
    looked: dict[Path, Outcome | None] = dict.fromkeys(places)
    begun = known.key("records were read")
    for part in track(parts, "looking records up", unit="parts") if known.find([begun]) else ():
        looked |= _looked_up(part, known, shared)
    unread = [place for place, found in looked.items() if found is None]
    for first in range(0, len(unread), IN_A_ROUND):
        some = unread[first : first + IN_A_ROUND]
        tasks = [tuple(some[k : k + AT_ONCE]) for k in range(0, len(some), AT_ONCE)]
        side_by_side = workers if len(some) >= MANY else 1
        answers = map_tasks(records_in, tasks, workers=side_by_side, what="reading records", with_torch=False)
        for task, answer in zip(tasks, answers, strict=True):
            for place, one in zip(task, answer or [], strict=True):
                if not isinstance(one, str):
                    known.keep_packed(known.key("record", one[0]), one[1])
                looked[place] = _opened(one, shared)
    known.keep(begun, True)
    yield from ((place, found) for place, found in looked.items() if found is not None)


def _looked_up(places: Sequence[Path], known: Known, shared: dict[str, Any]) -> dict[Path, Outcome | None]:
    """What is known of the records in these folders; None where it has to be read."""
    keys: dict[Path, tuple[str, str]] = {}
    for place in places:
        try:
            sha256 = sha256_of([read_sealed(place / RECORD)])
        except Unreadable:
            continue  # read again below, which gives the reason
        keys[place] = sha256, known.key("record", sha256)
    there = known.find_packed([key for _, key in keys.values()])
    found: dict[Path, Outcome | None] = dict.fromkeys(places)
    for place, (sha256, key) in keys.items():
        if key in there:
            record = _opened((sha256, there[key]), shared)
            try:
                check_home(record[1]["run_id"], place / RECORD)
            except Unreadable as reason:
                found[place] = str(reason)
            else:
                found[place] = record
    return found


def records_in(places: Sequence[Path]) -> list[FoundOrWhy]:
    """What each folder holds: the digest of the file and the record in short, packed; or why it cannot be read."""
    return [_record(place) for place in places]


def _record(place: Path) -> FoundOrWhy:
    """The record in a folder in short, or why it cannot be read."""
    file = place / RECORD
    try:
        raw = read_sealed(file)
        return sha256_of([raw]), pack(slim(record_in(raw, file)))
    except Unreadable as reason:
        return str(reason)


def _opened(found: FoundOrWhy, shared: dict[str, Any]) -> Any:
    """What was found, with a record that can be read."""
    return found if isinstance(found, str) else (found[0], Packed(found[1], shared))
