"""The seal of a record: size and sha256 of every file that was written with it, in a file beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthworth.artifacts import write_json
from synthworth.keys import file_sha256, sha256_of

SEAL = "seal.json"
LARGEST = 1 << 20
"""Bytes of the largest seal that is read."""


class Broken(ValueError):
    """A file is not the one that the seal was written for, or the seal cannot be read; the message says which."""


def write_seal(folder: Path, record: str) -> None:
    """Write the seal of every file in `folder`, of which `record` is the one that may change its line ends."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != SEAL)
    sealed = {
        file.name: _digest(file.read_bytes()) if file.name == record else file_sha256(file) for file in files
    }  # fmt: skip
    write_json(folder / SEAL, {"sha256": sealed})


def read_seal(folder: Path) -> Mapping[str, str] | None:
    """Sha256 by file name; None for a record that was written before there were seals.

    Raises
    ------
    Broken
        For a seal that is there and cannot be read.
    """
    file = folder / SEAL
    if not file.exists() and not file.is_symlink():
        return None
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            raise Broken(f"{SEAL} is no seal")
        found: Any = json.loads(file.read_bytes())
        sealed = found["sha256"]
        if not all(isinstance(part, str) for pair in sealed.items() for part in pair):
            raise Broken(f"{SEAL} is no seal")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Broken(f"cannot be believed: {SEAL} beside it is damaged, which says what the files held") from error
    return dict(sealed)


def check_record(sealed: Mapping[str, str] | None, name: str, raw: bytes) -> None:
    """Compare the bytes of a record with its seal.

    Raises
    ------
    Broken
        When they are not those that were written.
    """
    if sealed is not None and sealed.get(name) != _digest(raw):
        raise Broken(f"has changed since it was written: its sha256 is not the one in {SEAL}")


def check_file(file: Path) -> None:
    """Compare a file that stands beside a record with the seal, where there is one.

    Raises
    ------
    Broken
        When it is not the file that was written.
    """
    sealed = read_seal(file.parent)
    if sealed is not None and sealed.get(file.name) != file_sha256(file):
        raise Broken(f"{file.name} has changed since it was written: its sha256 is not the one in {SEAL}")


def changed_files(folder: Path, *, record: str) -> list[str]:
    """Files beside the record that are not those that were written with it, by name; one that is gone is none.

    Raises
    ------
    Broken
        For a seal that cannot be read.
    """
    sealed = read_seal(folder)
    if sealed is None:
        return []
    there = {file.name: file for file in sorted(folder.iterdir()) if file.name not in (SEAL, record)}
    return [name for name, file in there.items() if not file.is_file() or file_sha256(file) != sealed.get(name)]


def _digest(raw: bytes) -> str:
    """Of a text file as it was written: a checkout may have changed its line ends."""
    return sha256_of([raw.replace(b"\r\n", b"\n")])
