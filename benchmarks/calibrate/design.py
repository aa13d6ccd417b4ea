"""Experiments with a known answer: what they look like, and the scores that they give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD_SPREAD = 0.03


@dataclass(frozen=True)
class Design:
    """What an experiment looks like. Effects are standard deviations of the score, on which a film's own noise has 1.

    A film's score in arm a, seed s, when the finding is there (y = 1) or not (y = 0):

        z = (mu_a + seed e_s + seed_arm e_as) y + patient u_p + film v_i + patient_arm w_ap + film_arm x_ai + run r_asi

    with standard normal e, u, v, w, x, r. With several trainings of the generator each has its own training t_ag y
    besides, and its own w, x, r and second seed effect; the first arm (the control) has one. Labels of a patient's
    films agree: y = 1 where sqrt(agreement) g_p + sqrt(1 - agreement) h_i is among the highest `prevalence`.

    Four edges: exactly `n_positive` films are positive; one patient brings the share `dominant` of the films; scores
    are rounded to `decimals`; each seed of each arm collapses (mu = 0) with the chance `collapse`.
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
    n_positive: int = 0
    """Positive films, exactly; 0 for as many as the prevalence gives."""
    dominant: float = 0.0
    decimals: int | None = None
    collapse: float = 0.0

    @property
    def scale(self) -> float:
        """Standard deviation of the difference of two films' scores, of different patients."""
        parts = (self.patient, self.film, self.patient_arm, self.film_arm, self.run)
        return math.sqrt(2 * sum(x**2 for x in parts))

    def separation(self, auroc: float, *, trained: bool = False) -> float:
        """The mu that gives an arm this AUROC.

        That is the AUROC over all patients, seeds and (where it is `trained`) trainings, before any seed collapses:
        Phi(mu / sqrt(scale^2 + their effects^2)).
        """
        from scipy.stats import norm

        training = self.training if trained else 0.0
        return float(norm.ppf(auroc)) * math.sqrt(self.scale**2 + self.seed**2 + self.seed_arm**2 + training**2)

    def better(self, gain: float) -> float:
        """The AUROC of the arm that is better by `gain`, or half way to 1 where there is no room for that."""
        return min(self.auroc + gain, (1 + self.auroc) / 2)

    def truth(self, auroc: float) -> float:
        """The AUROC that the films of an arm have in truth, where its separation is that of `auroc`.

        Seeds that collapse say nothing (0.5), and rounding makes ties, which count one half.
        """
        return (1 - self.collapse) * self._rounded(auroc) + self.collapse * 0.5

    def _rounded(self, auroc: float) -> float:
        from scipy.stats import norm

        if self.decimals is None:
            return auroc
        mu, half = self.separation(auroc), self.scale / math.sqrt(2)
        step = 10.0**-self.decimals
        edges = (
            self.scale * norm.ppf((np.arange(1, round(1 / step) + 1) - 0.5) * step) + self.separation(self.auroc) / 2
        )
        spread = math.sqrt(half**2 + self.seed**2 + self.seed_arm**2)
        shares = [np.diff(norm.cdf(edges, m, s), prepend=0, append=1) for m, s in ((mu, spread), (0.0, half))]
        below = np.cumsum(shares[1]) - shares[1]
        return float((shares[0] * (below + shares[1] / 2)).sum())


LONE: dict[str, float] = {"film_arm": 0.6, "run": 0.2}
"""What makes two arms differ on single films, whatever the seed: then one film decides where few are positive."""

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
    Design("30 patients", "30 patients with 150 films", n_patients=30, n_films=150),
    Design("78 films", "78 films of 78 patients", n_patients=78, n_films=78),
    Design("AUROC .98", "AUROC .98, 150 films of 100 patients", auroc=0.98, n_patients=100, n_films=150),
    Design("2 positives", "200 films, 2 of them positive", n_patients=200, n_films=200, n_positive=2, **LONE),
    Design("3 positives", "200 films, 3 of them positive", n_patients=200, n_films=200, n_positive=3, **LONE),
    Design("5 positives", "200 films, 5 of them positive", n_patients=200, n_films=200, n_positive=5, **LONE),
    Design("10 positives", "200 films, 10 of them positive", n_patients=200, n_films=200, n_positive=10, **LONE),
    Design(
        "dominant 30 %", "one of 100 patients brings 30 % of 400 films", n_patients=100, n_films=400, dominant=0.3,
        patient_arm=0.6, film_arm=0.2, run=0.2,
    ),
    Design(
        "dominant 50 %", "one of 100 patients brings 50 % of 400 films", n_patients=100, n_films=400, dominant=0.5,
        patient_arm=0.6, film_arm=0.2, run=0.2,
    ),
    Design("rounded scores", "scores rounded to tenths", decimals=1),
    Design("collapsed seeds", "one seed in twelve collapses", collapse=1 / 12),
    Design(
        "noisy classifiers", "seeds that agree on no film, 60 films of 60 patients", n_patients=60, n_films=60, run=1.5,
        film_arm=0.1, patient_arm=0.05,
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


def simulate_levels(
    design: Design, aurocs: Sequence[float], *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """One test set and arms of these AUROCs in truth, each with effects of its own.

    Parameters
    ----------
    aurocs : (A,), of each arm.

    Returns
    -------
    scores : (A, S, N, 2) probabilities.
    truth, patients : (N,).
    """
    from scipy.stats import norm

    d, rng = design, np.random.default_rng(seed)
    normal = rng.standard_normal
    p, y = draw_test_set(d, rng)
    mu, n = np.array([d.separation(auroc) for auroc in aurocs]), len(aurocs)
    film = d.patient * normal(d.n_patients)[p] + d.film * normal(d.n_films)
    skill = mu[:, None] + d.seed * normal(d.n_seeds) + d.seed_arm * normal((n, d.n_seeds))
    arm = d.patient_arm * normal((n, d.n_patients))[:, p] + d.film_arm * normal((n, d.n_films))
    z = skill[:, :, None] * y + film + arm[:, None] + d.run * normal((n, d.n_seeds, d.n_films))
    probability = norm.cdf((z - mu[0] / 2) / d.scale)
    return np.stack([1 - probability, probability], axis=-1), y, p


def draw_test_set(design: Design, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Patient and label, int64 (N,) each, of the films of one experiment: every patient has a film or more."""
    from scipy.stats import norm

    d, n, n_patients = design, design.n_films, design.n_patients
    own = round(d.dominant * n)
    extra = rng.integers(1 if own else 0, n_patients, size=n - n_patients - max(own - 1, 0))
    p = np.sort(np.concatenate([np.arange(n_patients), np.zeros(max(own - 1, 0), dtype=np.int64), extra]))
    of_patients, of_films = rng.standard_normal(n_patients), rng.standard_normal(n)
    liability = math.sqrt(d.agreement) * of_patients[p] + math.sqrt(1 - d.agreement) * of_films
    if d.n_positive:
        return p, (liability >= np.sort(liability)[-d.n_positive]).astype(np.int64)
    return p, (liability > norm.ppf(1 - d.prevalence)).astype(np.int64)


def simulate(design: Design, *, gain: float, seed: int) -> Experiment:
    """Draw one experiment; over all patients and seeds, the AUROC of the third arm is `gain` above the others'."""
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    normal = rng.standard_normal
    d, n, n_patients = design, design.n_films, design.n_patients
    p, y = draw_test_set(d, rng)
    mu = np.array([d.separation(d.auroc), *(d.separation(d.better(x), trained=True) for x in (0.0, gain))])
    seeds, seeds_arm = d.seed * normal(d.n_seeds), d.seed_arm * normal((3, d.n_seeds))
    film = d.patient * normal(n_patients)[p] + d.film * normal(n)

    def scores(skill: NDArray[np.float64]) -> NDArray[np.float64]:  # (A, S) -> (A, S, N, 2) probabilities
        if d.collapse:
            skill = np.where(rng.random(skill.shape) < d.collapse, 0.0, skill)
        arm = d.patient_arm * normal((len(skill), n_patients))[:, p] + d.film_arm * normal((len(skill), n))
        z = skill[:, :, None] * y + film + arm[:, None] + d.run * normal((len(skill), d.n_seeds, n))
        probability = norm.cdf((z - mu[0] / 2) / d.scale)
        if d.decimals is not None:
            probability = probability.round(d.decimals)
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
