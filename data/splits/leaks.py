"""Splits that share patients or images are refused before anything learns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from data.images import ImageSet, Split
from synthworth.errors import UserError

N_NAMED = 3  # names of a pair of splits in a message
N_EXAMPLES = 20  # examples of each finding that a record holds; the counts are complete


@dataclass(frozen=True)
class SharedName:
    """An image id or a patient that stands in more than one split."""

    name: str
    splits: tuple[str, ...]


class SharedNames(UserError):
    """Splits share names. The message counts them by pair of splits and names the first few; `shared` has them all."""

    def __init__(self, shared: Sequence[SharedName], *, what: str) -> None:
        super().__init__(f"{_told(shared, what)}; the splits must be apart by patient")
        self.shared = tuple(shared)
        self.what = what


def refuse_leaks(sets: Mapping[Split, ImageSet]) -> None:
    """Refuse splits that share an image id or a patient.

    Raises
    ------
    SharedNames
        Naming one example, and where there are more all pairs of splits that share some: how many, and the first few.
    """
    refuse_shared({split: images.ids for split, images in sets.items()}, what="image")
    refuse_shared({split: images.groups for split, images in sets.items()}, what="patient")


def refuse_shared(names: Mapping[Split, Sequence[str]], *, what: str) -> None:
    """Refuse names (ids or patients, said by `what`) that stand in more than one split.

    Raises
    ------
    SharedNames
        Naming one example, and where there are more all pairs of splits that share some: how many, and the first few.
    """
    shared = _shared(names)
    if shared:
        raise SharedNames(shared, what=what)


def by_pair(shared: Sequence[SharedName]) -> dict[tuple[str, str], list[str]]:
    """The names that two splits share, for every pair that shares any."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    order = [split.value for split in Split]
    for one in shared:
        for pair in combinations(sorted(one.splits, key=order.index), 2):
            found[pair].append(one.name)
    return dict(found)


def pairs_text(shared: Sequence[SharedName]) -> str:
    """`train and val 3 ('a', 'b', 'c'); train and test 1 ('d')`: every pair, and the first few names of each."""
    said = []
    for (one, other), names in by_pair(shared).items():
        more = ", ..." if len(names) > N_NAMED else ""
        said.append(f"{one} and {other} {len(names)} ({', '.join(map(repr, names[:N_NAMED]))}{more})")
    return "; ".join(said)


def _told(shared: Sequence[SharedName], what: str) -> str:
    first = shared[0]
    said = f"{what} {first.name!r} is in both {' and '.join(first.splits)}"
    if len(shared) == 1:
        return said
    return f"{said} ({len(shared)} {what}s are shared): {pairs_text(shared)}"


def _shared(names: Mapping[Split, Sequence[str]]) -> tuple[SharedName, ...]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for split, of_split in names.items():
        for name in dict.fromkeys(of_split):
            found[name].append(split.value)
    return tuple(SharedName(name, tuple(splits)) for name, splits in found.items() if len(splits) > 1)
