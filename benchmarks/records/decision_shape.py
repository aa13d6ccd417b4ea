"""What a record may hold of decisions at a stated prevalence, and with what else of it that has to agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.records.kinds import by_name, fields, maybe, number, several, text

share, end = number(0, 1), number(-1e6, 1e6)
MOVED = fields(
    {"base": several(share, least=1), **dict.fromkeys(("slope", "intercept"), several(maybe(number()), least=1))}
)
DECISION = fields(
    {
        "prevalence": share, "moved": maybe(several(MOVED, least=1)), "thresholds": several(share, least=1),
        "curves": by_name(maybe(several(end))), "mean": maybe(several(end)), "treat_all": several(end),
        "note": maybe(text),
    }
)  # fmt: skip


def of_decision(decision: Mapping[str, Any] | None, spec: Mapping[str, Any]) -> Iterator[str]:
    """What a record says of decisions that does not go together with its spec, or within itself."""
    if decision is None:
        return
    if decision["prevalence"] != spec.get("prevalence", 0):
        yield "has a decision curve at another prevalence than was asked for"
    curves = [decision["treat_all"], *(c for c in (decision["mean"], *decision["curves"].values()) if c is not None)]
    if any(len(curve) != len(decision["thresholds"]) for curve in curves):
        yield "has a decision curve with another number of points than thresholds"
    if decision["moved"] is not None and len(decision["moved"]) != spec["seeds"]:
        yield f"moves probabilities of {len(decision['moved'])} classifiers, and has {spec['seeds']} seeds"
