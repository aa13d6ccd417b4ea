"""The interval over seeds and patients, its quantile and its p-values: answers worked out by hand or by SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics.interval import half_width, interval_p, mean_interval, sign_flip_p
from benchmarks.statistics.quantile import one_sided_p, quantile
from synthworth.errors import Unavailable

VALUES = np.array([0.1, 0.2, 0.6])
"""Three seeds: mean 0.3, variance 0.07, so that the mean's is 7/300."""
DRAWS = np.array([[0.4, 0.4, 0.1, 0.3], [0.2, 0.6, 0.1, 0.3], [0.3, 0.5, 0.1, 0.3]])
"""Four resamples. The seed means 0.3, 0.5, 0.1, 0.3 have variance 2/75; the contrasts' variances sum to 1/75."""
P = 5
"""Patients: resampled variances are multiplied by 5/4, to 1/30 (the mean's) and 1/60 (the contrasts')."""
V_BETWEEN, V_PATIENTS = 7 / 300, 1 / 30
V_INTERACTION = 1 / 60 / (3 * 2)
V_SEEDS = V_BETWEEN - V_INTERACTION


def student(probability: float, freedom: float) -> float:
    return float(stats.t.ppf(probability, freedom))


def fixed(values: np.ndarray, n: int = 40) -> np.ndarray:
    """Resamples that all give the same: the patients play no part."""
    return np.repeat(values[:, None], n, axis=1)


def test_the_variance_is_that_of_seeds_and_patients_less_what_would_be_counted_twice() -> None:
    found = half_width(VALUES, DRAWS, n_groups=P)
    assert found.se**2 == pytest.approx(V_SEEDS + V_PATIENTS)
    assert found.se_interaction == pytest.approx(math.sqrt(V_INTERACTION))
    assert found.se_seeds == pytest.approx(math.sqrt(V_BETWEEN))
    assert found.se_patients == pytest.approx(math.sqrt(V_PATIENTS))
    share = V_SEEDS / (V_SEEDS + V_PATIENTS)
    assert np.array(found.parts) == pytest.approx(np.array([[share, 2], [1 - share, 4]]))


@pytest.mark.parametrize("level", [0.95, 0.90])
def test_half_the_width_is_the_mean_of_cochrans_and_satterthwaites_quantile_times_the_standard_error(
    level: float,
) -> None:
    v, tail = V_SEEDS + V_PATIENTS, 0.5 + level / 2
    w = V_SEEDS / v
    cochran = w * student(tail, 2) + (1 - w) * student(tail, 4)
    satterthwaite = student(tail, 1 / (w**2 / 2 + (1 - w) ** 2 / 4))
    found = half_width(VALUES, DRAWS, n_groups=P, level=level)
    assert found.quantile == pytest.approx((cochran + satterthwaite) / 2)
    assert found.half == pytest.approx((cochran + satterthwaite) / 2 * math.sqrt(v))


def test_an_interval_reaches_as_far_to_both_sides_of_the_mean_and_is_at_95_per_cent() -> None:
    spread = half_width(VALUES, DRAWS, n_groups=P, level=0.95)
    found = mean_interval(VALUES, DRAWS, n_groups=P, seed=0)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.3, 0.3 - spread.half, 0.3 + spread.half))
    assert (found.se_seeds, found.se_patients) == (spread.se_seeds, spread.se_patients)
    assert (found.se_interaction, found.se) == (spread.se_interaction, spread.se)
    assert (found.quantile, found.note) == (spread.quantile, None)


def test_what_single_patients_make_of_single_seeds_bounds_the_width_where_seeds_agree_by_luck() -> None:
    """The contrasts' variance is larger than the mean's and than what the seeds came out apart."""
    draws = np.array([[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0]])
    found = half_width(np.array([0.1, 0.3]), draws, n_groups=3)
    interaction = 3 / 2 * (0.25 + 0.25) / (2 * 1)
    assert found.se_interaction is not None and found.se_interaction**2 == pytest.approx(interaction)
    assert found.se**2 == pytest.approx(interaction) and found.se_seeds == pytest.approx(0.1)
    assert found.parts == ((0.0, 1.0), (1.0, 2.0))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
def test_an_interval_is_never_narrower_than_its_patients_make_it(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    patients, draws = 0.02 * rng.normal(size=300), 0.03 * rng.normal(size=(6, 300))
    draws = draws + patients
    found = half_width(0.7 + noise * rng.normal(size=6), draws, n_groups=50)
    assert found.se >= found.se_patients * (1 - 1e-12)
    assert found.half >= student(0.975, 49) * found.se_patients * (1 - 1e-12)


def test_the_freedom_of_the_patients_can_be_less_than_their_number_says() -> None:
    found = half_width(VALUES, DRAWS, n_groups=P, freedom=2.5)
    assert np.array(found.parts)[:, 1] == pytest.approx([2, 2.5])
    assert found.half > half_width(VALUES, DRAWS, n_groups=P).half
    assert interval_p(VALUES, DRAWS, n_groups=P, freedom=2.5) > interval_p(VALUES, DRAWS, n_groups=P)


def test_a_detectable_difference_is_found_in_four_of_five_experiments() -> None:
    """Patients alone, 99 degrees of freedom: an estimate scatters by `se` around the truth, the width is known."""
    rng = np.random.default_rng(0)
    draws = 0.01 * rng.normal(size=(1, 4000))
    spread = half_width(np.array([0.0]), draws, n_groups=100)
    found = spread.detectable() + spread.se * rng.normal(size=20_000) > spread.half
    assert found.mean() == pytest.approx(0.80, abs=0.01)
    assert spread.detectable(power=0.5) == pytest.approx(spread.half)


def test_one_seed_has_the_patients_alone_and_says_so() -> None:
    draws = np.array([[0.1, 0.3, 0.2, 0.2]])
    found = mean_interval(np.array([0.2]), draws, n_groups=11, seed=0)
    se = math.sqrt(0.02 / 3 * 11 / 10)
    assert found.se_seeds is None
    assert found.se_patients == pytest.approx(se)
    assert found.high - 0.2 == pytest.approx(student(0.975, 10) * se)
    assert "not of seeds" in str(found.note)
    assert half_width(np.array([0.2]), draws, n_groups=11).parts == ((0.0, 0.0), (1.0, 10.0))


def test_where_nothing_varies_the_interval_is_a_point() -> None:
    found = mean_interval(np.full(3, 0.75), fixed(np.full(3, 0.75)), n_groups=9, seed=0)
    assert (found.low, found.high, found.quantile) == pytest.approx((0.75, 0.75, student(0.975, 8)))


def test_two_patients_are_enough_for_an_interval_and_one_is_not() -> None:
    assert half_width(VALUES, DRAWS, n_groups=2).se_patients == pytest.approx(math.sqrt(2 * 2 / 75))
    with pytest.raises(Unavailable, match="two patients or more; those of the test set count as 1"):
        half_width(VALUES, DRAWS, n_groups=1)


def test_a_single_resample_says_nothing_of_the_patients() -> None:
    found = half_width(VALUES, DRAWS[:, :1], n_groups=P)
    assert (found.se_patients, found.se) == pytest.approx((0.0, math.sqrt(V_BETWEEN)))


def test_two_resamples_say_something_of_the_patients() -> None:
    """Their mean moves by 0.2 (variance 0.02), the contrasts by 0.2, -0.2 and 0 (0.04 in all)."""
    found = half_width(VALUES, DRAWS[:, :2], n_groups=P)
    assert found.se_patients**2 == pytest.approx(5 / 4 * 0.02)
    assert found.se**2 == pytest.approx(V_BETWEEN - 5 / 4 * 0.04 / 6 + 5 / 4 * 0.02)


def test_seeds_alone_give_students_interval() -> None:
    values = np.array([0.01, 0.02, -0.005, 0.015, 0.03, 0.0])
    found = mean_interval(values, fixed(values), n_groups=100, seed=0)
    assert (found.low, found.high) == pytest.approx(tuple(stats.ttest_1samp(values, 0).confidence_interval(0.95)))


def test_the_percentile_interval_of_one_seed_holds_the_middle_95_per_cent_of_the_resamples() -> None:
    found = mean_interval(np.array([0.5]), np.arange(1001.0)[None], n_groups=9, seed=0)
    assert found.percentile == pytest.approx((25.0, 975.0))


def test_the_percentile_interval_draws_seeds_again_with_replacement() -> None:
    """Of 10 seeds with values 0 and 1 the mean of ten drawn is binomial: 0.2 to 0.8 at 95 %."""
    values = np.array([0.0, 1.0] * 5)
    found = mean_interval(values, fixed(values, 4000), n_groups=9, seed=0)
    low, high = stats.binom.ppf([0.025, 0.975], 10, 0.5) / 10
    assert found.percentile == pytest.approx((low, high))
    assert mean_interval(values, fixed(values, 4000), n_groups=9, seed=0).percentile == found.percentile
    few = [mean_interval(VALUES, DRAWS, n_groups=P, seed=seed).percentile for seed in range(5)]
    assert len(set(few)) > 1


# -- quantile and one-sided p --


def test_one_part_has_students_quantile_and_a_part_without_a_share_is_not_asked() -> None:
    assert quantile(0.975, [(1.0, 5.0)]) == pytest.approx(student(0.975, 5))
    assert quantile(0.9, [(0.0, 0.0), (1.0, 7.0)]) == pytest.approx(student(0.9, 7))


def test_equal_parts_of_equal_freedom_have_twice_the_freedom_by_satterthwaite_and_the_same_by_cochran() -> None:
    expected = (student(0.975, 4) + student(0.975, 8)) / 2
    assert quantile(0.975, [(0.5, 4.0), (0.5, 4.0)]) == pytest.approx(expected)


@pytest.mark.parametrize("distance", [0.0, 0.001, 0.02, 0.3, -0.02])
def test_a_one_sided_p_is_students_where_one_part_varies(distance: float) -> None:
    assert one_sided_p(distance, 0.01, [(1.0, 6.0)]) == pytest.approx(stats.t.sf(distance / 0.01, 6), abs=1e-9)


def test_a_one_sided_p_is_the_tail_whose_quantile_the_estimate_lies_at() -> None:
    parts = ((0.3, 2.0), (0.7, 9.0))
    for p in (0.4, 0.05, 0.001):
        assert one_sided_p(2.5 * quantile(1 - p, parts), 2.5, parts) == pytest.approx(p)


def test_where_nothing_varies_a_one_sided_p_is_certain() -> None:
    assert [one_sided_p(d, 0.0, [(1.0, 5.0)]) for d in (0.1, 0.0, -0.1)] == [0.0, 0.5, 1.0]


def test_a_one_sided_p_never_falls_below_one_in_a_million_millions() -> None:
    assert one_sided_p(1e9, 1.0, [(1.0, 50.0)]) == 1e-12
    assert one_sided_p(-1e9, 1.0, [(1.0, 50.0)]) == 1 - 1e-12


def test_the_p_of_an_interval_is_two_sided_whichever_way_the_mean_lies() -> None:
    se = math.sqrt(V_SEEDS + V_PATIENTS)
    parts = half_width(VALUES, DRAWS, n_groups=P).parts
    expected = 2 * one_sided_p(0.3, se, parts)
    assert interval_p(VALUES, DRAWS, n_groups=P) == pytest.approx(expected)
    assert interval_p(-VALUES, -DRAWS, n_groups=P) == pytest.approx(expected)
    assert interval_p(VALUES - 0.3, DRAWS, n_groups=P) == pytest.approx(1.0)


# -- sign flips --


def test_a_sign_flip_p_counts_every_pattern_up_to_sixteen_pairs() -> None:
    assert sign_flip_p(np.arange(1.0, 17.0), seed=0) == pytest.approx(2 / 2**16)


def test_beyond_sixteen_pairs_patterns_are_drawn_from_the_seed() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1.0, size=17)
    found = [sign_flip_p(differences, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found == pytest.approx([stats.ttest_1samp(differences, 0).pvalue] * 3, abs=0.03)


def test_a_sign_flip_p_asks_for_the_mean_of_the_differences() -> None:
    """Of the eight patterns of 4, 2, 1 (sums 7, 5, 3, 1 and their negatives) four reach 5 in size."""
    assert sign_flip_p(np.array([4.0, 2.0, -1.0]), seed=0) == pytest.approx(4 / 8)
    assert sign_flip_p(np.array([0.0, 2.0, 1.0]), seed=0) == pytest.approx(4 / 8)
    assert sign_flip_p(np.array([1.0]), seed=0) == 1.0
