"""One arm on two test sets: the difference covers what it should, and is null where it means nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.statistics.apart import apart
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from synthworth.errors import Unavailable

B = 200


def mean_of(values: np.ndarray, *, seed: int) -> Sampled:
    """(S, P) values of patients with one image each: their mean, by seed and resample."""
    n = values.shape[1]
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=B).T / n
    return Sampled("brier", values.mean(axis=1), values @ counts, np.ones(B, dtype=bool), Support.equal(n), seed, "d")


def simulated(
    rng: np.random.Generator, *, here: int, there: int, seeds: int, by_seed: float
) -> tuple[Sampled, Sampled]:
    """True values 0.3 here and 0.2 there; seeds shift both sets together, and each a little by itself."""
    common = rng.normal(0, by_seed, (seeds, 1))
    found = []
    for n, middle, scatter in ((here, 0.3, 1.0), (there, 0.2, 2.0)):
        patients, own = rng.normal(0, scatter, (1, n)), rng.normal(0, 0.5 * by_seed, (seeds, 1))
        found.append(middle + common + own + patients + rng.normal(0, 0.5, (seeds, n)))
    return mean_of(found[0], seed=int(rng.integers(2**31))), mean_of(found[1], seed=int(rng.integers(2**31)))


@pytest.mark.parametrize(
    ("here", "there", "seeds", "by_seed"),
    [(60, 60, 6, 0.1), (200, 12, 6, 0.1), (12, 200, 6, 0.1), (30, 30, 6, 1.0), (15, 15, 3, 0.0)],
)
def test_the_interval_covers_the_true_difference_in_95_of_100(
    here: int, there: int, seeds: int, by_seed: float
) -> None:
    rng, held, n = np.random.default_rng(1), 0, 1000
    for _ in range(n):
        found = apart(*simulated(rng, here=here, there=there, seeds=seeds, by_seed=by_seed))
        held += found.low <= 0.1 <= found.high
    assert 0.93 <= held / n <= 0.975, held / n


def films(rng: np.random.Generator, n: int, quality: float, seeds: int) -> tuple[np.ndarray, np.ndarray, Resamples]:
    """Scores (S, N, 2), truth and resamples of patients with one film each."""
    truth = np.arange(n) % 2
    shared, own = rng.normal(size=n), rng.normal(size=(seeds, n))
    logit = quality * truth + 0.9 * shared + 0.4 * own
    score = 1 / (1 + np.exp(-logit))
    resamples = Resamples.draw([f"p{k}" for k in range(n)], seed=int(rng.integers(2**31)), n_replicates=B)
    return np.stack([1 - score, score], axis=2), truth, resamples


def test_the_interval_of_auroc_covers_where_both_sets_are_alike() -> None:
    rng, held, n = np.random.default_rng(2), 0, 500
    for _ in range(n):
        pair = [sample_auroc(*films(rng, size, 1.5, 6), classes=("no", "yes"))["auroc"] for size in (80, 50)]
        found = apart(*pair)
        held += found.low <= 0 <= found.high
        assert (found.p_interval < 0.05) == (not found.low <= 0 <= found.high)
    assert 0.93 <= held / n <= 0.975, held / n


def test_variances_of_patients_add_up_and_the_seeds_are_paired() -> None:
    here, there = simulated(np.random.default_rng(3), here=200, there=200, seeds=6, by_seed=30.0)
    found = apart(here, there)
    assert found.by_seed == pytest.approx((here.values - there.values).tolist())
    shifted = [replace(one, values=one.values + 7, draws=one.draws + 7) for one in (here, there)]
    assert apart(*shifted).low == pytest.approx(found.low)  # what a seed does on both sets is no difference
    assert found.se_here == pytest.approx(1 / np.sqrt(200), rel=0.3)
    assert found.se_there == pytest.approx(2 / np.sqrt(200), rel=0.3)


def test_each_set_gets_back_what_the_bootstrap_leaves_out_of_its_own_patients() -> None:
    here, there = simulated(np.random.default_rng(8), here=5, there=50, seeds=6, by_seed=0.1)
    found = apart(here, there)
    for one, said, n in ((here, found.se_here, 5), (there, found.se_there, 50)):
        assert said == pytest.approx(np.sqrt(n / (n - 1)) * one.draws.mean(axis=0).std(ddof=1))


def test_few_patients_there_decide_the_freedom() -> None:
    here, there = simulated(np.random.default_rng(4), here=400, there=8, seeds=6, by_seed=0.0)
    assert 7 <= apart(here, there).freedom < 9
    same = simulated(np.random.default_rng(5), here=50, there=50, seeds=6, by_seed=0.0)
    assert 49 < apart(*same).freedom <= 98


def test_what_cannot_be_compared_is_refused_with_its_reason() -> None:
    here, there = simulated(np.random.default_rng(6), here=20, there=20, seeds=3, by_seed=0.1)
    common = replace(here, support=replace(here.support, names=("common",)), left_out=("rare (1 patient)",))
    with pytest.raises(Unavailable, match=r"over other classes: without rare .1 patient. here and without none there"):
        apart(common, there)
    with pytest.raises(Unavailable, match="two patients or more"):
        apart(here, replace(there, support=Support.equal(1)))
    with pytest.raises(Unavailable, match="only 0 of 200 resamples define it on both"):
        apart(here, replace(there, valid=np.zeros(B, dtype=bool)))
    with pytest.raises(ValueError, match="not of one arm"):
        apart(here, replace(there, values=there.values[:2], draws=there.draws[:2]))


def test_one_seed_and_few_patients_are_said() -> None:
    here, there = simulated(np.random.default_rng(7), here=20, there=20, seeds=1, by_seed=0.1)
    few, many = (Support.of(np.arange(20), np.arange(20)[:, None] < n, ["effusion"]) for n in (3, 10))
    note = apart(replace(here, support=many), replace(there, support=few)).note
    assert note is not None and "not of seeds" in note and "there: few patients: 3 with effusion" in note
