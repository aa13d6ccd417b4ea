"""Large files on disk: one maker at a time, checksums, and room before anything is written."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthworth.errors import DISK_FULL, UserError
from synthworth.lease import acquire
from synthworth.progress import Progress

CHUNK = 1 << 20  # bytes

logger = logging.getLogger(__name__)


def checksum(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file, read in pieces."""
    h = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as handle, Progress(f"verify {path.name}", path.stat().st_size >> 20, unit="MiB") as bar:
        while block := handle.read(CHUNK):
            h.update(block)
            bar.advance()
    return h.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time makes `path`; another waits, and says so."""
    lease = acquire(path.with_name(f".{path.name}.lease"), done=lambda: False, what=str(path))
    assert lease is not None  # nothing but a lease ends the waiting
    try:
        with lease:
            lease.inherit()
            yield
    finally:
        lease.withdraw()


def no_room(error: OSError, path: Path) -> UserError:
    """The error for a file that cannot be written; what is there so far is kept."""
    what = "no room" if error.errno in DISK_FULL else "no permission"
    return UserError(
        f"{what} to write {path}: {error.strerror}. What has come is kept; the same command goes on from there"
    )


def require_room(folder: Path, n_bytes: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises
    ------
    UserError
        When fewer than `n_bytes` are free where `folder` lies.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise UserError(f"{folder} has {free / 2**30:.1f} GiB free, and {n_bytes / 2**30:.1f} GiB are needed")
