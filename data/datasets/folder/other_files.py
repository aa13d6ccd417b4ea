"""How many files of a dataset's folder are no film, by their extension: whoever forgot a format should hear of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from data.datasets.folder.tree import is_hidden

N_NAMED = 5  # extensions that are named


def note_other_files(root: Path, *, taken: Iterable[Path], is_film: Callable[[Path], bool]) -> dict[str, str]:
    """A note that says how many files are neither taken nor films, and which folders may hold more; empty without any.

    Hidden files and folders are left out; links to folders are followed, each folder once.

    Parameters
    ----------
    taken
        Files that are read: films and tables.
    is_film
        Whether a file is a film by its name (that no row names it is told elsewhere).
    """
    known = {os.path.normpath(path) for path in taken}
    unlisted: list[str] = []
    below = _files_below(root, unlisted)
    found = count_kinds(file for file in below if os.path.normpath(file) not in known and not is_film(file))
    notes = {"folders that cannot be listed, left alone": f"{len(unlisted):,} ({unlisted[0]})"} if unlisted else {}
    return notes | ({"files that are no image, left alone": found} if found else {})


def other_kinds(folder: Path) -> str:
    """What files a folder without a film holds: `8 (5 .npy, 3 .dcm)`; and how DICOM films are read, if it has any."""
    files = list(_files_below(folder, []))
    found = count_kinds(files)
    is_dicom = any(file.suffix.lower() in (".dcm", ".dicom") for file in files)
    return f"{found}; DICOM films are read by --dataset dicom" if is_dicom else found


def count_kinds(files: Iterable[Path]) -> str:
    """`9 (8 .xml, 1 .json)`; empty for no file."""
    found = Counter(file.suffix.lower() or "no extension" for file in files)
    if not found:
        return ""
    named = [f"{n:,} {kind}" for kind, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))]
    more = f", {len(named) - N_NAMED} more kinds" if len(named) > N_NAMED else ""
    return f"{found.total():,} ({', '.join(named[:N_NAMED])}{more})"


def _files_below(root: Path, unlisted: list[str]) -> Iterable[Path]:
    """The files, and in `unlisted` the folders below `root` that nobody may look into."""
    seen = set()

    def note(error: OSError) -> None:
        unlisted.append(os.path.relpath(error.filename, root))

    for folder, names, files in os.walk(root, followlinks=True, onerror=note):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = [name for name in names if not is_hidden(name)]
        yield from (Path(folder, name) for name in files if not is_hidden(name))
