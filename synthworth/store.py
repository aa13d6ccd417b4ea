"""The artifact store: made things under their keys, published whole or not at all, and checked when they are read."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthworth.artifacts import ensure_folder, publish
from synthworth.errors import CANNOT_WRITE, UserError
from synthworth.files import MANIFEST
from synthworth.keys import digest, plain
from synthworth.lease import SECONDS, Lease, acquire, check_exclusion
from synthworth.manifest import Damaged, check_folder, is_there, write_manifest
from synthworth.sealed import read_sealed, write_sealed

logger = logging.getLogger(__name__)

ABSENT = "it is not there"
HOUR = 3600.0


@dataclass(frozen=True)
class Made:
    """An artifact in the store.

    Parameters
    ----------
    folder : where its files are; never written again.
    seconds : wall time it took to make, over all its attempts (from the manifest, so a cached one keeps it).
    fresh : whether this call made it.
    """

    folder: Path
    seconds: float
    fresh: bool


class Store:
    """Artifacts by kind and key under one folder (`SYNTHWORTH_HOME`).

    `artifacts/<kind>/<key>/` is finished and immutable; its manifest has the size and sha256 of every file. Sizes are
    compared at every look, digests at the first in a process. What is damaged is named, moved to `damaged/` and made
    again. `work/<kind>/<key>/` is half-made and is resumed by the next call. A call that finds another process at the
    same key waits for it. Nothing is ever unpickled.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @classmethod
    def open(cls, home: str | Path | None = None) -> Store:
        """The store at `home`, or at `$SYNTHWORTH_HOME`, or at `.synthworth` in the current folder."""
        return cls(Path(home or os.environ.get("SYNTHWORTH_HOME") or ".synthworth").absolute())

    def path(self, kind: str, key: str) -> Path:
        """Where the artifact is, or would be."""
        return self.home / "artifacts" / kind / key

    def has(self, kind: str, key: str, *, deep: bool = False) -> bool:
        """Whether the artifact is finished, and its files as large as they were written.

        Parameters
        ----------
        deep : whether their bytes are the same too.
        """
        return self.fault(kind, key, deep=deep) is None

    def fault(self, kind: str, key: str, *, deep: bool) -> str | None:
        """What is wrong with an artifact, `ABSENT` where it was not made; None where nothing is wrong."""
        folder = self.path(kind, key)
        try:
            check_folder(folder, kind=kind, key=key, deep=deep)
        except Damaged as damage:
            return str(damage) if is_there(folder) else ABSENT
        return None

    def read(self, kind: str, key: str) -> Path:
        """Folder of a finished artifact, its bytes checked.

        Raises
        ------
        UserError
            When it is not there, or damaged.
        """
        fault = self.fault(kind, key, deep=True)
        if fault is not None:
            raise UserError(f"{self.path(kind, key)}: {fault}. The same command makes it again")
        self.note_use(kind, key)
        return self.path(kind, key)

    def note_use(self, kind: str, key: str) -> None:
        """Leave the hour of the latest use on the manifest, for whoever tidies up; a store may be read-only."""
        manifest = self.path(kind, key) / MANIFEST
        with suppress(OSError):
            if time.time() - manifest.stat().st_mtime > HOUR:
                os.utime(manifest)

    def manifest(self, kind: str, key: str) -> dict[str, Any]:
        """What the artifact was made of, and how long it took.

        Raises
        ------
        UserError
            When it is not there, or damaged.
        """
        try:
            return check_folder(self.path(kind, key), kind=kind, key=key, deep=False)
        except Damaged as damage:
            raise UserError(f"{self.path(kind, key)}: {damage}. The same command makes it again") from damage

    def get_or_make(
        self,
        kind: str,
        identity: Any,
        make: Callable[[Path, Path], None],
        *,
        info: Mapping[str, Any] | None = None,
    ) -> Made:
        """Return the artifact made of `identity`, making it first if it is not there or damaged.

        Parameters
        ----------
        kind : the stage ("fit", "pool", ...).
        identity : a configuration whose `digest` is the key.
        make : called as `make(out, scratch)`. Files written to `out` become the artifact; `scratch` holds
            checkpoints, survives a kill, is handed to the next attempt, and is deleted after publication.
        info : facts about the making (versions, host) kept in the manifest, never part of the key.

        Raises
        ------
        Whatever `make` raises; then nothing is published and `scratch` stays for the next attempt.
        """
        key = digest(identity)
        work = self.home / "work" / kind / key

        def found() -> bool:
            return self.has(kind, key, deep=True)

        while not found():
            check_exclusion(self.home)
            lease = acquire(work, done=found, what=f"{kind} {key[:12]}")
            if lease is None:
                break
            facts = {"kind": kind, "key": key, "identity": plain(identity), **dict(info or {})}
            made = self._make(lease, kind, key, make, facts)
            if made is not None:
                return made
        if work.is_dir():
            shutil.rmtree(work, ignore_errors=True)  # left by a kill between publication and tidying up
        self.note_use(kind, key)
        return Made(self.path(kind, key), float(self.manifest(kind, key)["seconds"]), fresh=False)

    def _make(
        self, lease: Lease, kind: str, key: str, make: Callable[[Path, Path], None], facts: Mapping[str, Any]
    ) -> Made | None:
        """Make and publish under a lease; None when another process was first, or took the work over."""
        final, out, scratch = self.path(kind, key), lease.own / "out", lease.own / "scratch"
        with lease:
            try:
                self._move_aside(kind, key, lease)
                lease.inherit()
                ensure_folder(out)
                ensure_folder(scratch)
                spent = _Clock(lease.own / SECONDS)
                with spent:
                    make(out, scratch)
                write_manifest(out, {**facts, "seconds": spent.total})
                fresh = publish(out, final)
            except BaseException as error:
                taken_over = isinstance(error, Exception) and (lease.lost() or self.has(kind, key, deep=True))
                shutil.rmtree(out, ignore_errors=True)
                if scratch.is_dir() and not any(scratch.iterdir()):
                    lease.withdraw()
                if not taken_over:
                    raise
                logger.debug("another process took over %s %s", kind, key, exc_info=True)
                return None
        if not fresh and not self.has(kind, key, deep=True):
            return None
        shutil.rmtree(lease.place, ignore_errors=True)
        return Made(final, spent.total, fresh=True) if fresh else None

    def _move_aside(self, kind: str, key: str, lease: Lease) -> None:
        """Put a damaged artifact where nobody reads it, and say so; only whoever has the work may."""
        looked_at = _identity(self.path(kind, key))
        fault = self.fault(kind, key, deep=True)
        if fault in (None, ABSENT) or lease.lost():
            return
        aside = self.home / "damaged" / kind / f"{key}-{uuid.uuid4().hex[:8]}"
        try:
            ensure_folder(aside.parent)
            _rename(self.path(kind, key), aside)
        except FileNotFoundError:  # another process did
            return
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise UserError(
                f"{self.path(kind, key)} is damaged ({fault}) and cannot be moved aside: {error.strerror}"
            ) from error
        if _identity(aside) != looked_at and self._was_mended(aside, kind, key):
            return
        logger.warning(
            "the stored %s %s is damaged (%s). It was moved to %s and is made again", kind, key[:12], fault, aside
        )

    def _was_mended(self, aside: Path, kind: str, key: str) -> bool:
        """Put back what was moved aside where it is whole: another process made it between our look and our hand."""
        try:
            check_folder(aside, kind=kind, key=key, deep=True)
        except (Damaged, UserError):
            return False
        publish(aside, self.path(kind, key))
        return True


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _rename(folder: Path, to: Path) -> None:
    try:
        os.rename(folder, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(folder, to)  # a link leads to another disk


class _Clock:
    """Wall seconds of one making over several attempts.

    An interrupted attempt's time is counted when it ends by an exception; time lost to `kill -9` since the last
    attempt is not known and not counted.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        held = read_sealed(file)
        self.total = 0.0 if held is None else float(json.load(held)["seconds"])

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.total += time.perf_counter() - self.began
        if kind is not None and self.file.parent.is_dir() and not issubclass(kind, OSError):
            write_sealed(self.file, json.dumps({"seconds": self.total}).encode())
