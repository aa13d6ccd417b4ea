"""Where a film's file lies: in the twelve published folders, in one folder of images, or beside the table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.films.decode import EXTENSIONS

FOLDER = re.compile(r"images([_-]?\d+)?", re.IGNORECASE)  # images, images_001 to images_012, images_001/images
DEPTH = 3


@dataclass(frozen=True)
class Layout:
    """Image files by name.

    Parameters
    ----------
    files
        Path of each file, as text: a hundred thousand `Path`s would cost more than finding them.
    folders
        Folders looked into, in order.
    twins
        Names met a second time; the first file counts.
    """

    files: dict[str, str]
    folders: tuple[str, ...]
    twins: tuple[str, ...]


def find_films(root: Path) -> Layout:
    """List `root` and the folders `images`, `images_001` ... below it, each once; no file is looked at singly.

    Raises
    ------
    NotADirectoryError, FileNotFoundError
        When `root` is no folder.
    """
    files: dict[str, str] = {}
    folders, twins = [], []
    for folder, found in _visit(os.fspath(root), DEPTH):
        folders.append(folder)
        twins += [name for name in found if name in files]
        files = found | files
    return Layout(files, tuple(folders), tuple(sorted(twins)))


def _visit(folder: str, depth: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Each folder with its image files, path by name; folders in the order of their names."""
    found, below = {}, []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            if name[name.rfind(".") :].lower() in EXTENSIONS:
                found[name] = entry.path
            elif depth and FOLDER.fullmatch(name) and entry.is_dir():
                below.append(entry.path)
    yield folder, found
    for path in sorted(below):
        yield from _visit(path, depth - 1)
