"""Records of several trainings of one generator, told together: a verdict on the method, not on one training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.records.predictions import Entry, read_auroc
from benchmarks.records.store import Records
from benchmarks.request.spec import NONE, NOT_THE_ARM
from benchmarks.statistics.compare import MIN_SEEDS
from synthworth.errors import Unavailable
from synthworth.keys import digest

if TYPE_CHECKING:
    from benchmarks.statistics.crossed_trainings import Pooled

MIN_TRAININGS = 3
"""Fewest trainings that give a verdict: with two, the interval covers 92 to 98 % and not 95 (docs/decisions.md)."""


def by_method(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Records of two or more trainings of one generator, otherwise alike, in the order of their seeds."""
    groups: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        spec = entry.spec
        if spec["fit"] is not None:
            key = digest({k: v for k, v in spec.items() if k not in ("generator_seed", *NOT_THE_ARM)})
            groups.setdefault(key, {}).setdefault(spec["generator_seed"], entry)
    return [[same[k] for k in sorted(same)] for same in groups.values() if len(same) > 1]


def pooled_sentences(entries: Sequence[Entry]) -> list[str]:
    """A line for each method that was trained several times, against real images alone (among `entries`)."""
    return [_sentence(group, _zero_line(group[0], entries)) for group in by_method(entries)]


def _zero_line(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    run_id = (entry.record["comparisons"].get(NONE) or {}).get("run_id")
    return next((e for e in entries if e.run_id == run_id), None)


def _sentence(group: Sequence[Entry], zero: Entry | None) -> str:
    name = f"{group[0].record['name'].partition(' (generator seed')[0]}, {len(group)} trainings"
    if zero is None:
        return f"{name}: not compared with real images alone"
    from benchmarks.statistics.crossed_trainings import pool

    try:
        found = pool([read_auroc(e) for e in group], read_auroc(zero))
    except (Unavailable, ValueError) as reason:
        return f"{name}: {reason}"
    unequal = next((r for e in group if (r := e.record["comparisons"][NONE].get("unequal"))), None)
    return f"{_word(found, unequal)}{name}: {_numbers(found)}"


def _word(found: Pooled, unequal: str | None) -> str:
    if unequal:
        return f"UNEQUAL COMPUTE, {unequal}. "
    if found.n_seeds < MIN_SEEDS:
        return f"SCREENING ONLY, {found.n_seeds} seeds cannot reach p < 0.05. "
    if found.n_trainings < MIN_TRAININGS:
        return f"SCREENING ONLY, {found.n_trainings} trainings are fewer than {MIN_TRAININGS}. "
    return {"helps": "HELPS. ", "hurts": "HURTS. "}.get(found.verdict, "NO DIFFERENCE SHOWN. ")


def _numbers(found: Pooled) -> str:
    each = ", ".join(f"{x:+.4f}" for x in found.by_training)
    return (
        f"AUROC {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] against real images alone, for new "
        f"trainings, seeds and patients, p = {found.p_interval:.3f}; each training: {each}"
    )


def entries_of(folder: Records, records: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The finished ones of these records, with the folders they lie in."""
    return [Entry(record, folder.path(record["run_id"])) for record in records if record["status"] == "ok"]
