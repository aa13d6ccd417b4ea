"""What a finished record says of other test sets and of corrupted images, made again from its stored predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.judging.elsewhere import auroc_of, resample_seed
from benchmarks.records.elsewhere import read_corrupted, read_external
from benchmarks.request.controls import is_control_of
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.utility import sample_utility
from benchmarks.verdicts.again import Finished, utility_again
from benchmarks.verdicts.elsewhere import Corrupted, Seen, judge_corrupted, judge_elsewhere
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

PARTS = ("elsewhere", "robustness")
"""Parts of a record that are made here."""


def elsewhere_again(one: Finished, others: Sequence[Finished]) -> dict[str, Any]:
    """The parts `elsewhere` and `robustness` of a record in today's analysis; none where it has none.

    Made anew are AUROC and what else test predictions alone give, the comparisons, the differences between the test
    sets, and the verdicts. What needs val (rates at a threshold) stays.

    Parameters
    ----------
    others : as for `benchmarks.verdicts.again.judge_again`.

    Raises
    ------
    Unavailable
        When predictions of the record are missing, or are not those that it was made from.
    """
    near = [other for other in others if one.beside(other)]
    found: dict[str, Any] = {}
    if told := one.record.get("elsewhere"):
        found["elsewhere"] = {name: _on(name, part, one, near) for name, part in told.items()}
    if one.record.get("robustness"):
        found["robustness"] = _corrupted(one, near)
    return found


def _on(name: str, part: Mapping[str, Any], one: Finished, near: Sequence[Finished]) -> dict[str, Any]:
    mine, truth, patients = _seen(name, one)
    same = {one.run_id: mine}
    for other in near:
        if other is not one and _told(name, other) == _told(name, one) and name in other.record.get("elsewhere", {}):
            its, its_truth, its_patients = _seen(name, other)
            if list(its_patients) == list(patients) and np.array_equal(its_truth, truth):
                same[other.run_id] = its
    found, missing = _controls(part["comparisons"], one, same)
    made = judge_elsewhere(
        name, mine, found, list(same.values()), truth=truth, classes=one.record["classes"], patients=patients,
        known=part["patients_known"], missing={**part["not_compared"], **missing},
    )  # fmt: skip
    fresh = utility_again(mine.scores, truth, one.record["classes"], patients, mine.sampled)
    return {**part, "utility": {metric: fresh.get(metric, value) for metric, value in part["utility"].items()}, **made}


def _seen(name: str, one: Finished) -> tuple[Seen, np.ndarray, list[str]]:
    scores, truth, patients = read_external(one.entry, name)
    seed = resample_seed(one.spec["seed"], name)
    resamples = Resamples.draw(patients, seed=seed, n_replicates=one.spec["n_bootstrap"])
    classes = one.record["classes"]
    try:
        ranked = sample_auroc(scores, truth, resamples, classes=classes)
    except Unavailable:
        ranked = {}
    sampled = ranked | sample_utility(scores, truth, resamples, classes=classes)
    name_, training = one.record["name"], one.record["training"]
    return Seen(name_, one.run_id, one.spec, training, sampled, one.sampled, scores), truth, patients


def _corrupted(one: Finished, near: Sequence[Finished]) -> dict[str, Any]:
    part = one.record["robustness"]
    asked = [one, *(other for other in near if other is not one and other.record.get("robustness"))]
    asked = [other for other in asked if other.record["robustness"]["version"] == part["version"]]
    same = {other.run_id: _seen_corrupted(other) for other in asked}
    found, missing = _controls(part["comparisons"], one, same)
    made = judge_corrupted(
        same[one.run_id], found, audited=one.record.get("audit"), missing={**part["not_compared"], **missing}
    )
    return {**part, **made}


def _seen_corrupted(one: Finished) -> Corrupted:
    spec, classes = one.spec, tuple(one.record["classes"])
    resamples = Resamples.draw(
        one.patients, seed=seed_from(spec["seed"], "bootstrap"), n_replicates=spec["n_bootstrap"]
    )
    auroc = auroc_of(read_corrupted(one.entry, shape=one.scores.shape), one.truth, resamples, classes=classes)
    return Corrupted(one.record["name"], one.run_id, spec, one.record["training"], auroc, one.sampled)


def _told(name: str, one: Finished) -> Mapping[str, Any] | None:
    return next((told for told in one.spec.get("test_on", ()) if told["name"] == name), None)


def _controls(rows: Mapping[str, Any], one: Finished, same: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arms that a record's comparisons are with, by name, and why there is none of others."""
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, row in rows.items():
        control = next(
            (
                other for run_id, other in same.items()
                if run_id != one.run_id and other.spec["generator"] == name and is_control_of(other.spec, one.spec)
            ),
            None,
        )  # fmt: skip
        if control is None:
            missing[name] = f"its record is not among those judged again (run {row['run_id'][:12]})"
        else:
            found[name] = control
    return found, missing
