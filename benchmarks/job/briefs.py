"""What a sweep needs of many finished records, each checked whole, and not again while its files have not changed."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.job.believe import doubt_what_changed
from benchmarks.job.record import lacks_what_is_at_hand
from benchmarks.judging.later import lacks_a_metric
from benchmarks.metrics.registry import added_metrics
from benchmarks.records.running_code import digest_of_code
from benchmarks.records.store import Records
from synthworth.artifacts import write_bytes
from synthworth.errors import CANNOT_WRITE
from synthworth.keys import sha256_of

logger = logging.getLogger(__name__)
INDEX = ".checked.json"
"""In the folder of records: what was found of those whose files are still as they were. It may go at any time."""
LARGEST = 1 << 28
"""Bytes of the largest index that is read."""
TICK = 2_000_000_000
"""Nanoseconds within which two changes of a file may bear one time (FAT has two seconds)."""
PACKAGES = ("benchmarks", "classifiers", "data", "generators", "synthworth")


class Brief(NamedTuple):
    """A finished record in short.

    Parameters
    ----------
    unavailable : extractors that it lacks.
    numbers : what was asked of it; plain JSON.
    """

    run_id: str
    unavailable: tuple[str, ...]
    numbers: Any


class Briefs:
    """Finished records of a folder in short, by run id: what `Records.find` finds and `doubt_what_changed` believes.

    A record is read and checked whole, with the files beside it, unless the index says that it was, by the code that
    is running now, when each file in its folder had the size, the times of change, and the place on disk that it has
    now. A change that keeps the size shows in its time, which no program can set back (`ctime`); so what was changed
    within `TICK` of its check is not noted. Times are those of the file system, whatever the clock of this machine
    says. Where the index cannot be kept, every look is a whole one. `verify` and `benchmarks.run` never read it.

    Parameters
    ----------
    numbers : what is asked of each record.
    """

    def __init__(self, records: Records, numbers: Callable[[Mapping[str, Any]], Any]) -> None:
        self.records, self._numbers = records, numbers
        complete = next(iter(added_metrics()), None) is None  # another metric may ask for more of a record
        self._began = _time_there(records.folder) if complete else None
        self._known = _read(records.folder / INDEX) if self._began is not None else {}
        self._found: dict[str, Brief | None] = {}
        self._lacks: set[str] = set()
        self._fresh = False

    def find(self, run_id: str) -> Brief | None:
        """The finished record in short, or None; one look for each run id."""
        if run_id not in self._found:
            self._found[run_id] = self._look(run_id)
        return self._found[run_id]

    def is_complete(self, run_id: str) -> bool:
        """Whether there is a finished record that lacks nothing which could be had now (`find_complete`)."""
        brief = self.find(run_id)
        return brief is not None and run_id not in self._lacks and not _can_be_had(brief.unavailable)

    def _look(self, run_id: str) -> Brief | None:
        folder = self.records.path(run_id)
        stamp = _stamp(folder)
        if stamp is None:
            return None
        known = self._known.get(folder.name)
        if known is not None and known[:2] == [stamp.digest, run_id]:
            return Brief(run_id, tuple(known[2]), known[3])
        record = self.records.find(run_id)
        if record is None:
            return None
        sound = doubt_what_changed(self.records, [record])
        if self.records.doubts(run_id):
            return None
        self._lacks |= {run_id} if lacks_a_metric(record) else set()
        brief = Brief(run_id, tuple(sorted(record.get("unavailable", {}))), self._numbers(record))
        settled = self._began is not None and stamp.newest + TICK < self._began
        if run_id in sound and settled and _stamp(folder) == stamp:
            self._known[folder.name] = [stamp.digest, run_id, list(brief.unavailable), brief.numbers]
            self._fresh = True
        return brief

    def keep(self) -> None:
        """Write down what was checked, for the next command."""
        if not self._fresh:
            return
        there = {entry.name for entry in os.scandir(self.records.folder)}
        body = json.dumps({name: known for name, known in self._known.items() if name in there}, allow_nan=False)
        head = json.dumps({"by": _code(), "sha256": sha256_of([body])})
        try:
            write_bytes(self.records.folder / INDEX, f"{head}\n{body}\n".encode(), sync=False)
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            logger.debug("%s cannot be written: %s", self.records.folder / INDEX, error)
        self._fresh = False


class _Stamp(NamedTuple):
    digest: str
    newest: int


def _stamp(folder: Path) -> _Stamp | None:
    """Of every file in a folder: name, kind, size, times of change (ns) and place on disk; None where it is not."""
    try:
        with os.scandir(folder) as found:
            files = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in found)
    except OSError:
        return None
    told = [(name, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_dev, s.st_ino) for name, s in files]
    newest = max((max(s.st_mtime_ns, s.st_ctime_ns) for _, s in files), default=0)
    return _Stamp(sha256_of([repr(told)])[:32], newest)


def _time_there(folder: Path) -> int | None:
    """What time it is (ns) by the file system of a folder; None where nothing can be written in it."""
    probe = folder / f"{INDEX}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    try:
        probe.touch(exist_ok=False)
        told = probe.stat()
        probe.unlink()
    except OSError:
        return None
    return min(told.st_mtime_ns, told.st_ctime_ns)


def _read(file: Path) -> dict[str, list[Any]]:
    """What an index of this code says by name of the folder; nothing of any other, and of one that is not whole."""
    try:
        if file.is_symlink() or file.stat().st_size > LARGEST:
            return {}
        head, _, body = file.read_text(encoding="utf-8").partition("\n")
        about = json.loads(head)
        if about != {"by": _code(), "sha256": sha256_of([body.removesuffix("\n")])}:
            return {}
        found: dict[str, list[Any]] = json.loads(body)
    except (OSError, ValueError):
        return {}
    return found


def _code() -> str:
    """Digest of the code that checks records and reads numbers off them."""
    return digest_of_code(*PACKAGES)


def _can_be_had(extractors: tuple[str, ...]) -> bool:
    return bool(extractors) and lacks_what_is_at_hand(extractors)
