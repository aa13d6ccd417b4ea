"""Which item of a sweep may begin: what it needs is done, what it waits for is settled; the longest way to go first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from heapq import heappop, heappush

from benchmarks.sweep.items import STAGES, Item
from synthworth.keys import digest


class State(Enum):
    """Of an item."""

    waiting = "waiting"
    running = "running"
    done = "done"
    failed = "failed"
    lost = "lost"
    """What it needs failed."""


SETTLED = frozenset({State.done, State.failed, State.lost})
UNKNOWN = 1.0
"""Seconds that an item counts for whose time nobody knows."""


class Graph:
    """The items of a sweep and their states.

    An item that needs or waits for one that is not among them finds it settled: it is stored, or another's.

    Parameters
    ----------
    items : each after those that it needs or waits for.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = {item.id: item for item in items}
        self.states = dict.fromkeys(self.items, State.waiting)
        self._way = _ways(items)
        self._before = {item.id: {*item.needs, *item.waits} & self.items.keys() for item in items}
        self._after: dict[str, list[str]] = {item.id: [] for item in items}
        for item in items:
            for other in self._before[item.id]:
                self._after[other].append(item.id)
        self._ready: list[tuple[float, int, str, str]] = []
        """A heap of what may begin, the longest way first; what was lost meanwhile stands in it still."""
        for item in items:
            if not self._before[item.id]:
                self._offer(item.id)

    def next(self) -> Item | None:
        """The item to begin now, which is running from here on; None where none may begin."""
        while self._ready:
            best = heappop(self._ready)[-1]
            if self.states[best] is State.waiting:
                self.states[best] = State.running
                return self.items[best]
        return None

    def _offer(self, one: str) -> None:
        """Let an item begin."""
        heappush(self._ready, (-self._way[one], STAGES.index(self.items[one].stage), self._lot(one), one))

    @staticmethod
    def _lot(one: str) -> str:
        """Of what is equally long two sweeps at once begin with something else, and do not wait for each other."""
        return digest([os.getpid(), one])

    def again(self, item: Item) -> None:
        """Put a running item back: it is to be tried again."""
        self.states[item.id] = State.waiting
        self._offer(item.id)

    def settle(self, item: Item, *, done: bool, diverged: bool = False) -> list[Item]:
        """Say how a running item ended; the items that are lost with it.

        Parameters
        ----------
        diverged : it failed, and would whenever it is tried: what judges the arms it was for goes on without them.
        """
        self._settle(item.id, State.done if done else State.failed)
        return [] if done else self._lose(item.id, diverged=diverged)

    def _settle(self, one: str, state: State) -> None:
        self.states[one] = state
        for other in self._after[one]:
            before = self._before[other]
            before.discard(one)
            if not before and self.states[other] is State.waiting:
                self._offer(other)

    def _lose(self, one: str, *, diverged: bool) -> list[Item]:
        lost: list[Item] = []
        front = [one]
        while front:
            gone = front.pop()
            for other in self._after[gone]:
                if diverged and self.items[other].stage == "evaluate":
                    judge, without = self.items[other], {self.items[gone].run_id}
                    self.items[other] = replace(judge, without=judge.without | without)
                elif gone in self.items[other].needs and self.states[other] is State.waiting:
                    self._settle(other, State.lost)
                    lost.append(self.items[other])
                    front.append(other)
        return lost

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return all(state in SETTLED for state in self.states.values())

    def of(self, *states: State) -> list[Item]:
        """Items in one of these states, in their order."""
        return [item for one, item in self.items.items() if self.states[one] in states]


def _ways(items: Sequence[Item]) -> dict[str, float]:
    """Seconds from the beginning of an item to the end of what needs it longest."""
    way = {item.id: UNKNOWN if item.seconds is None else item.seconds for item in items}
    own = dict(way)
    for item in reversed(items):
        for other in {*item.needs, *item.waits} & way.keys():
            way[other] = max(way[other], own[other] + way[item.id])
    return way


def share(items: Sequence[Item], homes: Mapping[str, int], number: int, of: int) -> list[Item]:
    """The items of one of several machines that share a sweep without speaking to each other.

    Each part goes to whoever has the least to do, the largest first. What judges a request is done by the machine that
    makes all that it judges.

    Parameters
    ----------
    homes : of the whole sweep, whatever is stored (`homes_of`): all machines then come to the same shares.
    number, of : which machine (1 is the first) of how many.
    """
    loads, owner = [0] * of, dict[str, int]()
    for home in sorted(homes, key=lambda home: (-homes[home], home)):
        least = loads.index(min(loads))
        owner[home], loads[least] = least, loads[least] + homes[home]
    mine = {item.id for item in items if item.home and owner.get(item.home, 0) == number - 1}
    made = {item.id for item in items if item.home}
    judges = {item.id for item in items if not item.home and (item.needs | item.waits) & made <= mine}
    return [item for item in items if item.id in mine | judges]
