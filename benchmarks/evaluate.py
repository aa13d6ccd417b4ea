"""Which registered metrics a kind of evidence allows, and the utility of an arm from its predictions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.arms import Arm
from benchmarks.metrics.registry import METRICS, Value, measure
from benchmarks.stages import Images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.statistics.bootstrap import Replicates


def metrics_on(
    evidence: frozenset[str] | set[str],
) -> Iterator[tuple[str, Callable[..., Mapping[str, Value]]]]:
    """The registered metrics whose first needed piece of evidence is among `evidence`."""
    for name in METRICS.names():
        metric = METRICS.get(name)
        needed = [p.name for p in inspect.signature(metric).parameters.values() if p.default is p.empty]
        if needed and needed[0] in evidence:
            yield name, metric


def utility(arm: Arm, images: Images, replicates: Replicates) -> dict[str, Value]:
    """Utility metrics on test: mean over classifier seeds, each seed's value in `extra`.

    Intervals are 95 %: of AUROC (macro and each class) over seeds and patients, from the bootstrap; of the other
    metrics over the seeds alone (Student's t), which `extra` says.
    """
    by_seed = []
    for scores in arm.scores:
        evidence = {
            "truth": images.test.labels.numpy(),
            "scores": scores.test,
            "val_truth": images.val.labels.numpy(),
            "val_scores": scores.val,
            "classes": images.test.classes,
        }
        found: dict[str, Value] = {}
        for _, metric in metrics_on({"truth", "scores"}):
            found |= measure(metric, **evidence)
        by_seed.append(found)
    table = {name: mean_over_seeds([seed[name] for seed in by_seed]) for name in by_seed[0]}
    table["auroc"] = with_interval(table["auroc"], replicates)
    for name in replicates.classes:
        label = f"auroc[{name}]"
        table[label] = with_interval(table[label], replicates.of_class(name))
    return table


def with_interval(value: Value, replicates: Replicates) -> Value:
    """The AUROC with the interval over seeds and patients in the place of the one over seeds alone."""
    from benchmarks.statistics.compare import arm_interval

    found = arm_interval(replicates)
    extra = {**value.extra, "interval": "seeds and patients", "n_patients": replicates.n_groups}
    return replace(value, low=found.low, high=found.high, extra=extra)


def mean_over_seeds(values: Sequence[Value]) -> Value:
    """Mean of one metric over seeds with its 95 % t interval, cut at 0 and 1; null when any seed has none."""
    from scipy import stats

    missing = [v for v in values if v.value is None]
    if missing:
        return missing[0]
    numbers = np.array([v.value for v in values], dtype=np.float64)
    low = high = None
    if len(numbers) > 1:
        half = float(stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
        low, high = max(float(numbers.mean() - half), 0.0), min(float(numbers.mean() + half), 1.0)
    extra = {"per_seed": [float(x) for x in numbers], "interval": "t over seeds"}
    if "prevalence" in values[0].extra:
        extra["prevalence"] = values[0].extra["prevalence"]
    return replace(values[0], value=float(numbers.mean()), low=low, high=high, extra=extra)
