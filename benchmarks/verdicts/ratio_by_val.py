"""Which of several ratios val chooses: test is read once, and never chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.request.spec import is_zero_line

Record = Mapping[str, Any]
ROUNDING = 1e-12
"""AUROCs on val that lie no farther apart are equal: whole counts over whole counts, but for the sum over seeds."""


def by_val(records: Sequence[Record], *, generator: str) -> list[str]:
    """A line for each set of arms of `generator` that differ in ratio alone, two or more: which one val chooses.

    Real images alone (ratio 0) may be chosen as well. Of equal AUROCs the lowest ratio is chosen. Nothing is chosen
    where an AUROC on val is missing.
    """
    zero = next((r for r in records if is_zero_line(r["spec"])), None)
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        spec = record["spec"]
        if spec["generator"] == generator:
            key = spec["mode"], spec["generator_seed"], tuple(spec["filters"])
            groups.setdefault(key, []).append(record)
    lines = []
    for group in groups.values():
        if len({r["spec"]["ratio"] for r in group}) > 1:
            lines.append(_line([*([zero] if zero else []), *sorted(group, key=lambda r: float(r["spec"]["ratio"]))]))
    return lines


def chosen(arms: Sequence[Record]) -> Record | None:
    """The arm with the highest AUROC on val, of equal ones the first; None where one has none on val."""
    values = [arm["validation"]["auroc"]["value"] for arm in arms]
    if None in values:
        return None
    highest = max(values)
    return next(arm for arm, value in zip(arms, values, strict=True) if value >= highest - ROUNDING)


def _line(arms: Sequence[Record]) -> str:
    found = [(arm, arm["validation"]["auroc"]["value"]) for arm in arms]
    best = chosen(arms)
    if best is None:
        missing = next(arm for arm, value in found if value is None)
        return f"no ratio is chosen: AUROC on val of {missing['name']}: {missing['validation']['auroc']['note']}"
    others = ", ".join(f"{arm['name']} {x:.4f}" for arm, x in found if arm is not best)
    test = best["utility"]["auroc"]["value"]
    on_test = "null" if test is None else f"{test:.4f}"
    value = best["validation"]["auroc"]["value"]
    return f"val chooses {best['name']}: AUROC {value:.4f} on val ({others}), {on_test} on test"
