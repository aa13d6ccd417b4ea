"""A record in TensorBoard: an event file in a folder of the run's name, below `logs`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from benchmarks.trackers.entry import Entry
from synthworth.artifacts import read_json, write_json

SENT = "sent.json"
"""Stands beside the event file once that is whole, and says of which record it is."""


class TensorBoard:
    """Writes event files.

    Parameters
    ----------
    folder : what `tensorboard --logdir` is given.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, entry: Entry) -> Path:
        """Folder of a run."""
        words = "-".join("".join(c if c.isalnum() or c in "._" else " " for c in entry.name).split())
        return self.folder / f"{words[:80]}-{entry.id}"

    def holds(self, entry: Entry) -> bool:
        """Whether the folder is whole and of this very record."""
        sent = self.place(entry) / SENT
        return sent.is_file() and read_json(sent).get("record") == entry.digest

    def send(self, entry: Entry) -> None:
        """Write the run anew."""
        place = self.place(entry)
        if place.exists():
            shutil.rmtree(place)
        writer = SummaryWriter(str(place))
        try:
            for point in entry.curves:
                writer.add_scalar(point.name, point.value, point.step, new_style=True)
            writer.add_hparams(dict(entry.params), dict(entry.metrics), run_name=".", global_step=0)
            for figure in entry.figures:
                with Image.open(figure) as picture:
                    writer.add_image(f"figures/{figure.stem}", np.asarray(picture.convert("RGB")), dataformats="HWC")
            writer.add_text("verdict", entry.verdict)
            writer.add_text("record", f"```json\n{json.dumps(read_json(entry.record), indent=1)}\n```")
        finally:
            writer.close()
        write_json(place / SENT, {"record": entry.digest})

    def close(self) -> None:
        """Nothing is open between two runs."""
