"""The score of the last class as what the others leave of 1: two of three bytes that would say the same again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REST = "rest"
"""The column that stands in the place of the last class's score."""
SMALL, LARGE = -(2**31), 2**31 - 1
ONE = 0x3F800000
"""The bits of 1.0 as float32."""


def adds_up(scores: np.ndarray) -> bool:
    """Whether scores are what the last can be told from the others of: float32 (..., K), two or more, in 0..1."""
    if scores.dtype != np.float32 or scores.shape[-1] < 2 or not scores.size:
        return False
    whole = _as_whole(scores)  # below 0 of what is negative, -0.0 too; above ONE of NaN
    return bool(whole.min() >= 0 and whole.max() <= ONE)


def steps_to(last: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """How many float32 lie between what the others leave of 1 and the last score.

    Probabilities of a softmax add up to 1 but for rounding, so these are small, and pack well.

    Parameters
    ----------
    last : float32 (N,) in 0..1.
    others : float32 (N,) each, in 0..1.

    Returns
    -------
    int32 (N,), from which `from_steps` makes the last score again, every bit of it.
    """
    return np.subtract(_as_whole(last), _as_whole(_left(others)), dtype=np.int32)


def from_steps(steps: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """The last score: float32 (N,).

    Raises
    ------
    ValueError
        For others that are no float32, and steps that lead to no number from 0 to 1.
    """
    if any(other.dtype != np.float32 for other in others):
        raise ValueError(f"the scores beside {REST} are no float32")
    if len(steps) and not SMALL <= steps.min() <= steps.max() <= LARGE:
        raise ValueError(f"{REST} leads to no score from 0 to 1")
    reached = _as_whole(_left(others)).astype(np.int64) + steps.astype(np.int64)
    if len(reached) and not 0 <= reached.min() <= reached.max() <= ONE:
        raise ValueError(f"{REST} leads to no score from 0 to 1")
    return reached.astype(np.int32).view(np.float32)


def _left(others: Sequence[np.ndarray]) -> np.ndarray:
    """What scores leave of 1, none below 0: float32 (N,). One after the other, so that every machine rounds alike."""
    left = np.ones(len(others[0]), np.float64)
    for other in others:
        left -= other.astype(np.float64)
    return np.maximum(left, 0.0).astype(np.float32)


def _as_whole(scores: np.ndarray) -> np.ndarray:
    """The bits of float32 as int32: neighbours, from 0 on, are one apart."""
    return np.ascontiguousarray(scores).view(np.int32)
