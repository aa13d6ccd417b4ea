"""The interval of one arm's AUROC or rate: it covers near 1, with few patients, and where nothing scatters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm, t

from benchmarks.statistics.interval import Spread
from benchmarks.statistics.one_arm import has_model, score_interval, variance_model
from benchmarks.statistics.support import Support


def support(*sides: tuple[int, ...], kinds: tuple[str, ...] = ("positive", "negative")) -> Support:
    n = max(sum(side) for side in sides)
    return Support(n, float(n), 1 / n, tuple(sides), tuple("abcdef"[: len(sides)]), kinds)


def spread(se: float, q: float = 1.96) -> Spread:
    return Spread(q * se, None, se, q, se, ((0.0, 0.0), (1.0, 50.0)))


@pytest.mark.parametrize("auroc", [0.5, 0.7, 0.9, 0.98])
def test_the_model_of_aurocs_variance_is_that_of_normal_scores(auroc: float) -> None:
    """Twelve positives, forty negatives, 20,000 test sets."""
    rng, m, n = np.random.default_rng(0), 12, 40
    mu = np.sqrt(2) * norm.ppf(auroc)
    found = np.empty(20_000)
    for k in range(len(found)):
        found[k] = (rng.normal(mu, 1, size=m)[:, None] > rng.normal(size=n)).mean()
    assert found.var() == pytest.approx(variance_model("auroc", support((m, n)))(np.array([auroc]))[0], rel=0.05)


def test_two_pairs_that_share_an_image_are_right_together_as_owens_t_says() -> None:
    z = norm.ppf(0.8)
    both = multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([z, z])
    m, n = 7, 9
    expected = (0.8 * 0.2 + (m + n - 2) * (both - 0.64)) / (m * n)
    assert variance_model("auroc", support((m, n)))(np.array([0.8]))[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "side", "weight"),
    [("recall", (20,), 1 / 20), ("specificity", (80,), 1 / 80), ("balanced_accuracy", (20, 80), 1 / 64)],
)
def test_a_rate_scatters_as_a_share_of_the_patients_of_its_side(
    metric: str, side: tuple[int, ...], weight: float
) -> None:
    kinds = {1: ("positive",), 2: ("positive", "negative")}[len(side)]
    assert variance_model(metric, support(side, kinds=kinds))(np.array([0.3]))[0] == pytest.approx(0.21 * weight)


def test_a_mean_of_classes_scatters_less_than_one_of_them() -> None:
    one, two = (variance_model("auroc", support(*[(20, 80)] * k))(np.array([0.8]))[0] for k in (1, 2))
    assert two == pytest.approx(one / 2)


def test_an_interval_reaches_further_down_than_up_near_one_and_ends_within_it() -> None:
    low, high = score_interval("auroc", 0.97, spread(0.015), support((50, 100)))
    assert 0.97 - low > 1.3 * (high - 0.97) and high < 1
    low, high = score_interval("auroc", 0.03, spread(0.015), support((50, 100)))
    assert high - 0.03 > 1.3 * (0.03 - low) and low > 0
    low, high = score_interval("auroc", 0.5, spread(0.03), support((50, 100)))
    assert high - 0.5 == pytest.approx(0.5 - low, rel=1e-3)


def test_with_many_patients_it_is_wilsons_interval_of_a_rate() -> None:
    n, rate = 400, 0.9
    se = float(np.sqrt(rate * (1 - rate) / n))
    found = score_interval("recall", rate, spread(se), support((n,), kinds=("positive",)))
    centre, q2 = (rate + 1.96**2 / (2 * n)) / (1 + 1.96**2 / n), 1.96**2
    half = np.sqrt(rate * (1 - rate) * q2 / n + q2**2 / (4 * n**2)) / (1 + q2 / n)
    assert found == pytest.approx((centre - half, centre + half), abs=1e-3)


@pytest.mark.parametrize("estimate", [0.0, 1.0])
def test_where_nothing_scatters_the_interval_is_no_point(estimate: float) -> None:
    low, high = score_interval("auroc", estimate, spread(0.0, q=2.6), support((5, 100)))
    assert low <= estimate <= high and high - low > 0.05


def test_a_mean_and_a_number_without_sides_have_no_model() -> None:
    assert has_model("auroc", support((5, 9))) and has_model("recall", support((5, 9)))
    assert not has_model("brier", support((5, 9))) and not has_model("auroc", Support.equal(9))


@pytest.mark.parametrize(("auroc", "m", "n"), [(0.98, 30, 70), (0.95, 10, 190), (0.8, 10, 190), (0.8, 20, 58)])
def test_it_covers_where_the_symmetric_interval_does_not(auroc: float, m: int, n: int) -> None:
    """1,500 test sets with a patient an image and one classifier; DeLong's standard error stands in for resamples."""
    from benchmarks.statistics.delong import components

    rng, mu = np.random.default_rng(1), np.sqrt(2) * norm.ppf(auroc)
    yes, both = np.arange(m + n) < m, support((m, n))
    q = float(t.ppf(0.975, both.freedom))
    hits, symmetric, trials = 0, 0, 1500
    for _ in range(trials):
        found, parts = components(rng.normal(mu * yes, 1), yes)
        se = float(np.sqrt((parts**2).sum()))
        low, high = score_interval("auroc", found, spread(se, q), both)
        hits += low <= auroc <= high
        symmetric += abs(found - auroc) <= q * se
    assert 0.92 <= hits / trials <= 0.98
    assert hits >= symmetric


@pytest.mark.parametrize(("rate", "n", "other"), [(0.9, 200, 0), (0.95, 100, 0), (0.95, 100, 5), (0.9, 200, 40)])
def test_the_interval_of_a_rate_covers_whatever_stands_on_the_other_side(rate: float, n: int, other: int) -> None:
    """Specificity of one classifier over films of as many patients, 400 test sets; the positives play no part."""
    from benchmarks.statistics.resamples import Resamples
    from benchmarks.statistics.utility import sample_utility

    rng, hits = np.random.default_rng(2), 0
    truth = np.r_[np.zeros(n, int), np.ones(other, int)]
    resamples = Resamples.draw(range(len(truth)), seed=0, n_replicates=200)
    for _ in range(400):
        right = rng.random(n) < rate
        p = np.r_[np.where(right, 0.2, 0.8), np.full(other, 0.8)]
        found = sample_utility(np.stack([1 - p, p], axis=-1)[None], truth, resamples, thresholds=np.full((1, 1), 0.5))[
            "specificity"
        ].interval()
        hits += found.low <= rate <= found.high
    assert 0.92 <= hits / 400 <= 0.985
