"""What a near-copy is: the bound has the chance that it states, and few held-out images make a wide interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.metrics.near_copies import are_copies, chance, copy_bound, copy_interval, share_interval
from synthworth.errors import Unavailable


def test_a_copy_is_one_even_where_the_bound_is_zero():
    assert are_copies(np.array([0.0, 1e-9]), 0.0).tolist() == [True, False]


def test_the_bound_is_the_hundredth_nearest_and_of_fewer_than_99_images_the_nearest():
    held_out = np.random.default_rng(0).permutation(np.arange(1.0, 200.0))
    assert copy_bound(held_out) == 2.0, "199 images: position 2"
    assert copy_bound(np.arange(1.0, 150.0)) == 1.5
    for n in (20, 50, 98, 99):
        assert copy_bound(np.arange(3.0, 3.0 + n)) == 3.0
    assert [chance(n) for n in (20, 99, 5000)] == [1 / 21, 0.01, 0.01]


@pytest.mark.parametrize("n", [20, 60, 100, 250])
def test_as_many_fresh_real_images_lie_below_the_bound_as_it_says(n):
    rng = np.random.default_rng(n)
    below = [stats.gamma(9).cdf(copy_bound(rng.gamma(9, size=n))) for _ in range(2000)]
    assert np.mean(below) == pytest.approx(chance(n), rel=0.1)


@pytest.mark.parametrize(
    ("held_out", "why"),
    [
        (np.arange(1.0, 20.0), "needs 20 held-out real images; there are 19"),
        (np.zeros(40), "half of the held-out images lie exactly on a training image"),
        (np.full(40, np.nan), "NaN"),
    ],
)
def test_where_there_is_no_bound_it_says_why(held_out, why):
    with pytest.raises(Unavailable, match=why):
        copy_bound(held_out)


def synthetic(kind: str, n: int, bound: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Distances of n synthetic images, and the share of their law that lies below the true bound."""
    real = stats.gamma(9)
    if kind == "fresh":
        return real.rvs(n, random_state=rng), real.cdf(bound)
    if kind == "a third are copies":
        copies = rng.random(n) < 1 / 3
        return np.where(copies, bound * rng.random(n) / 2, real.rvs(n, random_state=rng)), (1 + 2 * real.cdf(bound)) / 3
    if kind == "all somewhat nearer":
        return 0.8 * real.rvs(n, random_state=rng), real.cdf(bound / 0.8)
    return bound * (1 + 0.05 * rng.normal(size=n)), 0.5


KINDS = ("fresh", "a third are copies", "all somewhat nearer", "all about the bound")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_held_out", "n_each"), [(20, 1), (50, 1), (99, 1), (120, 4), (300, 1)])
def test_the_interval_holds_the_true_rate_also_where_few_images_say_what_a_copy_is(
    kind, n_held_out, n_each, monkeypatch
):
    """Over 300 repetitions: 94 to 100 %. `n_each` images of a patient lie at one distance."""
    monkeypatch.setattr("benchmarks.metrics.near_copies.N_REPLICATES", 300)
    rng, held, n = np.random.default_rng(0), 0, 120
    bound = stats.gamma(9).ppf(chance(n_held_out))
    for seed in range(n):
        held_out = np.repeat(rng.gamma(9, size=n_held_out // n_each), n_each)
        distance, truth = synthetic(kind, 100, bound, rng)
        low, high = copy_interval(distance, held_out, np.arange(n_held_out) // n_each, seed=seed)
        held += low <= truth <= high
    assert held >= 0.9 * n


def test_fewer_held_out_images_make_a_wider_interval():
    rng = np.random.default_rng(0)
    distance = stats.gamma(9).rvs(200, random_state=rng) * 0.8
    widths = []
    for n in (20, 60, 400):
        ends = [copy_interval(distance, rng.gamma(9, size=n), np.arange(n), seed=s) for s in range(10)]
        widths.append(np.mean([high - low for low, high in ends]))
    assert widths[0] > widths[1] > widths[2]


def test_none_and_all_leave_one_side_open():
    held_out, groups = np.linspace(1, 2, 60), np.arange(60)
    none = copy_interval(np.full(30, 5.0), held_out, groups, seed=0)
    all_of_them = copy_interval(np.zeros(30), held_out, groups, seed=0)
    assert none[0] == 0 and 0.03 < none[1] < 0.15
    assert 0.85 < all_of_them[0] < 0.97 and all_of_them[1] == 1
    assert share_interval(0, 30)[0] == 0 and share_interval(30, 30)[1] == 1
    assert share_interval(15, 30) == pytest.approx((0.328, 0.672), abs=0.002)
