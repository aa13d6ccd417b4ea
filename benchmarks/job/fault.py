"""What went wrong with a piece of work, in words: told beside the others, which go on."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Literal

from synthworth.errors import Diverged, UserError, bounded

Kind = Literal["error", "diverged", "refused", "skipped", "out of memory", "timeout", "killed"]
"""`skipped`: an arm that was added by itself (`--without-copies`) found too few images; no failure."""
TRACEBACK_LINES = 20


class OutOfTime(Exception):
    """An item took longer than it may."""


@dataclass(frozen=True)
class Fault:
    """Why an item was not done.

    Parameters
    ----------
    kind : what happened, in a word.
    error : the message, in one line.
    traceback : its last lines; empty where there is none.
    """

    kind: Kind
    error: str
    traceback: str = ""


def fault_of(error: Exception) -> Fault:
    """An exception in words."""
    last = "".join(traceback.format_exception(error)).splitlines()[-TRACEBACK_LINES:]
    said = bounded(str(error) or type(error).__name__)
    if isinstance(error, OutOfTime):
        return Fault("timeout", said)
    if isinstance(error, Diverged):
        return Fault("diverged", said)
    if isinstance(error, UserError):
        return Fault("refused", said)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Fault("out of memory", f"{type(error).__name__}: {said}", "\n".join(last))
    return Fault("error", f"{type(error).__name__}: {said}", "\n".join(last))
