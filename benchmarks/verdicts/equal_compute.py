"""Equal compute: what the trainings of an arm took, and whether two arms took the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

RATES = 40
"""Points of the learning-rate curve that a record keeps, about."""


def describe_training(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What stands under `training` in a record.

    Parameters
    ----------
    reports : of an arm's classifiers, one a seed.

    Returns
    -------
    steps, images_seen, stopped, facts : a value a seed.
    learning_rate : [[step, rate], ...] as the optimiser had it, about `RATES` points with the first and last among
        them; None where the seeds differ or the classifier does not report it, and `learning_rate_note` says which.
    """
    curves = [_curve(r["history"]) for r in reports]
    note = None
    if not all(curves):
        note = "the classifier's history has no learning_rate"
    elif any(a != b for a, b in pairwise(curves)):
        note = "the seeds had different learning rates"
    return {
        "steps": [r["steps"] for r in reports],
        "images_seen": [r["images_seen"] for r in reports],
        "stopped": [r["stopped"] for r in reports],
        "facts": [r["facts"] for r in reports],
        "learning_rate": None if note else curves[0],
        "learning_rate_note": note,
    }


def _curve(history: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """Step and learning rate of some rows of a history, evenly spaced."""
    rows = [[row["step"], row["learning_rate"]] for row in history if "learning_rate" in row]
    every = max(1, len(rows) // RATES)
    kept = rows[::every]
    return kept if not rows or kept[-1] == rows[-1] else [*kept, rows[-1]]


def unequal(mine: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """In what the trainings of two arms differ, in words; None where every seed took the same.

    Parameters
    ----------
    mine, other : of `describe_training`.
    """
    for what, unit in (("steps", "optimiser steps"), ("images_seen", "images seen")):
        if mine[what] != other[what]:
            return f"{_said(mine[what])} {unit} against {_said(other[what])}"
    if mine["learning_rate"] != other["learning_rate"]:
        return "another learning-rate curve"
    return None


def _said(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"
