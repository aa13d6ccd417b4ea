"""Finished records judged again by today's statistics, from their stored predictions alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.judging.positive_control import positive_control
from benchmarks.judging.sharing import sharing_of
from benchmarks.judging.utility import Judged, compare_sampled, mean_over_seeds, with_interval
from benchmarks.metrics.registry import measure, metrics_on
from benchmarks.records.predictions import PREDICTIONS, Entry, read_predictions
from benchmarks.request.controls import is_control_of
from benchmarks.request.spec import ANALYSIS, NONE, common_setting, is_zero_line
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.collapsed import collapsed
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.utility import sample_utility
from benchmarks.statistics.worth import measure_worth
from benchmarks.verdicts.decided_again import decision_again, sampled_again, values_again
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.verdict import on_test_set, verdict
from generators.registry import added_by
from synthworth.errors import Unavailable
from synthworth.keys import digest, seed_from

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

NEEDED = frozenset({"truth", "scores"})
EVIDENCE = NEEDED | {"classes", "patients"}


@dataclass(frozen=True)
class Finished:
    """A finished record, its stored predictions, and what today's statistics sample from them."""

    record: Mapping[str, Any]
    run_id: str
    """In today's analysis."""
    spec: Mapping[str, Any]
    """In today's analysis."""
    scores: np.ndarray
    """(S, N, K)"""
    truth: np.ndarray
    patients: Sequence[str]
    sampled: Mapping[str, Sampled]
    entry: Entry

    @classmethod
    def of(cls, entry: Entry) -> Finished:
        """Read the predictions beside a record.

        Raises
        ------
        ValueError, Unavailable
            When they are missing or cannot be read, or are not those of the record.
        """
        record = entry.record
        spec = {**record["spec"], "analysis": ANALYSIS}
        if not (entry.folder / PREDICTIONS).is_file():
            raise ValueError(f"{PREDICTIONS} is missing beside the record")
        scores, truth, patients = read_predictions(entry)
        seed = seed_from(spec["seed"], "bootstrap")
        resamples = Resamples.draw(patients, seed=seed, n_replicates=spec["n_bootstrap"])
        evidence = scores, truth, resamples
        try:
            ranked = sample_auroc(*evidence, classes=record["classes"])
        except Unavailable:
            ranked = {}
        sampled = ranked | sample_utility(*evidence, classes=record["classes"])
        sampled |= sampled_again(record, *evidence)
        return cls(record, digest(spec), spec, scores, truth, patients, sampled, entry)

    @property
    def described(self) -> dict[str, Any]:
        """Run id, name and spec."""
        return {"run_id": self.run_id, "name": self.record["name"], "spec": self.spec}

    def beside(self, other: Finished) -> bool:
        """Whether the two are arms of one experiment, on the same test patients."""
        alone = all(self.spec[name] == other.spec[name] for name in ("seed", "seeds"))
        same = alone and common_setting(self.spec) == common_setting(other.spec)
        alike = list(self.patients) == list(other.patients) and np.array_equal(self.truth, other.truth)
        return same and alike and self.scores.shape == other.scores.shape


def judge_again(one: Finished, others: Sequence[Finished]) -> dict[str, Any]:
    """The record of an arm in today's analysis.

    AUROC, AUPRC, Brier score and calibration error, net benefit as val taught it, the comparisons in them, the worth
    and the verdict are made anew. What needs more than predictions on test (rates at a threshold chosen on val,
    subgroups) stays, and `reanalysed.kept` names it.

    Parameters
    ----------
    others : every finished record of the folder, of other experiments too; the arm may be among them.
    """
    record, near = one.record, [other for other in others if one.beside(other)]
    fresh = utility_again(one.scores, one.truth, record["classes"], one.patients, one.sampled)
    fresh |= values_again(record, one.sampled)
    comparisons, missing = _comparisons(one, near)
    positive = positive_control(one.spec, (o.described for o in near), {o.run_id: o.sampled for o in near})
    auroc = one.sampled.get("auroc")
    kept, before = sorted(record["utility"].keys() - fresh.keys()), record.get("reanalysed") or {}
    return {
        **record,
        "run_id": one.run_id,
        "spec": one.spec,
        "added": added_by(one.spec["generator"]) if sum(record["counts"]["synthetic"].values()) else None,
        "utility": {name: fresh.get(name, value) for name, value in record["utility"].items()},
        "comparisons": comparisons,
        "not_compared": missing,
        "positive_control": positive,
        "collapsed": [] if auroc is None else list(collapsed(auroc.values.tolist())),
        "worth": _worth(one, near),
        **_sharing(one, near, comparisons),
        **({"decision": decided} if (decided := decision_again(record, one.scores, one.truth, one.patients)) else {}),
        "verdict": verdict(
            on_test_set(one.spec, record["name"]),
            comparisons,
            positive=positive,
            missing=missing.get(NONE),
            audited=record.get("audit"),
        ),
        "reanalysed": {
            "from_analysis": before.get("from_analysis", record["spec"]["analysis"]),
            "kept": ["subgroups", *kept],
        },
    }


def utility_again(
    scores: np.ndarray, truth: np.ndarray, classes: Sequence[str], patients: Sequence[str],
    sampled: Mapping[str, Sampled],
) -> dict[str, Any]:  # fmt: skip
    """The metrics that need no more than predictions on a test set, by name, as plain JSON values.

    Parameters
    ----------
    scores : (S, N, K)
    sampled : what was sampled of them.
    """
    by_seed: list[dict[str, Any]] = []
    for its in scores:
        evidence = {"truth": truth, "scores": its, "classes": classes, "patients": patients}
        found: dict[str, Any] = {}
        for _, metric in metrics_on(NEEDED):
            if set(metric.needs) <= EVIDENCE:
                found |= measure(metric, **evidence)
        by_seed.append(found)
    table = {name: mean_over_seeds([seed[name] for seed in by_seed]) for name in by_seed[0]}
    return {
        name: (with_interval(value, sampled[name]) if name in sampled else value).to_json()
        for name, value in table.items()
    }


def _comparisons(one: Finished, near: Sequence[Finished]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arm against each control that its record was compared with, or why not."""
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, old in one.record["comparisons"].items():
        control = next(
            (o for o in near if o.spec["generator"] == name and is_control_of(o.spec, one.spec) and o is not one), None
        )
        if control is None:
            missing[name] = f"its record is not among those judged again (run {old['run_id'][:12]})"
            continue
        pair = (Judged(o.record["name"], o.sampled, o.scores) for o in (one, control))
        try:
            row = compare_sampled(
                *pair, truth=one.truth, classes=one.record["classes"], patients=one.patients, margin=one.spec["margin"]
            )
        except Unavailable as reason:
            missing[name] = str(reason)
            continue
        training = unequal(one.record["training"], control.record["training"])
        found[name] = {"run_id": control.run_id, **row, "unequal": training}
    return found, missing


def _sharing(one: Finished, near: Sequence[Finished], comparisons: Mapping[str, Any]) -> dict[str, Any]:
    """The two hospitals of a record, with the share of the sharing gain that the arm keeps measured again."""
    if not one.record.get("sharing"):
        return {}
    kept = sharing_of(one.spec, comparisons, one.sampled, {other.run_id: other.sampled for other in near})
    return {"sharing": {**one.record["sharing"], "kept": kept}}


def _worth(one: Finished, near: Sequence[Finished]) -> dict[str, Any] | None:
    """The worth that the record holds, measured again."""
    old, auroc = one.record.get("worth"), one.sampled.get("auroc")
    if old is None or auroc is None:
        return None
    alone = [(o.record, o.sampled["auroc"]) for o in near if o.spec["generator"] == NONE and "auroc" in o.sampled]
    try:
        return worth_again(old, auroc, alone)
    except Unavailable:
        return None  # `not_compared` of the arm says why


def worth_again(
    old: Mapping[str, Any], auroc: Sampled, alone: Iterable[tuple[Mapping[str, Any], Sampled]]
) -> dict[str, Any]:
    """A worth measured again: plain JSON values.

    Parameters
    ----------
    old : as a record holds it; which sizes its curve has, and how many images were added to how many.
    auroc : of the arm.
    alone : record and AUROC of the arms of real images alone in the same experiment.

    Raises
    ------
    Unavailable
        When a point of the curve is not among them, and as `measure_worth`.
    """
    sizes, arms = {point["n"] for point in old["curve"]}, list(alone)
    points = [(sum(record["counts"]["real"].values()), its) for record, its in arms]
    curve = [point for point in points if point[0] in sizes]
    if {n for n, _ in curve} != sizes or not any(is_zero_line(record["spec"]) for record, _ in arms):
        raise Unavailable("the arms of its learning curve are not there")
    return measure_worth(auroc, curve, n_real=old["n_real"], n_synthetic=old["n_synthetic"]).to_json()
