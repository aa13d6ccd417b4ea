"""What a file's path says of a film: the group of a regular expression."""

from __future__ import annotations

import re
from collections.abc import Sequence

from synthworth.errors import UserError


def compile_pattern(pattern: str, *, flag: str, groups: int | None = 1) -> re.Pattern[str]:
    """A regular expression with so many groups, or with any number of them.

    Raises
    ------
    UserError
        When it is none, or has another number of them; the message names the flag.
    """
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise UserError(f"{flag} {pattern!r} is no regular expression: {error}") from error
    except RecursionError as error:
        raise UserError(f"{flag} {pattern!r} is no regular expression that can be used: it nests too deep") from error
    if groups is not None and found.groups != groups:
        raise UserError(
            f"{flag} {pattern!r} has {found.groups} groups and needs {groups}: what stands in round brackets is taken, "
            "(?:...) is not"
        )
    return found


def find_in_paths(paths: Sequence[str], pattern: str, *, flag: str) -> list[str]:
    """What the group of the pattern holds in each path, searched for from its left.

    Raises
    ------
    UserError
        When the pattern cannot be used, and when it is not in a path, or its group is empty there.
    """
    compiled = compile_pattern(pattern, flag=flag)
    found = [match[1] if (match := compiled.search(path)) else None for path in paths]
    without = [path for path, group in zip(paths, found, strict=True) if not group]
    if without:
        raise UserError(f"{flag} {pattern!r} is not in {len(without)} of {len(paths)} paths, first {without[0]}")
    return [group or "" for group in found]
