"""Which registered metrics a kind of evidence allows; the utility of an arm, and of one arm against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.registry import Value, measure, metrics_on
from benchmarks.stages.arm import Arm
from benchmarks.stages.images import Images
from benchmarks.statistics.equivalence import MARGIN
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from benchmarks.statistics.compare import Interval
    from benchmarks.statistics.resamples import Replicates
    from benchmarks.statistics.sampled import Drawn


def draw_metrics(arm: Arm, images: Images) -> dict[str, Drawn]:
    """Every utility metric but AUROC on the resamples that AUROC is bootstrapped on, by name."""
    from benchmarks.statistics.sampled import bootstrap_metrics, val_thresholds
    from benchmarks.statistics.tempered import bootstrap_calibrated

    evidence = arm.test_scores(), images.test.labels.numpy(), images.test.groups
    design: dict[str, Any] = {
        "seed": seed_from(arm.spec.seed, "bootstrap"),
        "n_replicates": arm.spec.n_bootstrap,
        "classes": images.test.classes,
    }
    val_truth, val_scores = images.val.labels.numpy(), arm.val_scores()
    thresholds = val_thresholds(val_truth, val_scores)
    calibrated = bootstrap_calibrated(*evidence, val_truth=val_truth, val_scores=val_scores, **design)
    return bootstrap_metrics(*evidence, thresholds=thresholds, **design) | calibrated


def utility(arm: Arm, images: Images, replicates: Replicates, drawn: Mapping[str, Drawn]) -> dict[str, Value]:
    """Utility metrics on test: mean over classifier seeds, each seed's value in `extra`.

    Intervals are 95 %, over seeds and patients, from the bootstrap: `replicates` of AUROC, `drawn` of the others. A
    metric that is in neither (a plugin's, or one that too few resamples define) has Student's t over the seeds
    alone; `extra` says which.
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
    for name in table.keys() & drawn.keys():
        try:
            table[name] = _with(table[name], drawn[name].interval(), drawn[name].n_groups)
        except Unavailable as reason:
            table[name] = replace(table[name], extra={**table[name].extra, "interval_note": str(reason)})
    return table


def validation(arm: Arm, images: Images) -> dict[str, Value]:
    """AUROC on val, mean over classifier seeds: what a ratio, or any other setting, may be chosen by."""
    from benchmarks.metrics.utility import auroc

    truth = images.val.labels.numpy()
    found = [measure(auroc, truth=truth, scores=s.val, classes=images.val.classes)["auroc"] for s in arm.scores]
    return {"auroc": mean_over_seeds(found)}


def with_interval(value: Value, replicates: Replicates) -> Value:
    """The AUROC with the interval over seeds and patients in the place of the one over seeds alone."""
    from benchmarks.statistics.compare import arm_interval

    return _with(value, arm_interval(replicates), replicates.n_groups)


def _with(value: Value, found: Interval, n_patients: int) -> Value:
    extra = {**value.extra, "interval": "seeds and patients", "n_patients": n_patients}
    return replace(value, low=found.low, high=found.high, extra=extra)


def compare_arms(
    arm: Arm,
    control: Arm,
    images: Images,
    replicates: Mapping[str, Replicates],
    drawn: Mapping[str, Mapping[str, Drawn]],
    *,
    margin: float = MARGIN,
) -> dict[str, Any]:
    """One arm against a control, as it stands in a record: plain JSON values.

    The comparison of AUROC (`benchmarks.statistics.compare.Comparison`) and the control's run_id; under `metrics`
    the paired difference in every other macro metric, under `equivalence` the two one-sided tests against `margin`
    AUROC, under `delong` DeLong's p as a cross-check. replicates, drawn : by run_id.
    """
    from benchmarks.statistics.compare import compare
    from benchmarks.statistics.delong import compare_delong
    from benchmarks.statistics.equivalence import equivalence
    from benchmarks.statistics.sampled import compare_metrics

    a, b = arm.spec.run_id, control.spec.run_id
    mine, other = replicates[a], replicates[b]
    truth, classes = images.test.labels.numpy(), images.test.classes
    try:
        checked = compare_delong(arm.test_scores(), control.test_scores(), truth, classes=classes).to_json()
    except Unavailable as reason:
        checked = {"p_value": None, "note": str(reason)}
    return {
        "run_id": b,
        **compare(mine, other, name_a=arm.spec.name, name_b=control.spec.name).to_json(),
        "metrics": compare_metrics(drawn[a], drawn[b]),
        "equivalence": equivalence(
            mine.macro - other.macro, mine.macro_draws - other.macro_draws, n_groups=mine.n_groups, margin=margin
        ),
        "delong": checked,
    }


def mean_over_seeds(values: Sequence[Value]) -> Value:
    """Mean of one metric over seeds with its 95 % t interval, cut at 0 and at 1 (or at the smallest and largest value,
    where these lie outside); null when any seed has none."""
    from scipy import stats

    missing = [v for v in values if v.value is None]
    if missing:
        return missing[0]
    numbers = np.array([v.value for v in values], dtype=np.float64)
    low = high = None
    if len(numbers) > 1:
        half = float(stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
        low = max(float(numbers.mean() - half), min(0.0, float(numbers.min())))
        high = min(float(numbers.mean() + half), max(1.0, float(numbers.max())))
    extra = {"per_seed": [float(x) for x in numbers], "interval": "t over seeds"}
    if "prevalence" in values[0].extra:
        extra["prevalence"] = values[0].extra["prevalence"]
    return replace(values[0], value=float(numbers.mean()), low=low, high=high, extra=extra)
