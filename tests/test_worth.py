"""Worth in real images: known answers, the ends of the range, and how often its interval holds the truth."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from benchmarks.statistics.worth import Worth, isotonic_weights, measure_worth

SIZES = (125, 250, 500, 1000, 2000)


def height(n: float) -> float:
    return 0.6 + 0.04 * math.log2(n / 125)


def sampled(mean: float, *, rng: np.random.Generator, seeds: int = 6, patients: np.ndarray, spread: float = 0.004):
    """An arm whose seeds and patients scatter about `mean`; `patients` (B,) moves all arms of an experiment alike."""
    values = mean + rng.normal(0, spread, seeds)
    own = rng.normal(0, spread / 4, (seeds, len(patients)))
    draws = values[:, None] + patients + own
    return Sampled("auroc", values, draws, np.ones(len(patients), bool), Support.equal(200), 0, "one design")


def experiment(arm: float, *, seed: int, spread: float = 0.004, curve=height):
    rng = np.random.default_rng(seed)
    patients = rng.normal(0, 0.01, 200)
    points = [(n, sampled(curve(n), rng=rng, patients=patients, spread=spread)) for n in SIZES]
    mine = sampled(arm, rng=rng, patients=patients, spread=spread)
    return measure_worth(mine, points, n_real=1000, n_synthetic=500)


def test_images_that_take_the_classifier_halfway_up_the_curve_are_worth_what_stands_there() -> None:
    found = experiment(height(1500), seed=0, spread=1e-4)
    assert found.where == "on the curve"
    assert found.n_equivalent == pytest.approx(1500, rel=0.01)
    assert found.worth == pytest.approx(1.0, abs=0.03)
    assert found.low is not None and found.high is not None and found.low < 1 < found.high


def test_images_that_change_nothing_are_worth_nothing_and_those_that_harm_less() -> None:
    assert experiment(height(1000), seed=1, spread=1e-5).worth == pytest.approx(0.0, abs=0.02)
    assert experiment(height(600), seed=1, spread=1e-5).worth == pytest.approx(-0.8, abs=0.02)


def test_the_interval_of_worth_holds_the_truth_about_as_often_as_it_says() -> None:
    found = [experiment(height(1200), seed=seed) for seed in range(120)]
    held = [(w.n_low is None or w.n_low <= 1200) and (w.n_high is None or w.n_high >= 1200) for w in found]
    assert 0.88 <= np.mean(held) <= 0.995
    assert np.median([w.n_equivalent for w in found if w.n_equivalent]) == pytest.approx(1200, rel=0.1)


def test_an_arm_above_or_below_every_point_is_not_extrapolated() -> None:
    above, below = experiment(0.9, seed=2), experiment(0.5, seed=2)
    assert (above.where, above.n_equivalent, above.worth) == ("beyond the curve", None, None)
    assert above.n_low == 2000 and above.n_high is None and above.low == 2.0
    assert (below.where, below.n_equivalent, below.n_high) == ("below the curve", None, 125.0)
    assert "2000 real images" in above.note


def test_nothing_is_read_off_a_curve_that_does_not_rise() -> None:
    found = experiment(0.7, seed=3, curve=lambda n: 0.7)
    assert found.where == "on a flat curve"
    assert (found.worth, found.low, found.high) == (None, None, None)
    assert "not shown to rise" in found.note


def test_the_curve_never_falls_and_pools_what_does() -> None:
    from sklearn.isotonic import IsotonicRegression

    heights = [np.array([0.5, 0.7, 0.6, 0.65, 0.9]), np.array([0.9, 0.7, 0.8, 0.2])]
    for one in (*heights, *np.random.default_rng(0).integers(5, size=(40, 6)) / 4):
        expected = IsotonicRegression().fit_transform(range(len(one)), one)
        assert isotonic_weights(one) @ one == pytest.approx(expected)
    bumpy = experiment(height(1500), seed=4, curve=lambda n: height(n) - 0.03 * (n == 500), spread=1e-5)
    fitted = [point.fitted for point in bumpy.curve]
    assert fitted == sorted(fitted)


def test_arms_of_another_test_set_are_refused() -> None:
    rng = np.random.default_rng(0)
    patients = rng.normal(0, 0.01, 50)
    arm = sampled(0.7, rng=rng, patients=patients)
    other = [(n, sampled(height(n), rng=rng, patients=patients)) for n in SIZES]
    strange = [(n, dataclasses.replace(r, design="another")) for n, r in other]
    for curve in (strange, [*other[:-1], strange[-1]]):
        with pytest.raises(ValueError, match="the arm and the curve cannot be paired"):
            measure_worth(arm, curve, n_real=1, n_synthetic=1)
    with pytest.raises(ValueError, match="two sizes"):
        measure_worth(arm, other[:1], n_real=1, n_synthetic=1)


# -- curves without noise: sizes and ends by hand --

SCATTER = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
HALF = float(stats.t.ppf(0.975, 5)) * math.sqrt(1.2 / 6)
"""Half an interval's width of six seeds that scatter like `SCATTER`, where patients play no part."""


def exact(mean: float, *, scatter: float = 0.0) -> Sampled:
    values = mean + scatter * SCATTER
    return Sampled(
        "auroc",
        values,
        np.repeat(values[:, None], 100, axis=1),
        np.ones(100, bool),
        Support.equal(200),
        0,
        "one design",
    )


def valued(arm: float, curve: dict[int, float], *, scatter: float = 0.0, n_synthetic: int = 100) -> Worth:
    points = [(n, exact(auroc)) for n, auroc in curve.items()]
    return measure_worth(exact(arm, scatter=scatter), points, n_real=200, n_synthetic=n_synthetic)


STRAIGHT = {100: 0.5, 200: 0.625, 400: 0.75}
"""AUROC rises by 1/8 for each doubling."""


@pytest.mark.parametrize(
    ("arm", "curve", "n"),
    [
        (0.5625, STRAIGHT, 100 * math.sqrt(2)),
        (0.6875, {200: 0.625, 400: 0.75, 100: 0.5}, 200 * math.sqrt(2)),
        (0.5, STRAIGHT, 100),
        (0.625, STRAIGHT, 200),
        (0.75, STRAIGHT, 400),
        (0.75, {100: 0.5, 200: 0.75, 800: 0.75, 1600: 1.0}, 400),
        (0.75, {100: 0.5, 200: 0.875, 800: 0.625, 1600: 1.0}, 400),
        (0.5, {100: 0.5, 400: 0.5, 1600: 1.0}, 200),
        (0.75, {100: 0.5, 400: 0.75, 1600: 0.75}, 800),
        (0.75, {100: 0.5, 200: 0.75, 400: 0.75, 800: 0.75, 1600: 1.0}, 400),
    ],
    ids=[
        "between points", "in any order", "at the first", "at a point", "at the last", "on a plateau",
        "on pooled points", "on a plateau at the start", "on a plateau at the end",
        "on a plateau of three",
    ],
)  # fmt: skip
def test_an_arm_is_worth_the_size_at_its_height_or_the_middle_of_a_plateau(arm, curve, n) -> None:
    found = valued(arm, curve)
    assert (found.where, found.note) == ("on the curve", "")
    assert found.n_equivalent == pytest.approx(n)
    assert found.worth == pytest.approx((n - 200) / 100)


def test_the_set_ends_at_the_last_sizes_whose_difference_is_shown() -> None:
    """The curve is within `HALF` * 0.05 of the arm from 200 / f to 200 f, f = 2^(HALF * 0.05 / 0.125)."""
    found = valued(0.625, STRAIGHT, scatter=0.05)
    grid, factor = np.geomspace(100, 400, 201), 2 ** (HALF * 0.05 / 0.125)
    assert found.n_low == pytest.approx(grid[grid < 200 / factor].max())
    assert found.n_high == pytest.approx(grid[grid > 200 * factor].min())
    assert (found.low, found.high) == pytest.approx(((found.n_low - 200) / 100, (found.n_high - 200) / 100))


def test_sizes_next_to_the_ends_of_the_curve_are_told_from_the_ends() -> None:
    """The arm lies a step of the grid from an end, and can be told from the end itself."""
    step = 0.125 * math.log2(4) / 200
    low, high = valued(0.5 + step, STRAIGHT, scatter=step / 4), valued(0.75 - step, STRAIGHT, scatter=step / 4)
    assert low.n_low == pytest.approx(100)
    assert high.n_high == pytest.approx(400)


def test_all_sizes_of_a_pooled_stretch_belong_to_the_set_together() -> None:
    found = valued(0.75, {100: 0.5, 200: 0.875, 400: 0.625, 800: 1.0}, scatter=1e-4)
    assert found.n_low == pytest.approx(200, rel=0.012) and found.n_low < 200
    assert found.n_high == pytest.approx(400, rel=0.012) and found.n_high > 400


def test_a_set_that_reaches_an_end_of_the_curve_is_open_there() -> None:
    wide, low, high = (valued(arm, STRAIGHT, scatter=0.05) for arm in (0.625, 0.5, 0.75))
    assert (low.n_low, low.low, high.n_high, high.high) == (None, None, None, None)
    assert low.n_high == pytest.approx(100 * wide.n_high / 200, rel=0.01)
    assert high.n_low == pytest.approx(400 * wide.n_low / 200, rel=0.01)
    everything = valued(0.625, STRAIGHT, scatter=0.5)
    assert (everything.n_low, everything.n_high) == (None, None)
    assert everything.n_equivalent == pytest.approx(200)


def test_an_arm_beyond_or_below_the_curve_has_the_sizes_that_it_cannot_be_told_from() -> None:
    above, below = (valued(arm, STRAIGHT, scatter=0.05) for arm in (0.76, 0.49))
    assert (above.where, above.n_equivalent, above.n_high) == ("beyond the curve", None, None)
    assert 300 < above.n_low < 400
    assert (below.where, below.n_equivalent, below.n_low) == ("below the curve", None, None)
    assert 100 < below.n_high < 133
    clear = valued(0.9, STRAIGHT, scatter=0.01), valued(0.4, STRAIGHT, scatter=0.01)
    assert [(w.n_low, w.n_high) for w in clear] == [(400.0, None), (None, 100.0)]
    assert [(w.low, w.high) for w in clear] == [(2.0, None), (None, -1.0)]
    assert [w.note for w in clear] == [
        "better than 400 real images, the most that were measured",
        "worse than 100 real images, the fewest that were measured",
    ]


def test_the_curve_is_told_point_by_point_with_its_intervals() -> None:
    points = [(n, exact(auroc, scatter=0.05)) for n, auroc in {100: 0.5, 200: 0.875, 400: 0.75, 800: 1.0}.items()]
    arm = exact(0.8, scatter=0.05)
    curve = measure_worth(arm, points, n_real=200, n_synthetic=100).to_json()["curve"]
    half = HALF * 0.05
    assert [list(point.values()) for point in curve] == [
        pytest.approx([100, 0.5, 0.5 - half, 0.5 + half, 0.5]),
        pytest.approx([200, 0.875, 0.875 - half, 0.875 + half, 0.8125]),
        pytest.approx([400, 0.75, 0.75 - half, 0.75 + half, 0.8125]),
        pytest.approx([800, 1.0, 1 - half, 1.0, 1.0]),
    ]
    assert list(curve[0]) == ["n", "auroc", "low", "high", "fitted"]


def test_a_curve_that_does_not_rise_at_all_is_flat_and_its_gain_is_told() -> None:
    found = valued(0.5, {100: 0.5, 400: 0.5})
    assert found.where == "on a flat curve"
    assert (found.n_real, found.n_synthetic, found.n_equivalent, found.n_low, found.n_high) == (
        200,
        100,
        None,
        None,
        None,
    )
    assert found.note.startswith("real images alone gain +0.0000 [+0.0000, +0.0000] from 100 to 400: ")
    assert len(found.curve) == 2
    points = [(100, exact(0.5)), (200, exact(0.75)), (400, exact(0.51, scatter=0.05))]
    uncertain = measure_worth(exact(0.505), points, n_real=200, n_synthetic=100)
    assert uncertain.where == "on a flat curve"
    low, high = 0.01 - HALF * 0.05, 0.01 + HALF * 0.05
    assert uncertain.note.startswith(f"real images alone gain +0.0100 [{low:+.4f}, {high:+.4f}] from 100 to 400: ")
    assert valued(0.5, {100: 0.5, 400: 0.501}).where == "on the curve"


def test_worth_needs_two_sizes_and_a_synthetic_image() -> None:
    assert valued(0.5625, STRAIGHT, n_synthetic=1).n_synthetic == 1
    with pytest.raises(ValueError, match="with synthetic images"):
        valued(0.5625, STRAIGHT, n_synthetic=0)
    with pytest.raises(ValueError, match="two sizes"):
        measure_worth(exact(0.5), [(100, exact(0.5)), (100, exact(0.6))], n_real=1, n_synthetic=1)


def test_pooled_points_share_their_block_and_others_keep_their_own() -> None:
    heights = np.array([0.5, 0.5, 0.8, 0.6, 0.65, 0.9])
    third = [0, 0, 1 / 3, 1 / 3, 1 / 3, 0]
    np.testing.assert_allclose(
        isotonic_weights(heights),
        [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], third, third, third, [0, 0, 0, 0, 0, 1]],
    )


def test_a_worth_with_an_open_end_says_which_point_would_close_it() -> None:
    arm = exact(0.85)
    ends_at_arm = measure_worth(arm, [(100, exact(0.7)), (400, exact(0.8))], n_real=400, n_synthetic=400)
    assert ends_at_arm.where == "beyond the curve"
    assert ends_at_arm.advice.startswith("The curve ends at the arm's own real images: a point beyond (--curve 2)")
    further = measure_worth(arm, [(100, exact(0.7)), (800, exact(0.8))], n_real=400, n_synthetic=400)
    assert further.advice.startswith("The curve ends at 800 real images: a point beyond (--curve 4)")
    below = measure_worth(exact(0.6), [(100, exact(0.7)), (800, exact(0.8))], n_real=400, n_synthetic=400)
    assert below.advice == "A smaller point (--curve 0.125) would close it below"
    inside = measure_worth(exact(0.75), [(100, exact(0.7)), (800, exact(0.8))], n_real=400, n_synthetic=400)
    assert inside.where == "on the curve" and inside.advice == ""
    flat = measure_worth(exact(0.8), [(100, exact(0.8)), (800, exact(0.8))], n_real=400, n_synthetic=400)
    assert flat.where == "on a flat curve" and "Measure points further apart" in flat.advice


@pytest.mark.parametrize("arm", [0.69, 0.80, 0.95, None], ids=["below", "on", "beyond", "flat"])
def test_the_advice_to_an_arm_without_real_images_names_no_share_of_them(arm: float | None) -> None:
    """It would divide by their number; a warning of numpy is an error here."""
    curve = {100: exact(0.70), 400: exact(0.70 if arm is None else 0.90)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_worth(exact(arm or 0.7, scatter=0.3), list(curve.items()), n_real=0, n_synthetic=100)
    assert found.advice and not re.search(r"inf|nan|--curve \d", found.advice)
