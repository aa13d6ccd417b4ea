"""A record in Weights & Biases: a run of the project `synthworth`, on this machine unless `WANDB_MODE` says online."""

from __future__ import annotations

import os
import shutil
from itertools import groupby
from pathlib import Path

import wandb

from benchmarks.trackers.entry import Entry
from synthworth.artifacts import ensure_folder, read_json, write_json

PROJECT = "synthworth"
SENT = "sent.json"
"""Stands in the folder of a run once that is whole, and says of which record it is."""


class WandB:
    """Writes runs through W&B's client.

    Parameters
    ----------
    folder : takes the runs, in `wandb`. `wandb sync` sends those that were written offline.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = ensure_folder(folder)
        self.mode = "online" if os.environ.get("WANDB_MODE") == "online" else "offline"

    def holds(self, entry: Entry) -> bool:
        """Whether there is a folder of this very record, and whole."""
        sent = (self.folder / "wandb").glob(f"*run-*-{entry.id}/{SENT}")
        return any(read_json(file).get("record") == entry.digest for file in sent)

    def send(self, entry: Entry) -> None:
        """Make the run. An earlier record of it that was not synchronised yet goes; a run on the server goes on."""
        for old in (self.folder / "wandb").glob(f"offline-run-*-{entry.id}"):
            shutil.rmtree(old)
        run = wandb.init(
            project=PROJECT, id=entry.id, name=entry.name, notes=entry.verdict, dir=str(self.folder), mode=self.mode,
            config=dict(entry.params), resume="allow" if self.mode == "online" else None, reinit="create_new",
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, disable_code=True, disable_job_creation=True,
                x_disable_stats=True, x_disable_meta=True,
            ),
        )  # fmt: skip
        place = Path(run.dir)
        try:
            last = 0
            for last, points in groupby(sorted(entry.curves, key=lambda point: point.step), key=lambda p: p.step):
                run.log({point.name: point.value for point in points}, step=last)
            if entry.figures:
                run.log({f"figures/{file.stem}": wandb.Image(str(file)) for file in entry.figures}, step=last)
            run.summary.update(dict(entry.metrics))
            shutil.copy(entry.record, place)
            run.save(str(place / entry.record.name), base_path=str(place), policy="now")
        except BaseException:
            run.finish(exit_code=1)
            raise
        run.finish()
        write_json(place.parent / SENT, {"record": entry.digest})

    def close(self) -> None:
        """End W&B's own process."""
        wandb.teardown()
