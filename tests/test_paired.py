"""A number of an arm and its resamples, two arms paired, the word that is said, and the margin of equivalence."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics.compare import Comparison, compare, compare_metrics
from benchmarks.statistics.equivalence import equivalence
from benchmarks.statistics.interval import half_width, interval_p, mean_interval, sign_flip_p
from benchmarks.statistics.multiple import holm
from benchmarks.statistics.sampled import Sampled, mixed
from benchmarks.statistics.support import Support
from synthworth.errors import Unavailable

GAINS = np.array([0.020, 0.021, 0.019, 0.022, 0.018, 0.024])


def sampled(values, draws=None, *, valid=None, n_patients: int = 50, **change) -> Sampled:
    """A macro AUROC; without draws the patients play no part."""
    values = np.asarray(values, dtype=float)
    draws = np.repeat(values[:, None], 200, axis=1) if draws is None else np.asarray(draws, dtype=float)
    valid = np.ones(draws.shape[1], bool) if valid is None else np.asarray(valid)
    return dataclasses.replace(
        Sampled("auroc", values, draws, valid, Support.equal(n_patients), 3, "a design"), **change
    )


def noisy(values, *, seed: int, n: int = 200, noise: float = 0.004) -> Sampled:
    """Every seed with resamples that scatter about it, each seed's own."""
    values = np.asarray(values, dtype=float)
    return sampled(values, values[:, None] + noise * np.random.default_rng(seed).normal(size=(len(values), n)))


# -- one arm --


def test_a_number_is_named_by_its_metric_and_its_class() -> None:
    assert sampled([0.5]).name == "auroc"
    assert sampled([0.5], label="effusion").name == "auroc[effusion]"
    assert (sampled([0.5, 0.6, 0.7]).n_seeds, sampled([0.5, 0.6]).mean) == (3, pytest.approx(0.55))
    assert (sampled([0.5]).n_incomplete, sampled([0.5]).left_out) == (0, ())


@pytest.mark.parametrize(
    ("n_valid", "n_resamples", "enough"),
    [(100, 500, True), (99, 500, False), (60, 60, True), (59, 60, False), (1, 1, True), (0, 1, False)],
)
def test_an_interval_is_made_of_a_hundred_resamples_or_of_all_there_are(n_valid, n_resamples, enough) -> None:
    valid = np.arange(n_resamples) < n_valid
    one = sampled([0.5, 0.6], np.arange(2.0 * n_resamples).reshape(2, -1), valid=valid)
    if enough:
        np.testing.assert_array_equal(one.kept, one.draws[:, :n_valid])
    else:
        least = min(n_resamples, 100)
        with pytest.raises(Unavailable, match=f"only {n_valid} of {n_resamples} resamples .* {least} are needed"):
            _ = one.kept


def test_without_resamples_nothing_is_made() -> None:
    with pytest.raises(Unavailable, match="only 0 of 0"):
        _ = sampled([0.5], np.zeros((1, 0))).kept


def test_resamples_that_do_not_define_the_number_are_left_out_of_every_interval() -> None:
    kept = noisy([0.5, 0.6, 0.55], seed=0)
    spoiled = np.hstack([kept.draws, np.full((3, 50), 9.0)])
    one = sampled(kept.values, spoiled, valid=np.arange(250) < 200)
    assert one.difference_interval() == kept.difference_interval()
    assert one.p_interval() == kept.p_interval()
    assert one.spread(level=0.8) == kept.spread(level=0.8)


def test_an_arm_is_judged_with_its_own_patients_level_and_seed() -> None:
    one = noisy([0.5, 0.6, 0.55], seed=0)
    assert one.difference_interval() == mean_interval(one.values, one.draws, n_groups=50, seed=3)
    assert one.p_interval() == interval_p(one.values, one.draws, n_groups=50)
    assert one.spread(level=0.8) == half_width(one.values, one.draws, n_groups=50, level=0.8)


@pytest.mark.parametrize(
    ("metric", "values", "ends"),
    [
        ("auroc", [0.1, 0.9], (0.0, 1.0)),
        ("brier", [0.1, 1.9], (0.0, 2.0)),
        ("brier_calibrated", [0.1, 1.9], (0.0, 2.0)),
        ("ece", [0.1, 1.9], (0.0, 1.0)),
    ],
)
def test_an_interval_is_cut_at_the_ends_of_its_metric_and_a_difference_is_not(metric, values, ends) -> None:
    one = sampled(values, metric=metric)
    assert (one.interval().low, one.interval().high) == ends
    assert one.difference_interval().low < 0 and one.difference_interval().high > 2
    assert one.interval().estimate == one.mean


def test_an_interval_inside_the_range_is_left_as_it_is() -> None:
    one = noisy([0.5, 0.52, 0.51], seed=0)
    assert one.interval() == one.difference_interval()


# -- two arms --


def test_a_difference_is_taken_seed_by_seed_and_resample_by_resample_where_both_define_it() -> None:
    a = sampled([0.7, 0.9], [[0.5, 0.75, 1.0], [1.0, 0.5, 0.25]], valid=[True, True, False], n_patients=9)
    b = sampled([0.6, 0.4], [[0.25, 0.5, 0.5], [0.5, 0.5, 0.5]], valid=[True, False, True], n_patients=8)
    apart = a.minus(b)
    assert apart.values == pytest.approx([0.1, 0.5])
    np.testing.assert_array_equal(apart.draws, [[0.25, 0.25, 0.5], [0.5, 0.0, -0.25]])
    assert apart.valid.tolist() == [True, False, False]
    assert apart.n_patients == b.minus(a).n_patients == 8


@pytest.mark.parametrize(
    "other",
    [sampled([0.5, 0.6], design="another"), sampled([0.5]), sampled([0.5, 0.6], np.zeros((2, 9)))],
    ids=["test set", "seeds", "resamples"],
)
def test_what_was_not_measured_alike_cannot_be_paired(other) -> None:
    one = sampled([0.5, 0.6])
    assert not one.pairs_with(other)
    with pytest.raises(ValueError, match=rf"auroc cannot be paired.*\(2 and {other.n_seeds} seeds given\)"):
        one.minus(other)
    assert one.pairs_with(sampled([0.1, 0.2], n_patients=7))


def test_a_mixture_of_arms_is_weighted_in_values_and_draws_and_defined_where_all_are() -> None:
    a = sampled([1.0, 2.0], [[1.0, 0.0], [2.0, 4.0]], valid=[True, True])
    b = sampled([3.0, 5.0], [[3.0, 2.0], [5.0, 8.0]], valid=[True, False])
    found = mixed(np.array([0.25, 0.75]), [a, b])
    np.testing.assert_allclose(found.values, [2.5, 4.25])
    np.testing.assert_allclose(found.draws, [[2.5, 1.5], [4.25, 7.0]])
    assert found.valid.tolist() == [True, False]


def test_a_comparison_holds_the_paired_difference_with_its_interval_and_both_p() -> None:
    a, b = noisy(0.8 + GAINS, seed=0), noisy([0.80, 0.81, 0.79, 0.80, 0.82, 0.80], seed=1)
    a = dataclasses.replace(a, n_incomplete=4, valid=np.arange(200) < 150)
    found, apart = compare(a, b, name_a="ddpm", name_b="none"), a.minus(b)
    interval = mean_interval(apart.values, apart.kept, n_groups=50, seed=3)
    assert found == Comparison(
        a="ddpm", b="none", difference=interval.estimate, low=interval.low, high=interval.high,
        p_value=sign_flip_p(apart.values, seed=3), verdict="helps", note=None, n_seeds=6, n_groups=50,
        n_replicates=150, n_incomplete=4, by_seed=tuple(apart.values), interval=interval,
        p_interval=interval_p(apart.values, apart.kept, n_groups=50),
        detectable=apart.spread(level=0.95).detectable(),
    )  # fmt: skip


def test_the_interval_of_a_comparison_makes_up_for_the_few_patients_that_are_drawn_again() -> None:
    """Six equal seeds: the patients alone, whose variance 0.02 / 3 over the resamples is multiplied by 4/3."""
    moved = np.array([0.1, -0.1, 0.0, 0.0])
    a, b = (sampled(np.full(6, v), np.tile(v + m * moved, (6, 1)), n_patients=4) for v, m in ((0.75, 1), (0.25, 0)))
    found = compare(a, b, name_a="a", name_b="b")
    assert found.interval.se_patients == pytest.approx(math.sqrt(0.02 / 3 * 4 / 3))
    assert found.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt(0.02 / 3 * 4 / 3))


@pytest.mark.parametrize(
    ("n_seeds", "words"),
    [(6, ("helps", "hurts")), (5, ("no difference shown",) * 2), (2, ("no difference shown",) * 2)],
)
def test_six_seeds_are_the_fewest_that_give_a_word(n_seeds, words) -> None:
    a, b = sampled(0.8 + GAINS[:n_seeds]), sampled(np.full(n_seeds, 0.8))
    found = compare(a, b, name_a="a", name_b="b"), compare(b, a, name_a="b", name_b="a")
    assert found[0].low > 0 > found[1].high
    assert tuple(one.verdict for one in found) == words
    screening = None if n_seeds == 6 else f"screening: {n_seeds} seeds cannot reach p < 0.05"
    assert [one.note for one in found] == [screening] * 2


def test_an_interval_that_holds_zero_gives_no_word_whichever_way_the_mean_lies() -> None:
    scatter = np.array([0.004, -0.004, 0.003, -0.003, 0.001, -0.001])
    for shift in (-0.001, 0.001):
        found = compare(sampled(0.5 + shift + scatter), sampled(np.full(6, 0.5)), name_a="a", name_b="b")
        assert found.low < 0 < found.high and found.verdict == "no difference shown"


def test_the_note_says_what_the_macro_leaves_out_and_why_there_is_no_word() -> None:
    a, b = (sampled([v], left_out=("x (no positive image)", "y (no negative image)")) for v in (0.6, 0.5))
    assert compare(a, b, name_a="a", name_b="b").note == (
        "screening: 1 seed cannot reach p < 0.05; one seed: the interval covers the choice of patients, not of seeds; "
        "macro without x (no positive image); y (no negative image)"
    )


@pytest.mark.parametrize("field", ["difference", "low", "high", "p_value", "p_interval", "by_seed", "percentile"])
def test_a_comparison_with_a_number_that_is_not_finite_is_no_json(field) -> None:
    good = compare(sampled([0.6, 0.7]), sampled([0.5, 0.5]), name_a="a", name_b="b")
    assert good.to_json()["by_seed"] == list(good.by_seed)
    assert good.to_json()["interval"]["percentile"] == list(good.interval.percentile)
    change: dict = {field: math.nan}
    if field == "by_seed":
        change = {field: (0.1, math.inf)}
    if field == "percentile":
        change = {"interval": dataclasses.replace(good.interval, percentile=(0.0, math.nan))}
    with pytest.raises(ValueError, match="comparison of a with b holds a number that is not finite"):
        dataclasses.replace(good, **change).to_json()


def test_metrics_are_compared_by_name_where_both_arms_have_the_macro() -> None:
    a = {name: dataclasses.replace(noisy(0.5 + GAINS, seed=0), metric=name) for name in ("f1", "recall")}
    b = {name: dataclasses.replace(noisy(np.full(6, 0.5), seed=1), metric=name) for name in ("f1", "auprc")}
    a["f1[x]"] = b["f1[x]"] = dataclasses.replace(a["f1"], label="x")
    a["f1"] = dataclasses.replace(a["f1"], valid=np.arange(200) < 120)
    found, apart = compare_metrics(a, b), a["f1"].minus(b["f1"])
    interval = apart.difference_interval()
    assert found == {
        "f1": {
            "difference": pytest.approx(GAINS.mean()), "low": interval.low, "high": interval.high,
            "p_value": pytest.approx(2 / 64), "p_interval": apart.p_interval(), "n_resamples": 120, "note": None,
        }
    }  # fmt: skip


def test_a_metric_of_one_seed_is_compared_with_a_note() -> None:
    found = compare_metrics({"f1": noisy([0.6], seed=0)}, {"f1": noisy([0.5], seed=1)})["f1"]
    assert "not of seeds" in found["note"] and found["p_value"] == 1.0


# -- equivalence, and many comparisons --


@pytest.mark.parametrize("sign", [1, -1])
def test_equivalence_is_two_one_sided_t_tests_where_only_seeds_vary(sign) -> None:
    apart = sampled(sign * np.array([0.004, 0.006, 0.001, 0.003, 0.007, 0.002]))
    found = equivalence(apart)
    one_sided = [
        stats.ttest_1samp(apart.values, end, alternative=side).pvalue
        for end, side in ((0.01, "less"), (-0.01, "greater"))
    ]
    assert found["p_value"] == pytest.approx(max(one_sided))
    ends = stats.ttest_1samp(apart.values, 0).confidence_interval(0.90)
    assert (found["low"], found["high"]) == pytest.approx((ends.low, ends.high))
    assert found["equivalent"] and found["sentence"] == "EQUIVALENT within +-0.01"


def test_both_ends_must_lie_inside_the_margin() -> None:
    apart = sampled([0.004, 0.006, 0.001, 0.003, 0.007, 0.002])
    high = equivalence(apart)["high"]
    for arm in (apart, sampled(-apart.values)):
        assert equivalence(arm, margin=high * 1.001)["equivalent"]
        assert not equivalence(arm, margin=high * 0.999)["equivalent"]
        assert equivalence(arm, margin=high * 0.999)["p_value"] == pytest.approx(0.05, abs=1e-3)


def test_an_end_that_lies_on_the_margin_is_not_inside_it() -> None:
    for value in (0.25, -0.25):
        found = equivalence(sampled(np.full(6, value)), margin=0.25)
        assert (found["low"], found["high"], found["p_value"]) == (value, value, 0.5)
        assert not found["equivalent"]
        assert equivalence(sampled(np.full(6, value)), margin=0.2501)["equivalent"]


def test_six_seeds_are_the_fewest_that_are_called_equivalent() -> None:
    few, enough = (equivalence(sampled(np.linspace(-1e-4, 1e-4, n))) for n in (5, 6))
    assert few["p_value"] < 0.05 and not few["equivalent"]
    assert few["sentence"] == "not shown to be equivalent within +-0.01 (screening: 5 seeds)"
    assert enough["equivalent"]
    apart = equivalence(sampled(np.full(6, 0.5)))
    assert apart["sentence"] == "not shown to be equivalent within +-0.01"


@pytest.mark.parametrize("margin", [0.0, -0.01, math.nan])
def test_a_margin_must_be_above_zero(margin) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        equivalence(sampled(np.zeros(6)), margin=margin)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.04, 0.01], [0.04, 0.02]),
        ([0.01, 0.011, 0.5], [0.03, 0.03, 0.5]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.9, 0.6, 0.8], [1.0, 1.0, 1.0]),
    ],
)
def test_holm_multiplies_the_smallest_by_all_and_never_falls_or_exceeds_one(p_values, adjusted) -> None:
    assert holm(p_values) == pytest.approx(adjusted)
