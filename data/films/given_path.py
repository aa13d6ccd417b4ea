"""Where a folder or file that is named on the command line lies: as it is named, else below SYNTHWORTH_DATA."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from synthworth.errors import UserError

VARIABLE = "SYNTHWORTH_DATA"


def find_folder(path: Path, *, flag: str = "--data.path") -> Path:
    """The folder of that path.

    Raises
    ------
    UserError
        When there is none, here or in SYNTHWORTH_DATA, and for a name that is not UTF-8.
    """
    found = _find(path, os.path.isdir)
    if found is None:
        raise UserError(f"{flag} {path}: no such folder{_also(path)}")
    refuse_odd_name(os.fspath(found))
    return found


def find_file(path: Path) -> Path:
    """The file of that path, or the path itself where there is none: whoever reads it says so."""
    return _find(path, os.path.isfile) or path


def refuse_odd_name(name: str) -> None:
    """Refuse a path that is not UTF-8: tables, records and pages could not hold it.

    Raises
    ------
    UserError
        Naming it, with its odd bytes escaped.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{ascii(name)[1:-1]}: its name is not UTF-8. Rename it (convmv -f latin1 -t utf8 does a tree)"
        ) from error


def _find(path: Path, there: Callable[[Path], bool]) -> Path | None:
    if there(path):
        return path
    home = os.environ.get(VARIABLE)
    below = Path(home) / path if home and not path.is_absolute() else None
    return below if below is not None and there(below) else None


def _also(path: Path) -> str:
    if path.is_absolute():
        return ""
    home = os.environ.get(VARIABLE)
    return f" here, nor in {VARIABLE} ({home})" if home else f" here, and {VARIABLE} is not set"
