"""DeLong's test against its definition written out, and against the bootstrap it cross-checks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.delong import NOTE, compare_delong, components
from benchmarks.statistics.resamples import Resamples
from synthworth.errors import Unavailable


def question(n: int = 60, *, m: int = 2, seed: int = 0):
    """Correlated scores with ties (m, n) and truth (n,)."""
    rng = np.random.default_rng(seed)
    yes = rng.random(n) < 0.4
    return np.round(yes + rng.normal(size=n) + 0.7 * rng.normal(size=(m, n)), 1), yes


def written_out(scores: np.ndarray, yes: np.ndarray) -> np.ndarray:
    """Covariance by DeLong, DeLong & Clarke-Pearson (1988): S10 / m + S01 / n from the kernel of every pair."""
    kernels = [(x[yes][:, None] > x[~yes]) + 0.5 * (x[yes][:, None] == x[~yes]) for x in scores]
    v10 = np.stack([k.mean(axis=1) for k in kernels])
    v01 = np.stack([k.mean(axis=0) for k in kernels])
    return np.cov(v10) / yes.sum() + np.cov(v01) / (~yes).sum()


def test_the_parts_are_the_definition_written_out():
    scores, yes = question()
    aurocs, parts = zip(*(components(x, yes) for x in scores), strict=True)
    np.testing.assert_allclose(aurocs, [roc_auc_score(yes, x) for x in scores], atol=1e-12)
    np.testing.assert_allclose(np.stack(parts) @ np.stack(parts).T, written_out(scores, yes), atol=1e-14)


def test_variance_of_a_case_done_by_hand():
    """Positives 3, 1 and negatives 2, 0: V10 = (1, 1/2), V01 = (1/2, 1), both variances 1/8, halved, added."""
    auroc, parts = components(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False]))
    assert auroc == pytest.approx(0.75)
    assert (parts**2).sum() == pytest.approx(0.125)


def test_one_question_is_tested_as_published():
    scores, yes = question()
    both = np.stack([1 - scores, scores], axis=2)[:, None]
    found = compare_delong(both[0], both[1], yes.astype(int))
    c = written_out(scores, yes)
    assert found.se == pytest.approx(np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1]))
    assert found.difference == pytest.approx(roc_auc_score(yes, scores[0]) - roc_auc_score(yes, scores[1]))
    assert "knows nothing of seeds" in found.to_json()["note"]


def test_over_films_of_patients_seen_once_it_agrees_with_the_bootstrap():
    """Macro of three findings, mean of two seeds: seeds and co-occurrence are in the covariance."""
    rng = np.random.default_rng(1)
    n = 400
    severity = rng.normal(size=(n, 1))
    truth = (severity + rng.normal(size=(n, 3)) > 0.5).astype(int)
    common = truth + severity + rng.normal(size=(n, 3))
    a, b = (common + 0.8 * rng.normal(size=(2, n, 3)) for _ in range(2))
    found = compare_delong(a, b, truth)
    resamples = Resamples.draw(np.arange(n), seed=0)
    mine, other = (sample_auroc(x, truth, resamples)["auroc"] for x in (a, b))
    interval = mine.minus(other).difference_interval()
    assert found.difference == pytest.approx(interval.estimate)
    assert found.se == pytest.approx(interval.se_patients, rel=0.06)


def test_a_set_against_itself_has_p_one():
    scores, yes = question()
    same = np.stack([1 - scores, scores], axis=2)
    assert compare_delong(same, same, yes.astype(int)).p_value == 1.0


def test_a_class_that_test_lacks_is_left_out_and_a_single_positive_is_not_enough():
    rng = np.random.default_rng(0)
    truth, scores = (rng.random((50, 2)) < 0.3).astype(int), rng.random((2, 1, 50, 2))
    alone = compare_delong(scores[0][:, :, :1], scores[1][:, :, :1], truth[:, :1])
    truth[:, 1] = 0
    assert compare_delong(scores[0], scores[1], truth).p_value == alone.p_value
    with pytest.raises(Unavailable, match="no class"):
        compare_delong(scores[0], scores[1], np.zeros_like(truth))
    with pytest.raises(Unavailable, match="there are 1 and 3"):
        components(np.arange(4.0), np.array([True, False, False, False]))


def test_arms_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="cannot be paired"):
        compare_delong(np.zeros((2, 9, 2)), np.zeros((1, 9, 2)), np.zeros(9, int))


def test_two_of_each_kind_are_enough_and_two_of_one_are_not():
    scores = np.array([3.0, 1.0, 2.0, 0.0, 4.0])
    for yes in ([1, 0, 0, 0, 0], [0, 1, 1, 1, 1]):
        with pytest.raises(Unavailable, match="two positives and two negatives"):
            components(scores, np.array(yes, bool))
    assert components(scores, np.array([1, 1, 0, 0, 0], bool))[0] == pytest.approx(3 / 6)


def test_the_parts_of_a_case_of_two_positives_and_three_negatives_done_by_hand():
    """Positives 3, 1; negatives 2, 0, 0: V10 = (1, 2/3), V01 = (1/2, 1, 1), AUROC = 5/6."""
    auroc, parts = components(np.array([3.0, 1.0, 2.0, 0.0, 0.0]), np.array([1, 1, 0, 0, 0], bool))
    assert auroc == pytest.approx(5 / 6)
    expected = [(1 - 5 / 6) / np.sqrt(2), (2 / 3 - 5 / 6) / np.sqrt(2), *(np.array([1 / 2, 1, 1]) - 5 / 6) / np.sqrt(6)]
    np.testing.assert_allclose(parts, expected)


def test_p_is_the_normal_tail_on_both_sides():
    scores, yes = question()
    both = np.stack([1 - scores, scores], axis=2)[:, None]
    found, turned = (compare_delong(a, b, yes.astype(int)) for a, b in (both, both[::-1]))
    assert found.p_value == turned.p_value == pytest.approx(2 * norm.cdf(-abs(found.difference) / found.se))
    assert found.difference == -turned.difference != 0
    row = {"difference": found.difference, "se": found.se, "p_value": found.p_value, "note": NOTE}
    assert found.to_json() == row


def test_without_any_scatter_a_difference_is_certain():
    yes = np.array([1, 1, 0, 0])
    right = np.array([0.9, 0.9, 0.1, 0.1])
    found = compare_delong(*(np.stack([1 - x, x], axis=1)[None] for x in (right, 1 - right)), yes)
    assert (found.difference, found.se, found.p_value) == (1.0, 0.0, 0.0)


def test_macro_and_seeds_are_means_of_the_differences_and_of_the_parts():
    """Two seeds of three findings, the middle of which cannot be judged: four terms."""
    rng = np.random.default_rng(2)
    truth = (rng.random((40, 3)) < 0.5).astype(int)
    truth[:, 1] = 1
    a, b = rng.random((2, 2, 40, 3))
    found = compare_delong(a, b, truth, classes=("x", "y", "z"))
    terms = [
        np.array(components(a[s, :, q], truth[:, q] == 1), dtype=object)
        - np.array(components(b[s, :, q], truth[:, q] == 1), dtype=object)
        for s in range(2)
        for q in (0, 2)
    ]
    assert found.difference == pytest.approx(sum(term[0] for term in terms) / 4)
    assert found.se == pytest.approx(np.linalg.norm(sum(term[1] for term in terms) / 4))
    with pytest.raises(ValueError, match="2 class names"):
        compare_delong(a, b, truth, classes=("x", "y"))


@pytest.mark.parametrize(("one", "other"), [((1, 9, 2), (1, 9, 3)), ((9, 2), (9, 2)), ((0, 9, 2), (0, 9, 2))])
def test_scores_without_seeds_or_of_other_shapes_are_refused(one, other):
    with pytest.raises(ValueError, match="cannot be paired"):
        compare_delong(np.zeros(one), np.zeros(other), np.zeros(9, int))
