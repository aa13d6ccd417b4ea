"""Records: one JSON a run, predictions beside it, written whole or not at all; missing is null with a note."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.records.upgrade import SCHEMA, upgrade
from synthworth.artifacts import ensure_folder, publish, read_json, sync, write_json
from synthworth.errors import UserError

RECORD = "record.json"
GRID, WORTH = "grid.png", "worth.png"


def read_record(file: Path) -> Any:
    """A record, in the present schema where this version reads its own; anything else that is in the file as it is."""
    return upgrade(read_json(file))


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
        record: dict[str, Any] = read_record(file)
        return record if record["status"] == "ok" and record["schema"] == SCHEMA else None

    def write(self, record: Mapping[str, Any], files: Mapping[str, Any]) -> Path:
        """Publish a record and its companions by one rename.

        Parameters
        ----------
        files : name -> function writing to a path; the companions.

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
            yield read_record(file)

    def match(self, prefix: str) -> dict[str, Any]:
        """The one record whose run id begins with `prefix`.

        Raises
        ------
        UserError
            When none or several do, or when it was written by another version.
        """
        found = [r for r in self if r["run_id"].startswith(prefix)] if prefix else []
        if len(found) != 1:
            there = ", ".join(r["run_id"][:12] for r in self) or "none; name the folder of the records with --results"
            problem = "is no run" if not found else f"fits {len(found)} runs"
            raise UserError(f"{prefix!r} {problem} in {self.folder.resolve()}. There are: {there}")
        if found[0]["schema"] != SCHEMA:
            raise UserError(
                f"{prefix!r} was written by another version (schema {found[0]['schema']}; this one reads {SCHEMA}). "
                f"Run it again, or read {self.path(found[0]['run_id']) / RECORD} as it is"
            )
        return found[0]
