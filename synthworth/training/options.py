"""What Configs of generators and classifiers check alike: values in range, weights files known by their sha256."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthworth.errors import UserError
from synthworth.keys import file_sha256
from synthworth.training.weight_files import require_file


def require_ranges(config: Any, fits: Mapping[str, tuple[bool, str]], *, prefix: str = "") -> None:
    """Refuse the first option of a Config that is out of range.

    Parameters
    ----------
    fits : name of the option -> whether its value is in range, and the range in words.
    prefix : of its flag, "--gen." for one; without it the option is called by its name.

    Raises
    ------
    UserError
        When one does not fit.
    """
    for name, (fit, allowed) in fits.items():
        if not fit:
            flag = prefix + name.replace("_", "-") if prefix else name
            raise UserError(f"{flag} {getattr(config, name)} was asked for, which is out of range: {allowed}")


def checked_sha256(file: Path, wanted: str, *, option: str) -> str:
    """sha256 of a weights file, which stands in a key in the file's place.

    Parameters
    ----------
    wanted : what it must be; "" for whatever it is.
    option : what names the file, for the error.

    Raises
    ------
    UserError
        When there is no such file, it is a folder, or another than wanted.
    """
    found = file_sha256(require_file(file, what=option))
    if wanted not in ("", found):
        raise UserError(f"{option} {file} has sha256 {found}, not {wanted} as asked")
    return found
