"""How rows are printed and written: two tables with their notes, or one JSON with the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.speed.growth import Growth
from benchmarks.speed.machine import machine
from benchmarks.speed.row import Row

Found = Mapping[str, Sequence[Row | Growth]]


def report(found: Found, *, missing: Mapping[str, str], device: str, repeat: int) -> dict[str, Any]:
    """Everything in plain JSON values.

    Parameters
    ----------
    found : what was measured, by the name of the row that was asked for.
    missing : rows that were left out, with the reason.
    """
    every = [(name, one) for name, ones in found.items() for one in ones]
    return {
        "machine": machine(device),
        "repeat": repeat,
        "rows": [{"name": name, **one.to_json()} for name, one in every if isinstance(one, Row)],
        "growth": [{"name": name, **one.to_json()} for name, one in every if isinstance(one, Growth)],
        "missing": dict(missing),
    }


def print_tables(found: Found, *, missing: Mapping[str, str]) -> None:
    """The rows against peers, then growth; below each what there is to say of them."""
    from benchmarks.report.tables import console, table

    every = [one for ones in found.values() for one in ones]
    rows = [one for one in every if isinstance(one, Row)]
    grown = [one for one in every if isinstance(one, Growth)]
    out = console()
    if rows:
        names = ("what", "ours", "peer", "by ours", "by peer", "ratio")
        made = table("speed, fastest of some repetitions", names, left=3)
        for row in rows:
            values = (f"{value:.3g} {row.unit}" for value in (row.value, row.peer_value))
            made.add_row(row.what, row.ours, row.peer, *values, f"{row.ratio:.2f}")
        out.print(made)
        for row in rows:
            if row.note:
                out.print(f"{row.what}, {row.peer}: {row.note}", markup=False)
    if grown:
        made = table("growth by n", ("stage", "n", "processor s", "MiB", "time ~ n^", "memory ~ n^", ""), left=2)
        for one in grown:
            made.add_row(
                one.stage, " ".join(f"{n:,}" for n in one.seconds) + f" {one.of}", _numbers(one.processor_seconds),
                _numbers(one.mebibytes), _exponent(one.exponent), _exponent(one.memory_exponent), word(one),
            )  # fmt: skip
        out.print(made)
        for one in grown:
            if one.note:
                out.print(f"{one.stage}: {one.note}", markup=False)
    for name, reason in missing.items():
        out.print(f"{name} left out: {reason}", markup=False)


def word(one: Growth) -> str:
    """What is said of a stage's growth in time."""
    if one.worse is None:
        return one.why.get("exponent", "")
    return "WORSE THAN ALLOWED" if one.worse else ""


def _numbers(values: Mapping[int, float]) -> str:
    return " ".join(f"{value:.3g}" for value in values.values())


def _exponent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
