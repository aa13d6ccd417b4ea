"""The verdict: one sentence from the paired comparisons, never kinder than they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.statistics.compare import MIN_SEEDS
from benchmarks.verdicts.sentences import difference_sentence

SPELT_OUT = ("duplicate",)
"""Controls beside real images alone whose difference stands in the sentence; the others' stand in the table."""


def verdict(name: str, comparisons: Mapping[str, Mapping[str, Any]], *, n_seeds: int) -> str:
    """One sentence on an arm, from the intervals of its AUROC differences to `none` and to the other controls.

    An arm helps only when the interval of its difference to real images alone lies above 0; which controls it is not
    shown to beat is said in the same breath. Below `MIN_SEEDS` seeds nothing is called either way, nor where an arm's
    classifiers took other steps than those of real images alone.
    """
    if "none" not in comparisons:
        return f"{name}: not compared with real images alone"
    gain = comparisons["none"]
    said = f"{name}: {difference_sentence(gain)} against real images alone"
    others = {k: v for k, v in comparisons.items() if k != "none"}
    if gain.get("unequal"):
        said = f"UNEQUAL COMPUTE, {gain['unequal']}. {said}"
    elif n_seeds < MIN_SEEDS:
        said = f"SCREENING ONLY, {n_seeds} seed{'s' * (n_seeds > 1)} cannot reach p < 0.05. {said}"
    elif gain["low"] > 0:
        unbeaten = [control for control, row in others.items() if row["low"] <= 0]
        limit = f", BUT NOT SHOWN TO BEAT {' OR '.join(unbeaten).upper()}" if unbeaten else ""
        said = f"HELPS{limit}. {said}"
    elif gain["high"] < 0:
        said = f"HURTS. {said}"
    else:
        equivalence = gain.get("equivalence") or {}
        equal = f", {equivalence['sentence']}" if equivalence.get("equivalent") else ""
        said = f"NO DIFFERENCE SHOWN{equal}. {said}"
    for control, row in others.items():
        if control in SPELT_OUT:
            said += f"; {difference_sentence(row)} against {control}"
    return said
