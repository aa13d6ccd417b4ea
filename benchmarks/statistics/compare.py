"""One arm against another: paired difference, interval, exact sign-flip p, and a word."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.statistics.collapsed import collapsed_note
from benchmarks.statistics.interval import LEVEL, Interval, sign_flip_p
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.word import Verdict, too_few_seeds, word_of_interval
from synthworth.errors import Unavailable


@dataclass(frozen=True)
class Comparison:
    """Arm `a` against arm `b` in one metric: a minus b, with seeds and patients paired."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    p_value: float
    """Exact two-sided sign-flip p over the seeds."""
    verdict: Verdict
    """What a does compared with b; `no difference shown` whenever the interval holds 0."""
    note: str | None
    n_seeds: int
    n_groups: int
    n_replicates: int
    n_incomplete: int
    """Resamples in which some class could not be judged and was left out of the macro."""
    by_seed: tuple[float, ...]
    """The difference of each seed."""
    interval: Interval
    p_interval: float
    """Two-sided p that belongs to the interval, for new seeds *and* new patients: below 0.05 where it excludes 0."""
    detectable: float
    """Smallest true difference that this test set and these seeds would have shown in 80 % of experiments."""
    collapsed: tuple[str, ...] = ()
    """Seeds of either arm that collapsed, a sentence an arm."""
    support: str | None = None
    """Few patients on a side, or one who dominates, in words; None where there is neither."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values.

        Raises
        ------
        ValueError
            When a number is not finite.
        """
        row = asdict(self)
        numbers = [self.difference, self.low, self.high, self.p_value, self.p_interval, self.detectable, *self.by_seed]
        numbers += self.interval.percentile
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"comparison of {self.a} with {self.b} holds a number that is not finite")
        row |= {"by_seed": list(self.by_seed), "collapsed": list(self.collapsed)}
        row["interval"]["percentile"] = list(self.interval.percentile)
        return row


def compare(a: Sampled, b: Sampled, *, name_a: str, name_b: str) -> Comparison:
    """Arm a against arm b in one metric, both sampled on one test set, row s of both from classifier seed s.

    `helps` and `hurts` are said only when the 95 % interval of `mean_interval` excludes 0, and never from fewer than
    `MIN_SEEDS` seeds: the note then says that this is screening.

    Raises
    ------
    ValueError
        When the arms differ in test set, patients, bootstrap seed, replicates or number of seeds.
    Unavailable
        With fewer than two patients, or when too few resamples can be judged.
    """
    if not a.pairs_with(b):
        raise ValueError(
            f"{name_a} and {name_b} cannot be paired: they need one test set, one bootstrap seed and the same "
            f"classifier seeds ({a.n_seeds} and {b.n_seeds} seeds given)"
        )
    apart = a.minus(b)
    interval, n_seeds = apart.difference_interval(), apart.n_seeds
    reason = too_few_seeds(n_seeds)
    screening = f"screening: {reason}" if reason else None
    left_out = f"macro without {'; '.join(a.left_out)}" if a.left_out else None
    return Comparison(
        a=name_a,
        b=name_b,
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        p_value=sign_flip_p(apart.values, seed=apart.seed),
        verdict=word_of_interval(interval.low, interval.high, n_seeds=n_seeds),
        note="; ".join(part for part in (screening, interval.note, left_out) if part) or None,
        n_seeds=n_seeds,
        n_groups=apart.n_patients,
        n_replicates=int(apart.valid.sum()),
        n_incomplete=a.n_incomplete,
        by_seed=tuple(float(d) for d in apart.values),
        interval=interval,
        p_interval=apart.p_interval(),
        detectable=apart.spread(level=LEVEL).detectable(),
        collapsed=tuple(
            note for name, arm in ((name_a, a), (name_b, b)) if (note := collapsed_note(name, arm.values.tolist()))
        ),
        support=apart.support.note,
    )


def told_apart(a: Sampled, b: Sampled) -> bool:
    """Whether `compare` shows a difference in either direction: its verdict alone, at a fraction of the work.

    Raises
    ------
    ValueError, Unavailable
        As `compare`.
    """
    interval = a.minus(b).difference_interval()
    return word_of_interval(interval.low, interval.high, n_seeds=a.n_seeds) != "no difference shown"


def compare_metrics(a: Mapping[str, Sampled], b: Mapping[str, Sampled]) -> dict[str, dict[str, Any]]:
    """Two arms in every macro metric that both have, by name, as plain JSON values: the parts of a `Comparison`.

    A metric whose interval cannot be made has null ends and a `note`.

    Returns
    -------
    difference, low, high : a minus b, with the 95 % interval over seeds and patients.
    p_value : exact sign-flip p over the seeds.
    p_interval : the p that belongs to the interval.
    n_resamples : resamples that define the metric for every seed of both arms.

    Raises
    ------
    ValueError
        When the arms differ in test set, patients, bootstrap seed, replicates or number of seeds.
    """
    return {name: _row(a[name], b[name]) for name in a if a[name].label is None and name in b}


def _row(a: Sampled, b: Sampled) -> dict[str, Any]:
    apart = a.minus(b)
    row: dict[str, Any] = {
        "difference": apart.mean,
        "low": None,
        "high": None,
        "p_value": sign_flip_p(apart.values, seed=apart.seed),
        "p_interval": None,
        "n_resamples": int(apart.valid.sum()),
        "note": None,
    }
    try:
        interval, p = apart.difference_interval(), apart.p_interval()
    except Unavailable as reason:
        return {**row, "note": str(reason)}
    return {**row, "low": interval.low, "high": interval.high, "p_interval": p, "note": interval.note}
