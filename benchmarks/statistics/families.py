"""One arm with several classifier families, each against its own control: what can be said of families in general."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.statistics.collapsed import collapsed_note
from benchmarks.statistics.crossed_trainings import variance
from benchmarks.statistics.interval import LEVEL, POWER
from benchmarks.statistics.quantile import cochran, one_sided_p
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.word import Verdict, word_of_interval
from synthworth.errors import Unavailable


@dataclass(frozen=True)
class OverFamilies:
    """Mean difference of AUROC over classifier families and their seeds.

    It speaks for new families, new seeds and new patients, as far as those at hand are a sample of them.
    """

    difference: float
    low: float
    high: float
    p_interval: float
    """Two-sided p that belongs to the interval."""
    verdict: Verdict
    n_families: int
    n_seeds: int
    """Of each family."""
    n_groups: int
    by_family: tuple[float, ...]
    se_families: float
    """Standard error between families (of their mean); it holds what their seeds do."""
    se_seeds: float
    """Standard error between the seeds of one number in every family."""
    se_patients: float
    quantile: float
    detectable: float
    """Smallest true difference that these families, seeds and patients would have shown in 80 % of experiments."""
    collapsed: tuple[str, ...] = ()
    """Seeds of any arm that collapsed, a sentence an arm."""
    support: str | None = None
    """Few patients on a side, or one who dominates, in words."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "by_family": list(self.by_family), "collapsed": list(self.collapsed)}


def over_families(pairs: Sequence[tuple[Sampled, Sampled]], names: Sequence[str] = ()) -> OverFamilies:
    """Two or more families, each as (arm, control) of one sampled AUROC, all on one test set.

    The gain of a family is paired seed by seed with that family's own control. Families, seeds and patients are all
    random and all crossed, as trainings are (`benchmarks.statistics.crossed_trainings.variance`, with families in the
    place of trainings): seeds of one number share the order of the images, and where they share nothing else the
    interaction between families and seeds holds all that seeds do. The quantile is Cochran's alone
    (`benchmarks.statistics.quantile.cochran`), as three families leave two degrees of freedom.

    Parameters
    ----------
    names : of the families; `family 0`, `family 1`, ... when left out.

    Raises
    ------
    ValueError
        When two arms cannot be paired, or with fewer than two families.
    Unavailable
        With fewer than two patients or two seeds, or when too few resamples can be judged.
    """
    if len(pairs) < 2:
        raise ValueError("one classifier says nothing of another: two or more are put together")
    called = list(names) or [f"family {k}" for k in range(len(pairs))]
    first = pairs[0][0]
    if any(not one.pairs_with(first) for pair in pairs for one in pair):
        raise ValueError(
            "the classifiers cannot be put together: they need one test set, root seed and number of seeds"
        )
    weakest = min((one.support for pair in pairs for one in pair), key=lambda s: (s.freedom, s.n))
    if weakest.effective < 2 or first.n_seeds < 2:
        raise Unavailable("an interval over classifiers needs two patients and two classifier seeds or more")
    apart = [arm.minus(control) for arm, control in pairs]
    valid = np.stack([one.valid for one in apart]).all(axis=0)
    values = np.stack([one.values for one in apart])
    draws = np.stack([one.draws for one in apart])[:, :, valid]
    found = variance(values, draws, n_groups=weakest.effective, freedom=weakest.freedom)
    estimate, se = float(values.mean()), math.sqrt(found.total)
    q = cochran(0.5 + LEVEL / 2, found.parts)
    low, high = estimate - q * se, estimate + q * se
    arms = [(f"{name}, {what}", one) for name, pair in zip(called, pairs, strict=True)
            for what, one in zip(("the arm", "the control"), pair, strict=True)]  # fmt: skip
    return OverFamilies(
        difference=estimate,
        low=low,
        high=high,
        p_interval=min(1.0, 2 * one_sided_p(abs(estimate), se, found.parts, of=cochran)),
        verdict=word_of_interval(low, high, n_seeds=values.shape[1]),
        n_families=len(pairs),
        n_seeds=values.shape[1],
        n_groups=first.n_patients,
        by_family=tuple(float(x) for x in values.mean(axis=1)),
        se_families=math.sqrt(found.trainings),
        se_seeds=math.sqrt(found.seeds),
        se_patients=math.sqrt(found.patients),
        quantile=q,
        detectable=(q + cochran(POWER, found.parts)) * se,
        collapsed=tuple(note for name, one in arms if (note := collapsed_note(name, one.values.tolist()))),
        support=weakest.note,
    )
