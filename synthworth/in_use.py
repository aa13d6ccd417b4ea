"""Marks of the commands that use a store now: whoever tidies up keeps what they have made, used, or count on."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthworth.lease import BEAT, OWNER, PREFIX, Lease, is_over

FOLDER = "in-use"
SILENT = 3600.0
"""Seconds without a heartbeat after which a command of another machine counts as gone."""


@contextmanager
def marked(home: Path) -> Iterator[None]:
    """Leave a mark in a store while the block runs; a killed process's goes with the next mark.

    Raises
    ------
    UserError
        When the store cannot be written to.
    """
    for place in _places(home):
        if not _lives(place):
            shutil.rmtree(place.parent, ignore_errors=True)
    lease = Lease(home / FOLDER / uuid.uuid4().hex[:12], 1)
    lease.begin()
    try:
        with lease:
            yield
    finally:
        shutil.rmtree(lease.place, ignore_errors=True)


def used_since(home: Path) -> float:
    """Since when the oldest of the commands that use a store now runs, by its disk's clock; infinity without one."""
    return min((since for place in _places(home) if (since := _lives(place))), default=float("inf"))


def _places(home: Path) -> list[Path]:
    return sorted((home / FOLDER).glob(f"*/{PREFIX}*"))


def _lives(place: Path) -> float:
    """When a mark was made; 0 for one whose command has ended."""
    if is_over(place):
        return 0.0
    try:
        began = (place / OWNER).stat().st_mtime
        beat = place / BEAT
        heard = beat.stat().st_mtime if beat.exists() else began
    except OSError:  # it has just gone
        return 0.0
    return began if time.time() - heard < SILENT else 0.0
