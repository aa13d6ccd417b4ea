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
    found: Counter[str] = Counter()
    unlisted: list[str] = []
    for file in _files_below(root, unlisted):
        if os.path.normpath(file) not in known and not is_film(file):
            found[file.suffix.lower() or "no extension"] += 1
    notes = {"folders that cannot be listed, left alone": f"{len(unlisted):,} ({unlisted[0]})"} if unlisted else {}
    if not found:
        return notes
    named = [f"{n:,} {kind}" for kind, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))]
    more = f", {len(named) - N_NAMED} more kinds" if len(named) > N_NAMED else ""
    return notes | {"files that are no image, left alone": f"{found.total():,} ({', '.join(named[:N_NAMED])}{more})"}


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
