"""Net benefit and decision curve of a finished record made again, from its predictions and what it learned on val."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.net_benefit import NET_BENEFIT, Moved, curves_of
from benchmarks.statistics.net_benefit import sample_moved
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from benchmarks.statistics.resamples import Resamples
    from benchmarks.statistics.sampled import Sampled


def moved_of(record: Mapping[str, Any], truth: np.ndarray) -> tuple[Moved, ...]:
    """How the probabilities of each seed were moved; none where the record does not say, or says it of other classes.

    Parameters
    ----------
    truth : (N,) or (N, K) of its predictions.
    """
    held = (record.get("decision") or {}).get("moved") or ()
    n_classes = len(record["classes"])
    n = 1 if truth.ndim == 1 and n_classes == 2 else n_classes
    found = tuple(Moved.from_json(one) for one in held)
    fits = all(one.base.shape == one.slope.shape == one.intercept.shape == (n,) for one in found)
    return found if fits and len(found) == record["spec"]["seeds"] else ()


def sampled_again(
    record: Mapping[str, Any], scores: np.ndarray, truth: np.ndarray, resamples: Resamples
) -> dict[str, Sampled]:
    """Net benefit by name, on the resamples of the patients; nothing where it was not measured."""
    moved = moved_of(record, truth)
    if not moved:
        return {}
    stated = record["decision"]["prevalence"]
    try:
        return sample_moved(scores, truth, resamples, moved=moved, prevalence=stated, classes=record["classes"])
    except Unavailable:
        return {}  # scores that are no probabilities: the record's own nulls say so


def values_again(record: Mapping[str, Any], sampled: Mapping[str, Sampled]) -> dict[str, Any]:
    """The net benefits of a record's utility with the value and the interval that its predictions give."""
    made = {}
    for name, value in record["utility"].items():
        if value["metric"] != NET_BENEFIT.name or name not in sampled:
            continue
        one = sampled[name]
        extra = {**value["extra"], "per_seed": [float(x) for x in one.values]}
        try:
            interval = one.interval()
        except Unavailable:
            made[name] = {**value, "value": one.mean, "low": None, "high": None, "extra": extra}
        else:
            made[name] = {**value, "value": one.mean, "low": interval.low, "high": interval.high, "extra": extra}
    return made


def decision_again(
    record: Mapping[str, Any], scores: np.ndarray, truth: np.ndarray, patients: Sequence[str]
) -> dict[str, Any] | None:
    """The decision curves of a record made again; as it holds them where its predictions do not give them."""
    held: dict[str, Any] | None = record.get("decision")
    moved = moved_of(record, truth)
    if held is None or not moved:
        return held
    curves = curves_of(
        truth=truth, scores=scores, moved=moved, prevalence=held["prevalence"], classes=record["classes"],
        patients=patients,
    )  # fmt: skip
    there = [curve for curve in curves.values() if curve is not None]
    mean = [float(x) for x in np.mean(there, axis=0)] if there else None
    return {**held, "curves": curves, "mean": mean}
