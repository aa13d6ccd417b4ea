"""The share of a gain that an arm keeps: known answers, its interval, and when nothing is said."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calibrate.share import ShareDesign, ShareTask, run_share, summarise_share
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.share_kept import share_kept
from benchmarks.statistics.support import Support


def arm(mean: float, *, seed: int, spread: float = 0.004, seeds: int = 6) -> Sampled:
    """An arm whose seeds and patients scatter about `mean`; what moves the patients moves all arms alike."""
    rng, patients = np.random.default_rng(seed), np.random.default_rng(0).normal(0, 0.01, 200)
    values = mean + rng.normal(0, spread, seeds)
    draws = values[:, None] + patients + rng.normal(0, spread / 2, (seeds, 200))
    return Sampled("auroc", values, draws, np.ones(200, bool), Support.equal(200), 0, "one design")


def test_an_arm_that_gains_half_keeps_half_within_an_interval() -> None:
    found = share_kept(arm(0.80, seed=1), arm(0.84, seed=2), arm(0.76, seed=3))
    assert found.kept == pytest.approx(0.5, abs=0.05)
    assert found.low is not None and found.high is not None
    assert found.low < 0.5 < found.high and found.high - found.low < 0.4
    assert found.gain / found.full == pytest.approx(found.kept) and found.full_low < 0.08 < found.full_high


def test_the_ends_are_where_the_difference_begins_to_be_told_from_nothing() -> None:
    mine, full, alone = arm(0.80, seed=1), arm(0.84, seed=2), arm(0.76, seed=3)
    found = share_kept(mine, full, alone)
    assert found.low is not None and found.high is not None
    for end, inward in ((found.low, 1e-4), (found.high, -1e-4)):
        shown = []
        for k in (end - inward, end + inward):
            values = mine.values - k * full.values - (1 - k) * alone.values
            draws = mine.draws - k * full.draws - (1 - k) * alone.draws
            apart = Sampled("auroc", values, draws, mine.valid, mine.support, 0, "one design").difference_interval()
            shown.append(apart.low > 0 or apart.high < 0)
        assert shown == [True, False]


def test_the_interval_leans_to_the_side_where_the_whole_gain_is_small() -> None:
    found = share_kept(arm(0.80, seed=1), arm(0.778, seed=2, spread=0.006), arm(0.76, seed=3, spread=0.006))
    assert found.kept is not None and found.low is not None and found.high is not None
    assert found.high - found.kept > 1.5 * (found.kept - found.low)


def test_of_a_gain_that_is_not_shown_no_share_is_said() -> None:
    found = share_kept(arm(0.80, seed=1), arm(0.761, seed=2), arm(0.76, seed=3))
    assert (found.kept, found.low, found.high) == (None, None, None)
    assert found.note.startswith("what it would be a share of is not shown: ")


def test_too_few_seeds_tell_no_share() -> None:
    found = share_kept(*(arm(mean, seed=k, seeds=5) for k, mean in enumerate((0.80, 0.84, 0.76))))
    assert (found.kept, found.low, found.high) == (None, None, None) and found.full > 0.05
    assert found.note == "screening only, 5 seeds cannot reach p < 0.05"


def test_an_arm_that_harms_keeps_less_than_nothing() -> None:
    found = share_kept(arm(0.74, seed=1), arm(0.84, seed=2), arm(0.76, seed=3))
    assert found.kept is not None and found.high is not None and found.kept < 0 and found.high < 0.1


def test_arms_without_scatter_have_a_share_without_width() -> None:
    found = share_kept(*(arm(mean, seed=1, spread=0.0) for mean in (0.80, 0.84, 0.76)))
    assert (found.low, found.kept, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_arms_of_other_test_sets_have_no_share() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        share_kept(arm(0.80, seed=1), arm(0.84, seed=2, seeds=5), arm(0.76, seed=3))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rows = run_share(ShareTask(ShareDesign("half", "", 0.5, 0.06), tuple(range(60)), 100, seed=0))
    found = summarise_share(rows)
    assert found["said"] == 1 and 0.86 <= found["coverage"] <= 1
    assert found["median"] == pytest.approx(0.5, abs=0.06)
