"""Ordinary files, opened without waiting and read to a bound: a pipe would block, a device never ends."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
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
