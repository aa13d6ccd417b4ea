"""Which file a table means by a name: the one of that name, or else the only one that fits."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.films.dataset import stat_films
from data.films.decode import EXTENSIONS
from data.films.masks import speaks_of_masks
from data.images import Split
from data.splits.words import SPLIT_WORDS

ENDINGS = (*sorted(EXTENSIONS), ".dcm", ".dicom")
NUMBER = re.compile(r"([0-9]{1,30})(?:\.0+)?")
OTHER_NAME = "found under another name"
SHOWN = 3

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """The file of each name.

    Parameters
    ----------
    paths, stats
        None where no file, or more than one, fits.
    exact
        Whether the file is of just that name.
    doubt
        What a message may say of the first name without a file: what there is in its place.
    notes : JSON
        How many files bear another name than the table's, with the first.
    """

    paths: list[Path | None]
    stats: list[os.stat_result | None]
    exact: list[bool]
    doubt: str
    notes: dict[str, Any]


def find_files(names: Sequence[str], *, root: Path, listing: Callable[[], Iterable[Path]]) -> Found:
    """The files of that name below `root`, and of those without one the only file that fits.

    Backslashes are slashes there, and a letter with an accent is one however it is encoded (NFC and NFD). In turn, the
    first that fits any file counts, and only if it fits one:

    1. the file's path ends with the name;
    2. it does once the file's ending (.png, .dcm, ...) is taken off;
    3. both hold after the folders that all names begin with are taken off them;
    4. the last part of the name is that of one file and of no other name in the table, with any ending;
    5. both are one number, to which a program added `.0`, or, where all files are numbers, of which it took zeros.

    Large and small letters count where that decides between files. A name in a folder `train` is never a file in a
    folder `test`, and a file in a folder of masks fits no name that does not say so.

    Parameters
    ----------
    listing
        The image files below `root`; asked for only where a name has no file.
    """
    named = [root / name for name in names]
    stats = stat_films(named)
    exact = [stat is not None for stat in stats]
    paths = [path if there else None for path, there in zip(named, exact, strict=True)]
    if all(exact):
        return Found(paths, stats, exact, "", {})
    files = sorted(listing(), key=os.fspath)
    finder = _Finder(names, [os.path.relpath(file, root).replace(os.sep, "/") for file in files])
    others: list[str] = []
    doubt = ""
    for i, name in enumerate(names):
        if paths[i] is not None or not name:
            continue
        fitting = finder.fitting(name)
        if len(fitting) == 1:
            paths[i] = files[fitting[0]]
            others.append(f"{name} is {finder.texts[fitting[0]]}")
        elif not doubt:
            doubt = _doubt(name, [finder.texts[f] for f in fitting], finder.texts, root)
    looked_up = iter(stat_films([path for path, stat in zip(paths, stats, strict=True) if path and not stat]))
    stats = [stat or (next(looked_up) if path else None) for path, stat in zip(paths, stats, strict=True)]
    return Found(paths, stats, exact, doubt, noted(others))


def noted(others: Sequence[str]) -> dict[str, Any]:
    """The note on files that bear another name than the table's; `others` says which is which."""
    return {OTHER_NAME: len(others), f"{OTHER_NAME}, first": others[0]} if others else {}


def _doubt(name: str, fitting: Sequence[str], texts: Sequence[str], root: Path) -> str:
    if fitting:
        return f"{name} may be any of {len(fitting)} files ({_first(fitting)})"
    return f"{root} holds {len(texts)} image files ({_first(texts)})" if texts else f"{root} holds no image file"


def _first(texts: Sequence[str]) -> str:
    return ", ".join(texts[:SHOWN]) + (", ..." if len(texts) > SHOWN else "")


class _Finder:
    """Files by the last part of their path, with and without its ending."""

    def __init__(self, names: Sequence[str], texts: Sequence[str]) -> None:
        self.texts = texts
        self.files = [_parts(text) for text in texts]
        self.by_last: dict[str, list[int]] = {}
        for f, parts in enumerate(self.files):
            for last in {parts[-1].casefold(), _bare(parts[-1]).casefold()}:
                self.by_last.setdefault(last, []).append(f)
        self.by_number: dict[int, list[int]] = {}
        for f, parts in enumerate(self.files):
            if (number := _number(parts[-1])) is not None:
                self.by_number.setdefault(number, []).append(f)
        asked = [_parts(name) for name in names if name]
        self.numbers: dict[int, set[Parts]] = {}
        for parts in asked:
            if parts and (number := _number(parts[-1])) is not None:
                self.numbers.setdefault(number, set()).add(parts)
        self.common = _in_common([parts[:-1] for parts in asked])
        self.times: dict[str, set[Parts]] = {}
        for parts in asked:
            self.times.setdefault(_bare(parts[-1]).casefold(), set()).add(parts)

    def fitting(self, name: str) -> list[int]:
        """The files that fit best, by the first of the rules that any fits."""
        parts = _parts(name)
        if not parts:
            return []
        near = self.by_last.get(parts[-1].casefold(), [])
        alone = len(self.times[_bare(parts[-1]).casefold()]) == 1
        loose = self.by_last.get(_bare(parts[-1]).casefold(), []) if alone else []
        for short in dict.fromkeys((parts, parts[self.common :])):
            for bare in (False, True):
                found = [f for f in near if _ends(self._of(f, bare), short) and self._may_be(f, parts)]
                if found:
                    return _by_case(found, [self._of(f, bare) for f in found], short)
        return [f for f in loose or self._of_number(parts[-1]) if self._may_be(f, parts)]

    def _of_number(self, last: str) -> list[int]:
        """Files whose name is this number: without the .0 of a float, or if all are numbers, with leading zeros."""
        number = _number(last)
        if number is None or len(self.numbers[number]) > 1:
            return []
        files = self.by_number.get(number, [])
        all_numbers = sum(map(len, self.by_number.values())) == len(self.files)
        return files if all_numbers else [f for f in files if _bare(self.files[f][-1]) == str(number)]

    def _may_be(self, f: int, name: Parts) -> bool:
        """Whether the folders of a file do not speak against a name: another split's, or masks."""
        folders = self.files[f][:-1]
        mask = any(map(speaks_of_masks, folders)) and not any(map(speaks_of_masks, name))
        said, lies = _splits_in(name[:-1]), _splits_in(folders)
        return not mask and not (said and lies and not said & lies)

    def _of(self, f: int, bare: bool) -> Parts:
        parts = self.files[f]
        return (*parts[:-1], _bare(parts[-1])) if bare else parts


def _in_common(paths: Sequence[Parts]) -> int:
    """How many folders all begin with."""
    first, last = min(paths), max(paths)
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _parts(text: str) -> Parts:
    even = unicodedata.normalize("NFC", text).replace("\\", "/")
    return tuple(part for part in os.path.normpath(even).split("/") if part not in ("", "."))


def _bare(last: str) -> str:
    """A file's name without the ending of an image; other dots, as of an instance UID, stay."""
    stem, dot, ending = last.rpartition(".")
    return stem if dot and stem and f".{ending.lower()}" in ENDINGS else last


def _number(last: str) -> int | None:
    """The whole number that a file's name is, its ending apart."""
    found = NUMBER.fullmatch(_bare(last))
    return int(found[1]) if found else None


def _ends(path: Parts, name: Parts) -> bool:
    return [p.casefold() for p in path[-len(name) :]] == [p.casefold() for p in name]


def _by_case(found: list[int], paths: Sequence[Parts], name: Parts) -> list[int]:
    exact = [f for f, path in zip(found, paths, strict=True) if path[-len(name) :] == name]
    return exact or found


def _splits_in(folders: Parts) -> set[Split]:
    return {SPLIT_WORDS[part.lower()] for part in folders if part.lower() in SPLIT_WORDS}
