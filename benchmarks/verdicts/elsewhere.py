"""What is said of an arm on another test set, and on corrupted test images: comparisons, differences, sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.judging.positive_control import positive_control
from benchmarks.judging.utility import Judged, compare_sampled
from benchmarks.request.spec import NONE
from benchmarks.statistics.apart import apart
from benchmarks.statistics.compare import compare
from benchmarks.statistics.equivalence import equivalence
from benchmarks.statistics.sampled import mixed
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.verdict import on_test_set, verdict
from data.corruptions import CORRUPTIONS, STRENGTHS
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

UNDER_CORRUPTION = "corrupted test images"


class Seen(NamedTuple):
    """An arm on a test set that is not its own split."""

    name: str
    run_id: str
    spec: Mapping[str, Any]
    training: Mapping[str, Any]
    sampled: Mapping[str, Sampled]
    """Its metrics there."""
    here: Mapping[str, Sampled]
    """Its metrics on its own test split."""
    scores: np.ndarray
    """(S, N, K) there."""

    @property
    def described(self) -> dict[str, Any]:
        """Run id, name and spec."""
        return {"run_id": self.run_id, "name": self.name, "spec": self.spec}


class Corrupted(NamedTuple):
    """An arm on corrupted test images."""

    name: str
    run_id: str
    spec: Mapping[str, Any]
    training: Mapping[str, Any]
    auroc: Mapping[tuple[str, int], Sampled]
    """Macro by corruption and strength; empty where no class can be judged."""
    here: Mapping[str, Sampled]
    """Its metrics on the test images as they are."""

    @property
    def mean(self) -> Sampled | None:
        """Macro AUROC, the mean over all corruptions and strengths, seed by seed and resample by resample."""
        if not self.auroc:
            return None
        parts = [self.auroc[name, strength] for name in CORRUPTIONS for strength in STRENGTHS]
        return mixed(np.full(len(parts), 1 / len(parts)), parts)


def judge_elsewhere(
    test_set: str,
    mine: Seen,
    controls: Mapping[str, Seen],
    arms: Sequence[Seen],
    *,
    truth: np.ndarray,
    classes: Sequence[str],
    patients: Sequence[str],
    known: Mapping[str, Any],
    missing: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What follows from predictions on another test set: plain JSON values.

    Parameters
    ----------
    controls : the arms that `mine` is compared with, by name.
    arms : all that were judged together, for the positive control.
    truth, classes, patients : of the films there.
    known : for how many films no patient is given (`patients_known` of an audit).
    missing : why it is not compared with further controls.

    Returns
    -------
    comparisons, not_compared, positive_control, verdict : as in a record; each comparison has `apart` too, how far the
        gain on the own test split lies from the gain there.
    apart : AUROC on the own test split minus AUROC there, with its interval; null numbers with a `note` where it has
        none.
    """
    margin = mine.spec["margin"]
    comparisons: dict[str, Any] = {}
    not_compared = dict(missing or {})
    for name, control in controls.items():
        pair = (Judged(one.name, one.sampled, one.scores) for one in (mine, control))
        try:
            row = compare_sampled(*pair, truth=truth, classes=classes, patients=patients, margin=margin)
        except Unavailable as reason:
            not_compared[name] = str(reason)
            continue
        comparisons[name] = {
            "run_id": control.run_id,
            **row,
            "unequal": unequal(mine.training, control.training),
            "apart": _apart(_gain(mine.here, control.here), _gain(mine.sampled, control.sampled)),
        }
    positive = positive_control(mine.spec, (arm.described for arm in arms), {arm.run_id: arm.sampled for arm in arms})
    return {
        "comparisons": comparisons,
        "not_compared": not_compared,
        "positive_control": positive,
        "apart": _apart(mine.here.get("auroc"), mine.sampled.get("auroc")),
        "verdict": verdict(
            on_test_set(mine.spec, mine.name, test_set), comparisons, positive=positive,
            missing=not_compared.get(NONE), audited={"patients_known": known},
        ),
    }  # fmt: skip


def judge_corrupted(
    mine: Corrupted,
    controls: Mapping[str, Corrupted],
    *,
    audited: Mapping[str, Any] | None,
    missing: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What follows from predictions on corrupted test images: plain JSON values.

    Parameters
    ----------
    controls : the arms that `mine` is compared with, by name.
    audited : of the splits.
    missing : why it is not compared with further controls.

    Returns
    -------
    auroc : by corruption a list over the strengths, each with `value`, `low`, `high` and `note`.
    auroc_corrupted : the mean of all, likewise; with `per_seed`.
    lost : AUROC on the test images as they are minus that mean, on the same patients.
    comparisons, not_compared, verdict : of the mean, as in a record.
    """
    mean, clean = mine.mean, mine.here.get("auroc")
    comparisons: dict[str, Any] = {}
    not_compared = dict(missing or {})
    for name, control in controls.items():
        its = control.mean
        try:
            if mean is None or its is None:
                raise Unavailable(NO_CLASS)
            row = compare(mean, its, name_a=mine.name, name_b=control.name).to_json()
        except Unavailable as reason:
            not_compared[name] = str(reason)
            continue
        comparisons[name] = {
            "run_id": control.run_id,
            **row,
            "equivalence": equivalence(mean.minus(its), margin=mine.spec["margin"]),
            "unequal": unequal(mine.training, control.training),
        }
    return {
        "auroc": {
            name: [_number(mine.auroc.get((name, strength))) for strength in STRENGTHS] for name in CORRUPTIONS
        },
        "auroc_corrupted": {**_number(mean), "per_seed": [] if mean is None else mean.values.tolist()},
        "lost": _paired(clean, mean),
        "comparisons": comparisons,
        "not_compared": not_compared,
        "verdict": verdict(
            on_test_set(mine.spec, mine.name, UNDER_CORRUPTION), comparisons, missing=not_compared.get(NONE),
            audited=audited,
        ),
    }  # fmt: skip


NO_CLASS = "this test set has no class with two patients or more on both sides"


def _gain(mine: Mapping[str, Sampled], its: Mapping[str, Sampled]) -> Sampled | None:
    return mine["auroc"].minus(its["auroc"]) if "auroc" in mine and "auroc" in its else None


def _apart(here: Sampled | None, there: Sampled | None) -> dict[str, Any]:
    try:
        if here is None or there is None:
            raise Unavailable("one of the two test sets has no class with two patients or more on both sides")
        return apart(here, there).to_json()
    except Unavailable as reason:
        return {"difference": None, "low": None, "high": None, "p_interval": None, "note": str(reason)}


def _paired(one: Sampled | None, other: Sampled | None) -> dict[str, Any]:
    """One number minus another of the same arm on the same patients."""
    try:
        if one is None or other is None:
            raise Unavailable(NO_CLASS)
        lost = one.minus(other)
        interval = lost.difference_interval()
    except Unavailable as reason:
        return {"difference": None, "low": None, "high": None, "p_interval": None, "note": str(reason)}
    found = {"difference": interval.estimate, "low": interval.low, "high": interval.high}
    return {**found, "p_interval": lost.p_interval(), "note": interval.note}


def _number(sampled: Sampled | None) -> dict[str, Any]:
    if sampled is None:
        return {"value": None, "low": None, "high": None, "note": NO_CLASS}
    try:
        interval = sampled.interval()
    except Unavailable as reason:
        return {"value": sampled.mean, "low": None, "high": None, "note": f"no interval: {reason}"}
    return {"value": sampled.mean, "low": interval.low, "high": interval.high, "note": sampled.support.note}
