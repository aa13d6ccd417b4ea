"""What a finished folder holds: the size and sha256 of every file, and whether they are still so."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthworth.artifacts import MAX_JSON, write_json
from synthworth.errors import CANNOT_WRITE, UserError
from synthworth.files import MANIFEST, Unfit, read_file
from synthworth.keys import digest, file_sha256, sha256_of
from synthworth.progress import Progress

logger = logging.getLogger(__name__)

LARGE = 1 << 30  # bytes: a look at more than this shows its progress
CHUNK = 1 << 22  # bytes read at a time
LOST = frozenset({errno.ENOENT, errno.ENOTDIR})
GARBLED = LOST | {errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO, errno.EBADMSG, *(
    {errno.EUCLEAN} if hasattr(errno, "EUCLEAN") else ()
)}  # fmt: skip
"""What a file system says of a file that it has lost or spoilt. Any other refusal says nothing of what was stored."""


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
    UserError
        When it cannot be read just now.
    """
    file = folder / MANIFEST
    if not is_there(file):
        raise Damaged(f"{MANIFEST} is missing")
    try:
        with _looked_at(file, MANIFEST):
            content = read_file(file, at_most=MAX_JSON)
        said = json.loads(content.decode())
    except (Unfit, ValueError, RecursionError) as error:
        raise Damaged(f"{MANIFEST} cannot be read ({_short(error)})") from error
    if not isinstance(said, dict) or not _is_time(said.get("seconds")) or not _are_files(said.get("files", {})):
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


def _are_files(value: Any) -> bool:
    """Whether these are names inside the folder, each with what is said of a file."""
    return isinstance(value, dict) and all(
        isinstance(said, dict) and type(said.get("size")) is int and isinstance(said.get("sha256"), str)
        and not {"", "..", "."} & set(name.split("/")) and "\0" not in name
        for name, said in value.items()
    )  # fmt: skip


def is_there(path: Path) -> bool:
    """Whether anything lies there, a link to nowhere for one.

    Raises
    ------
    UserError
        When the file system does not tell.
    """
    try:
        with _looked_at(path, path.name):
            os.lstat(path)
    except Damaged as damage:
        if isinstance(damage.__cause__, OSError) and damage.__cause__.errno in LOST:
            return False
    return True


@contextmanager
def _looked_at(file: Path, name: str) -> Iterator[None]:
    """Make of an OSError what is known of the file: it is damaged, or it cannot be read just now and may be whole."""
    try:
        yield
    except OSError as error:
        if error.errno in LOST:
            raise Damaged(f"{name} is missing") from error
        if error.errno in GARBLED:
            raise Damaged(f"{name} cannot be read ({_short(error)})") from error
        raise UserError(
            f"{file} cannot be read: {_short(error)}. It is left as it is; the same command looks again"
        ) from error


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
        When it holds a file that was not published: it may be somebody's, and is not moved. When a file cannot be read
        just now.
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
    with _looked_at(folder, "its folder"):  # another process may be moving it aside
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
        with _looked_at(folder / name, name):
            found = (folder / name).stat()
        if not stat.S_ISREG(found.st_mode):
            raise Damaged(f"{name} is no file")
        if found.st_size != said["size"]:
            raise Damaged(f"{name} has {found.st_size:,} bytes, and {said['size']:,} were written")


def _check_digests(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, said in files.items():
        with _looked_at(folder / name, name):
            found = _sha256(folder / name)
        if found != said["sha256"]:
            raise Damaged(f"{name} holds other bytes than were written")


def _sha256(file: Path) -> str:
    """sha256 of a file's bytes; a large one shows its progress."""
    size = file.stat().st_size
    if size < LARGE:
        return file_sha256(file)
    with Progress(f"verify {file.name}", size >> 20, unit="MiB") as bar, file.open("rb") as handle:

        def pieces() -> Iterator[bytes]:
            while piece := handle.read(CHUNK):
                bar.advance(len(piece) >> 20)
                yield piece

        return sha256_of(pieces())


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
