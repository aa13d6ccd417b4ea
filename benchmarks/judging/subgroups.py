"""Subgroups: an arm's AUROC by sex, age band, view and the like, and how far the worst group lies below the best."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.utility import Problem, one_vs_rest
from benchmarks.statistics.compare import LEVEL, arm_interval, compare, half_width, mean_interval, sign_flip_p
from benchmarks.statistics.resamples import Ranks, Replicates, draw_counts
from synthworth.errors import Unavailable
from synthworth.keys import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.images import ImageSet

MOST_GROUPS = 12
"""An attribute with more distinct values is a number (an age in years), not a set of groups."""
MIN_IMAGES = 50
"""Fewest images of a group that is judged."""
MIN_SIDE = 5
"""Fewest patients with, and fewest without, a class in a group for the class to be judged there."""
UNSTATED = ("", "unknown", "nan", "none")


@dataclass(frozen=True)
class Group:
    """The test images with one value of an attribute."""

    name: str
    rows: NDArray[np.intp]
    n_patients: int
    classes: tuple[str, ...]
    """Those that the group has enough patients with and without."""
    reason: str | None
    """Why it is not judged."""


@dataclass(frozen=True)
class Attribute:
    """The groups of one attribute; the macro of each is over the same classes, or they could not be compared."""

    name: str
    groups: tuple[Group, ...]
    classes: tuple[str, ...]
    """Those that every judged group can judge."""
    note: str | None

    @property
    def judged(self) -> tuple[Group, ...]:
        """The groups that have a number."""
        return tuple(group for group in self.groups if group.reason is None)


def find_attributes(test: ImageSet) -> tuple[Attribute, ...]:
    """The attributes of a test set that make 2 to `MOST_GROUPS` groups, in the order of their names.

    Images whose value is missing (`UNSTATED`) are in no group.
    """
    questions = one_vs_rest(test.labels.numpy(), np.zeros((len(test), test.n_classes)), test.classes)
    patients = np.asarray(test.groups)
    found = []
    for name, values in sorted(test.attributes.items()):
        said = np.array([_text(value) for value in np.asarray(values)])
        stated = ~np.isin(np.char.lower(said), UNSTATED)
        names = sorted(set(said[stated].tolist()))
        if 2 <= len(names) <= MOST_GROUPS:
            groups = tuple(_group(questions, patients, value, np.flatnonzero(said == value)) for value in names)
            found.append(_attribute(name, groups, questions.names, n_unstated=int((~stated).sum())))
    return tuple(found)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value).strip()


def _group(questions: Problem, patients: NDArray[Any], name: str, rows: NDArray[np.intp]) -> Group:
    who = patients[rows]
    n_patients = len(np.unique(who))
    if len(rows) < MIN_IMAGES:
        return Group(name, rows, n_patients, (), f"{len(rows)} images, fewer than {MIN_IMAGES}")
    sides = [
        min(len(np.unique(who[yes])), len(np.unique(who[~yes])))
        for yes in (questions.truth[rows, q] for q in range(len(questions.names)))
    ]
    kept = tuple(c for c, n in zip(questions.names, sides, strict=True) if n >= MIN_SIDE)
    few = f"{len(kept)} of {len(sides)} classes have {MIN_SIDE} patients with and {MIN_SIDE} without, half are needed"
    return Group(name, rows, n_patients, kept, few if 2 * len(kept) < len(sides) else None)


def _attribute(name: str, groups: tuple[Group, ...], asked: Sequence[str], *, n_unstated: int) -> Attribute:
    judged = [g for g in groups if g.reason is None]
    common = tuple(c for c in asked if judged and all(c in g.classes for g in judged))
    if judged and not common:
        reason = f"no class has {MIN_SIDE} patients with and {MIN_SIDE} without in every group"
        return Attribute(name, tuple(replace(g, reason=g.reason or reason) for g in groups), (), reason)
    notes = []
    if judged and len(common) < len(asked):
        lost = ", ".join(c for c in asked if c not in common)
        notes.append(f"mean of {len(common)} of {len(asked)} classes; too rare in some group: {lost}")
    if n_unstated:
        notes.append(f"{n_unstated} images do not say")
    return Attribute(name, groups, common, "; ".join(notes) or None)


class Subgroups:
    """AUROC by group of the arms of one request, each read against real images alone in the same group.

    The resamples are those of the whole test set (`benchmarks.statistics.resamples.draw_counts`): a patient is drawn
    with all images, in whichever group they are. So groups that share patients, as views do, are paired in the gap.
    """

    def __init__(self, test: ImageSet, *, seed: int, n_replicates: int, alone: NDArray[np.floating] | None) -> None:
        """Hold what the arms share.

        seed : of the bootstrap of the whole test set. alone : (S, N, K) test scores of real images alone, if they
        were trained.
        """
        self.test, self.seed, self.n_replicates, self.alone = test, seed, n_replicates, alone
        self.attributes = find_attributes(test)

    def of(self, scores: NDArray[np.floating]) -> dict[str, Any]:
        """Plain JSON values by attribute: `groups` by name, `gap`, the `classes` of the macro, and a `note`.

        A group has n_images, n_patients, auroc, low, high (95 %, over seeds and patients), `per_seed`, `against_none`
        (the paired difference to real images alone), and a `note` where it is null. scores : (S, N, K) on test.
        """
        itself = self.alone is not None and self.alone.shape == scores.shape and np.array_equal(self.alone, scores)
        paired = self.alone is not None and not itself and len(self.alone) == len(scores)
        found = {}
        for attribute in self.attributes:
            mine = self._replicates(attribute, scores)
            other = self._of_alone[attribute.name] if paired else None
            found[attribute.name] = {
                "groups": {g.name: _row(g, mine.get(g.name), other) for g in attribute.groups},
                "gap": measure_gap(mine, other, seed=self.seed),
                "classes": list(attribute.classes),
                "note": attribute.note,
            }
        return found

    @cached_property
    def _of_alone(self) -> dict[str, dict[str, Replicates]]:
        assert self.alone is not None
        return {a.name: self._replicates(a, self.alone) for a in self.attributes}

    @cached_property
    def _patients(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The patient of each image (N,), and how often each of P is drawn (P, 1 + B); column 0 is the set as it is."""
        ids, patient = np.unique(np.asarray(self.test.groups), return_inverse=True)
        counts = draw_counts(len(ids), self.n_replicates, seed=self.seed)
        return patient, np.hstack([np.ones((len(ids), 1)), counts])

    def _replicates(self, attribute: Attribute, scores: NDArray[np.floating]) -> dict[str, Replicates]:
        """AUROC of each judged group over the attribute's classes, by name; resample b is the same in all of them."""
        patient, counts = self._patients
        labels, classes = self.test.labels.numpy(), self.test.classes
        questions = [one_vs_rest(labels, one, classes) for one in scores]
        columns = [questions[0].names.index(name) for name in attribute.classes]

        def work(job: tuple[Group, int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            group, s, q = job
            told, said = questions[s].truth[group.rows, q], questions[s].scores[group.rows, q]
            return Ranks(said, told, patient[group.rows], len(counts)).auroc(counts)

        jobs = [(g, s, q) for g in attribute.judged for s in range(len(scores)) for q in columns]
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            done = iter(list(pool.map(work, jobs)))
        found = {}
        for group in attribute.judged:
            rows = [[next(done) for _ in columns] for _ in range(len(scores))]
            draws = np.array([[row[0] for row in one] for one in rows])  # (S, Q, 1 + B)
            valid = np.array([row[1] for row in rows[0]])  # (Q, 1 + B), the same for every seed
            found[group.name] = Replicates(
                point=draws[:, :, 0],
                draws=draws[:, :, 1:],
                valid=valid[:, 1:],
                classes=attribute.classes,
                left_out=(),
                n_groups=group.n_patients,
                seed=self.seed,
                design=digest([attribute.name, group.name, *attribute.classes, self.seed, self.n_replicates]),
            )
        return found


def _judges(replicates: Replicates) -> NDArray[np.bool_]:
    """(B,): the resamples that can judge a class at least."""
    found: NDArray[np.bool_] = np.any(replicates.valid, axis=0)
    return found


def _kept(replicates: Replicates, resamples: NDArray[np.bool_]) -> Replicates:
    """The same on some of the resamples (B,)."""
    return replace(replicates, draws=replicates.draws[:, :, resamples], valid=replicates.valid[:, resamples])


def _row(group: Group, mine: Replicates | None, other: Mapping[str, Replicates] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "n_images": len(group.rows), "n_patients": group.n_patients, "auroc": None, "low": None, "high": None,
        "per_seed": None, "against_none": None, "note": group.reason,
    }  # fmt: skip
    if mine is None:
        return row
    judged = _judges(mine)
    mine = _kept(mine, judged)
    found = arm_interval(mine)
    row |= {"auroc": found.estimate, "low": found.low, "high": found.high, "per_seed": mine.macro.tolist()}
    if other is not None:
        made = compare(mine, _kept(other[group.name], judged), name_a="arm", name_b="none").to_json()
        kept = ("difference", "low", "high", "p_value", "p_interval", "verdict", "by_seed", "note")
        row["against_none"] = {name: made[name] for name in kept}
    return row


def measure_gap(mine: Mapping[str, Replicates], other: Mapping[str, Replicates] | None, *, seed: int) -> dict[str, Any]:
    """The worst-group gap of an arm: AUROC of its best group minus that of its worst, as plain JSON values.

    low, high : which group is best and which worst is read off the same images, so the interval is the one of *any* two
    of the G groups at once (Bonferroni over G (G - 1) / 2 pairs): 95 % or more, and it holds 0 where no gap is shown.
    The value itself lies above the truth, as a largest difference does.

    against_none : how much wider the gap is than with real images alone; below 0, the arm narrows it. Between the
    groups that are best and worst on the mean of both arms: a pair that is widest in one of them by chance is likely to
    be narrower in the other, which would be credited with it.

    mine, other : replicates of the judged groups, of the arm and of real images alone.
    """
    row: dict[str, Any] = {
        "value": None, "low": None, "high": None, "best": None, "worst": None, "n_groups": len(mine),
        "against_none": None, "note": None,
    }  # fmt: skip
    if len(mine) < 2:
        return {**row, "note": f"{len(mine)} group{'s' * (len(mine) != 1)} could be judged: a gap takes two"}
    best, worst = _extremes(mine)
    level = 1 - (1 - LEVEL) / len(list(combinations(mine, 2)))
    values, draws, n_patients = _difference(mine, best, worst)
    row |= {"value": float(values.mean()), "best": best, "worst": worst}
    try:
        half = half_width(values, draws, n_groups=n_patients, level=level).half
    except Unavailable as reason:
        return {**row, "note": str(reason)}
    row |= {"low": row["value"] - half, "high": row["value"] + half}
    if row["low"] <= 0:
        row["note"] = "no gap shown: the interval holds 0"
    if other is not None:
        row["against_none"] = _wider(mine, other, seed=seed)
    return row


def _extremes(*arms: Mapping[str, Replicates]) -> tuple[str, str]:
    """Best and worst group on the mean of the arms; of equal ones the first is best and the last worst."""
    means = {name: sum(float(arm[name].macro.mean()) for arm in arms) for name in arms[0]}
    return max(means, key=lambda name: means[name]), min(reversed(means), key=lambda name: means[name])


def _difference(
    replicates: Mapping[str, Replicates], best: str, worst: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """AUROC of one group minus another: (S,), (S, B) on the resamples that judge both, patients of the smaller one."""
    a, b = replicates[best], replicates[worst]
    both = _judges(a) & _judges(b)
    draws: NDArray[np.float64] = _kept(a, both).macro_draws - _kept(b, both).macro_draws
    return a.macro - b.macro, draws, min(a.n_groups, b.n_groups)


def _wider(mine: Mapping[str, Replicates], other: Mapping[str, Replicates], *, seed: int) -> dict[str, Any]:
    best, worst = _extremes(mine, other)
    values, draws, n_patients = _difference(mine, best, worst)
    values_alone, draws_alone, _ = _difference(other, best, worst)
    apart = values - values_alone
    interval = mean_interval(apart, draws - draws_alone, n_groups=n_patients, seed=seed)
    return {
        "difference": interval.estimate, "low": interval.low, "high": interval.high,
        "p_value": sign_flip_p(apart, seed=seed), "best": best, "worst": worst,
    }  # fmt: skip
