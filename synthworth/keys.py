"""Identity: canonical JSON of a configuration, its sha256, and seeds derived from words."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from synthworth.errors import UserError

NOT_IDENTITY = {"identity": False}
"""`field(metadata=NOT_IDENTITY)` marks a configuration field that changes where or how fast, never what."""
SINCE_DEFAULT = {"identity": "unless default"}
"""`field(metadata=SINCE_DEFAULT)` marks an option that came later, and whose default does what was done before it: at
that default it is no part of the identity, so that what was stored before the option is still found."""

DRAWING = {"drawing": True}
"""`field(metadata=DRAWING)` marks an option of a generator that is read when images are drawn and never while it is
trained: of two fits that differ in it alone the second is made from the first. It may be joined with the other marks
(`|`)."""


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_AS_IT_IS = frozenset({str, int, bool, type(None)})


def drawing_options(config: type) -> frozenset[str]:
    """Names of the fields of a Config that are marked `DRAWING`."""
    return frozenset(field.name for field in dataclasses.fields(config) if field.metadata.get("drawing"))


def plain(value: Any) -> Any:
    """Reduce a configuration value to what JSON can say, so that equal meanings become equal texts.

    Dataclasses lose fields marked `NOT_IDENTITY`, and those marked `SINCE_DEFAULT` at their default; tuples become
    lists; paths and enums become strings; a float that is a whole number becomes an integer (`1.0` and `1` are one
    ratio).

    Raises
    ------
    UserError
        For NaN or infinity, which name nothing and never equal themselves.
    TypeError
        For a type that has no canonical form.
    """
    kind: type = type(value)
    if kind in _AS_IT_IS:  # what most of a setting is, before anything is asked of it
        return value
    if kind is dict:
        return {str(k): v if type(v) in _AS_IT_IS else plain(v) for k, v in value.items()}
    if kind is list or kind is tuple:
        return [v if type(v) in _AS_IT_IS else plain(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = ((name, getattr(value, name), default) for name, default in _identity(kind))
        return {
            name: found if type(found) in _AS_IT_IS else plain(found)
            for name, found, default in held
            if default is _ANY or found != default
        }
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"a setting is {value}: only finite numbers can be asked for")
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    raise TypeError(f"{type(value).__name__} has no canonical form; configurations hold plain values")


_ANY = object()


@cache
def _identity(kind: type) -> tuple[tuple[str, Any], ...]:
    """Fields of a dataclass that are part of its identity, each with the default at which it is none, or `_ANY`."""
    rules = [(f.name, f.metadata.get("identity", True), f.default) for f in dataclasses.fields(kind)]
    since = SINCE_DEFAULT["identity"]
    return tuple((name, default if rule == since else _ANY) for name, rule, default in rules if rule == since or rule)


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, ASCII, no NaN. Equal configurations give equal bytes."""
    return _CANONICAL.encode(plain(value))


def sha256_of(pieces: Iterable[str | bytes | memoryview]) -> str:
    """sha256 of pieces one after another (text as UTF-8), as 64 hexadecimal digits; memory stays flat.

    Only the bytes count, not where one piece ends: the caller separates what must not run together.
    """
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece.encode() if isinstance(piece, str) else piece)
    return found.hexdigest()


def file_sha256(file: Path) -> str:
    """sha256 of a file's bytes, read a little at a time, as 64 hexadecimal digits."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def unchanged_sha256(file: Path) -> str:
    """`file_sha256`, read once in a process while size and times of change stay."""
    told = file.stat()
    return _sha256_as_of(file, told.st_size, told.st_mtime_ns, told.st_ctime_ns)


@lru_cache(maxsize=1 << 16)
def _sha256_as_of(file: Path, size: int, modified: int, changed: int) -> str:
    return file_sha256(file)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, as 64 hexadecimal digits."""
    return sha256_of([canonical(value)])


def digest_of_plain(form: Any) -> str:
    """`digest` of what `plain` gave, which is not reduced again."""
    return sha256_of([_CANONICAL.encode(form)])


@lru_cache(maxsize=4096, typed=True)
def seed_from(root: int, *words: str | int) -> int:
    """A 63-bit seed that depends on every word and on their order, and on nothing else.

    Two purposes with different words never share a stream of random numbers; adding a purpose moves no other.
    """
    return int(digest([root, *words])[:16], 16) >> 1
