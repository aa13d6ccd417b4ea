"""Which numbers have a column in the tables: some built-in ones, and all of the metrics that were added to them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from benchmarks.metrics.declare import FEATURES, PREDICTIONS
from benchmarks.metrics.registry import added_metrics, metrics_on

UTILITY = ("auroc", "auprc", "balanced_accuracy", "f1")
FIDELITY = ("fd", "kd", "manifold_precision", "manifold_recall", "density", "coverage", "inception_score")


def utility_columns() -> dict[str, str]:
    """Metric -> heading, for the table of utility."""
    return _columns(PREDICTIONS, UTILITY)


def fidelity_columns() -> dict[str, str]:
    """Metric -> heading, for the table of numbers on an extractor's features."""
    return _columns(FEATURES, FIDELITY)


def added_names(evidence: Set[str]) -> list[str]:
    """The numbers of metrics that are not built in and are asked with a piece of `evidence`."""
    return [q.name for metric in added_metrics() if metric.asked_with in evidence for q in metric.quantities]


def _columns(evidence: Set[str], shown: tuple[str, ...]) -> dict[str, str]:
    headings = {q.name: q.heading for _, metric in metrics_on(evidence) for q in metric.quantities}
    return {name: headings[name] for name in (*shown, *added_names(evidence))}


def value_of(values: Mapping[str, Mapping[str, Any]], metric: str) -> Mapping[str, Any] | None:
    """The number of a metric that is of no single class, from a part of a record; of several the one of that name."""
    found = {name: v for name, v in values.items() if v["metric"] == metric and v["label"] is None}
    return found.get(metric) or next(iter(found.values()), None)
