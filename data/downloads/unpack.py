"""An archive becomes a folder: nothing outside it, no links, bounded, whole or not at all."""

from __future__ import annotations

import calendar
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Self

from data.downloads.files import CHUNK, locked, no_room
from synthworth.artifacts import ensure_folder
from synthworth.errors import CANNOT_WRITE, UserError
from synthworth.progress import Progress

MAX_BYTES = 64 << 30
MAX_FILES = 1_000_000
MAX_PADDING = 16 << 20  # bytes after the last entry of a tar
MAX_NAME, MAX_PATH, MAX_DEPTH = 255, 2048, 64  # bytes of a file's name and path, folders around it
MAX_HEADER = 1 << 20  # bytes of a tar's extended header: they are read into memory before anything is looked at
EXTENDED = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE)  # fmt: skip
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Member:
    """One entry of an archive. refused : why it must not be unpacked, or nothing. date : seconds since 1970."""

    name: str
    size: int
    date: float
    is_folder: bool
    refused: str
    open: Callable[[], IO[bytes]]


class _Unsafe(UserError):
    """The archive holds what must not be unpacked."""


def unpack(archive: Path, to: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> int:
    """Unpack a tar (gz, bz2, xz) or zip into the folder `to`, which appears by one rename when everything is in it.

    Stricter than `tarfile`'s filter "data", which lets links through that stay inside, bounds nothing, and leaves half
    an archive behind under its final name.

    Entries are written below a hidden folder beside `to`, each by a rename of its own; after a kill the next call
    keeps those that are whole. Owners and permissions of the archive are left behind, dates are kept. Where `to` is
    there already, nothing is done.

    Parameters
    ----------
    max_bytes, max_files
        Bounds on what the archive may unpack to.

    Returns
    -------
    How many files are in `to`.

    Raises
    ------
    UserError
        For an entry outside the folder (absolute, `..`, another drive), a link, a device, a pipe, an encrypted or
        repeated entry, a name that is not UTF-8 or longer than file systems take, more than the bounds, a damaged
        archive (nothing is left then), and where there is no room.
    """
    ensure_folder(to.parent)
    with locked(to):
        if to.is_dir():
            return sum(len(files) for _, _, files in os.walk(to))
        if to.exists():
            raise UserError(f"{to} is a file, and {archive.name} unpacks into a folder of that name. Take it away")
        work = ensure_folder(to.with_name(f".{to.name}.part"))
        try:
            n_files = _unpack_into(archive, work, max_bytes=max_bytes, max_files=max_files)
        except OSError as error:
            if error.errno in CANNOT_WRITE:
                raise no_room(error, work) from error
            shutil.rmtree(work)
            if isinstance(error, (NotADirectoryError, IsADirectoryError, FileExistsError)):
                raise _Unsafe(f"{archive}: one of its entries is both a file and a folder. Nothing was kept") from error
            if error.filename is not None:
                raise
            raise _damaged(archive, error) from error  # a complaint about bytes, or a place in the archive that is none
        except DAMAGED as error:
            shutil.rmtree(work)
            raise _damaged(archive, error) from error
        except _Unsafe:
            shutil.rmtree(work)
            raise
        _flush()
        os.replace(work, to)
    return n_files


def _damaged(archive: Path, error: Exception) -> UserError:
    said = " ".join(str(error).split())
    return UserError(f"{archive} cannot be unpacked: {said}. It is damaged; take it away and fetch it again")


def _unpack_into(archive: Path, work: Path, *, max_bytes: int, max_files: int) -> int:
    root, seen, total = work.resolve(), set(), 0
    n_folders = 0
    incoming = work.with_name(f"{work.name}.incoming")
    with Progress(f"unpack {archive.name}", unit="files") as bar:
        for member in _members(archive):
            target = _target(member, root, archive)
            if member.is_folder:
                n_folders += 1
                if n_folders > max_files:
                    raise _Unsafe(f"{archive} holds more than {max_files:,} folders: refused, and nothing was kept")
                target.mkdir(parents=True, exist_ok=True)
                continue
            if target in seen:
                raise _Unsafe(f"{archive} holds {member.name!r} twice. Nothing was kept")
            seen.add(target)
            total += member.size
            if total > max_bytes or len(seen) > max_files:
                raise _Unsafe(
                    f"{archive} unpacks to more than {max_bytes:,} bytes or {max_files:,} files: refused, and nothing "
                    "was kept"
                )
            if not (target.is_file() and target.stat().st_size == member.size):
                _write(member, target, incoming=incoming, archive=archive)
            bar.advance()
    return len(seen)


def _target(member: _Member, root: Path, archive: Path) -> Path:
    """Where an entry goes; refused unless that is below `root`."""
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts or any(c in member.name for c in "\\:\0")
    why = member.refused or ("lies outside the folder" if outside else _odd_name(path))
    if why:
        raise _refused(archive, member, why)
    target = root.joinpath(*path.parts)
    if not target.parent.resolve().is_relative_to(root):
        raise _refused(archive, member, "lies outside the folder")
    if target == root and not member.is_folder:
        raise _refused(archive, member, "has no name")
    return target


def _refused(archive: Path, member: _Member, why: str) -> _Unsafe:
    shown = member.name if len(member.name) <= MAX_NAME else f"{member.name[:MAX_NAME]}..."
    return _Unsafe(f"{archive}: entry {shown!r} {why}. It was refused, and nothing was kept")


def _odd_name(path: PurePosixPath) -> str:
    """Why no folder can be expected to take a file of that path, or nothing."""
    try:
        longest = max((len(part.encode()) for part in path.parts), default=0)
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    if longest > MAX_NAME:
        return f"has a name of {longest:,} bytes, and file systems take {MAX_NAME}"
    if len(path.parts) > MAX_DEPTH or len(str(path).encode()) > MAX_PATH:
        return f"lies in {len(path.parts):,} folders under a path of {len(str(path)):,} letters"
    return ""


def _write(member: _Member, target: Path, *, incoming: Path, archive: Path) -> None:
    """Copy one entry beside the folder, then rename it into place."""
    n = 0
    try:
        with member.open() as source, incoming.open("wb") as out:
            while n <= member.size and (block := source.read(CHUNK)):
                out.write(block)
                n += len(block)
        if n != member.size:
            raise EOFError(f"{member.name!r} holds {n:,} bytes and announces {member.size:,}")
        target.parent.mkdir(parents=True, exist_ok=True)
        date = min(max(member.date, 0.0), 2.0**32)
        os.utime(incoming, (date, date))
        os.replace(incoming, target)
    finally:
        incoming.unlink(missing_ok=True)


def _members(archive: Path) -> Iterator[_Member]:
    if not archive.is_file():
        raise UserError(f"{archive}: no such archive")
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    else:
        yield from _tar_members(archive)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*", tarinfo=_BoundedHeader) as tar:
        for info in tar:

            def open_entry(info: tarfile.TarInfo = info) -> IO[bytes]:
                found = tar.extractfile(info)
                assert found is not None
                return found

            refused = "" if info.isreg() or info.isdir() else "is a link, a device or a pipe"
            yield _Member(info.name, info.size, float(info.mtime), info.isdir(), refused, open_entry)
        _read_to_the_end(tar)


class _BoundedHeader(tarfile.TarInfo):
    """An entry's header; one that announces an extended header of gigabytes is refused before it is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in a block of 512 bytes."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in EXTENDED and found.size > MAX_HEADER:
            raise _Unsafe(f"an extended header of {found.size:,} bytes is announced: refused, and nothing was kept")
        return found


def _read_to_the_end(tar: tarfile.TarFile) -> None:
    """The checksum of a compressed tar stands behind its last byte, and only reading that far compares it."""
    rest = 0
    while tar.fileobj is not None and (block := tar.fileobj.read(CHUNK)):
        rest += len(block)
        if rest > MAX_PADDING:
            raise tarfile.TarError("too much follows its last entry")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            refused = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is a link, a device or a pipe"
            if info.flag_bits & 1:
                refused = "is encrypted"

            def open_entry(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return opened.open(info)

            name = info.orig_filename
            yield _Member(name, info.file_size, _zip_date(info), info.is_dir(), refused, open_entry)


def _zip_date(info: zipfile.ZipInfo) -> float:
    """Seconds since 1970; 0 where the archive gives no date that exists."""
    try:
        return float(calendar.timegm((*info.date_time, 0, 0, 0)))
    except ValueError:
        return 0.0


def _flush() -> None:
    """Everything written so far is on disk before the folder gets its name; one call, not one for each file."""
    if hasattr(os, "sync"):
        os.sync()
