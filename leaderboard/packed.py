"""How a record in short is held in memory: as packed bytes, so that many fit, and unpacked where it is read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from sys import intern
from typing import Any

import orjson

AT_HAND = ("status", "run_id", "name", "is_control", "spec")
"""Parts that every table asks for: they are never packed."""
UNPACKED = 256
"""Records that are held unpacked, those that were read last."""
END = b"\n"
"""Between what is at hand, as JSON, and the rest."""


class Packed(Mapping[str, Any]):
    """A record in short that takes a tenth of the memory; what is read of it is the same.

    Parameters
    ----------
    packed : of `pack`.
    shared : parts of specs that records have alike, by their text: each is held once.
    """

    __slots__ = ("_hand", "_rest")

    def __init__(self, packed: bytes, shared: dict[str, Any]) -> None:
        head, _, self._rest = packed.partition(END)
        hand = orjson.loads(head)
        hand["spec"] = {intern(name): _once(part, shared) for name, part in hand["spec"].items()}
        self._hand: dict[str, Any] = hand

    def __getitem__(self, name: str) -> Any:
        return self._hand[name] if name in self._hand else _unpacked(self._rest)[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._hand
        yield from _unpacked(self._rest)

    def __len__(self) -> int:
        return len(self._hand) + len(_unpacked(self._rest))


def pack(record: Mapping[str, Any]) -> bytes:
    """A record in short, as `leaderboard.slim.slim` leaves it, in bytes."""
    hand = {name: record[name] for name in AT_HAND if name in record}
    rest = {name: part for name, part in record.items() if name not in hand}
    return orjson.dumps(hand) + END + zlib.compress(orjson.dumps(rest), 1)


@lru_cache(maxsize=UNPACKED)
def _unpacked(rest: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(zlib.decompress(rest))
    return found


def _once(part: Any, shared: dict[str, Any]) -> Any:
    """A part of a spec, held once where it is more than a number."""
    return shared.setdefault(repr(part), part) if isinstance(part, (dict, list, str)) else part
