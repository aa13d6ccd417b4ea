"""Whole images are shared out among classes by largest remainder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.mixing import apportion


@given(st.integers(0, 1000), st.lists(st.floats(0.01, 1), min_size=1, max_size=8))
def test_apportioning_gives_whole_parts_within_one_of_exact(total: int, raw: list[float]) -> None:
    weights = np.array(raw) / sum(raw)
    parts = apportion(total, weights)
    assert parts.sum() == total
    assert (np.abs(parts - total * weights) < 1 + 1e-9).all()


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (10, [0.26, 0.26, 0.48], [3, 2, 5]),
        (10, [0.48, 0.26, 0.26], [5, 3, 2]),
        (3, [0.1, 0.2, 0.7], [0, 1, 2]),
        (1, [0.49, 0.51], [0, 1]),
        (0, [0.5, 0.5], [0, 0]),
    ],
)
def test_the_largest_remainders_get_one_more(total: int, weights: list[float], parts: list[int]) -> None:
    assert apportion(total, np.array(weights)).tolist() == parts


def test_of_equal_remainders_the_first_get_one_more() -> None:
    """30 of each: the large ones have the larger remainder, .75 against .25."""
    assert apportion(90, np.array([0.75, 2.25] * 30) / 90).tolist() == [1, 2] * 30
    assert apportion(7, np.full(400, 1 / 400)).tolist() == [1] * 7 + [0] * 393
