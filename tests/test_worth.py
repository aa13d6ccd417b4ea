"""Worth in real images: known answers, the ends of the range, and how often its interval holds the truth."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.worth import isotonic_weights, measure_worth

SIZES = (125, 250, 500, 1000, 2000)


def height(n: float) -> float:
    return 0.6 + 0.04 * math.log2(n / 125)


def sampled(mean: float, *, rng: np.random.Generator, seeds: int = 6, patients: np.ndarray, spread: float = 0.004):
    """An arm whose seeds and patients scatter about `mean`; `patients` (B,) moves all arms of an experiment alike."""
    values = mean + rng.normal(0, spread, seeds)
    own = rng.normal(0, spread / 4, (seeds, len(patients)))
    draws = values[:, None] + patients + own
    return Sampled("auroc", values, draws, np.ones(len(patients), bool), 200, 0, "one design")


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
    heights = np.array([0.5, 0.7, 0.6, 0.65, 0.9])
    from sklearn.isotonic import IsotonicRegression

    assert isotonic_weights(heights) @ heights == pytest.approx(IsotonicRegression().fit_transform(range(5), heights))
    bumpy = experiment(height(1500), seed=4, curve=lambda n: height(n) - 0.03 * (n == 500), spread=1e-5)
    fitted = [point.fitted for point in bumpy.curve]
    assert fitted == sorted(fitted)


def test_arms_of_another_test_set_are_refused() -> None:
    rng = np.random.default_rng(0)
    patients = rng.normal(0, 0.01, 50)
    arm = sampled(0.7, rng=rng, patients=patients)
    other = [(n, sampled(height(n), rng=rng, patients=patients)) for n in SIZES]
    strange = [(n, dataclasses.replace(r, design="another")) for n, r in other]
    with pytest.raises(ValueError, match="cannot be paired"):
        measure_worth(arm, strange, n_real=1, n_synthetic=1)
    with pytest.raises(ValueError, match="two sizes"):
        measure_worth(arm, other[:1], n_real=1, n_synthetic=1)
