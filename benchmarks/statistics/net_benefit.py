"""Net benefit of every seed of an arm at a stated prevalence, on the resamples of the patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.metrics.net_benefit import NET_BENEFIT, Moved, called, net_benefit_of, questions
from benchmarks.metrics.utility import SIDES
from benchmarks.statistics.auroc import check_scores
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.support import Support
from benchmarks.statistics.utility import Label, by_name, judged_classes, only, with_macro
from benchmarks.statistics.weighted import Column, divide
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from benchmarks.statistics.sampled import Sampled


def sample_net_benefit(
    scores: ArrayLike,
    truth: ArrayLike,
    resamples: Resamples,
    *,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    prevalence: float,
    classes: Sequence[str],
) -> dict[str, Sampled]:
    """`benchmarks.metrics.net_benefit` by name, with `[<class>]`, of every seed on test and on each resample.

    How probabilities are moved is learned once, on val as it is: val is not resampled, as it is not for thresholds.
    What val cannot move, or the test set does not define for every seed, has no entry.

    Parameters
    ----------
    scores : (S, N, K) on test.
    truth : (N,) or (N, K).
    val_truth, val_scores : the same of val.
    prevalence : above 0 and below 1.

    Raises
    ------
    ValueError
        For shapes that do not fit or scores that are not finite.
    """
    try:
        moved = [Moved.fit(truth=val_truth, scores=one) for one in np.asarray(val_scores)]
    except Unavailable:
        return {}  # the table of utility holds the null with its reason
    return sample_moved(scores, truth, resamples, moved=moved, prevalence=prevalence, classes=classes)


def sample_moved(
    scores: ArrayLike,
    truth: ArrayLike,
    resamples: Resamples,
    *,
    moved: Sequence[Moved],
    prevalence: float,
    classes: Sequence[str],
) -> dict[str, Sampled]:
    """The same, where it is known how each seed's probabilities are moved.

    Parameters
    ----------
    moved : S of them.

    Raises
    ------
    Unavailable
        Where scores are no probabilities.
    ValueError
        As `sample_net_benefit`.
    """
    stack, labels = check_scores(scores, resamples), np.asarray(truth)
    problems = [questions(labels, one, classes) for one in stack]
    yes, names = problems[0].truth, problems[0].names
    judged = judged_classes(yes, resamples, SIDES)

    def measure(s: int) -> dict[Label, Column]:
        said = called(problems[s], moved[s], prevalence=prevalence, threshold=prevalence)
        found = divide(resamples.total(yes & said), resamples.total(yes))
        alarms = divide(resamples.total(~yes & said), resamples.total(~yes))
        both = found.valid & alarms.valid
        worth = net_benefit_of(found.draws, alarms.draws, prevalence=prevalence, threshold=prevalence)
        table = Column(np.where(both, worth, 0.0), both)
        return with_macro(NET_BENEFIT.name, names, only(table, judged & moved[s].known))

    def support(metric: str, label: str | None) -> Support:
        rows = [q for q in np.flatnonzero(judged) if label in (None, names[q])]
        return Support.of(resamples.patient, yes[:, rows], [names[q] for q in rows], SIDES)

    made = by_name(measure, len(problems), resamples, resamples.design(yes, names), support)
    return {name: replace(one, ends=(-prevalence, prevalence)) for name, one in made.items()}
