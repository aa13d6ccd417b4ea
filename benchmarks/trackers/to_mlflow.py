"""A record in MLflow: a run of the experiment `synthworth`, on the server it is told or in a file of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.trackers.entry import Entry
from synthworth.artifacts import ensure_folder

EXPERIMENT = "synthworth"
SERVER = "MLFLOW_TRACKING_URI"
RUN, RECORD = "synthworth.run_id", "synthworth.record"
"""Tags of a run: whose it is; and, once it is whole, the sha256 of its record."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"
}  # fmt: skip
"""Unless the environment says otherwise: it reports to nobody, and gives up on a server that is gone in seconds."""
MOST = 100
"""Entries of one call; MLflow takes as many parameters and tags."""
T = TypeVar("T")


class MLflow:
    """Writes runs through MLflow's client.

    Parameters
    ----------
    folder : takes the database and the files where `MLFLOW_TRACKING_URI` names no server.
    """

    def __init__(self, folder: Path) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        server = os.environ.get(SERVER, "")
        if not server:
            ensure_folder(folder)
        self.client = MlflowClient(tracking_uri=server or f"sqlite:///{folder / 'mlflow.db'}")
        self.experiment = self._experiment(None if server else (folder / "mlflow").as_uri())

    def _experiment(self, artifacts: str | None) -> str:
        """Id of the experiment; another process may make it at the same moment."""
        from mlflow.exceptions import MlflowException

        if (found := self.client.get_experiment_by_name(EXPERIMENT)) is None:
            try:
                return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))
            except MlflowException:
                found = self.client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _runs(self, entry: Entry) -> Sequence[Any]:
        found: Sequence[Any] = self.client.search_runs([self.experiment], f"tags.`{RUN}` = '{entry.id}'")
        return found

    def holds(self, entry: Entry) -> bool:
        """Whether there is a whole run of this very record."""
        return any(run.data.tags.get(RECORD) == entry.digest for run in self._runs(entry))

    def send(self, entry: Entry) -> None:
        """Make the run; one of an earlier record, or half sent, goes to MLflow's bin."""
        from mlflow.entities import Metric, Param

        for old in self._runs(entry):
            self.client.delete_run(old.info.run_id)
        tags = {RUN: entry.id, "mlflow.note.content": entry.verdict}
        made = self.client.create_run(self.experiment, run_name=entry.name, tags=tags)
        run, now = made.info.run_id, made.info.start_time
        for params in _parts([Param(name, str(value)) for name, value in entry.params.items()]):
            self.client.log_batch(run, params=params)
        metrics = [Metric(name, value, now, 0) for name, value in entry.metrics.items()]
        metrics += [Metric(point.name, point.value, now, point.step) for point in entry.curves]
        for part in _parts(metrics):
            self.client.log_batch(run, metrics=part)
        self.client.log_artifact(run, str(entry.record))
        for figure in entry.figures:
            self.client.log_artifact(run, str(figure), "figures")
        self.client.set_tag(run, RECORD, entry.digest)
        self.client.set_terminated(run)

    def close(self) -> None:
        """Nothing stays open."""


def _parts(entries: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(entries), MOST):
        yield entries[begin : begin + MOST]
