"""What follows when an item of a sweep ends, whoever made it: it is tried again, or settled and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.sweep.graph import Graph
from benchmarks.sweep.items import Item
from benchmarks.sweep.perform import Answer

Settled = Callable[[Item, Answer, Sequence[Item]], None]
"""Told an item, its answer, and the items that are lost with it."""


class Ends:
    """Takes the answers of a graph's items.

    Parameters
    ----------
    retries : how often an item that failed is tried again.
    """

    def __init__(self, graph: Graph, *, retries: int, settled: Settled) -> None:
        self.graph, self.retries, self.settled = graph, retries, settled
        self._tries = Counter[str]()

    def take(self, item: Item, answer: Answer) -> None:
        """Put a failed item back while it may be tried again; else settle it. What diverged would diverge again."""
        self._tries[item.id] += 1
        diverged = answer.fault is not None and answer.fault.kind == "diverged"
        if answer.fault is not None and not diverged and self._tries[item.id] <= self.retries:
            self.graph.again(item)
            return
        lost = self.graph.settle(item, done=answer.fault is None, diverged=diverged)
        self.settled(item, replace(answer, tries=self._tries[item.id]), lost)
