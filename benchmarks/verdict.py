"""The verdict: one sentence from the paired comparisons, never kinder than they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MIN_SEEDS = 6
"""Seeds at which the smallest two-sided sign-flip p, 2 / 2^n, falls below 0.05."""


def verdict(name: str, comparisons: Mapping[str, Mapping[str, Any]], *, n_seeds: int) -> str:
    """One sentence on an arm, from the intervals of its AUROC differences to `none` and to the other controls.

    An arm is called useful only when the interval of its difference to real images alone lies above 0, and worth
    more than duplicates only when the one to `duplicate` does too.
    """
    if "none" not in comparisons:
        return f"{name}: not compared with real images alone"
    gain = comparisons["none"]
    said = f"{name}: {_difference(gain)} against real images alone"
    others = {k: v for k, v in comparisons.items() if k != "none"}
    if gain["low"] > 0:
        beaten = [k for k, v in others.items() if v["low"] > 0]
        missed = [k for k in others if k not in beaten]
        if missed:
            said = f"HELPS, BUT NO MORE THAN {' AND '.join(missed).upper()} AS FAR AS SHOWN. {said}"
        else:
            said = f"HELPS. {said}"
    elif gain["high"] < 0:
        said = f"HURTS. {said}"
    else:
        said = f"NO DIFFERENCE SHOWN. {said}"
    for control, row in others.items():
        said += f"; {_difference(row)} against {control}"
    if n_seeds < MIN_SEEDS:
        said += f". Screening: {n_seeds} seeds cannot reach p < 0.05"
    return said


def _difference(row: Mapping[str, Any]) -> str:
    p = f", p = {row['p_value']:.3f}" if row["n_seeds"] > 1 else ""
    return f"AUROC {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]{p}"
