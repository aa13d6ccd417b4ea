"""Which code is running: a digest of its sources, for what may be kept only as long as they are the same."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from synthworth.keys import sha256_of

ROOT = Path(__file__).resolve().parents[2]


@cache
def digest_of_code(*folders: str) -> str:
    """Digest of every Python source below these folders, named from the root of the packages; 64 hexadecimal digits."""
    files = sorted({file for folder in folders for file in (ROOT / folder).rglob("*.py")})
    return sha256_of(piece for file in files for piece in (file.relative_to(ROOT).as_posix(), file.read_bytes()))
