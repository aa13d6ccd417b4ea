"""What of a sweep failed: a file for each item, kept until it is done, and a record for each arm that it cost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.job.opened import Opened
from benchmarks.job.record import write_failure
from benchmarks.records.store import Records
from benchmarks.sweep.items import Item
from benchmarks.sweep.perform import Answer, Fault
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


class Failures:
    """The failures of a sweep in its folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def read(self) -> dict[str, Failure]:
        """By the item's id. A file that is none of ours is left where it lies."""
        found = {}
        for file in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            try:
                told = Failure(**json.loads(file.read_bytes()))
            except (ValueError, TypeError, OSError):
                continue
            found[f"{told.stage}-{told.key}"] = told
        return found

    def add(self, item: Item, answer: Answer) -> Failure:
        """Keep one."""
        assert answer.fault is not None
        before, now = self.read().get(item.id), time.strftime("%FT%TZ", time.gmtime())
        fault: Fault = answer.fault
        made = Failure(
            item.stage, item.key, item.name, item.run_id, fault.kind, fault.error, fault.traceback,
            round(answer.seconds, 3), answer.tries + (before.tries if before else 0), now,
        )  # fmt: skip
        ensure_folder(self.folder)
        write_bytes(self._file(item), (json.dumps(asdict(made), indent=1) + "\n").encode())
        return made

    def forget(self, item: Item) -> None:
        """It is done now."""
        self._file(item).unlink(missing_ok=True)

    def _file(self, item: Item) -> Path:
        return self.folder / f"{item.stage}-{item.key[:24]}.json"


def record_failures(
    records: Records, requests: Sequence[Opened], items: Mapping[str, Item], failures: Iterable[Failure],
    lost: Iterable[str],
) -> list[dict[str, Any]]:  # fmt: skip
    """A failed record for each arm that an item failed for, or that lost what it needs; one that has a record keeps it.

    Parameters
    ----------
    items : all of the sweep, by id.
    lost : ids of the items that were not begun because of the failures.
    """
    arms = {arm.spec.run_id: arm for opened in requests for arm in opened.arms}
    causes: dict[str, Failure] = {f"{failure.stage}-{failure.key}": failure for failure in failures}
    reasons: dict[str, Failure] = {}
    for failure in causes.values():
        if failure.run_id:
            reasons.setdefault(failure.run_id, failure)
    for one in lost:
        item = items[one]
        cause = next((causes[other] for other in _all_needs(item, items) if other in causes), None)
        if item.run_id and cause is not None:
            reasons.setdefault(item.run_id, cause)
    made = []
    for run_id, failure in reasons.items():
        if run_id in arms and records.find(run_id) is None:
            more = {"phase": failure.stage, "seconds": failure.seconds, "traceback": failure.traceback}
            made.append(write_failure(records, arms[run_id], failure.sentence(), more=more))
    return made


def _all_needs(item: Item, items: Mapping[str, Item]) -> Iterable[str]:
    front, seen = list(item.needs), set[str]()
    while front:
        one = front.pop()
        if one not in seen:
            seen.add(one)
            yield one
            front += items[one].needs if one in items else ()
