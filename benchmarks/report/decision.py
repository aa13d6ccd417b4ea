"""How net benefit is printed: a line an arm, and in full the decision curve at a few thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.tables import number, table
from benchmarks.verdicts.sentences import p_text

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Threshold probabilities of the short table."""


def net_benefit_sentence(record: Mapping[str, Any]) -> str:
    """Net benefit of an arm at the stated prevalence, with its differences to the controls; empty where not asked for.

    For instance `latent_ddpm add 0.5 at a prevalence of 0.1: net benefit 0.0412 [0.0310, 0.0501], +0.0021 [-0.0040,
    +0.0082], p = 0.480 against none`.
    """
    value = record["utility"].get("net_benefit")
    held = record.get("decision")
    if value is None or held is None:
        return ""
    said = f"{record['name']} at a prevalence of {held['prevalence']:g}: net benefit {number(value, 4)}"
    if value["value"] is None:
        return f"{said} ({value['note']})"
    parts = [said]
    for control, row in record["comparisons"].items():
        its = (row.get("metrics") or {}).get("net_benefit")
        if its is None:
            continue
        if its["low"] is None:
            parts.append(f"{its['difference']:+.4f} against {control} ({its['note']})")
        else:
            ends = f"[{its['low']:+.4f}, {its['high']:+.4f}], p {p_text(its['p_interval'])}"
            parts.append(f"{its['difference']:+.4f} {ends} against {control}")
    return "; ".join(parts)


def print_net_benefit(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """A line for each of these arms whose net benefit was measured."""
    for record in records:
        if line := net_benefit_sentence(record):
            out.print(f"BENEFIT  {line}", style="bold", markup=False, soft_wrap=True)


def print_decision(out: Console, record: Mapping[str, Any]) -> None:
    """The decision curve of a record at a few thresholds, beside treating everybody; treating nobody is 0."""
    held = record.get("decision")
    if held is None:
        return
    if held["mean"] is None:
        out.print(f"decision curve: null ({held['note'] or 'no class can be judged'})", markup=False, soft_wrap=True)
        return
    columns = ("acting from", *(f"{t:g}" for t in SHOWN))
    made = table(f"net benefit where {held['prevalence']:g} have the finding (treating nobody: 0)", columns)
    places = [held["thresholds"].index(t) if t in held["thresholds"] else None for t in SHOWN]
    for name, curve in (("by the classifier", held["mean"]), ("everybody", held["treat_all"])):
        made.add_row(name, *("" if k is None else f"{curve[k]:+.4f}" for k in places))
    out.print(made)
