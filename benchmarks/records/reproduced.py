"""Notes of reproductions: what one says, and whether it counts here."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.records.predictions import PREDICTIONS
from synthworth.artifacts import ensure_folder, write_json
from synthworth.errors import UserError
from synthworth.files import Unfit, read_file
from synthworth.keys import canonical, file_sha256, sha256_of
from synthworth.printable import one_line

FOLDER = "reproduced"
"""Beside the folders of the records."""
KEY = "SYNTHWORTH_NOTES_KEY"
"""Names the file of the key that notes are signed with."""
LARGEST = 1 << 16


@dataclass(frozen=True)
class Note:
    """What came of carrying out the run of a record again.

    Parameters
    ----------
    record_sha256, content : of record.json, and of it with its predictions (`content_of`): what was reproduced.
    agreed : whether every field that the record holds came out the same to the bit, or within the record's interval.
    n_fields, n_same, n_within : how many there are, and came out so.
    n_added : how many the record does not hold.
    commit, synthworth, machine, when : of the reproduction.
    """

    run_id: str
    name: str
    record_sha256: str
    content: str
    agreed: bool
    n_fields: int
    n_same: int
    n_within: int
    n_added: int
    commit: str | None
    synthworth: str
    machine: str
    when: str

    @property
    def by_committed_code(self) -> bool:
        """Whether the code that carried it out is that of its commit, with no change that nobody else can look up."""
        return not (self.commit or "").endswith("+")

    @property
    def said(self) -> str:
        """The note in one line."""
        n = f"{self.n_same} of {self.n_fields} fields the same, {self.n_within} within the record's intervals"
        n += f", {self.n_added} that the record does not hold" if self.n_added else ""
        return f"{self.when[:10]}, {self.machine}, commit {self.commit or 'not known'}: {n}"


@dataclass(frozen=True)
class Notes:
    """The notes beside some folders of records: those that count here by the digest of the record; others in words."""

    counted: Mapping[str, Note]
    others: tuple[str, ...] = ()


def content_of(folder: Path, record_sha256: str) -> str:
    """Digest of a record with its predictions as they lie there now (or that there are none)."""
    file = folder / PREDICTIONS
    return sha256_of([record_sha256, "\0", file_sha256(file) if file.is_file() else "no predictions"])


def key_file() -> Path:
    """Where the key of notes lies: `$SYNTHWORTH_NOTES_KEY`, or `synthworth/notes.key` in the user's configuration."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get(KEY) or Path(config) / "synthworth" / "notes.key")


def write_note(results: Path, note: Note) -> Path:
    """Sign a note and write it beside the folders of the records; the key is made where there is none.

    Raises
    ------
    OSError
        Where key or note cannot be written.
    """
    key = _key() or _new_key()
    told = asdict(note)
    file = ensure_folder(results / FOLDER) / f"{note.content[:32]}.json"
    write_json(file, {"note": told, "signature": _signature(told, key)})
    return file


def read_notes(folders: Iterable[Path]) -> Notes:
    """The notes beside the records of these folders.

    A note counts where it was signed with the key that lies here, which no record comes with: so it was made by
    whoever builds. One that was changed, or made by others, is no evidence, and is named. Of several of one record
    that of committed code counts, and of these the last.
    """
    counted: dict[str, Note] = {}
    others = []
    key = _key()
    for file in (file for folder in folders for file in sorted((folder / FOLDER).glob("*.json"))):
        try:
            found = json.loads(read_file(file, at_most=LARGEST))
            told, signature = found["note"], str(found["signature"])
            note = Note(**{field.name: told[field.name] for field in fields(Note)})
        except (OSError, Unfit, ValueError, KeyError, TypeError) as error:
            others.append(f"{one_line(str(file))} is no note of a reproduction ({type(error).__name__})")
            continue
        if key is None or not hmac.compare_digest(signature, _signature(told, key)):
            others.append(
                f"{one_line(str(file))} does not count: it was changed, or not signed with the key of this machine"
            )
        elif (last := counted.get(note.record_sha256)) is None or _counts_before(note, last):
            counted[note.record_sha256] = note
    return Notes(counted, tuple(others))


def _counts_before(note: Note, last: Note) -> bool:
    return (note.by_committed_code, note.when) >= (last.by_committed_code, last.when)


def _key() -> bytes | None:
    file = key_file()
    if not file.exists():
        return None
    try:
        return bytes.fromhex(read_file(file, at_most=LARGEST).decode("ascii").strip())
    except (OSError, Unfit, ValueError) as error:
        raise UserError(
            f"{file} is no key of notes ({error}). Take it away: a new one is made, and older notes count no more"
        ) from error


def _new_key() -> bytes:
    file, key = key_file(), secrets.token_bytes(32)
    ensure_folder(file.parent)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(f"{key.hex()}\n")
    return key


def _signature(told: Mapping[str, Any], key: bytes) -> str:
    return hmac.new(key, canonical(told).encode(), "sha256").hexdigest()
