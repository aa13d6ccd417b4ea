"""The sentences in which a difference and a worth are told, the same wherever they are printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def difference_sentence(row: Mapping[str, Any]) -> str:
    """`AUROC +0.0123 [+0.0010, +0.0236], p = 0.031`, of a comparison as a record holds it."""
    p = f", p = {row['p_value']:.3f}" if row["n_seeds"] > 1 else ""
    return f"AUROC {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]{p}"


def worth_sentence(record: Mapping[str, Any]) -> str:
    """What an arm's synthetic images were worth in real ones, in a line; empty where no curve was measured."""
    worth = record.get("worth")
    if not worth:
        return ""
    asked = f"{worth['n_synthetic']} added images beside {worth['n_real']} real ones"
    low, high = (("..." if x is None else f"{x:.2f}") for x in (worth["low"], worth["high"]))
    if worth["where"] == "on a flat curve":
        return f"{record['name']}: not to be said ({worth['note']})"
    if worth["worth"] is None:
        said = f"{worth['where']} ({worth['note']})"
        return f"{record['name']}: {asked}: {said}; each was worth [{low}, {high}] real images"
    return (
        f"{record['name']}: {asked} did what {worth['n_equivalent']:.0f} real images do: each was worth "
        f"{worth['worth']:.2f} [{low}, {high}] real images"
    )
