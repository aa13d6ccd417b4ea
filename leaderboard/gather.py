"""Which records the folders hold: each read once, kept in short, and known again by its bytes in the next build."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from benchmarks.records.load import RECORD, Unreadable, check_home, read_sealed, record_in
from benchmarks.records.predictions import Entry
from benchmarks.records.shape import FINISHED
from benchmarks.records.store import Records
from leaderboard.known import Known
from leaderboard.slim import Slim, slim
from synthworth.errors import UserError
from synthworth.keys import sha256_of
from synthworth.printable import one_line
from synthworth.progress import track
from synthworth.workers import map_tasks

AT_ONCE = 100
"""Records that a process reads in one go."""
ALIKE = ("provenance", "audit", "training", "counts", "classes")
"""Parts of a record that others of its experiment have word for word."""
VALUES, TEXTS = ("utility", "fidelity", "privacy"), ("metric", "extractor", "features", "alias", "direction", "note")
"""Parts that hold values, and texts of a value that thousands of records have word for word."""
IN_A_ROUND = 4000
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
                entries.setdefault(record["run_id"], Slim(record, place, sha256))
            else:
                failed.setdefault(record["run_id"], record)
        skipped += shelf.left_over()
    if not entries and not failed:
        where = ", ".join(str(f) for f in folders)
        unread = f"; not read: {skipped[0]}" if skipped else ""
        unread += f"; and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        raise UserError(
            f"there is no record in {where}{unread}. Run python -m benchmarks.run first, or name another --results"
        )
    unfinished = tuple(record for run_id, record in failed.items() if run_id not in entries)
    return Found(tuple(entries.values()), unfinished, tuple(skipped))


Outcome = tuple[str, dict[str, Any]] | str
"""Digest of a file and the record in it, in short; or why it cannot be read."""


def _read(
    places: Sequence[Path], known: Known | None, workers: int, shared: dict[str, Any]
) -> Iterable[tuple[Path, Outcome]]:
    """What each folder holds, in their order; parts that many records have alike are held once, in `shared`."""
    parts = [places[k : k + AT_ONCE] for k in range(0, len(places), AT_ONCE)]
    if known is None:
        for part in track(parts, "reading records", unit="parts"):
            yield from ((place, _once_each(_record(place), shared)) for place in part)
        return
    looked: dict[Path, Outcome | None] = {}
    for part in track(parts, "looking records up", unit="parts"):
        looked |= {place: _once_each(found, shared) for place, found in _looked_up(part, known).items()}
    unread = [place for place, found in looked.items() if found is None]
    for first in range(0, len(unread), IN_A_ROUND):
        some = unread[first : first + IN_A_ROUND]
        tasks = [tuple(some[k : k + AT_ONCE]) for k in range(0, len(some), AT_ONCE)]
        side_by_side = workers if len(some) >= MANY else 1
        answers = map_tasks(records_in, tasks, workers=side_by_side, what="reading records")
        for task, answer in zip(tasks, answers, strict=True):
            looked |= zip(task, (_once_each(one, shared) for one in _kept(answer or [], known)), strict=True)
    yield from ((place, found) for place, found in looked.items() if found is not None)


def _looked_up(places: Sequence[Path], known: Known) -> dict[Path, Outcome | None]:
    """What is known of the records in these folders; None where it has to be read."""
    keys: dict[Path, tuple[str, str]] = {}
    for place in places:
        try:
            sha256 = sha256_of([read_sealed(place / RECORD)])
        except Unreadable:
            continue  # read again below, which gives the reason
        keys[place] = sha256, known.key("record", sha256)
    there = known.find([key for _, key in keys.values()])
    found: dict[Path, Outcome | None] = dict.fromkeys(places)
    for place, (sha256, key) in keys.items():
        if key in there:
            try:
                check_home(there[key]["run_id"], place / RECORD)
            except Unreadable as reason:
                found[place] = str(reason)
            else:
                found[place] = sha256, there[key]
    return found


def _kept(answer: Sequence[tuple[str, str]], known: Known) -> list[Outcome]:
    """What was read, kept in `known`; parsed at one go, so that names of fields are held once."""
    found = json.loads(f"[{','.join(text for _, text in answer)}]")
    for (sha256, text), one in zip(answer, found, strict=True):
        if not isinstance(one, str):
            known.keep_text(known.key("record", sha256), text)
    return [one if isinstance(one, str) else (sha256, one) for (sha256, _), one in zip(answer, found, strict=True)]


def records_in(places: Sequence[Path]) -> list[tuple[str, str]]:
    """What each folder holds: the digest of the file, and as JSON the record in short, or why it cannot be read."""
    found = [_record(place) for place in places]
    pairs = [("", one) if isinstance(one, str) else one for one in found]
    return [(sha256, json.dumps(one, allow_nan=False, separators=(",", ":"))) for sha256, one in pairs]


def _record(place: Path) -> Outcome:
    """The record in a folder in short, or why it cannot be read."""
    file = place / RECORD
    try:
        raw = read_sealed(file)
        return sha256_of([raw]), slim(record_in(raw, file))
    except Unreadable as reason:
        return str(reason)


def _once_each(found: Any, shared: dict[str, Any]) -> Any:
    """What was found, with the parts of a record that many have alike held once."""
    return found if found is None or isinstance(found, str) else (found[0], _with_shared(found[1], shared))


def _with_shared(record: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    for name in ALIKE:
        if name in record:
            record[name] = _once(record[name], shared)
    for value in (value for part in VALUES for value in record.get(part, {}).values()):
        for name in TEXTS:
            if value.get(name) is not None:
                value[name] = intern(value[name])
    spec = record["spec"].items()
    record["spec"] = {name: _once(part, shared) if isinstance(part, (dict, list)) else part for name, part in spec}
    return record


def _once(part: Any, shared: dict[str, Any]) -> Any:
    return shared.setdefault(repr(part), part)
