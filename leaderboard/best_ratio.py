"""Which ratio val chooses of the arms of a table that differ in ratio alone: test never chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.records.predictions import Entry
from benchmarks.request.spec import NOT_THE_ARM, is_real_only, is_zero_line
from benchmarks.verdicts.ratio_by_val import chosen
from synthworth.keys import digest


@dataclass(frozen=True)
class Best:
    """The ratio that val chooses for an arm and its like at other ratios; None with the reason where there is none."""

    ratio: float | None
    note: str | None = None


ALONE = Best(None, "real images alone have no ratio")
NO_RATIO = Best(None, "the record is not believed")
ONE = Best(None, "run at one ratio: val has nothing to choose from")


def best_ratios(entries: Sequence[Entry]) -> Mapping[str, Best]:
    """By run id, what val chooses for every arm of a table; ratio 0 is real images alone."""
    zero = next((entry.record for entry in entries if is_zero_line(entry.spec)), None)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    found: dict[str, Best] = {}
    for entry in entries:
        if is_real_only(entry.spec):
            found[entry.run_id] = ALONE
            continue
        other = {k: v for k, v in entry.spec.items() if k not in ("ratio", "shard", *NOT_THE_ARM)}
        groups.setdefault(digest(other), []).append(entry.record)
    for group in groups.values():
        arms = sorted(group, key=lambda record: float(record["spec"]["ratio"]))
        best = _best(arms, zero)
        found |= {record["run_id"]: best for record in arms}
    return found


def _best(arms: Sequence[Mapping[str, Any]], zero: Mapping[str, Any] | None) -> Best:
    if len({record["spec"]["ratio"] for record in arms}) == 1:
        return ONE
    record = chosen([*([zero] if zero else []), *arms])
    if record is None:
        return Best(None, "an arm has no AUROC on val")
    return Best(
        float(record["spec"]["ratio"]), None if zero else "real images alone were not run: not among the choices"
    )
