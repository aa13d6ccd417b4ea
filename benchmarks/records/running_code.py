"""Which code is running: a digest of its sources, for what may be kept only as long as they are the same."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from synthworth.keys import sha256_of

ROOT = Path(__file__).resolve().parents[2]


@cache
def digest_of_code(*places: str) -> str:
    """Digest of Python sources: files, and all below folders, named from the root of the packages; 64 digits of hex."""
    there = [ROOT / place for place in places]
    files = sorted({file for place in there for file in ([place] if place.is_file() else place.rglob("*.py"))})
    return sha256_of(piece for file in files for piece in (file.relative_to(ROOT).as_posix(), file.read_bytes()))
