"""The errors a user meets, and the one sentence each of them speaks."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

from synthworth.printable import one_line

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
CANNOT_WRITE = DISK_FULL | {errno.EACCES, errno.EPERM, errno.EROFS}
"""Refusals of a file system to write, or to let anybody in."""
UNWELL = frozenset({
    errno.EIO, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO, errno.EBUSY, errno.EXDEV, errno.EMFILE, errno.ENFILE,
    *(getattr(errno, name) for name in (
        "ESTALE", "ENOTCONN", "EHOSTDOWN", "EREMOTEIO", "ENOLCK", "EOPNOTSUPP", "EUCLEAN", "EBADMSG",
    ) if hasattr(errno, name)),
})  # fmt: skip
"""What a disk, a file server or the system's limits answer when they fail."""
NOT_OURS = CANNOT_WRITE | UNWELL | {errno.ENAMETOOLONG, errno.ELOOP}
"""File-system refusals that are the user's to mend; any other `OSError` is a fault of ours and keeps its traceback."""
LONGEST = 2000
"""Characters of a message. A longer one (a name of thousands of letters, a list of a million columns) loses its
middle: what was asked stands at the beginning, and what to do at the end."""


def bounded(text: str) -> str:
    """Text as one line of bounded length that no terminal obeys."""
    shown = one_line(text)
    if len(shown) <= LONGEST:
        return shown
    head, tail = LONGEST // 2, LONGEST // 2 - 60
    return f"{shown[:head]} ... ({len(shown) - head - tail:,} characters left out) ... {shown[-tail:]}"


class UserError(Exception):
    """The request cannot be carried out as asked: one line saying what was asked, what is there, what to do.

    Commands print the message without a traceback and leave with exit code 2. Names of files and cells of tables stand
    in it: it is made one line of at most `LONGEST` characters (`bounded`).
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(bounded(str(message)))


class Unavailable(Exception):
    """A number cannot be computed here, and the message is the note that stands in the record in its place."""


class Diverged(Exception):
    """A network gave numbers that are not finite, or nothing that may be used.

    In training the loss was; the message names the step and the last good checkpoint. In drawing the images were; the
    message counts them. Or what was drawn copied training images at the first look already, where that ends a fit.
    Either way the arm is recorded as failed, and the others go on.
    """


def unknown_name(kind: str, name: str, available: Iterable[str]) -> UserError:
    """The error for a name that is not registered: names the nearest ones and all there are."""
    names = sorted(available)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return UserError(f"no {kind} named {name!r}.{hint} Available: {', '.join(names) or 'none'}")


def disk_message(error: OSError) -> str:
    """One line for a file-system error (`OSError`): what could not be written or read, why, and what to do."""
    where = f" {str(error.filename)[:LONGEST]!r}" if error.filename else ""
    reason = error.strerror or str(error)
    if error.errno in DISK_FULL:
        return f"no room to write{where}: {reason}. Free some space, or point SYNTHWORTH_HOME and --results elsewhere"
    return bounded(f"cannot use{where}: {reason}")
