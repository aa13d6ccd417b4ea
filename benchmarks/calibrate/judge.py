"""Simulated experiments judged as a run is, and as others would: a row for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.calibrate.design import Design, Experiment, simulate
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.compare import Comparison, compare, compare_metrics
from benchmarks.statistics.crossed_trainings import Pooled, pool
from benchmarks.statistics.delong import compare_delong
from benchmarks.statistics.equivalence import equivalence
from benchmarks.statistics.interval import Interval
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.utility import sample_utility
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA = 0.05
HARNESS = "harness"
METHODS = {
    HARNESS: "this harness: seeds and patients (and trainings)",
    "one_training": "this harness, one training of the generator",
    "percentile": "percentile bootstrap, seeds x patients",
    "sign_flip": "sign-flip test over the seeds",
    "seeds_t": "paired t over the seeds",
    "delong": "DeLong over the films",
    "one_seed": "one seed, bootstrap over the films",
}
"""Ways to judge a difference, and what each is called; all but the first leave something out."""


@dataclass(frozen=True)
class Task:
    """A part of a design's experiments, in the form that crosses to a worker process."""

    design: Design
    numbers: tuple[int, ...]
    gain: float
    n_replicates: int
    seed: int


def run_experiments(task: Task) -> list[dict[str, Any]]:
    """Judge each experiment's twin (true difference 0) and better arm against the first arm: two rows each.

    An experiment whose test set cannot be judged, as it has fewer than two patients on a side, has none.
    """
    rows: list[dict[str, Any]] = []
    for number in task.numbers:
        seed = seed_from(task.seed, "calibrate", task.design.name, number)
        design = task.design
        made = simulate(design, gain=task.gain, seed=seed)
        of_patients, of_films = (
            Resamples.draw(groups.tolist(), seed=seed, n_replicates=task.n_replicates)
            for groups in (made.patients, np.arange(len(made.truth)))
        )
        try:
            patients = [_auroc(one, made, of_patients) for one in made.scores]
        except Unavailable:
            continue
        films = [_auroc(one[:1], made, of_films) for one in made.scores]
        twin, better = (judge(made, arm, patients=patients, films=films, margin=task.gain) for arm in (1, 2))
        metrics = {}
        if task.design.n_trainings == 1:
            metrics = judge_metrics(made, of_patients)
        else:
            for row, arm, scores in ((twin, 1, made.further[0]), (better, 2, made.further[1])):
                others = [_auroc(one, made, of_patients) for one in scores]
                row |= judge_trainings(row, pool([patients[arm], *others], patients[0]))
        gained = design.truth(design.better(task.gain)) - design.truth(design.auroc)
        alone = judge_arm(patients[0], truth=design.truth(design.auroc))
        rows += [
            {"truth": 0.0, **twin, "metrics": metrics, "arm": alone},
            {"truth": gained, "gained": True, **better},
        ]
    return rows


def _auroc(scores: NDArray[np.float64], made: Experiment, resamples: Resamples) -> Sampled:
    return sample_auroc(scores, made.truth, resamples)["auroc"]


def judge_arm(arm: Sampled, *, truth: float) -> dict[str, bool]:
    """Whether the interval of one arm's AUROC holds the truth, and on which side it misses it."""
    found = arm.interval()
    return {"below": found.high < truth, "above": found.low > truth}


def judge_trainings(row: dict[str, Any], found: Pooled) -> dict[str, Any]:
    """What changes in `judge`'s row of one training where several are pooled: the harness's interval and verdict."""
    interval = {HARNESS: (found.low, found.high), "one_training": row["intervals"][HARNESS]}
    said = {HARNESS: not found.low <= 0 <= found.high, "one_training": row["significant"][HARNESS]}
    return {
        "estimate": found.difference,
        "verdict": found.verdict,
        "intervals": {**row["intervals"], **interval},
        "significant": {**row["significant"], **said},
        "equivalent": None,
        "detectable": found.detectable,
    }


def judge_metrics(made: Experiment, resamples: Resamples) -> dict[str, bool]:
    """Whether the twin's 95 % interval excludes 0, in every utility metric but AUROC, which equals the first arm's."""
    twin, first = (
        sample_utility(made.scores[arm], made.truth, resamples, thresholds=made.thresholds[arm]) for arm in (1, 0)
    )
    compared = compare_metrics(twin, first)
    return {name: row["p_interval"] is not None and row["p_interval"] < ALPHA for name, row in compared.items()}


def judge(
    made: Experiment, arm: int, *, patients: Sequence[Sampled], films: Sequence[Sampled], margin: float
) -> dict[str, Any]:
    """The harness's verdict on an arm against the first, and what the other `METHODS` would have said.

    Parameters
    ----------
    patients : AUROC of the three arms on resamples of the patients.
    films : that of their first seed alone, over films as if each were its patient's only one.

    Returns
    -------
    intervals : (low, high) by method, where it has one.
    significant : by method.
    """
    found = compare(patients[arm], patients[0], name_a="arm", name_b="first")
    by_film = films[arm].minus(films[0]).kept[0]
    delong = compare_delong(made.scores[arm], made.scores[0], made.truth)
    narrow = _luck(found.interval)
    intervals = {
        HARNESS: (found.low, found.high),
        "percentile": found.interval.percentile,
        "seeds_t": _t_over_seeds(found),
        "delong": (delong.difference - 1.96 * delong.se, delong.difference + 1.96 * delong.se),
        "one_seed": _percentile(by_film),
    }
    significant = {method: not low <= 0 <= high for method, (low, high) in intervals.items()}
    equal = equivalence(patients[arm].minus(patients[0]), margin=margin)
    return {
        "estimate": found.difference,
        "verdict": found.verdict,
        "intervals": intervals,
        "significant": significant | {"sign_flip": found.p_value < ALPHA},
        "equivalent": bool(equal["equivalent"]),
        "detectable": found.detectable,
        "half": (found.high - found.low) / 2,
        "luck": narrow,
    }


def _luck(interval: Interval) -> float:
    """How wide the interval would be without its bound, in standard errors of the patients: below 1 by luck alone.

    The standard error of V_between + max(V_patients - V_interaction, 0), of which the first term happens to be small
    where six seeds happen to agree.
    """
    between, shared = (x or 0.0 for x in (interval.se_seeds, interval.se_interaction))
    patients = interval.se_patients
    unbound = between**2 + max(patients**2 - shared**2, 0.0)
    return math.sqrt(unbound) / patients if patients else math.inf


def _t_over_seeds(found: Comparison) -> tuple[float, float]:
    from scipy.stats import t

    values = np.array(found.by_seed)
    half = float(t.ppf(1 - ALPHA / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return found.difference - half, found.difference + half


def _percentile(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)
