"""Records: one JSON a run, predictions beside it, written whole or not at all; missing is null with a note."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthworth import __version__
from synthworth.artifacts import ensure_folder, publish, read_json, sync, write_json, write_table
from synthworth.errors import UserError

if TYPE_CHECKING:
    from data.base import ImageSet

SCHEMA = 3
RECORD = "record.json"
PREDICTIONS = "predictions.parquet"
GRID, WORTH = "grid.png", "worth.png"
LIBRARIES = (
    "torch", "torchvision", "timm", "diffusers", "lightning-fabric", "numpy", "scikit-learn", "torch-fidelity",
    "pytorch-fid",
)  # fmt: skip


class Records:
    """The folder of records: `<results>/<first 16 digits of run_id>/record.json` and what stands beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, run_id: str) -> Path:
        """Folder of one run."""
        return self.folder / run_id[:16]

    def find(self, run_id: str) -> dict[str, Any] | None:
        """The finished record of a run, or None; a failed one counts as missing, so that it is tried again."""
        file = self.path(run_id) / RECORD
        if not file.is_file():
            return None
        record: dict[str, Any] = read_json(file)
        return record if record["status"] == "ok" and record["schema"] == SCHEMA else None

    def write(self, record: Mapping[str, Any], files: Mapping[str, Any]) -> Path:
        """Publish a record and its companions (name -> function writing to a path) by one rename.

        Raises
        ------
        ValueError
            For NaN or infinity anywhere in the record.
        """
        final = self.path(record["run_id"])
        made = ensure_folder(self.folder / f".{final.name}.{uuid.uuid4().hex[:8]}")
        try:
            for name, write in files.items():
                write(made / name)
            write_json(made / RECORD, record)
            sync(made)
            old = final.with_name(f".old-{uuid.uuid4().hex[:8]}")
            if final.exists():
                os.replace(final, old)
            publish(made, final)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return final

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every record, by folder name; not those half-written by a run that was killed."""
        for file in sorted(self.folder.glob(f"[!.]*/{RECORD}")):
            yield read_json(file)

    def match(self, prefix: str) -> dict[str, Any]:
        """The one record whose run id begins with `prefix`.

        Raises
        ------
        UserError
            When none or several do, or when it was written by another version.
        """
        found = [r for r in self if r["run_id"].startswith(prefix)] if prefix else []
        if len(found) != 1:
            there = ", ".join(r["run_id"][:12] for r in self) or "none"
            problem = "is no run" if not found else f"fits {len(found)} runs"
            raise UserError(f"{prefix!r} {problem} in {self.folder}. There are: {there}")
        if found[0]["schema"] != SCHEMA:
            raise UserError(
                f"{prefix!r} was written by another version (schema {found[0]['schema']}; this one reads {SCHEMA}). "
                f"Run it again, or read {self.path(found[0]['run_id']) / RECORD} as it is"
            )
        return found[0]


def write_predictions(file: Path, test: ImageSet, scores: np.ndarray) -> None:
    """Test-set predictions as parquet, a row a seed and image: seed, id, group, truth_*, score_*.

    scores : float32 (S, N, K) probabilities, classes in the order of `test.classes`.
    """
    n_seeds, n, _ = scores.shape
    labels = test.labels.numpy()
    columns: dict[str, Any] = {
        "seed": np.repeat(np.arange(n_seeds, dtype=np.int32), n),
        "id": list(test.ids) * n_seeds,
        "group": list(test.groups) * n_seeds,
    }
    if test.multilabel:
        columns |= {f"truth_{c}": np.tile(labels[:, k], n_seeds) for k, c in enumerate(test.classes)}
    else:
        columns["truth"] = np.tile(labels, n_seeds)
    columns |= {f"score_{c}": scores[:, :, k].ravel() for k, c in enumerate(test.classes)}
    write_table(file, columns)


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Where and with what: recorded beside the numbers, never part of identity."""
    import importlib.metadata

    import torch

    return {
        "synthworth": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "n_cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m", *_command()]),
    }


PRIVATE = ("--data.path", "--data.table", "--data.file", "--data.key", "--home", "--results")
"""Flags whose values are places on somebody's disk: a folder may be named after a patient."""


def _command() -> list[str]:
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = module.name if module is not None else Path(sys.argv[0]).name
    words = [name, *sys.argv[1:]]
    for k, word in enumerate(words):
        flag, equals, _ = word.partition("=")
        if flag in PRIVATE and equals:
            words[k] = f"{flag}=PATH"
        elif k and words[k - 1] in PRIVATE:
            words[k] = "PATH"
    return words


def _commit() -> str | None:
    """Commit of the source tree, with "+" for uncommitted changes; None outside a git checkout."""
    here = Path(__file__).resolve().parent.parent
    git = shutil.which("git")
    if git is None or not (here / ".git").exists():
        return None
    head = subprocess.run([git, "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return None
    changed = subprocess.run([git, "-C", here, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
