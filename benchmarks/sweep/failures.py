"""What of a sweep failed: a file for each item, kept until it is done, and a record for each arm that it cost."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.job.fault import Fault
from benchmarks.job.opened import Opened
from benchmarks.job.record import write_failure
from benchmarks.records.store import Records
from benchmarks.sweep.items import Item
from benchmarks.sweep.perform import Answer
from synthworth.artifacts import ensure_folder, write_bytes

FOLDER = "failed"


@dataclass(frozen=True)
class Failure:
    """An item that failed, as its file says it.

    Parameters
    ----------
    run_id : the arm that it was made for; empty in evaluate.
    seconds : that it took until then.
    tries : of all calls together.
    when : UTC.
    """

    stage: str
    key: str
    name: str
    run_id: str
    kind: str
    error: str
    traceback: str
    seconds: float
    tries: int
    when: str

    def sentence(self) -> str:
        """In one line."""
        again = f", {self.tries} tries" if self.tries > 1 else ""
        return f"{self.stage} {self.kind} after {self.seconds:.1f} s{again}: {self.name}: {self.error}"


def failure_of(item: Item, answer: Answer, *, before: int = 0) -> Failure:
    """The failure of an item that was begun so often before."""
    assert answer.fault is not None
    fault: Fault = answer.fault
    return Failure(
        item.stage, item.key, item.name, item.run_id, fault.kind, fault.error, fault.traceback,
        round(answer.seconds, 3), before + answer.tries, time.strftime("%FT%TZ", time.gmtime()),
    )  # fmt: skip


def _read(file: Path) -> Failure | None:
    try:
        return Failure(**json.loads(file.read_bytes()))
    except (ValueError, TypeError, OSError):
        return None


class Failures:
    """The failures of a sweep in its folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def read(self) -> dict[str, Failure]:
        """By the item's id. A file that is none of ours is left where it lies."""
        files = sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []
        return {f"{told.stage}-{told.key}": told for file in files if (told := _read(file)) is not None}

    def add(self, item: Item, answer: Answer) -> Failure:
        """Keep one."""
        before = self.read().get(item.id)
        made = failure_of(item, answer, before=before.tries if before else 0)
        ensure_folder(self.folder)
        write_bytes(self._file(item), (json.dumps(asdict(made), indent=1) + "\n").encode())
        return made

    def forget(self, item: Item) -> None:
        """It is done now."""
        self._file(item).unlink(missing_ok=True)

    def tidy(self, items: Mapping[str, Item]) -> dict[str, Failure]:
        """Forget failures of what is no item any more, for it was made otherwise or is not asked for; the others."""
        for file in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            told = _read(file)
            if told is not None and f"{told.stage}-{told.key}" not in items:
                file.unlink(missing_ok=True)
        return self.read()

    def _file(self, item: Item) -> Path:
        return self.folder / f"{item.stage}-{item.key[:24]}.json"


def reasons_of(
    requests: Sequence[Opened], items: Mapping[str, Item], failures: Iterable[Failure], finished: Container[str]
) -> dict[str, Failure]:
    """Run id -> the failure for which an arm has no record: its own, of what it needs, or of what judges it.

    Parameters
    ----------
    items : all that the sweep lacked, by id.
    finished : run ids with a record.
    """
    reasons: dict[str, Failure] = {}
    needed_by: dict[str, list[str]] = {}
    for item in items.values():
        for need in item.needs:
            needed_by.setdefault(need, []).append(item.id)
    for failure in failures:
        if failure.run_id:
            reasons.setdefault(failure.run_id, failure)
        for one in _and_after(f"{failure.stage}-{failure.key}", needed_by):
            if (item := items.get(one)) is None or (item.stage == "evaluate" and failure.kind == "diverged"):
                continue  # the others are judged without the arms that diverged
            of = [arm.spec.run_id for arm in requests[item.request].arms] if item.stage == "evaluate" else [item.run_id]
            for run_id in of:
                reasons.setdefault(run_id, failure)
    return {run_id: failure for run_id, failure in reasons.items() if run_id and run_id not in finished}


def record_failures(records: Records, requests: Sequence[Opened], reasons: Mapping[str, Failure]) -> None:
    """A failed record for each arm that has none for a reason; an arm that was skipped says so."""
    arms = {arm.spec.run_id: arm for opened in requests for arm in opened.arms}
    for run_id, failure in reasons.items():
        if run_id in arms and records.find(run_id) is None:
            more = {"phase": failure.stage, "seconds": failure.seconds, "traceback": failure.traceback}
            status = "skipped" if failure.kind == "skipped" else "failed"
            write_failure(records, arms[run_id], failure.sentence(), status=status, more=more)


def _and_after(one: str, needed_by: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """An item, and all that need it or what needs it, each once."""
    front, seen = [one], {one}
    while front:
        yield (now := front.pop())
        further = [other for other in needed_by.get(now, ()) if other not in seen]
        seen.update(further)
        front += further
