"""Several trainings of one generator against one control: what can be said of the method, not of one lucky training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.statistics.collapsed import collapsed_note
from benchmarks.statistics.interval import LEVEL, POWER, sign_flip_p
from benchmarks.statistics.quantile import Parts, one_sided_p, quantile
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.word import Verdict, word_of_interval
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pooled:
    """Mean difference of AUROC over trainings of the generator and classifier seeds.

    It speaks for new ones of both and new patients.
    """

    difference: float
    low: float
    high: float
    p_interval: float
    """Two-sided p that belongs to the interval."""
    p_value: float
    """Exact sign-flip p over the classifier seeds, of the mean over these trainings."""
    verdict: Verdict
    n_trainings: int
    n_seeds: int
    n_groups: int
    by_training: tuple[float, ...]
    se_trainings: float
    """Standard error between trainings (of their mean)."""
    se_seeds: float
    se_patients: float
    quantile: float
    detectable: float
    """Smallest true difference that these trainings, seeds and patients would have shown in 80 % of experiments."""
    collapsed: tuple[str, ...] = ()
    """Seeds of any arm that collapsed, a sentence an arm."""
    support: str | None = None
    """Few patients on a side, or one who dominates, in words."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "by_training": list(self.by_training), "collapsed": list(self.collapsed)}


@dataclass(frozen=True)
class Variance:
    """Variance of a mean over trainings, seeds and patients; see `variance`."""

    total: float
    trainings: float
    seeds: float
    patients: float
    parts: Parts


def variance(
    values: NDArray[np.float64], draws: NDArray[np.float64], *, n_groups: float, freedom: float | None = None
) -> Variance:
    """Variance of the mean of G trainings x S seeds on P patients, all three crossed and random.

        V = max(V_between - V_interaction, 0) + max(V_patients, V_interaction)
        V_between = max(A + B - C, A, B),  V_interaction = a + b - c

    A = var of the G means over seeds / G, B = var of the S means over trainings / S, C = mean square of what is left
    in the G x S table / (G S): A and B both hold that interaction (Searle, Casella & McCulloch 1992, section 4.2).
    V_patients is the variance of the resampled grand mean; a, b and c are A, B and C of the resampled deviations:
    A, B and C hold the interactions with patients already. The first term, in proportion to A and B, has G - 1 and
    S - 1 degrees of freedom. With G = 1 this is `interval.half_width`'s variance, and for the same reason never below
    that of the patients.

    Parameters
    ----------
    values : (G, S) on the test set itself.
    draws : (G, S, N) on resamples of the patients.
    n_groups, freedom : as for `benchmarks.statistics.interval.mean_interval`.
    """
    a, b, c = (float(part[0]) for part in _crossed(values[:, :, None]))
    between = max(a + b - c, a, b)
    unbiased = n_groups / (n_groups - 1)
    moved_a, moved_b, moved_c = _crossed(draws - draws.mean(axis=2, keepdims=True))
    interaction = max(unbiased * float((moved_a + moved_b - moved_c).sum()) / (draws.shape[2] - 1), 0.0)
    v_patients = unbiased * float(draws.mean(axis=(0, 1)).var(ddof=1))
    beyond, rest = max(between - interaction, 0.0), max(v_patients, interaction)
    total = beyond + rest
    scale = beyond / (a + b) if a + b else 0.0
    freedoms = (len(values) - 1.0, values.shape[1] - 1.0, n_groups - 1.0 if freedom is None else freedom)
    shares = (scale * a / total, scale * b / total, rest / total) if total else (0.0, 0.0, 1.0)
    return Variance(total, a, b, v_patients, tuple(zip(shares, freedoms, strict=True)))


def _crossed(tables: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """A, B and C of `variance` for N tables (G, S, N), each (N,); 0 for what a single row or column cannot tell."""
    g, s, n = tables.shape
    rows, columns, none = tables.mean(axis=1), tables.mean(axis=0), np.zeros(n)
    a = rows.var(axis=0, ddof=1) / g if g > 1 else none
    b = columns.var(axis=0, ddof=1) / s if s > 1 else none
    left = tables - rows[:, None] - columns + tables.mean(axis=(0, 1))
    c = (left**2).sum(axis=(0, 1)) / ((g - 1) * (s - 1)) / (g * s) if g > 1 and s > 1 else none
    return a, b, c


def pool(arms: Sequence[Sampled], control: Sampled) -> Pooled:
    """Two or more trainings of one generator against a control, each arm sampled like the control.

    The interval covers the choice of trainings, of classifier seeds and of patients. As everywhere, fewer than
    `MIN_SEEDS` classifier seeds give no verdict.

    Raises
    ------
    ValueError
        When an arm cannot be paired with the control, or with fewer than two arms.
    Unavailable
        With fewer than two patients or two seeds, or when too few resamples can be judged.
    """
    if len(arms) < 2:
        raise ValueError("one training says nothing of another: two or more are pooled")
    if any(not arm.pairs_with(control) for arm in arms):
        raise ValueError("the trainings cannot be paired: they need one test set, root seed and number of seeds")
    if control.support.effective < 2 or control.n_seeds < 2:
        raise Unavailable("an interval over trainings needs two patients and two classifier seeds or more")
    apart = [arm.minus(control) for arm in arms]
    values = np.stack([one.values for one in apart])
    found = variance(
        values,
        np.stack([one.kept for one in apart]),
        n_groups=control.support.effective,
        freedom=control.support.freedom,
    )
    estimate, se = float(values.mean()), math.sqrt(found.total)
    q = quantile(0.5 + LEVEL / 2, found.parts)
    named = [("the control", control), *((f"training {k}", arm) for k, arm in enumerate(arms))]
    low, high = estimate - q * se, estimate + q * se
    return Pooled(
        difference=estimate,
        low=low,
        high=high,
        p_interval=min(1.0, 2 * one_sided_p(abs(estimate), se, found.parts)),
        p_value=sign_flip_p(values.mean(axis=0), seed=control.seed),
        verdict=word_of_interval(low, high, n_seeds=values.shape[1]),
        n_trainings=len(arms),
        n_seeds=values.shape[1],
        n_groups=control.n_patients,
        by_training=tuple(float(x) for x in values.mean(axis=1)),
        se_trainings=math.sqrt(found.trainings),
        se_seeds=math.sqrt(found.seeds),
        se_patients=math.sqrt(found.patients),
        quantile=q,
        detectable=(q + quantile(POWER, found.parts)) * se,
        collapsed=tuple(note for name, arm in named if (note := collapsed_note(name, arm.values.tolist()))),
        support=control.support.note,
    )
