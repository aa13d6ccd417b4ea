"""Which word the interval of a difference earns: the one place that compares its ends with 0 and counts its seeds."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["helps", "hurts", "no difference shown"]
MIN_SEEDS = 6
"""Fewest seeds at which the sign-flip test can reach p < 0.05: its smallest two-sided p is 2 / 2^n."""


def side_of_zero(low: float, high: float) -> Literal[-1, 0, 1]:
    """Return 1 for an interval above 0, -1 for one below 0, and 0 for one that holds 0, at an end of it too."""
    if low > 0:
        return 1
    return -1 if high < 0 else 0


def too_few_seeds(n_seeds: int) -> str | None:
    """Say why so few classifier seeds cannot give a verdict; None for `MIN_SEEDS` or more."""
    return None if n_seeds >= MIN_SEEDS else f"{n_seeds} seed{'s' * (n_seeds != 1)} cannot reach p < 0.05"


def word_of_interval(low: float, high: float, *, n_seeds: int) -> Verdict:
    """Return the word of a paired difference from its 95 % interval and the number of classifier seeds.

    `helps` and `hurts` are said only when the interval excludes 0, and never from fewer than `MIN_SEEDS` seeds.
    """
    side = 0 if too_few_seeds(n_seeds) else side_of_zero(low, high)
    words: dict[int, Verdict] = {1: "helps", -1: "hurts", 0: "no difference shown"}
    return words[side]
