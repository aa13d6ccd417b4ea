"""Subgroups: an arm's AUROC by sex, age band, view and the like, and how far the worst group lies below the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.utility import Problem, one_vs_rest
from benchmarks.statistics.auroc import Ranks, macro_of
from benchmarks.statistics.compare import compare
from benchmarks.statistics.interval import LEVEL, sign_flip_p
from benchmarks.statistics.resamples import Resamples, n_threads
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
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
DIGITS = 12
"""Decimals of an AUROC: what lies beyond is rounding of a sum, and does not say which group is best."""
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

    The resamples are those of the whole test set: a patient is drawn with all images, in whichever group they are. So
    groups that share patients, as views do, are paired in the gap.
    """

    def __init__(self, test: ImageSet, resamples: Resamples, *, alone: NDArray[np.floating] | None) -> None:
        """Hold what the arms share.

        Parameters
        ----------
        resamples : of the patients of `test`.
        alone : (S, N, K) test scores of real images alone, if they were trained.
        """
        self.test, self.resamples, self.alone = test, resamples, alone
        self.attributes = find_attributes(test)

    def of(self, scores: NDArray[np.floating]) -> dict[str, Any]:
        """Plain JSON values by attribute: `groups` by name, `gap`, the `classes` of the macro, and a `note`.

        A group has n_images, n_patients, auroc, low, high (95 %, over seeds and patients), `per_seed`, `against_none`
        (the paired difference to real images alone), and a `note` where it is null.

        Parameters
        ----------
        scores : (S, N, K) on test.
        """
        itself = self.alone is not None and self.alone.shape == scores.shape and np.array_equal(self.alone, scores)
        paired = self.alone is not None and not itself and len(self.alone) == len(scores)
        found = {}
        for attribute in self.attributes:
            mine = self._sampled(attribute, scores)
            other = self._of_alone[attribute.name] if paired else None
            found[attribute.name] = {
                "groups": {g.name: _row(g, mine.get(g.name), other) for g in attribute.groups},
                "gap": measure_gap(mine, other),
                "classes": list(attribute.classes),
                "note": attribute.note,
            }
        return found

    @cached_property
    def _of_alone(self) -> dict[str, dict[str, Sampled]]:
        assert self.alone is not None
        return {a.name: self._sampled(a, self.alone) for a in self.attributes}

    def _sampled(self, attribute: Attribute, scores: NDArray[np.floating]) -> dict[str, Sampled]:
        """AUROC of each judged group over the attribute's classes, by name; resample b is the same in all of them."""
        labels, classes = self.test.labels.numpy(), self.test.classes
        questions = [one_vs_rest(labels, one, classes) for one in scores]
        columns = [questions[0].names.index(name) for name in attribute.classes]

        def work(job: tuple[Group, int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            group, s, q = job
            told, said = questions[s].truth[group.rows, q], questions[s].scores[group.rows, q]
            return Ranks(said, told, self.resamples.of_rows(group.rows)).auroc()

        jobs = [(g, s, q) for g in attribute.judged for s in range(len(scores)) for q in columns]
        with ThreadPoolExecutor(n_threads()) as pool:
            done = iter(list(pool.map(work, jobs)))
        found = {}
        for group in attribute.judged:
            rows = [[next(done) for _ in columns] for _ in range(len(scores))]
            draws = np.array([[row[0] for row in one] for one in rows])  # (S, Q, 1 + B)
            valid = np.array([row[1] for row in rows[0]])  # (Q, 1 + B), the same for every seed
            seed, n = self.resamples.seed, self.resamples.n_replicates
            design = digest([attribute.name, group.name, *attribute.classes, seed, n])
            yes, who = questions[0].truth[np.ix_(group.rows, columns)], self.resamples.patient[group.rows]
            support = Support.of(who, yes, attribute.classes)
            found[group.name] = macro_of("auroc", draws, valid, support, seed, design=design)
        return found


def _row(group: Group, mine: Sampled | None, other: Mapping[str, Sampled] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "n_images": len(group.rows), "n_patients": group.n_patients, "auroc": None, "low": None, "high": None,
        "per_seed": None, "against_none": None, "note": group.reason,
    }  # fmt: skip
    if mine is None:
        return row
    try:
        found = mine.interval()
    except Unavailable as reason:
        return {**row, "note": str(reason)}
    row |= {"auroc": found.estimate, "low": found.low, "high": found.high, "per_seed": mine.values.tolist()}
    if other is not None:
        made = compare(mine, other[group.name], name_a="arm", name_b="none").to_json()
        kept = ("difference", "low", "high", "p_value", "p_interval", "verdict", "by_seed", "note")
        row["against_none"] = {name: made[name] for name in kept}
    return row


def measure_gap(mine: Mapping[str, Sampled], other: Mapping[str, Sampled] | None) -> dict[str, Any]:
    """The worst-group gap of an arm: AUROC of its best group minus that of its worst, as plain JSON values.

    Parameters
    ----------
    mine, other : AUROC of the judged groups, of the arm and of real images alone.

    Returns
    -------
    low, high : which group is best and which worst is read off the same images, so the interval is the one of *any*
        two of the G groups at once (Bonferroni over G (G - 1) / 2 pairs): 95 % or more, and it holds 0 where no gap is
        shown. The value itself lies above the truth, as a largest difference does.
    against_none : how much wider the gap is than with real images alone; below 0, the arm narrows it. Between the
        groups that are best and worst on the mean of both arms: a pair that is widest in one of them by chance is
        likely to be narrower in the other, which would be credited with it.
    """
    row: dict[str, Any] = {
        "value": None, "low": None, "high": None, "best": None, "worst": None, "n_groups": len(mine),
        "against_none": None, "note": None,
    }  # fmt: skip
    mine = {name: one for name, one in mine.items() if one.support.effective >= 2}
    if len(mine) < 2:
        return {**row, "note": f"{len(mine)} group{'s' * (len(mine) != 1)} could be judged: a gap takes two"}
    best, worst = _extremes(mine)
    level = 1 - (1 - LEVEL) / len(list(combinations(mine, 2)))
    apart = _between(mine, best, worst)
    row |= {"value": apart.mean, "best": best, "worst": worst}
    try:
        half = apart.spread(level=level).half
    except Unavailable as reason:
        return {**row, "note": str(reason)}
    row |= {"low": row["value"] - half, "high": row["value"] + half}
    if row["low"] <= 0:
        row["note"] = "no gap shown: the interval holds 0"
    if other is not None:
        row["against_none"] = _wider(mine, {name: other[name] for name in mine})
    return row


def _extremes(*arms: Mapping[str, Sampled]) -> tuple[str, str]:
    """Best and worst group on the mean of the arms; of equal ones the first is best and the last worst."""
    means = {name: round(sum(arm[name].mean for arm in arms), DIGITS) for name in arms[0]}
    return max(means, key=lambda name: means[name]), min(reversed(means), key=lambda name: means[name])


def _between(groups: Mapping[str, Sampled], best: str, worst: str) -> Sampled:
    """AUROC of one group minus another, on the resamples that judge both, with the patients of the smaller one."""
    pair = f"{groups[best].design} {groups[worst].design}"
    a, b = (replace(groups[name], design=pair) for name in (best, worst))
    return a.minus(b)


def _wider(mine: Mapping[str, Sampled], other: Mapping[str, Sampled]) -> dict[str, Any]:
    best, worst = _extremes(mine, other)
    apart = _between(mine, best, worst).minus(_between(other, best, worst))
    interval = apart.difference_interval()
    return {
        "difference": interval.estimate, "low": interval.low, "high": interval.high,
        "p_value": sign_flip_p(apart.values, seed=apart.seed), "best": best, "worst": worst,
    }  # fmt: skip
