"""Experiments with a known answer: two arms on a test set of patients with several films, judged as a run is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.compare import Comparison, compare, compare_metrics
from benchmarks.statistics.crossed_trainings import Pooled, pool
from benchmarks.statistics.delong import compare_delong
from benchmarks.statistics.equivalence import equivalence
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.utility import sample_utility
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA = 0.05
THRESHOLD_SPREAD = 0.03
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
class Design:
    """What an experiment looks like. Effects are standard deviations of the score, on which a film's own noise has 1.

    A film's score in arm a, seed s, when the finding is there (y = 1) or not (y = 0):

        z = (mu_a + seed e_s + seed_arm e_as) y + patient u_p + film v_i + patient_arm w_ap + film_arm x_ai + run r_asi

    with standard normal e, u, v, w, x, r. With several trainings of the generator each has its own training t_ag y
    besides, and its own w, x, r and second seed effect; the first arm (the control) has one. Labels of a patient's
    films agree: y = 1 where sqrt(agreement) g_p + sqrt(1 - agreement) h_i is among the highest `prevalence`.
    """

    name: str
    summary: str
    n_seeds: int = 6
    n_patients: int = 200
    n_films: int = 500
    prevalence: float = 0.3
    agreement: float = 0.5
    seed: float = 0.10
    seed_arm: float = 0.06
    patient: float = 0.7
    film: float = 0.7
    patient_arm: float = 0.2
    film_arm: float = 0.3
    run: float = 0.4
    auroc: float = 0.80
    """Of the first arm."""
    n_trainings: int = 1
    training: float = 0.0

    @property
    def scale(self) -> float:
        """Standard deviation of the difference of two films' scores, of different patients."""
        parts = (self.patient, self.film, self.patient_arm, self.film_arm, self.run)
        return math.sqrt(2 * sum(x**2 for x in parts))

    def separation(self, auroc: float, *, trained: bool = False) -> float:
        """The mu that gives an arm this AUROC.

        That is the AUROC over all patients, seeds and (where it is `trained`) trainings:
        Phi(mu / sqrt(scale^2 + their effects^2)).
        """
        from scipy.stats import norm

        training = self.training if trained else 0.0
        return float(norm.ppf(auroc)) * math.sqrt(self.scale**2 + self.seed**2 + self.seed_arm**2 + training**2)


DESIGNS = (
    Design("6 seeds", "6 seeds, 500 films of 200 patients"),
    Design("10 seeds", "10 seeds, 500 films of 200 patients", n_seeds=10),
    Design("large test set", "6 seeds, 2,500 films of 1,000 patients", n_patients=1000, n_films=2500),
    Design("strong seeds", "6 seeds that differ much, 500 films of 200 patients", seed=0.4, seed_arm=0.3),
    Design(
        "strong patients",
        "6 seeds, 1,000 films of 120 patients who suit one arm or the other",
        n_patients=120, n_films=1000, agreement=0.8, patient=1.0, patient_arm=0.6, film_arm=0.2, run=0.3,
    ),
    Design("3 seeds", "screening: 3 seeds, 500 films of 200 patients", n_seeds=3),
    Design(
        "3 trainings",
        "3 trainings of the generator, 6 seeds, 500 films of 200 patients",
        n_trainings=3, training=0.06,
    ),
    Design(
        "5 trainings",
        "5 trainings of the generator, 6 seeds, 500 films of 200 patients",
        n_trainings=5, training=0.06,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """One simulated test set, seen by three arms: a first, a twin of equal worth, and one better by `gain`."""

    scores: NDArray[np.float64]
    """(3, S, N, 2) probabilities."""
    truth: NDArray[np.int64]
    """(N,)"""
    patients: NDArray[np.int64]
    """(N,)"""
    thresholds: NDArray[np.float64]
    """(3, S, 1): 0.5, a little off from seed to seed, as if chosen on a very large val set."""
    further: NDArray[np.float64]
    """(2, G - 1, S, N, 2) probabilities of the other trainings of the twin's generator and of the better arm's."""


def simulate(design: Design, *, gain: float, seed: int) -> Experiment:
    """Draw one experiment; over all patients and seeds, the AUROC of the third arm is `gain` above the others'."""
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    normal = rng.standard_normal
    d, n, n_patients = design, design.n_films, design.n_patients
    extra = rng.integers(n_patients, size=n - n_patients)
    p = np.sort(np.concatenate([np.arange(n_patients), extra]))
    liability = math.sqrt(d.agreement) * normal(n_patients)[p] + math.sqrt(1 - d.agreement) * normal(n)
    y = (liability > norm.ppf(1 - d.prevalence)).astype(np.int64)
    mu = np.array([d.separation(d.auroc), *(d.separation(d.auroc + x, trained=True) for x in (0.0, gain))])
    seeds, seeds_arm = d.seed * normal(d.n_seeds), d.seed_arm * normal((3, d.n_seeds))
    film = d.patient * normal(n_patients)[p] + d.film * normal(n)

    def scores(skill: NDArray[np.float64]) -> NDArray[np.float64]:  # (A, S) -> (A, S, N, 2) probabilities
        arm = d.patient_arm * normal((len(skill), n_patients))[:, p] + d.film_arm * normal((len(skill), n))
        z = skill[:, :, None] * y + film + arm[:, None] + d.run * normal((len(skill), d.n_seeds, n))
        probability = norm.cdf((z - mu[0] / 2) / d.scale)
        return np.stack([1 - probability, probability], axis=-1)

    luck = np.zeros((3, 1))
    if d.n_trainings > 1:
        luck[1:] = d.training * normal((2, 1))
    made = scores(mu[:, None] + seeds + seeds_arm + luck)
    thresholds = 0.5 + THRESHOLD_SPREAD * normal((3, d.n_seeds, 1))
    more = 2 * (d.n_trainings - 1)
    skill = np.repeat(mu[1:], d.n_trainings - 1)[:, None] + seeds
    further = scores(skill + d.seed_arm * normal((more, d.n_seeds)) + d.training * normal((more, 1)))
    return Experiment(made, y, p, thresholds, further.reshape(2, d.n_trainings - 1, *further.shape[1:]))


@dataclass(frozen=True)
class Task:
    """A part of a design's experiments, in the form that crosses to a worker process."""

    design: Design
    numbers: tuple[int, ...]
    gain: float
    n_replicates: int
    seed: int


def run_experiments(task: Task) -> list[dict[str, Any]]:
    """Judge each experiment's twin (true difference 0) and better arm (`gain`) against the first arm: two rows each."""
    rows = []
    for number in task.numbers:
        seed = seed_from(task.seed, "calibrate", task.design.name, number)
        made = simulate(task.design, gain=task.gain, seed=seed)
        of_patients, of_films = (
            Resamples.draw(groups.tolist(), seed=seed, n_replicates=task.n_replicates)
            for groups in (made.patients, np.arange(len(made.truth)))
        )
        patients = [_auroc(one, made, of_patients) for one in made.scores]
        films = [_auroc(one[:1], made, of_films) for one in made.scores]
        twin, better = (judge(made, arm, patients=patients, films=films, margin=task.gain) for arm in (1, 2))
        metrics = {}
        if task.design.n_trainings == 1:
            metrics = judge_metrics(made, of_patients)
        else:
            for row, arm, scores in ((twin, 1, made.further[0]), (better, 2, made.further[1])):
                others = [_auroc(one, made, of_patients) for one in scores]
                row |= judge_trainings(row, pool([patients[arm], *others], patients[0]))
        rows += [{"truth": 0.0, **twin, "metrics": metrics}, {"truth": task.gain, **better}]
    return rows


def _auroc(scores: NDArray[np.float64], made: Experiment, resamples: Resamples) -> Sampled:
    return sample_auroc(scores, made.truth, resamples)["auroc"]


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
        "equivalent": bool(equal["p_value"] < ALPHA),
    }


def _t_over_seeds(found: Comparison) -> tuple[float, float]:
    from scipy.stats import t

    values = np.array(found.by_seed)
    half = float(t.ppf(1 - ALPHA / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return found.difference - half, found.difference + half


def _percentile(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates over the experiments of one design, as shares of 1.

    Returns
    -------
    verdicts : share of `helps` or `hurts` at a true difference of 0 (false), of `helps` (power) and `hurts` (wrong way)
        at the gain.
    methods : for each, false positives at 0, power at the gain, and the coverage of its 95 % interval.
    equivalence : share declared equivalent at 0, and (false) where the truth lies at the margin; None where trainings
        are pooled, for which there is no such test.
    bias : mean estimate minus truth.
    metrics : false positives of the other utility metrics' intervals.
    """
    null = [row for row in rows if row["truth"] == 0]
    gained = [row for row in rows if row["truth"] != 0]

    def share(some: Sequence[dict[str, Any]], what: Any) -> float:
        return float(np.mean([bool(what(row)) for row in some]))

    methods: dict[str, dict[str, float | None]] = {}
    for method in METHODS:
        told, has = method in null[0]["significant"], method in null[0]["intervals"]
        methods[method] = {
            "false_positives": share(null, lambda row, m=method: row["significant"][m]) if told else None,
            "power": share(gained, lambda row, m=method: row["significant"][m] and row["estimate"] > 0)
            if told
            else None,
            "coverage": share(rows, lambda row, m=method: _covers(row, m)) if has else None,
        }
    pooled = null[0]["equivalent"] is None
    return {
        "n_experiments": len(null),
        "verdicts": {
            "false": share(null, lambda row: row["verdict"] != "no difference shown"),
            "power": share(gained, lambda row: row["verdict"] == "helps"),
            "wrong_way": share(gained, lambda row: row["verdict"] == "hurts"),
        },
        "methods": methods,
        "equivalence": {
            "true": None if pooled else share(null, lambda row: row["equivalent"]),
            "false": None if pooled else share(gained, lambda row: row["equivalent"]),
        },
        "bias": {
            "none": float(np.mean([row["estimate"] for row in null])),
            "gain": float(np.mean([row["estimate"] - row["truth"] for row in gained])),
        },
        "metrics": {name: share(null, lambda row, m=name: row["metrics"][m]) for name in null[0]["metrics"]},
    }


def _covers(row: dict[str, Any], method: str) -> bool:
    low, high = row["intervals"][method]
    return bool(low <= row["truth"] <= high)
