"""Names for films and patients that say nothing about them, and are the same wherever the same films are prepared.

A hospital's patient number is short: whoever holds a list of its hashes finds every number by trying all of them. So no
name here is computed from a patient's number, nor from a file's name, which often holds one. A film is named by its
SOPInstanceUID and a patient by the smallest SOPInstanceUID among his films, both through HMAC-SHA256, cut to 64 bits.
An instance UID is long, chosen by the machine, and means nothing to whoever has no access to the hospital's archive.

- The same folder gives the same names on every machine: splits, fingerprints and run ids can be repeated, with
  nothing to keep. New films of other patients change no name.
- Without a secret, whoever can list the archive's UIDs can tell which names belong to them. Where that matters, a key
  file (random, 16 bytes or more, kept by whoever keeps the films) closes it; then the key is needed to repeat a split.
- DICOM's own de-identification (PS3.15 Annex E) replaces these UIDs too. Films that went through it are covered twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from synthworth.errors import UserError

OPEN_KEY = b"synthworth dicom v1"
SHORTEST_KEY = 16  # bytes
DIGITS = 16


def read_key(file: Path | None) -> bytes:
    """The bytes of a key file, or the open key that everybody knows.

    Raises
    ------
    UserError
        When the file is missing or holds fewer than 16 bytes.
    """
    if file is None:
        return OPEN_KEY
    if not file.is_file():
        raise UserError(f"--data.key {file}: no such file")
    key = file.read_bytes()
    if len(key) < SHORTEST_KEY:
        raise UserError(f"--data.key {file} holds {len(key)} bytes; at least {SHORTEST_KEY}, random, are needed")
    return key


def pseudonym(kind: str, name: str, *, key: bytes) -> str:
    """HMAC-SHA256 of `name` under `key`, 16 hexadecimal digits; names of another kind are never the same."""
    return hmac.new(key, f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()[:DIGITS]


def name_groups(groups: Sequence[str], names: Sequence[str], *, kind: str, key: bytes) -> list[str]:
    """A pseudonym for the group of each film, made of the smallest of its films' names; `groups` enter no digest."""
    smallest: dict[str, str] = {}
    for group, name in zip(groups, names, strict=True):
        smallest[group] = min(name, smallest.get(group, name))
    return [pseudonym(kind, smallest[group], key=key) for group in groups]
