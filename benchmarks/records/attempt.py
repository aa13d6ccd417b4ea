"""The folder in which a record is put together: whose it is, so that what a killed process left can be swept."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from synthworth.keys import digest
from synthworth.lease import is_gone, this_machine

NAME = re.compile(r"\.[0-9a-f]{16}\.(?:([0-9a-f]{8})-(\d+)\.)?[0-9a-f]{8}")
"""`.<run id>.<machine>-<process>.<random>`; earlier versions wrote neither machine nor process."""
ABANDONED = 3600.0
"""Seconds after which a folder is nobody's, where its process cannot be asked after: writing a record takes a few."""


def new_attempt(final: Path) -> Path:
    """Place for one attempt of this process at the folder `final`, beside it."""
    return final.with_name(f".{final.name}.{_machine()}-{os.getpid()}.{uuid.uuid4().hex[:8]}")


def abandoned(folder: Path) -> Iterator[Path]:
    """The attempts in a folder of records whose process has ended, or that have stood for an hour."""
    for place in sorted(folder.glob(".*")):
        named = NAME.fullmatch(place.name)
        if named is not None and (_has_ended(named[1], named[2]) or _age(place) > ABANDONED):
            yield place


def _machine() -> str:
    """Eight digits for where process numbers mean what they mean here."""
    return digest(this_machine())[:8]


def _has_ended(machine: str | None, process: str | None) -> bool:
    return process is not None and machine == _machine() and is_gone({"machine": this_machine(), "pid": int(process)})


def _age(place: Path) -> float:
    """Seconds since the folder was last changed; 0 where it is gone."""
    try:
        return time.time() - place.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
