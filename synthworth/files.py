"""Files are opened without waiting and read to a bound; of this suite's own, which folder to delete is said."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

from synthworth.errors import UserError

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
MANIFEST = "manifest.json"
"""The file that every finished artifact has, in the folder that is the whole of it."""
PIECE = 1 << 16  # bytes


class Unfit(Exception):
    """What lies there is no ordinary file, or is larger than may be read; the message is the reason."""


def open_file(path: Path) -> BinaryIO:
    """Open an ordinary file to be read as bytes; what a link points at counts.

    Raises
    ------
    Unfit
        For a folder, a pipe, a socket or a device. None of them is waited for.
    OSError
        As `open`, also for a name that no file can have.
    """
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a name with a zero byte, or one that the system's encoding does not have
        raise FileNotFoundError(2, os.strerror(2), str(path)) from error
    except OSError:
        kind = _kind(path)
        if kind:  # a socket, a device that nothing drives, a folder on Windows
            raise Unfit(f"it is {kind}, and a file is needed") from None
        raise
    kind = KINDS.get(stat.S_IFMT(os.fstat(number).st_mode), "")
    if kind:
        os.close(number)
        raise Unfit(f"it is {kind}, and a file is needed")
    return os.fdopen(number, "rb")


def read_file(path: Path, *, at_most: int) -> bytes:
    """The bytes of an ordinary file.

    Raises
    ------
    Unfit
        As `open_file`, and for a file of more than `at_most` bytes, of which no more than that is read.
    OSError
        As `open`.
    """
    with open_file(path) as handle:
        said = os.fstat(handle.fileno()).st_size
        if said <= at_most:
            content = handle.read(said + 1)  # as much is allocated
            while len(content) > said and len(content) <= at_most and (more := handle.read(PIECE)):
                content += more  # it grew, or is one of those that say 0
            if len(content) <= at_most:
                return content
    raise Unfit(f"it holds more than {at_most:,} bytes, which is the most that is read")


def _kind(path: Path) -> str:
    try:
        return KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "")
    except (OSError, ValueError):
        return ""


# -- this suite's own files ------------------------------------------------------------------------------------------

SENSELESS = (
    ValueError, EOFError, SyntaxError, TokenError, TypeError, LookupError, RecursionError, OverflowError, Unfit,
)  # fmt: skip
"""What json, numpy and Arrow raise of bytes that are cut short or make no sense."""


@contextmanager
def readable(file: Path, *, what: str, advice: str | None = None) -> Iterator[None]:
    """Let what a reader raises of a damaged file name it, and say what to do.

    Parameters
    ----------
    what : what the file should be, "a whole array" for one.
    advice : what to do about a file from elsewhere; one of this suite's own is made again (`damaged`).

    Raises
    ------
    UserError
        For a file that is not there or cannot be what it should. A disk that refuses stays an OSError.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise _said(file, "is not there", advice) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _said(file, f"is not {what} ({error})", advice) from error
    except SENSELESS as error:
        raise _said(file, f"is not {what} ({error})", advice) from error


def damaged(file: Path, reason: str) -> UserError:
    """The error for a file of this suite's own that cannot be used: which folder to delete, so that it is made again.

    It is that of the artifact, whose other files would be believed without this one, and which may lie folders above
    it. Where the folder itself is gone, somebody took it away meanwhile.
    """
    artifact = next((folder for folder in file.parents if (folder / MANIFEST).is_file()), None)
    if artifact is None and not file.parent.is_dir():
        return UserError(
            f"{file} {reason}: its folder was taken away while it was in use, or the disk is gone. The same command "
            "makes it again"
        )
    return UserError(f"{file} {reason}. Delete the folder {artifact or file.parent} to have it made again")


def _said(file: Path, reason: str, advice: str | None) -> UserError:
    return damaged(file, reason) if advice is None else UserError(f"{file} {reason}. {advice}")
