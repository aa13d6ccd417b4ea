"""Splits that share patients or images are refused before anything learns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.images import ImageSet, Split
from synthworth.errors import UserError

N_EXAMPLES = 20  # examples of each finding that a record holds; the counts are complete


@dataclass(frozen=True)
class SharedName:
    """An image id or a patient that stands in more than one split."""

    name: str
    splits: tuple[str, ...]


def refuse_leaks(sets: Mapping[Split, ImageSet]) -> None:
    """Refuse splits that share an image id or a patient.

    Raises
    ------
    UserError
        Naming one example and how many there are.
    """
    refuse_shared({split: images.ids for split, images in sets.items()}, what="image")
    refuse_shared({split: images.groups for split, images in sets.items()}, what="patient")


def refuse_shared(names: Mapping[Split, Sequence[str]], *, what: str) -> None:
    """Refuse names (ids or patients, said by `what`) that stand in more than one split.

    Raises
    ------
    UserError
        Naming one example and how many there are.
    """
    shared = _shared(names)
    if shared:
        first = shared[0]
        more = f" ({len(shared)} {what}s are shared)" if len(shared) > 1 else ""
        raise UserError(
            f"{what} {first.name!r} is in both {' and '.join(first.splits)}{more}; the splits must be apart by patient"
        )


def _shared(names: Mapping[Split, Sequence[str]]) -> tuple[SharedName, ...]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for split, of_split in names.items():
        for name in dict.fromkeys(of_split):
            found[name].append(split.value)
    return tuple(SharedName(name, tuple(splits)) for name, splits in found.items() if len(splits) > 1)
