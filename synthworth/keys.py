"""Identity: canonical JSON of a configuration, its sha256, and seeds derived from words."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthworth.errors import UserError

NOT_IDENTITY = {"identity": False}
"""`field(metadata=NOT_IDENTITY)` marks a configuration field that changes where or how fast, never what."""


def plain(value: Any) -> Any:
    """Reduce a configuration value to what JSON can say, so that equal meanings become equal texts.

    Dataclasses lose the fields marked `NOT_IDENTITY`; tuples become lists; paths and enums become strings;
    a float that is a whole number becomes an integer (`1.0` and `1` are one ratio).

    Raises
    ------
    UserError
        For NaN or infinity, which name nothing and never equal themselves.
    TypeError
        For a type that has no canonical form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f for f in dataclasses.fields(value) if f.metadata.get("identity", True))
        return {f.name: plain(getattr(value, f.name)) for f in fields}
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


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, ASCII, no NaN. Equal configurations give equal bytes."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def seed_from(root: int, *words: str | int) -> int:
    """A 63-bit seed that depends on every word and on their order, and on nothing else.

    Two purposes with different words never share a stream of random numbers; adding a purpose moves no other.
    """
    return int.from_bytes(hashlib.sha256(canonical([root, *words]).encode()).digest()[:8], "big") >> 1
