"""What a design's rows come to: rates of false verdicts, coverage, power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.calibrate.judge import HARNESS, METHODS

LUCK = {"below 0.8": (0.0, 0.8), "0.8 to 1": (0.8, 1.0), "1 or more": (1.0, math.inf)}
"""Bands of how wide an interval would be without its bound, in standard errors of its patients."""


def summarise(rows: Sequence[dict[str, Any]], *, margin: float) -> dict[str, Any]:
    """Rates over the experiments of one design, as shares of 1.

    Parameters
    ----------
    margin : of the equivalence test.

    Returns
    -------
    verdicts : share of `helps` or `hurts` at a true difference of 0 (false), of `helps` (power) and `hurts` (wrong way)
        at the gain.
    methods : for each, false positives at 0, power at the gain, and the coverage of its 95 % interval.
    equivalence : share declared equivalent at 0, and (false) where the truth lies at the margin; None where there
        is no room for a gain of that size, and where trainings are pooled, for which there is no such test.
    bias : mean estimate minus truth.
    metrics : false positives of the other utility metrics' intervals.
    arm : coverage of the interval of one arm's AUROC, and how often it lies below or above the truth.
    luck : false verdicts among the null experiments by `judge._luck`, with their number: where the seeds agreed by
        chance, and where they did not.
    detectable : median of the smallest difference that a null experiment says it would have shown, and the share of
        them that would have shown it, had it been there.
    """
    null = [row for row in rows if not row.get("gained")]
    gained = [row for row in rows if row.get("gained")]

    def share(some: Sequence[dict[str, Any]], what: Any) -> float:
        return float(np.mean([bool(what(row)) for row in some]))

    methods: dict[str, dict[str, float | None]] = {}
    for method in METHODS:
        told, has = method in null[0]["significant"], method in null[0]["intervals"]
        methods[method] = {
            "false_positives": share(null, lambda row, m=method: row["significant"][m]) if told else None,
            "power": share(gained, lambda row, m=method: row["significant"][m] and row["estimate"] > 0)
            if told
            else None,
            "coverage": share(rows, lambda row, m=method: _covers(row, m)) if has else None,
        }
    pooled = null[0]["equivalent"] is None
    return {
        "n_experiments": len(null),
        "verdicts": {
            "false": share(null, lambda row: row["verdict"] != "no difference shown"),
            "power": share(gained, lambda row: row["verdict"] == "helps"),
            "wrong_way": share(gained, lambda row: row["verdict"] == "hurts"),
        },
        "methods": methods,
        "equivalence": {
            "true": None if pooled else share(null, lambda row: row["equivalent"]),
            "false": None if pooled or gained[0]["truth"] < margin else share(gained, lambda row: row["equivalent"]),
        },
        "bias": {
            "none": float(np.mean([row["estimate"] for row in null])),
            "gain": float(np.mean([row["estimate"] - row["truth"] for row in gained])),
        },
        "arm": {
            "coverage": share(null, lambda row: not (row["arm"]["below"] or row["arm"]["above"])),
            "below": share(null, lambda row: row["arm"]["below"]),
            "above": share(null, lambda row: row["arm"]["above"]),
        },
        "luck": {name: _false_among(null, low, high) for name, (low, high) in LUCK.items()},
        "detectable": _detectable(null),
        "metrics": {name: share(null, lambda row, m=name: row["metrics"][m]) for name in null[0]["metrics"]},
    }


def _covers(row: dict[str, Any], method: str) -> bool:
    low, high = row["intervals"][method]
    return bool(low <= row["truth"] <= high)


def _false_among(null: Sequence[dict[str, Any]], low: float, high: float) -> dict[str, Any]:
    """Null experiments whose luck lies in low..high, and the share of them that were called a difference."""
    some = [row for row in null if low <= row["luck"] < high]
    said = [row["significant"][HARNESS] for row in some]
    return {"n": len(some), "false": float(np.mean(said)) if said else None}


def _detectable(null: Sequence[dict[str, Any]]) -> dict[str, float]:
    smallest = float(np.median([row["detectable"] for row in null]))
    halves = [(row["intervals"][HARNESS][1] - row["intervals"][HARNESS][0]) / 2 for row in null]
    shown = [row["estimate"] + smallest > half for row, half in zip(null, halves, strict=True)]
    return {"median": smallest, "power": float(np.mean(shown))}
