"""Records sent to the tracker that was asked for; one that fails is told once, and costs the run nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from benchmarks.records.store import Records
from benchmarks.request.loggers import LoggerName
from benchmarks.stages.arm import Arm
from benchmarks.trackers.entry import Entry, entry_of
from synthworth.errors import bounded
from synthworth.store import Store

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Where records are shown. What cannot be reached raises whatever its package raises."""

    def holds(self, entry: Entry) -> bool:
        """Whether this very record was sent before, and whole."""
        ...

    def send(self, entry: Entry) -> None:
        """Show a record; it takes the place of another of the same run."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


def _tensorboard(folder: Path) -> Tracker:
    from benchmarks.trackers.to_tensorboard import TensorBoard

    return TensorBoard(folder)


def _mlflow(folder: Path) -> Tracker:
    from benchmarks.trackers.to_mlflow import MLflow

    return MLflow(folder)


def _wandb(folder: Path) -> Tracker:
    from benchmarks.trackers.to_wandb import WandB

    return WandB(folder)


OPEN: dict[LoggerName, Callable[[Path], Tracker]] = {
    "tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb,
}  # fmt: skip


class Sender:
    """Sends finished records to one tracker, each once.

    After its first failure it sends nothing more; the next call of the same command does. With "none" it does nothing.

    Parameters
    ----------
    store : its folder `logs` takes what a tracker writes on this machine.
    """

    def __init__(self, name: LoggerName, store: Store, records: Records) -> None:
        self.name, self.store, self.records = name, store, records
        self.failed = ""
        self._tracker: Tracker | None = None
        self._sent: set[str] = set()
        self._not_sent: set[str] = set()

    def send(self, arms: Iterable[Arm]) -> None:
        """Send the records of arms that have one and were not sent yet."""
        if self.name == "none":
            return
        for arm in arms:
            run_id = arm.spec.run_id
            if run_id in self._sent or (record := self.records.find(run_id)) is None:
                continue
            if self.failed:
                self._not_sent.add(run_id)
                continue
            try:
                entry = entry_of(record, self.records.path(run_id), arm, self.store)
                self._tracker = self._tracker or OPEN[self.name](self.store.home / "logs")
                if not self._tracker.holds(entry):
                    self._tracker.send(entry)
                self._sent.add(run_id)
            except Exception as error:  # a tracker's package raises what it will; it is told by `end`
                logger.debug("--logger %s: %s", self.name, arm.spec.name, exc_info=True)
                self.failed = f"{type(error).__name__}: {bounded(str(error))}"
                self._not_sent.add(run_id)

    def end(self) -> None:
        """Close the tracker, and warn in one line where something was not sent."""
        try:
            if self._tracker is not None:
                self._tracker.close()
        except Exception as error:  # as above
            self.failed = self.failed or f"{type(error).__name__}: {bounded(str(error))}"
        if self.failed:
            logger.warning(
                "--logger %s failed; records not sent: %d. They are written, and the same command sends them (%s)",
                self.name, len(self._not_sent), self.failed,
            )  # fmt: skip
