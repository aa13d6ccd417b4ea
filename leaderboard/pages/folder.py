"""What a build writes into the site's folder, and which files of the build before it go."""

from __future__ import annotations

import json
import re
from pathlib import Path

from synthworth.artifacts import ensure_folder, write_bytes, write_json
from synthworth.files import Unfit, read_file

LIST = "site.json"
"""Names of the files of the latest build, below its folder."""
LARGEST = 32 * 2**20
OURS = re.compile(
    r"[a-z0-9-]+\.html|(?:assets|charts|data|data/records|pictures)/[a-z0-9-]+\.(?:js|css|svg|csv|png|json)"
)
"""What this suite calls the files of a site; a name of another form in a list is not touched."""


class Folder:
    """The folder that takes a site. Files that an earlier build listed, and that this one did not write, go at the end.

    Parameters
    ----------
    place : the folder; made where it is not there.
    """

    def __init__(self, place: Path) -> None:
        self.place = ensure_folder(place)
        self.written: set[str] = set()

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file below the folder."""
        file = self.place / name
        if file.parent != self.place:
            ensure_folder(file.parent)
        write_bytes(file, content.encode("utf-8") if isinstance(content, str) else content, sync=False)
        self.written.add(name)

    def finish(self) -> None:
        """Take away what an earlier build left, and list what this one wrote."""
        for name in self._earlier() - self.written:
            (self.place / name).unlink(missing_ok=True)
        write_json(self.place / LIST, sorted(self.written))

    def _earlier(self) -> set[str]:
        """Names in the list of an earlier build; none where there is no such list, or it is none of ours."""
        try:
            names = json.loads(read_file(self.place / LIST, at_most=LARGEST))
        except (FileNotFoundError, Unfit, ValueError):
            return set()
        listed = names if isinstance(names, list) else []
        known = {name for name in listed if isinstance(name, str) and OURS.fullmatch(name)}
        return {name for name in known if (self.place / name).is_file() and not (self.place / name).is_symlink()}
