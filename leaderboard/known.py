"""What was found of files by what they hold, kept for the next build: a lookup in the place of a computation."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson

from benchmarks.records.running_code import digest_of_code
from synthworth.artifacts import ensure_folder
from synthworth.errors import UserError
from synthworth.keys import sha256_of

logger = logging.getLogger(__name__)
FILE = Path("leaderboard") / "known.sqlite"
"""Below the home of what is computed; it may go at any time."""
DECIDES = (
    "benchmarks/judging", "benchmarks/metrics", "benchmarks/records", "benchmarks/request", "benchmarks/statistics",
    "benchmarks/verdicts", "leaderboard/judge.py", "leaderboard/packed.py", "leaderboard/slim.py", "synthworth",
)  # fmt: skip
"""Folders and files whose code decides what is found: what other code found is never looked up."""
TABLE = "create table if not exists known (key text primary key, value text not null, sha256 text not null)"


class Known:
    """A table on disk of what was found of files, by the digest of their contents and of the code that looked.

    It lies in the home of whoever builds, never beside results: nothing that somebody hands over is looked up. Every
    row has the digest of its key and value; one that has changed counts as missing. What is no database is moved
    aside with a warning.

    Parameters
    ----------
    home : folder of what is computed (`--home`).

    Raises
    ------
    UserError
        Where nothing can be kept there.
    """

    def __init__(self, home: Path) -> None:
        self.file = home / FILE
        self._code = digest_of_code(*DECIDES)
        self._waiting: dict[str, tuple[str, str | bytes, str]] = {}
        try:
            ensure_folder(self.file.parent)
            self._base = _opened(self.file)
        except (OSError, sqlite3.OperationalError) as error:
            raise UserError(
                f"--home {home}: what a build finds cannot be kept there ({error}). Name another folder"
            ) from error

    def key(self, kind: str, *parts: str) -> str:
        """Of one finding: what was looked for, the contents that it was found in, and the code that is running."""
        return sha256_of(f"{part}\0" for part in (self._code, kind, *parts))

    def find(self, keys: Sequence[str]) -> dict[str, Any]:
        """What is known under each of these keys; keys of which nothing is known are not there."""
        return {key: orjson.loads(value) for key, value in self.find_packed(keys).items()}

    def find_packed(self, keys: Sequence[str]) -> dict[str, Any]:
        """As `find`, of what `keep_packed` kept: bytes."""
        found = {key: self._waiting[key][1] for key in keys if key in self._waiting}
        for some in _in_parts([key for key in keys if key not in found], 500):
            asked = f"select key, value, sha256 from known where key in ({','.join('?' * len(some))})"
            for key, value, sealed in self._base.execute(asked, some):
                if sealed == _seal(key, value):
                    found[key] = value
        return found

    def keep(self, key: str, value: Any) -> None:
        """Keep a finding; written with others, at the latest when the table is closed."""
        self._keep(key, json.dumps(value, allow_nan=False, separators=(",", ":")))

    def keep_packed(self, key: str, packed: bytes) -> None:
        """As `keep`, of what is bytes already; `find_packed` gives them."""
        self._keep(key, packed)

    def _keep(self, key: str, value: str | bytes) -> None:
        self._waiting[key] = key, value, _seal(key, value)
        if len(self._waiting) >= 256:
            self.write()

    def write(self) -> None:
        """Write what waits to be written."""
        with self._base:
            self._base.executemany("insert or replace into known values (?, ?, ?)", self._waiting.values())
        self._waiting.clear()

    def close(self) -> None:
        """Write what waits, and let the file go."""
        self.write()
        self._base.close()


@contextmanager
def opened(home: Path) -> Iterator[Known]:
    """The table in a home while it is used; what was found is kept, also when an interrupt ends the use."""
    with closing(Known(home)) as known:
        yield known


def _opened(file: Path) -> sqlite3.Connection:
    base = _connected(file)
    try:
        base.execute(TABLE)
    except sqlite3.OperationalError:
        base.close()
        raise
    except sqlite3.DatabaseError as error:
        base.close()
        aside = file.with_name(f"{file.name}.damaged.{uuid.uuid4().hex[:8]}")
        os.replace(file, aside)
        logger.warning("%s is damaged (%s). It is kept as %s, and made again", file, error, aside)
        base = _connected(file)
        base.execute(TABLE)
    base.execute("pragma synchronous = off")  # what a lost machine left half written is moved aside, and made again
    return base


def _connected(file: Path) -> sqlite3.Connection:
    """A connection that reads what is no UTF-8, as somebody changed it, as a text that its seal does not fit."""
    base = sqlite3.connect(file, timeout=60)
    base.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return base


def _seal(key: str, value: str | bytes) -> str:
    return sha256_of([key, "\0", value])


def _in_parts(keys: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (keys[k : k + size] for k in range(0, len(keys), size))
