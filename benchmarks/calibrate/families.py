"""Experiments with several classifier families whose true gain is known, and how often each way to judge them errs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.calibrate.design import Design, draw_test_set
from benchmarks.calibrate.judge import HARNESS
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.crossed_trainings import variance
from benchmarks.statistics.families import over_families
from benchmarks.statistics.interval import LEVEL, mean_interval
from benchmarks.statistics.quantile import quantile
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.sampled import Sampled
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAYOUT = Design("families", "6 seeds, 500 films of 200 patients")
"""The test set and the seeds that families are judged on."""
ARMS = ("first", "twin", "better")
FAMILY_METHODS = {
    HARNESS: "this harness: families, seeds and patients",
    "mean_quantile": "the same with the quantile of every other comparison",
    "nested": "means of the families alone, over new families and patients",
    "fixed": "these families as they are: seeds and patients",
    "one_family": "one family taken for all",
}
"""Ways to judge a gain over families; those after `harness` are what it is compared with."""


@dataclass(frozen=True)
class FamilyDesign:
    """What an experiment with F families looks like. Effects are standard deviations of the score, as in `Design`.

    A film's score in family f, arm a, seed s, when the finding is there (y = 1) or not (y = 0):

        z = (mu_a + level k_f + family b_fa + seed e_fs + seed_arm e_fas + order o_as) y
            + patient u_p + film v_i + patient_arm w_fap + film_arm x_fai + run r_fasi

    with standard normal k, b, e, o, u, v, w, x, r. The first arm has no b. Half of the variance of w and of x is the
    same in every family: images that suit a patient suit him whoever learns from them. `order` is what the seeds of one
    number have in common over families, as they see the images in one order.
    """

    name: str
    summary: str
    n_families: int
    family: float
    level: float = 0.2
    order: float = 0.0
    layout: Design = LAYOUT

    def separation(self, auroc: float, *, first: bool) -> float:
        """The mu that gives an arm this AUROC over all families, seeds and patients; see `Design.separation`."""
        from scipy.stats import norm

        d = self.layout
        own = 0.0 if first else self.family
        spread = d.scale**2 + self.level**2 + own**2 + d.seed**2 + d.seed_arm**2 + self.order**2
        return float(norm.ppf(auroc)) * math.sqrt(spread)


def _of(n_families: int) -> tuple[FamilyDesign, ...]:
    f = f"{n_families} families"
    return (
        FamilyDesign(f"{f}, alike", f"{f} with one gain", n_families, 0.0),
        FamilyDesign(f, f"{f} whose gains differ as trainings do", n_families, 0.06),
        FamilyDesign(f"{f}, unlike", f"{f} whose gains differ much", n_families, 0.2),
        FamilyDesign(f"{f}, one order", f"{f}, seeds of one number alike", n_families, 0.06, order=0.1),
    )


FAMILY_DESIGNS = (*_of(3), *_of(5))


@dataclass(frozen=True)
class FamilyTask:
    """A part of a design's experiments, in the form that crosses to a worker process."""

    design: FamilyDesign
    numbers: tuple[int, ...]
    gain: float
    n_replicates: int
    seed: int


def simulate_families(
    design: FamilyDesign, *, gain: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Scores (F, 3, S, N, 2) of each family's arms (`ARMS`), truth (N,) and patients (N,)."""
    from scipy.stats import norm

    d, rng, n_families = design.layout, np.random.default_rng(seed), design.n_families
    normal, a, s, n = rng.standard_normal, len(ARMS), d.n_seeds, d.n_films
    p, y = draw_test_set(d, rng)
    better = d.better(gain)
    mu = np.array([design.separation(x, first=k == 0) for k, x in enumerate((d.auroc, d.auroc, better))])
    own = design.family * normal((n_families, a)) * (np.arange(a) > 0)
    skill = (mu + design.level * normal((n_families, 1)) + own)[:, :, None]
    skill = skill + d.seed * normal((n_families, 1, s)) + d.seed_arm * normal((n_families, a, s))
    skill = skill + design.order * normal((a, s))

    def halved(effect: float, size: int) -> NDArray[np.float64]:  # (F, A, size), half of its variance in every family
        return effect * (normal((a, size)) + normal((n_families, a, size))) / math.sqrt(2)

    film = d.patient * normal(d.n_patients)[p] + d.film * normal(n)
    arm = halved(d.patient_arm, d.n_patients)[:, :, p] + halved(d.film_arm, n)
    z = skill[..., None] * y + film + arm[:, :, None] + d.run * normal((n_families, a, s, n))
    probability = norm.cdf((z - mu[0] / 2) / d.scale)
    return np.stack([1 - probability, probability], axis=-1), y, p


def run_families(task: FamilyTask) -> list[dict[str, Any]]:
    """Judge each experiment's twin (true gain 0) and better arm over the families: two rows each."""
    rows = []
    for number in task.numbers:
        seed = seed_from(task.seed, "calibrate families", task.design.name, number)
        scores, truth, patients = simulate_families(task.design, gain=task.gain, seed=seed)
        resamples = Resamples.draw(patients.tolist(), seed=seed, n_replicates=task.n_replicates)
        sampled = [[sample_auroc(arm, truth, resamples)["auroc"] for arm in family] for family in scores]
        layout = task.design.layout
        for arm, true in ((1, 0.0), (2, layout.better(task.gain) - layout.auroc)):
            rows.append({"truth": true, **judge_families([(family[arm], family[0]) for family in sampled])})
    return rows


def judge_families(pairs: Sequence[tuple[Sampled, Sampled]]) -> dict[str, Any]:
    """The harness's interval and word over (arm, control) of each family, and what the other methods would say."""
    found, apart = over_families(pairs), [arm.minus(control) for arm, control in pairs]
    values, draws = np.stack([one.values for one in apart]), np.stack([one.kept for one in apart])
    support = pairs[0][1].support
    patients = {"n_groups": support.effective, "freedom": support.freedom}
    told, crossed = {**patients, "seed": 0}, variance(values, draws, **patients)
    half = quantile(0.5 + LEVEL / 2, crossed.parts) * math.sqrt(crossed.total)
    ways = {
        "nested": mean_interval(values.mean(axis=1), draws.mean(axis=1), **told),
        "fixed": mean_interval(values.mean(axis=0), draws.mean(axis=0), **told),
        "one_family": mean_interval(values[0], draws[0], **told),
    }
    middle = {"mean_quantile": (found.difference - half, found.difference + half)}
    intervals = {
        HARNESS: (found.low, found.high),
        **middle,
        **{name: (one.low, one.high) for name, one in ways.items()},
    }
    return {
        "estimate": found.difference, "verdict": found.verdict, "intervals": intervals,
        "detectable": found.detectable,
    }  # fmt: skip


def summarise_families(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates over the experiments of one design.

    Returns
    -------
    n_experiments : each with a null comparison and one with a true gain.
    verdicts : share of `helps` or `hurts` at a true gain of 0 (false), and of `helps` at the gain (power).
    methods : for each, false positives at 0 and the coverage of its 95 % interval; `error` is the standard error of
        that coverage by the number of experiments.
    detectable : median of the smallest gain that a null experiment says it would have shown.
    """
    null, gained = [row for row in rows if not row["truth"]], [row for row in rows if row["truth"]]

    def inside(row: dict[str, Any], method: str, value: float) -> bool:
        low, high = row["intervals"][method]
        return bool(low <= value <= high)

    methods = {}
    for method in FAMILY_METHODS:
        coverage = float(np.mean([inside(row, method, row["truth"]) for row in rows]))
        methods[method] = {
            "false_positives": float(np.mean([not inside(row, method, 0.0) for row in null])),
            "coverage": coverage,
            "error": math.sqrt(coverage * (1 - coverage) / len(null)),
        }
    return {
        "n_experiments": len(null),
        "verdicts": {
            "false": float(np.mean([row["verdict"] != "no difference shown" for row in null])),
            "power": float(np.mean([row["verdict"] == "helps" for row in gained])),
        },
        "methods": methods,
        "detectable": float(np.median([row["detectable"] for row in null])),
    }
