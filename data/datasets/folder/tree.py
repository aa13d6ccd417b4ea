"""Which files lie in a tree of folders; what editors, archives and storage left behind is skipped and counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from data.films.given_path import refuse_odd_name
from synthworth.errors import UserError

HIDDEN = (".", "__", "@", "#recycle", "#snapshot", "~", "$", "system volume information", "lost+found", "found.0")
"""How the folders begin that are none of the user's: .ipynb_checkpoints, __MACOSX, @eaDir, #recycle."""


@dataclass(frozen=True)
class Tree:
    """Files in the order of their paths, and how many more lie in hidden folders."""

    files: list[Path]
    n_hidden: int


def is_hidden(name: str) -> bool:
    """Whether a folder or file is none of the user's, by its name."""
    return name.lower().startswith(HIDDEN)


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in a folder that are not hidden, by name; links to folders count."""
    return [path for path in _folders(folder) if not is_hidden(path.name)]


def hidden_folders(folder: Path) -> list[Path]:
    """The hidden folders directly in a folder."""
    return [path for path in _folders(folder) if is_hidden(path.name)]


def _folders(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in list_folder(folder) if is_folder(entry))


def list_folder(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder.

    Raises
    ------
    UserError
        When it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        refuse_unlisted(error)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link that leads nowhere, or to itself, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def walk(root: Path, wanted: Callable[[Path], bool]) -> Tree:
    """The wanted files below a folder, hidden folders apart; links to folders are followed, each folder once.

    Raises
    ------
    UserError
        For a folder that cannot be listed: what lies in it would be lost; for a name that is not UTF-8.
    """
    files: list[Path] = []
    n_hidden, seen = 0, set()
    below = {os.fspath(root): False}  # folder: whether it lies in a hidden one
    for folder, names, there in os.walk(root, followlinks=True, onerror=refuse_unlisted):
        real, hidden = os.path.realpath(folder), below.pop(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        below |= {os.path.join(folder, name): hidden or is_hidden(name) for name in names}
        found = [path for name in there if wanted(path := Path(folder, name))]
        for path in found:
            refuse_odd_name(os.fspath(path))
        if hidden:
            n_hidden += len(found)
        else:
            files += found
    return Tree(sorted(files, key=lambda file: file.parts), n_hidden)


def refuse_unlisted(error: OSError) -> NoReturn:
    """Raise what is said of a folder that cannot be listed (`onerror` of `os.walk`)."""
    raise UserError(
        f"{error.filename} cannot be listed: {error.strerror}. Give yourself the right to read it, or move it away"
    ) from error
