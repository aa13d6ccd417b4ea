"""What a finished folder holds: the size and sha256 of every file, and whether they are still so."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthworth.artifacts import read_json, write_json
from synthworth.errors import CANNOT_WRITE, UserError
from synthworth.files import MANIFEST
from synthworth.keys import digest, sha256_of
from synthworth.progress import Progress

logger = logging.getLogger(__name__)

LARGE = 1 << 30  # bytes: a look at more than this shows its progress
CHUNK = 1 << 22  # bytes read at a time


class Damaged(Exception):
    """A finished folder holds something else than was published; the message says what, and names the file."""


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its name from there, the manifest and hidden files aside."""
    found = (p for p in sorted(folder.rglob("*")) if not p.is_dir())
    named = {p.relative_to(folder).as_posix(): p for p in found}
    return {
        name: p for name, p in named.items() if name != MANIFEST and not any(x.startswith(".") for x in name.split("/"))
    }


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest of a folder that is complete: `facts`, its files, and a digest of all that.

    Raises
    ------
    Damaged
        When a file is not there any more once all have been read.
    """
    files = {name: {"size": p.stat().st_size, "sha256": _sha256(p)} for name, p in files_of(folder).items()}
    said = {**facts, "files": files}
    write_json(folder / MANIFEST, {**said, "sha256": digest(said)})
    _check_sizes(folder, files)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder.

    Raises
    ------
    Damaged
        When there is none, or it is not as it was written.
    """
    if not os.path.lexists(folder / MANIFEST):
        raise Damaged(f"{MANIFEST} is missing")
    try:
        said = read_json(folder / MANIFEST)
    except (UserError, OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{MANIFEST} cannot be read ({_short(error)})") from error
    if not isinstance(said, dict) or not _is_time(said.get("seconds")):
        raise Damaged(f"{MANIFEST} is no manifest")
    if "files" in said or "sha256" in said:
        rest = {name: value for name, value in said.items() if name != "sha256"}
        if said.get("sha256") != digest_or_none(rest):
            raise Damaged(f"{MANIFEST} has been changed")
    return said


def digest_or_none(value: Any) -> str | None:
    """`digest`; None for what no manifest holds (NaN, or nested too deep)."""
    try:
        return digest(value)
    except (ValueError, TypeError, RecursionError):
        return None


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def check_folder(folder: Path, *, kind: str, key: str, deep: bool) -> dict[str, Any]:
    """The manifest of a folder that holds what was published under `key`.

    Parameters
    ----------
    deep : compare the digests of all files, once a process; without it their sizes alone.

    Raises
    ------
    Damaged
        When it does not.
    UserError
        When it holds a file that was not published: it may be somebody's, and is not moved.
    """
    manifest = read_manifest(folder)
    if manifest.get("kind") != kind or manifest.get("key") != key:
        raise Damaged(f"{MANIFEST} is that of {manifest.get('kind')} {str(manifest.get('key'))[:12]}")
    files = manifest.get("files")
    if files is None:
        if digest_or_none(manifest.get("identity")) != key:
            raise Damaged(f"{MANIFEST} is that of another key")
        if deep:
            _adopt(folder, manifest)
        return manifest
    _check_sizes(folder, files)
    foreign = [name for name in files_of(folder) if name not in files]
    if foreign:
        raise UserError(f"{folder / foreign[0]} is no part of the stored {kind} it lies in. Move it elsewhere")
    if deep and _verified.get(folder) != manifest["sha256"]:
        _check_digests(folder, files)
        _verified[folder] = manifest["sha256"]
    return manifest


_verified: dict[Path, str] = {}
"""Folders whose files this process has compared with their digests, and the digest of the manifest then."""


def _check_sizes(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, said in files.items():
        file = folder / name
        if not file.is_file():
            raise Damaged(f"{name} is missing")
        if file.stat().st_size != said["size"]:
            raise Damaged(f"{name} has {file.stat().st_size:,} bytes, and {said['size']:,} were written")


def _check_digests(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, said in files.items():
        try:
            found = _sha256(folder / name)
        except OSError as error:
            raise Damaged(f"{name} cannot be read ({_short(error)})") from error
        if found != said["sha256"]:
            raise Damaged(f"{name} holds other bytes than were written")


def _sha256(file: Path) -> str:
    """sha256 of a file's bytes; a large one shows its progress."""
    size = file.stat().st_size

    def pieces() -> Any:
        with file.open("rb") as handle:
            while piece := handle.read(CHUNK):
                yield piece

    if size < LARGE:
        return sha256_of(pieces())
    with Progress(f"verify {file.name}", size >> 20, unit="MiB") as bar:

        def shown() -> Any:
            for piece in pieces():
                bar.advance(len(piece) >> 20)
                yield piece

        return sha256_of(shown())


_told: set[str] = set()


def _adopt(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Give a folder of an earlier version its digests: from now on a change is seen; an earlier one cannot be."""
    if "adopted" not in _told:
        _told.add("adopted")
        logger.warning(
            "%s was stored by an earlier version, without digests: it is taken as it is, and digests are written now",
            folder,
        )
    try:
        write_manifest(folder, manifest)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        logger.debug("%s takes no digests: %s", folder, error)


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).partition(". ")[0]
