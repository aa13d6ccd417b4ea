"""The utility of an arm on test, and of one arm against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.metrics.fixed_rates import HELD
from benchmarks.metrics.registry import Value, measure, metrics_on
from benchmarks.stages.arm import Arm
from benchmarks.stages.experiment import Experiment
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from benchmarks.stages.external import Films
    from benchmarks.statistics.resamples import Resamples
    from benchmarks.statistics.sampled import Sampled
    from data.images import ImageSet


def sample(experiment: Experiment, arm: Arm) -> dict[str, Sampled]:
    """Every utility metric of an arm, by seed, on test and on the resamples of its patients, by name.

    A metric that the test set does not define for every seed has no entry.
    """
    return sample_on(experiment, arm, experiment.images.test, arm.test_scores, experiment.resamples)


def sample_on(
    experiment: Experiment, arm: Arm, test: ImageSet | Films, scores: np.ndarray, resamples: Resamples
) -> dict[str, Sampled]:
    """`sample` on any test set; thresholds and temperatures are those of the experiment's own val.

    Parameters
    ----------
    scores : (S, N, K) on `test`.
    resamples : of its patients.
    """
    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.fixed_rates import sample_fixed
    from benchmarks.statistics.net_benefit import sample_net_benefit
    from benchmarks.statistics.utility import sample_calibrated, sample_utility, val_thresholds

    val = experiment.images.val
    evidence = scores, test.labels.numpy(), resamples
    val_truth, val_scores = val.labels.numpy(), arm.val_scores
    try:
        ranked = sample_auroc(*evidence, classes=test.classes)
    except Unavailable:
        ranked = {}  # the table of utility holds the null with its reason
    of_val = {"val_truth": val_truth, "val_scores": val_scores, "classes": test.classes}
    stated = arm.spec.prevalence
    return (
        ranked
        | sample_utility(*evidence, thresholds=val_thresholds(val_truth, val_scores), classes=test.classes)
        | sample_fixed(*evidence, **of_val)
        | sample_calibrated(*evidence, **of_val)
        | (sample_net_benefit(*evidence, **of_val, prevalence=stated) if stated else {})
    )


def utility(experiment: Experiment, arm: Arm, sampled: Mapping[str, Sampled]) -> dict[str, Value]:
    """Utility metrics on test: mean over classifier seeds, each seed's value in `extra`.

    Intervals are 95 %, over seeds and patients, from `sampled`. A metric that is not in it (a plugin's, or one that
    too few resamples define) has Student's t over the seeds alone; `extra` says which.
    """
    return utility_on(experiment, arm, experiment.images.test, [scores.test for scores in arm.scores], sampled)


def utility_on(
    experiment: Experiment,
    arm: Arm,
    test: ImageSet | Films,
    scores: Sequence[np.ndarray] | np.ndarray,
    sampled: Mapping[str, Sampled],
) -> dict[str, Value]:
    """`utility` on any test set.

    Parameters
    ----------
    scores : (N, K) of each seed on `test`.
    sampled : of `sample_on`.
    """
    val = experiment.images.val
    by_seed = []
    for its, on_val in zip(scores, arm.scores, strict=True):
        evidence = {
            "truth": test.labels.numpy(),
            "scores": its,
            "val_truth": val.labels.numpy(),
            "val_scores": on_val.val,
            "classes": test.classes,
            "patients": test.groups,
            "prevalence": arm.spec.prevalence or None,
        }
        found: dict[str, Value] = {}
        for _, metric in metrics_on({"truth", "scores"}):
            if arm.spec.prevalence or "prevalence" not in metric.needs:
                found |= measure(metric, **evidence)
        by_seed.append(found)
    table = {name: mean_over_seeds([seed[name] for seed in by_seed]) for name in by_seed[0]}
    for name in table.keys() & sampled.keys():
        table[name] = with_interval(table[name], sampled[name])
    return table


def with_interval(value: Value, sampled: Sampled) -> Value:
    """The value with the interval over seeds and patients in the place of the one over seeds alone.

    Where it cannot be made, the value without one and with the reason: an interval over the seeds alone would pass for
    one that knows of patients.
    """
    try:
        found = sampled.interval()
    except Unavailable as reason:
        note = "; ".join(part for part in (value.note, sampled.support.note, f"no interval: {reason}") if part)
        extra = {**value.extra, "interval": None, "interval_note": str(reason)}
        return replace(value, low=None, high=None, note=note, extra=extra)
    extra = {**value.extra, "interval": "seeds and patients", "n_patients": sampled.n_patients}
    note = "; ".join(part for part in (value.note, sampled.support.note) if part) or None
    return replace(value, low=found.low, high=found.high, note=note, extra=extra)


def validation(experiment: Experiment, arm: Arm) -> dict[str, Value]:
    """AUROC on val, mean over classifier seeds: what a ratio, or any other setting, may be chosen by."""
    from benchmarks.metrics.utility import auroc

    val = experiment.images.val
    truth = val.labels.numpy()
    found = [
        measure(auroc, truth=truth, scores=s.val, classes=val.classes, patients=val.groups)["auroc"] for s in arm.scores
    ]
    return {"auroc": mean_over_seeds(found)}


def compare_arms(
    experiment: Experiment, arm: Arm, control: Arm, samples: Mapping[str, Mapping[str, Sampled]]
) -> dict[str, Any]:
    """One arm against a control, as it stands in a record: plain JSON values of `compare_sampled`, and its run_id.

    Parameters
    ----------
    samples : of `sample`, by run_id.

    Raises
    ------
    Unavailable
        As `compare_sampled`.
    """
    test = experiment.images.test
    pair = [Judged(a.spec.name, samples[a.spec.run_id], a.test_scores) for a in (arm, control)]
    found = compare_sampled(
        *pair, truth=test.labels.numpy(), classes=test.classes, patients=test.groups, margin=arm.spec.margin
    )
    return {"run_id": control.spec.run_id, **found}


class Judged(NamedTuple):
    """An arm with what it is compared by."""

    name: str
    sampled: Mapping[str, Sampled]
    scores: np.ndarray
    """(S, N, K) on test."""


def compare_sampled(
    mine: Judged, other: Judged, *, truth: np.ndarray, classes: Sequence[str], patients: Sequence[str], margin: float
) -> dict[str, Any]:
    """One arm against another in everything: plain JSON values.

    The comparison of AUROC (`benchmarks.statistics.compare.Comparison`); under `metrics` the paired difference in every
    other macro metric, under `equivalence` the two one-sided tests against the margin, under `delong` DeLong's p as a
    cross-check.

    Raises
    ------
    Unavailable
        When the test set can judge no class, or has too few patients for an interval.
    """
    from benchmarks.statistics.compare import compare, compare_metrics
    from benchmarks.statistics.delong import compare_delong
    from benchmarks.statistics.equivalence import equivalence

    if "auroc" not in mine.sampled or "auroc" not in other.sampled:
        raise Unavailable("this test set has no class with two patients or more on both sides")
    auroc, its = mine.sampled["auroc"], other.sampled["auroc"]
    try:
        checked = compare_delong(mine.scores, other.scores, truth, classes=classes, patients=patients).to_json()
    except Unavailable as reason:
        checked = {"p_value": None, "note": str(reason)}
    others = [{name: one for name, one in judged.sampled.items() if name != "auroc"} for judged in (mine, other)]
    return {
        **compare(auroc, its, name_a=mine.name, name_b=other.name).to_json(),
        "metrics": compare_metrics(*others),
        "equivalence": equivalence(auroc.minus(its), margin=margin),
        "delong": checked,
    }


def mean_over_seeds(values: Sequence[Value]) -> Value:
    """Mean of one metric over seeds with its 95 % t interval; null when any seed has none.

    The interval is cut at 0 and at 1 (or at the smallest and largest value, where these lie outside).
    """
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
    held = [v.extra.get(HELD) for v in values]
    if None not in held:
        extra[HELD] = float(np.mean(held))
    return replace(values[0], value=float(numbers.mean()), low=low, high=high, extra=extra)
