"""Records: one JSON a run, predictions beside it, written whole or not at all; missing is null with a note."""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.records.attempt import abandoned, new_attempt
from benchmarks.records.kinds import DIGEST
from benchmarks.records.load import ID_DIGITS, RECORD, Unreadable, load_record
from benchmarks.records.predictions import Entry
from benchmarks.records.seal import SEAL, write_seal
from benchmarks.records.shape import FINISHED
from benchmarks.records.upgrade import SCHEMA as SCHEMA
from benchmarks.request.spec import is_zero_line
from synthworth.artifacts import ensure_folder, publish, sync, write_parts
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.printable import one_line

logger = logging.getLogger(__name__)
GRID, WORTH, ANSWERS = "grid.png", "worth.png", "answers-"
OLD, DAMAGED = ".old", ".damaged"
"""How a folder is called that a new record takes the place of, until the new one is there; and one that could not be
read, and is kept."""


@dataclass(frozen=True)
class Shelf:
    """What a folder of records holds: finished runs, others, and what cannot be read, a line each with its reason."""

    finished: tuple[Entry, ...]
    unfinished: tuple[Entry, ...]
    unread: tuple[str, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every record that can be read, by folder name."""
        return tuple(sorted((*self.finished, *self.unfinished), key=lambda entry: entry.folder.name))


class Records:
    """The folder of records: `<results>/<first 16 digits of run_id>/record.json` and what stands beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._doubted: dict[str, str] = {}
        self._said: set[str] = set()

    def path(self, run_id: str) -> Path:
        """Folder of one run.

        Raises
        ------
        ValueError
            For what is no run id: it would name a place elsewhere.
        """
        if not DIGEST.fullmatch(run_id):
            raise ValueError(f"{run_id[:80]!r} is no run id")
        return self.folder / run_id[:ID_DIGITS]

    def find(self, run_id: str) -> dict[str, Any] | None:
        """The finished record of a run, or None; a failed one counts as missing, so that it is tried again.

        So does one that cannot be read or believed, with a warning that names it.
        """
        file = self.path(run_id) / RECORD
        if run_id in self._doubted or not os.path.lexists(file.parent):
            return None
        try:
            record = load_record(file)
        except Unreadable as reason:
            self._say(f"{file} {reason}")
            return None
        return record if record["status"] == FINISHED and record["run_id"] == run_id else None

    def doubt(self, run_id: str, reason: str) -> None:
        """Count a record as missing from now on: it can be read, and is not borne out by what lies beside it."""
        self._doubted[run_id] = reason
        self._say(f"{self.path(run_id) / RECORD} {reason}")

    def doubts(self, run_id: str) -> bool:
        """Whether the record of a run is doubted."""
        return run_id in self._doubted

    def _say(self, problem: str) -> None:
        """Warn of a record that counts as missing, once."""
        if problem not in self._said:
            self._said.add(problem)
            logger.warning("%s. It counts as missing, and the run is made again", problem)

    def beside(self, entry: Entry) -> dict[str, Entry]:
        """The finished records that a record's numbers were made with, by run id; not those that cannot be read.

        They are those of the arms that it was compared with, of its positive control, and of its learning curve.
        """
        named = {row["run_id"] for row in entry.record["comparisons"].values()}
        named |= {positive["run_id"]} if (positive := entry.record.get("positive_control")) else set()
        found = {i: one for i in sorted(named) if (one := self._entry(i)) is not None}
        zero = next((one.spec for one in found.values() if is_zero_line(one.spec)), None)
        points = entry.spec["curve"] if zero is not None and entry.record.get("worth") else ()
        curve = sorted({digest({**(zero or {}), "portion": portion}) for portion in points} - found.keys())
        return found | {i: one for i in curve if (one := self._entry(i)) is not None}

    def _entry(self, run_id: str) -> Entry | None:
        record, _ = _read_or_why(self.path(run_id))
        return Entry(record, self.path(run_id)) if record is not None and record["status"] == FINISHED else None

    def beside_it(self, run_id: str) -> dict[str, Callable[[Path], Any]]:
        """The files beside a record, as `write` takes them: each is copied."""
        return copies_of(self.path(run_id))

    def write(self, record: Mapping[str, Any], files: Mapping[str, Any]) -> Path:
        """Publish a record, its companions and their seal by one rename.

        A finished or failed record in its place goes; one that cannot be read is kept beside it, and named.

        Parameters
        ----------
        files : name -> function writing to a path; the companions.

        Raises
        ------
        ValueError
            For NaN or infinity anywhere in the record, and a run id that is none.
        """
        final = self.path(record["run_id"])
        made = ensure_folder(new_attempt(final))
        try:
            for name, write in files.items():
                write(made / name)
            write_parts(made / RECORD, record)
            write_seal(made, RECORD)
            sync(made)
            old = self._move_away(final, self._doubted.pop(record["run_id"], None))
            publish(made, final)
            if old is not None:
                _remove(old)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return final

    def _move_away(self, final: Path, doubt: str | None) -> Path | None:
        """Make room for a record: where the one that is there went, if it may go for good."""
        if not os.path.lexists(final):
            return None
        reason = doubt or _why_unreadable(final)
        away = final.with_name(f"{OLD if reason is None else DAMAGED}.{final.name}.{uuid.uuid4().hex[:8]}")
        try:
            os.replace(final, away)
        except FileNotFoundError:  # another run has moved it meanwhile
            return None
        if reason is None:
            return away
        logger.warning("%s %s. It is kept as %s, and made again", final / RECORD, reason, away)
        return None

    def tidy(self) -> None:
        """Put back, or sweep away, what a write left that was killed between moving one record out and the next in."""
        for place in sorted(self.folder.glob(f"{OLD}[.-]*")):
            final = self._home_of(place)
            if final is None:
                continue
            if os.path.lexists(final):
                _remove(place)
            else:
                os.replace(place, final)
                logger.warning("%s is put back: a run was killed while it wrote over it", final)
        for place in abandoned(self.folder):
            _remove(place)

    def _home_of(self, place: Path) -> Path | None:
        """Where a folder that was moved out of the way belongs; None where it does not say."""
        name = place.name.split(".")[2:3]
        if not name:  # as versions before this one named them
            try:
                name = [str(_as_moved(place)["run_id"])[:ID_DIGITS]]
            except Unreadable:
                return None
        return self.folder / name[0]

    def read(self) -> Shelf:
        """Every record of the folder; what cannot be read does not keep the others from it."""
        finished, unfinished, unread = [], [], []
        for place in self.places():
            try:
                record = load_record(place / RECORD)
            except Unreadable as reason:
                unread.append(f"{one_line(str(place / RECORD))} {reason}")
                continue
            (finished if record["status"] == FINISHED else unfinished).append(Entry(record, place))
        return Shelf(tuple(finished), tuple(unfinished), (*unread, *self.left_over()))

    def places(self) -> list[Path]:
        """Folders with a record in them, by name; not those half-written by a run that was killed."""
        if not self.folder.is_dir():
            return []
        return [p for p in sorted(self.folder.iterdir()) if p.name[0] != "." and os.path.lexists(p / RECORD)]

    def left_over(self) -> Iterator[str]:
        """A line for each record that a run moved out of the way, and was killed before it wrote the next."""
        for place in sorted(self.folder.glob(f"{OLD}[.-]*")):
            final = self._home_of(place)
            if final is not None and not os.path.lexists(final):
                yield f"{one_line(str(place))} was left by a run that was killed; the next run there puts it back"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every record that can be read, by folder name."""
        for entry in self.read().entries:
            yield dict(entry.record)

    def match(self, prefix: str) -> dict[str, Any]:
        """The one record whose run id begins with `prefix`; no other is read.

        Raises
        ------
        UserError
            When none or several do, or when it cannot be read; the message says why.
        """
        near = [p for p in self.places() if prefix and p.name.startswith(prefix[:ID_DIGITS])]
        found = [(place, *_read_or_why(place)) for place in near]
        fitting = [one for one in found if one[1] is None or str(one[1]["run_id"]).startswith(prefix)]
        if len(fitting) != 1:
            there = ", ".join(one_line(p.name[:12]) for p in self.places())
            problem = "is no run" if not fitting else f"fits {len(fitting)} runs"
            raise UserError(
                f"{prefix!r} {problem} in {self.folder.resolve()}. There are: "
                f"{there or 'none; name the folder of the records with --results'}"
            )
        place, record, reason = fitting[0]
        if record is None:
            raise UserError(f"{prefix!r} cannot be shown: {place / RECORD} {reason}. {_advice(reason)}")
        return record


def copies_of(folder: Path, *, but: Container[str] = ()) -> dict[str, Callable[[Path], Any]]:
    """Name -> function that copies it, for every file in the folder of a record but the record, its seal and `but`."""
    return {
        file.name: partial(shutil.copyfile, file)
        for file in sorted(folder.iterdir())
        if file.is_file() and file.name not in (RECORD, SEAL) and file.name not in but
    }


def _advice(reason: str) -> str:
    if reason.startswith("schema"):
        return "It was written by another version: run it again, or read the file as it is"
    return "Put the file back as it was written, or run it again: what is damaged is kept beside the new one"


def _read_or_why(place: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        return load_record(place / RECORD), ""
    except Unreadable as reason:
        return None, str(reason)


def _why_unreadable(place: Path) -> str | None:
    """Why no record can be read in a folder, in a few words; None where one can."""
    return _read_or_why(place)[1] or None


def _as_moved(place: Path) -> Mapping[str, Any]:
    """The record in a folder that has another name than it belongs to."""
    return load_record(place / RECORD, at_home=False)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
