"""The bootstrap of AUROC against scikit-learn, and the verdict: its interval, its p, and how often it is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from benchmarks.metrics.registry import Value
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.compare import compare
from benchmarks.statistics.equivalence import MARGIN, equivalence
from benchmarks.statistics.interval import half_width, interval_p, mean_interval, sign_flip_p
from benchmarks.statistics.multiple import holm
from benchmarks.statistics.resamples import Resamples, draw_counts
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from synthworth.errors import Unavailable


def experiment(*, n_seeds: int = 2, n_patients: int = 30, k: int = 3, gain: float = 1.0, seed: int = 0):
    """Scores with ties (S, N, K), findings (N, K) and patients of one to three images."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"p{i}" for i in range(n_patients)], rng.integers(1, 4, size=n_patients))
    truth = (rng.random((len(groups), k)) < 0.3).astype(np.uint8)
    raw = rng.normal(size=(n_seeds, *truth.shape)) + gain * truth
    return np.round(norm.cdf(raw), 1), truth, groups


def aurocs(scores, truth, groups, *, seed, n_replicates, classes=None) -> dict[str, Sampled]:
    """AUROC, macro and by class, on resamples drawn for it."""
    return sample_auroc(scores, truth, Resamples.draw(groups, seed=seed, n_replicates=n_replicates), classes=classes)


def written_out(groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Indices of the images of a resample."""
    patients = np.unique(groups)
    return np.concatenate(
        [np.flatnonzero(groups == p) for p, c in zip(patients, counts, strict=True) for _ in range(int(c))]
    )


def test_auroc_of_every_resample_is_scikit_learns_on_the_resample_written_out(monkeypatch):
    monkeypatch.setattr("benchmarks.statistics.auroc.CHUNK", 7)
    scores, truth, groups = experiment()
    found = aurocs(scores, truth, groups, seed=5, n_replicates=40)
    counts = draw_counts(found["auroc"].n_patients, 40, seed=5)
    np.testing.assert_allclose(found["auroc"].values[0], roc_auc_score(truth, scores[0]), atol=1e-12)
    for q in range(3):
        expected = [roc_auc_score(truth[:, q], one[:, q]) for one in scores]
        np.testing.assert_allclose(found[f"auroc[{q}]"].values, expected, atol=1e-12)
    for b in range(40):
        rows = written_out(groups, counts[:, b])
        for s in range(2):
            for q in range(3):
                expected = roc_auc_score(truth[rows, q], scores[s, rows, q])
                assert found[f"auroc[{q}]"].draws[s, b] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_one_class_an_image_is_bootstrapped_too(k):
    rng = np.random.default_rng(0)
    truth = rng.integers(k, size=120)
    scores = rng.dirichlet(np.ones(k), size=(1, 120))
    found = aurocs(scores, truth, np.arange(120), seed=1, n_replicates=5)
    expected = roc_auc_score(truth, scores[0, :, 1] if k == 2 else scores[0], multi_class="ovr")
    assert found["auroc"].values[0] == pytest.approx(expected)
    assert len(found) == 1 + (1 if k == 2 else k)


def test_every_resample_draws_as_many_patients_as_there_are():
    counts = draw_counts(50, 200, seed=1)
    assert (counts.sum(axis=0) == 50).all()
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.1)
    assert not np.array_equal(counts, draw_counts(50, 200, seed=2))


def test_resamples_without_a_class_are_counted_and_leave_it_out():
    scores, truth, groups = experiment(n_patients=20, k=2)
    truth[:, 1] = 0
    truth[[0, -1], 1] = 1
    found = aurocs(scores, truth, groups, seed=3, n_replicates=300)
    lost = ~found["auroc[1]"].valid
    assert 0.06 < lost.mean() < 0.2  # (1 - 2/20)^20 = 0.12
    assert found["auroc"].n_incomplete == lost.sum()
    np.testing.assert_array_equal(found["auroc"].draws[:, lost], found["auroc[0]"].draws[:, lost])
    assert found["auroc[1]"].kept.shape[1] == (~lost).sum()


def test_a_class_that_the_test_set_lacks_is_left_out_with_its_reason():
    scores, truth, groups = experiment()
    truth[:, 2] = 0
    found = aurocs(scores, truth, groups, seed=0, n_replicates=10, classes=("a", "b", "c"))
    assert list(found) == ["auroc", "auroc[a]", "auroc[b]"]
    assert found["auroc"].left_out == ("c (no positive image)",)
    with pytest.raises(Unavailable, match="no class can be judged"):
        aurocs(scores, np.zeros_like(truth), groups, seed=0, n_replicates=10)


def test_a_resample_that_judges_no_class_is_left_out_and_is_not_called_incomplete():
    scores, truth, groups = experiment(n_patients=20, k=2)
    truth[:] = 0
    truth[[0, -1]] = 1
    found = aurocs(scores, truth, groups, seed=3, n_replicates=300)
    lost = ~found["auroc"].valid
    assert 0.06 < lost.mean() < 0.2
    np.testing.assert_array_equal(lost, ~found["auroc[0]"].valid)
    assert not found["auroc"].draws[:, lost].any() and not found["auroc[0]"].draws[:, lost].any()
    assert found["auroc"].n_incomplete == 0


def test_patients_whose_images_are_all_positive_or_all_negative_are_counted():
    """Patients in order: negative, positive, both, positive, negative, and each with two images."""
    groups = np.repeat(np.arange(5), 2)
    yes = np.array([0, 0, 1, 1, 0, 1, 1, 1, 0, 0])
    score = np.array([0.1, 0.5, 0.5, 0.9, 0.8, 0.2, 0.6, 0.8, 0.8, 0.3])
    for turned in (False, True):
        truth, p = (1 - yes, 1 - score) if turned else (yes, score)
        found = aurocs(np.stack([1 - p, p], axis=1)[None], truth, groups, seed=2, n_replicates=30)["auroc"]
        counts = draw_counts(5, 30, seed=2)
        for b in np.flatnonzero(found.valid):
            rows = written_out(groups, counts[:, b])
            assert found.draws[0, b] == pytest.approx(roc_auc_score(truth[rows], p[rows]))
        assert found.values[0] == pytest.approx(roc_auc_score(truth, p))


def test_what_is_said_of_a_class_is_paired_with_that_class_alone():
    scores, truth, groups = experiment()
    found = aurocs(scores, truth, groups, seed=6, n_replicates=10, classes=("a", "b", "c"))
    assert len({one.design for one in found.values()}) == 4
    for name, one in found.items():
        assert (one.name, one.n_patients, one.seed, one.n_seeds) == (name, 30, 6, 2)
    other = aurocs(scores / 2, truth, groups, seed=6, n_replicates=10, classes=("a", "b", "c"))
    assert all(found[name].pairs_with(other[name]) for name in found)


@pytest.mark.parametrize(
    ("shape", "groups", "n", "reason"),
    [
        ((20, 3), 20, 5, r"scores must be \(S, N, K\) with at least one seed, not \(20, 3\)"),
        ((1, 20), 20, 5, r"scores must be \(S, N, K\)"),
        ((0, 20, 3), 20, 5, r"scores must be \(S, N, K\)"),
        ((1, 20, 3), 19, 5, "19 patients for 20 images"),
        ((1, 20, 3), 20, 0, "0 replicates of 20 images"),
    ],
)
def test_what_does_not_fit_is_refused(shape, groups, n, reason):
    truth = np.eye(3, dtype=int)[np.arange(20) % 3]
    with pytest.raises(ValueError, match=reason):
        aurocs(np.zeros(shape), truth, range(groups), seed=0, n_replicates=n)


@pytest.mark.parametrize("side", [0, 1])
def test_a_class_of_one_patient_on_a_side_is_not_judged_however_many_images_that_patient_has(side):
    scores, truth, groups = experiment()
    one = np.asarray(groups) == groups[0]
    truth[:, 2] = one if side else ~one
    found = aurocs(scores, truth, groups, seed=0, n_replicates=10, classes=("a", "b", "c"))
    word = "positive" if side else "negative"
    assert found["auroc"].left_out == (f"c (1 {word} patient: 2 are needed)",)
    np.testing.assert_allclose(found["auroc"].values, (found["auroc[a]"].values + found["auroc[b]"].values) / 2)
    two = one | (np.asarray(groups) == groups[-1])
    truth[:, 2] = two if side else ~two
    assert "auroc[c]" in aurocs(scores, truth, groups, seed=0, n_replicates=10, classes=("a", "b", "c"))


def arm(values, *, noise: float = 0.001, design: str = "d", seed: int = 0) -> Sampled:
    """An arm whose macro AUROC over seeds is `values`."""
    point = np.asarray(values, dtype=float)
    draws = point[:, None] + np.random.default_rng(seed).normal(size=(1, 500)) * noise
    return Sampled("auroc", point, draws, np.ones(500, bool), Support.equal(100), 0, design)


BASE = np.array([0.80, 0.81, 0.79, 0.80, 0.82, 0.80])


def test_a_clear_gain_helps_and_a_clear_loss_hurts():
    better = arm(BASE + np.array([0.020, 0.021, 0.019, 0.022, 0.018, 0.020]))
    found = compare(better, arm(BASE), name_a="ddpm", name_b="none")
    assert found.verdict == "helps"
    assert found.difference == pytest.approx(0.02)
    assert found.p_value == pytest.approx(2 / 2**6)
    assert found.note is None
    assert compare(arm(BASE), better, name_a="none", name_b="ddpm").verdict == "hurts"


def test_an_arm_against_itself_shows_no_difference():
    found = compare(arm(BASE), arm(BASE), name_a="none", name_b="none")
    assert (found.verdict, found.difference, found.p_value) == ("no difference shown", 0.0, 1.0)


def test_a_difference_that_few_seeds_scatter_around_is_not_shown():
    found = compare(arm(BASE[:3] + np.array([0.03, 0.001, 0.02])), arm(BASE[:3]), name_a="a", name_b="b")
    assert found.verdict == "no difference shown"
    assert found.low < 0 < found.high
    assert found.note == "screening: 3 seeds cannot reach p < 0.05"


def test_one_seed_never_gives_a_verdict():
    found = compare(arm([0.9]), arm([0.5]), name_a="a", name_b="b")
    assert found.verdict == "no difference shown"
    assert "one seed" in str(found.note)
    assert found.p_value == 1.0


def test_arms_of_another_test_set_or_other_seeds_cannot_be_paired():
    with pytest.raises(ValueError, match="a and b cannot be paired"):
        compare(arm(BASE), arm(BASE, design="other"), name_a="a", name_b="b")
    with pytest.raises(ValueError, match="6 and 3 seeds"):
        compare(arm(BASE), arm(BASE[:3]), name_a="a", name_b="b")


def test_the_design_tells_test_sets_apart():
    scores, truth, groups = experiment()
    base = aurocs(scores, truth, groups, seed=0, n_replicates=5)["auroc"].design
    assert aurocs(scores / 2, truth, groups, seed=0, n_replicates=5)["auroc"].design == base
    assert aurocs(scores, truth, groups, seed=1, n_replicates=5)["auroc"].design != base
    assert aurocs(scores, 1 - truth, groups, seed=0, n_replicates=5)["auroc"].design != base
    assert aurocs(scores, truth, groups[::-1], seed=0, n_replicates=5)["auroc"].design != base


def test_a_comparison_is_plain_json():
    row = compare(arm(BASE + 0.01), arm(BASE), name_a="a", name_b="b").to_json()
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_pairing_narrows_the_interval():
    scores, truth, groups = experiment(n_seeds=3, n_patients=100)
    rng = np.random.default_rng(1)
    a = aurocs(scores, truth, groups, seed=0, n_replicates=400)["auroc"]
    moved = scores + 0.05 * rng.normal(size=scores.shape)
    b = aurocs(moved, truth, groups, seed=0, n_replicates=400)["auroc"]
    assert compare(a, b, name_a="a", name_b="b").interval.se_patients < 0.5 * a.interval().se_patients


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_smallest_sign_flip_p_is_two_over_two_to_the_n(n):
    assert sign_flip_p(np.arange(1.0, n + 1), seed=0) == pytest.approx(2 / 2**n)
    assert sign_flip_p(-np.arange(1.0, n + 1), seed=0) == pytest.approx(2 / 2**n)


def test_sign_flip_p_counts_patterns():
    assert sign_flip_p(np.array([3.0, 2.0, -1.0]), seed=0) == pytest.approx(4 / 8)
    assert sign_flip_p(np.zeros(6), seed=0) == 1.0


def test_an_arm_interval_stays_within_zero_and_one():
    interval = arm([0.99, 1.0, 0.97]).interval()
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    Value("auroc", interval.estimate, 10, "higher", low=interval.low, high=interval.high).to_json()


@pytest.mark.parametrize(
    ("n_seeds", "between", "patients", "interaction", "expected"),
    [
        (3, 1, 0, 0.0, 0.952),
        (6, 0, 8, 0.0, 0.948),
        (3, 0, 0, 8.0, 0.975),
        (3, 0.5, 6, 4.0, 0.959),
        (6, 0.5, 6, 4.0, 0.950),
    ],
    ids=["seeds", "patients", "interaction", "mixed at 3", "mixed at 6"],
)
def test_the_interval_covers_what_it_was_measured_to(n_seeds, between, patients, interaction, expected):
    """A crossed layout, value = seed + patient + interaction, true mean 0, 60 patients.

    `expected` is the coverage in 10,000 experiments; 1,500 here have a standard error of .006 at most.
    """
    rng = np.random.default_rng(n_seeds)
    n, hits = 60, 0
    for _ in range(1500):
        table = between * rng.normal(size=(n_seeds, 1)) + patients * rng.normal(size=n)
        table = table + interaction * rng.normal(size=(n_seeds, n)) + 1e-9 * rng.normal(size=(n_seeds, n))
        draws = table @ rng.multinomial(n, np.full(n, 1 / n), size=150).T / n
        interval = mean_interval(table.mean(axis=1), draws, n_groups=n, seed=0)
        hits += interval.low <= 0 <= interval.high
    assert hits / 1500 == pytest.approx(expected, abs=0.018)


def test_one_patient_gives_no_interval():
    with pytest.raises(Unavailable, match="two patients"):
        mean_interval(np.array([0.8, 0.9]), np.array([[0.8, 0.8], [0.9, 0.9]]), n_groups=1, seed=0)


def draws_around(values, *, noise: float = 0.002, seed: int = 0) -> np.ndarray:
    return values[:, None] + noise * np.random.default_rng(seed).normal(size=500)


@pytest.mark.parametrize("shift", [0.0, 0.004, 0.0065, 0.02, -0.02])
def test_the_p_of_an_interval_is_below_five_per_cent_exactly_where_it_excludes_zero(shift):
    values = np.array([0.004, -0.003, 0.002, -0.001, 0.003, -0.005]) + shift
    draws = draws_around(values)
    interval = mean_interval(values, draws, n_groups=100, seed=0)
    p = interval_p(values, draws, n_groups=100)
    assert (p < 0.05) == (interval.low > 0 or interval.high < 0)
    assert abs(values.mean()) == pytest.approx(half_width(values, draws, n_groups=100, level=1 - p).half)


def test_the_p_of_an_interval_is_students_where_only_seeds_vary_or_only_patients():
    from scipy.stats import ttest_1samp

    values = np.array([0.01, 0.02, -0.005, 0.015, 0.03, 0.0])
    fixed = np.repeat(values[:, None], 50, axis=1)
    assert interval_p(values, fixed, n_groups=100) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert interval_p(np.zeros(6), np.zeros((6, 50)), n_groups=100) == 1.0
    patients = np.random.default_rng(0).normal(size=(1, 4000))
    assert interval_p(np.array([1.96]), patients, n_groups=100_000) == pytest.approx(0.05, abs=0.01)


def apart(values, draws) -> Sampled:
    """A paired difference on a test set of 100 patients."""
    return Sampled("auroc", values, draws, np.ones(draws.shape[1], bool), Support.equal(100), 0, "d")


def test_equivalence_is_a_ninety_per_cent_interval_inside_the_margin():
    values = np.array([0.001, -0.002, 0.002, 0.0, 0.001, -0.001])
    draws = draws_around(values)
    found = equivalence(apart(values, draws))
    half = half_width(values, draws, n_groups=100, level=0.90).half
    assert found["margin"] == MARGIN == 0.01
    assert found["high"] - found["low"] == pytest.approx(2 * half)
    assert found["equivalent"] and found["p_value"] < 0.05
    assert found["sentence"] == "EQUIVALENT within +-0.01"
    tight = equivalence(apart(values, draws), margin=0.0005)
    assert not tight["equivalent"] and tight["p_value"] > 0.05
    assert tight["sentence"] == "not shown to be equivalent within +-0.0005"
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_difference_beyond_the_margin_and_few_seeds_are_never_called_equivalent():
    values = np.array([0.021, 0.022, 0.020, 0.021, 0.019, 0.020])
    assert equivalence(apart(values, draws_around(values)))["p_value"] > 0.95
    few = equivalence(apart(values[:3] - 0.02, draws_around(values[:3] - 0.02, noise=1e-4)))
    assert few["p_value"] < 0.05 and not few["equivalent"]
    assert few["sentence"].endswith("(screening: 3 seeds)")
    assert equivalence(apart(np.zeros(6), np.zeros((6, 9))))["equivalent"]
    with pytest.raises(ValueError, match="above 0"):
        equivalence(apart(values, draws_around(values)), margin=0.0)


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_under_a_null_few_comparisons_find_something_and_a_real_gain_is_found():
    """500 experiments of 6 seeds on 300 films of 100 patients; noise shared by arms, by seeds, and by neither."""
    false_alarms = found = 0
    for e in range(500):
        rng = np.random.default_rng([7, e])
        patient = np.repeat(np.arange(100), 3)
        truth = (rng.random(300) < 0.35).astype(int)
        film = rng.normal(size=100)[patient] + rng.normal(size=300)
        arms = []
        for gain in (0.0, 0.0, 0.5):
            own = 0.5 * rng.normal(size=300)
            skill = 1.5 + gain + 0.15 * rng.normal(size=(6, 1))
            p = norm.cdf(skill * truth + film + own + 0.5 * rng.normal(size=(6, 300)))
            arms.append(aurocs(np.stack([1 - p, p], axis=2), truth, patient, seed=e, n_replicates=100)["auroc"])
        null = compare(arms[1], arms[0], name_a="a", name_b="b")
        false_alarms += null.verdict != "no difference shown"
        found += compare(arms[2], arms[0], name_a="c", name_b="b").verdict == "helps"
    assert 0.02 <= false_alarms / 500 <= 0.07
    assert found / 500 > 0.8
