"""The bootstrap of every utility metric against scikit-learn on the resample written out, and paired differences."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics as sk

from benchmarks.metrics.calibration import N_BINS
from benchmarks.metrics.calibration import brier as brier_score
from benchmarks.metrics.calibration import ece as expected_calibration_error
from benchmarks.metrics.utility import RATES, auprc, operating_point
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.compare import compare_metrics
from benchmarks.statistics.resamples import Resamples, accumulate, draw_counts
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.utility import sample_calibrated, sample_utility, val_thresholds
from benchmarks.statistics.weighted import recalls_of_first_choice
from synthworth.errors import Unavailable

B = 25


def findings(n_seeds: int = 2, n_patients: int = 30, k: int = 3, *, seed: int = 0):
    """Scores with ties (S, N, K), findings (N, K), patients of one to three images."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"p{i}" for i in range(n_patients)], rng.integers(1, 4, size=n_patients))
    truth = (rng.random((len(groups), k)) < 0.3).astype(np.uint8)
    scores = 1 / (1 + np.exp(-rng.normal(size=(n_seeds, *truth.shape)) - truth))
    return np.round(scores, 1), truth, groups


def classes(n_seeds: int = 2, n: int = 80, k: int = 4, *, seed: int = 0):
    """Probabilities (S, N, K), one class an image (N,), patients of about two images."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    raw = np.exp(rng.normal(size=(n_seeds, n, k)) + np.eye(k)[truth])
    return raw / raw.sum(axis=2, keepdims=True), truth, rng.integers(n // 2, size=n)


def sample(scores, truth, groups, *, seed, n_replicates, thresholds=None) -> dict[str, Sampled]:
    """Utility metrics on resamples drawn for them."""
    drawn = Resamples.draw(groups, seed=seed, n_replicates=n_replicates)
    return sample_utility(scores, truth, drawn, thresholds=thresholds)


def resamples(groups, *, seed: int):
    """Indices of the images of each resample, written out."""
    patients = np.unique(groups)
    for counts in draw_counts(len(patients), B, seed=seed).T:
        yield np.concatenate(
            [np.flatnonzero(groups == p) for p, c in zip(patients, counts, strict=True) for _ in range(int(c))]
        )


def by_scikit_learn(truth, scores, threshold):
    """Metrics of one question, None where undefined."""
    called, some, all_ = scores >= threshold, truth.any(), truth.all()
    judged = some and not all_
    return {
        "auprc": sk.average_precision_score(truth, scores) if judged else None,
        "balanced_accuracy": sk.balanced_accuracy_score(truth, called) if judged else None,
        "precision": sk.precision_score(truth, called) if called.any() else None,
        "recall": sk.recall_score(truth, called) if some else None,
        "f1": sk.f1_score(truth, called) if some else None,
        "specificity": sk.recall_score(1 - truth, ~called) if not all_ else None,
        "brier": sk.brier_score_loss(truth, scores, labels=[0, 1]) if judged else ((scores - truth) ** 2).mean(),
        "ece": written_out_ece(scores, truth),
    }


def written_out_ece(said, right):
    """Weighted mean gap between confidence and frequency over the bins (lower, upper]."""
    edges, total = np.linspace(0, 1, N_BINS + 1), 0.0
    for k, (low, high) in enumerate(pairwise(edges)):
        inside = (said > low) & (said <= high) if k else said <= high
        if inside.any():
            total += inside.mean() * abs(said[inside].mean() - right[inside].mean())
    return total


def test_every_metric_of_every_resample_is_scikit_learns_on_the_resample_written_out(monkeypatch):
    monkeypatch.setattr("benchmarks.statistics.weighted.CHUNK", 7)
    scores, truth, groups = findings()
    truth[:, 2] = 0
    truth[[0, -1], 2] = 1  # two patients: lost in some resamples
    thresholds = np.array([[0.5, 0.7, 1.0], [0.3, 0.6, 1.0]])
    found = sample(scores, truth, groups, seed=5, thresholds=thresholds, n_replicates=B)
    undefined = 0
    for b, rows in enumerate(resamples(groups, seed=5)):
        for s in range(2):
            expected = [by_scikit_learn(truth[rows, q], scores[s, rows, q], thresholds[s, q]) for q in range(3)]
            for metric in expected[0]:
                numbers = [e[metric] for e in expected]
                there = [x for x in numbers if x is not None]
                assert found[metric].draws[s, b] == pytest.approx(np.mean(there), abs=1e-12), metric
                for q, number in enumerate(numbers):
                    drawn = found.get(f"{metric}[{q}]")
                    if drawn is None:
                        assert metric == "precision"  # nothing is called positive on the test set itself
                    elif number is None:
                        assert not drawn.valid[b]
                        undefined += 1
                    else:
                        assert drawn.draws[s, b] == pytest.approx(number, abs=1e-12), (metric, q)
    assert undefined


@pytest.mark.parametrize("k", [2, 4])
def test_one_class_an_image_is_bootstrapped_too(k):
    scores, truth, groups = classes(k=k)
    found = sample(scores, truth, groups, seed=1, n_replicates=B)
    for b, rows in enumerate(resamples(groups, seed=1)):
        for s in range(2):
            said, y = scores[s, rows], truth[rows]
            first = said.argmax(axis=1)
            assert found["balanced_accuracy_argmax"].draws[s, b] == pytest.approx(sk.balanced_accuracy_score(y, first))
            assert found["brier"].draws[s, b] == pytest.approx(((said - np.eye(k)[y]) ** 2).sum(axis=1).mean())
            assert found["ece"].draws[s, b] == pytest.approx(written_out_ece(said.max(axis=1), first == y))
            each = [sk.average_precision_score(y == c, said[:, c]) for c in (range(k) if k > 2 else [1])]
            assert found["auprc"].draws[s, b] == pytest.approx(np.mean(each))
    assert "recall" not in found
    assert not any(name.startswith("balanced_accuracy_argmax[") for name in found)


@pytest.mark.parametrize("make", [findings, classes])
def test_the_point_is_the_metric_itself_with_its_thresholds_from_val(make):
    scores, truth, groups = make()
    val_scores, val_truth, _ = make(seed=1)
    thresholds = val_thresholds(val_truth, val_scores)
    found = sample(scores, truth, groups, seed=0, thresholds=thresholds, n_replicates=3)
    for s in range(2):
        plain = {"truth": truth, "scores": scores[s]}
        with_val = {**plain, "val_truth": val_truth, "val_scores": val_scores[s]}
        expected = (
            auprc(**plain) | operating_point(**with_val) | brier_score(**plain) | expected_calibration_error(**plain)
        )
        for name, value in expected.items():
            if not name.startswith("balanced_accuracy_argmax["):
                assert found[name].values[s] == pytest.approx(value.value, abs=1e-12), name


def test_a_class_without_a_threshold_is_left_out_of_the_macro():
    scores, truth, groups = findings()
    val_truth = truth.copy()
    val_truth[:, 1] = 0
    thresholds = val_thresholds(val_truth, scores)
    assert np.isnan(thresholds).tolist() == [[False, True, False]] * 2
    found = sample(scores, truth, groups, seed=0, thresholds=thresholds, n_replicates=B)
    for rate in RATES:
        assert f"{rate}[1]" not in found
        mean = (found[f"{rate}[0]"].draws + found[f"{rate}[2]"].draws) / 2
        both = found[f"{rate}[0]"].valid & found[f"{rate}[2]"].valid
        np.testing.assert_allclose(found[rate].draws[:, both], mean[:, both])


def test_scores_that_are_no_probabilities_have_ranks_alone():
    scores, truth, groups = findings()
    found = sample(3 * scores, truth, groups, seed=0, n_replicates=3)
    assert {name.partition("[")[0] for name in found} == {"auprc"}


def test_numbers_bear_the_names_of_the_classes_and_of_their_resamples():
    drawn = {"seed": 7, "n_replicates": 3}
    scores, truth, groups = findings()
    resamples = Resamples.draw(groups, **drawn)
    found = sample_utility(scores, truth, resamples, thresholds=np.full((2, 3), 0.5), classes=("a", "b", "c"))
    metrics = ("auprc", "brier", "ece", *RATES)
    assert found.keys() == {f"{m}{c}" for m in metrics for c in ("", "[a]", "[b]", "[c]")}
    for name, one in found.items():
        assert (one.name, one.seed, one.n_patients, one.draws.shape) == (name, 7, 30, (2, 3))
        assert one.design == resamples.design(truth == 1, ("a", "b", "c"))
    scores, truth, groups = classes(k=2)
    found = sample_utility(scores, truth, Resamples.draw(groups, **drawn), thresholds=np.full((2, 1), 0.5))
    singles = {"balanced_accuracy_argmax", "brier", "ece"}
    assert found.keys() == singles | {f"{m}{c}" for m in ("auprc", *RATES) for c in ("", "[1]")}


def test_a_number_is_zero_on_resamples_that_do_not_define_it_for_every_seed():
    scores, truth, groups = findings(n_patients=20)
    truth[:, 0] = 0
    truth[[0, -1], 0] = 1
    scores[:, :, 0] = 0.5
    scores[:, [0, -1], 0] = 1.0
    scores[1, 1, 0] = 1.0
    found = sample(scores, truth, groups, seed=0, n_replicates=200, thresholds=np.full((2, 3), 0.9))
    counts = Resamples.draw(groups, seed=0, n_replicates=200).counts[:, 1:]
    there = counts[np.unique(groups, return_inverse=True)[1][[0, -1]]].sum(axis=0) > 0
    assert 0.05 < (~there).mean() < 0.25
    for name in ("auprc[0]", "recall[0]", "f1[0]", "balanced_accuracy[0]", "precision[0]"):
        np.testing.assert_array_equal(found[name].valid, there, err_msg=name)
        assert not found[name].draws[0, ~there].any(), name
    assert found["specificity[0]"].valid.all()
    alone = sample(scores[:, :, :1], truth[:, :1], groups, seed=0, n_replicates=200)["auprc"]
    np.testing.assert_array_equal(alone.valid, there)
    assert not alone.draws[:, ~there].any()


def test_a_probability_of_zero_is_in_the_first_bin_and_one_that_is_rounded_above_one_in_the_last():
    """Sums of confidence less outcome: 0 - 1 and 0.05 - 0 in the first bin, 1.004 - 1 and 0.95 - 0 in the last."""
    scores, truth = np.array([0.0, 0.05, 1.004, 0.95]).reshape(1, 4, 1), np.array([[1], [0], [1], [0]])
    found = sample(scores, truth, np.arange(4), seed=0, n_replicates=3)["ece"]
    assert found.values == pytest.approx([(0.95 + 0.954) / 4])


def test_without_negatives_a_ranking_and_specificity_are_undefined_and_recall_is_not():
    scores, truth, groups = findings(n_patients=20)
    truth[:, 0] = 1
    truth[[0, -1], 0] = 0
    found = sample(scores, truth, groups, seed=0, n_replicates=200, thresholds=np.full((2, 3), 0.5))
    counts = Resamples.draw(groups, seed=0, n_replicates=200).counts[:, 1:]
    there = counts[np.unique(groups, return_inverse=True)[1][[0, -1]]].sum(axis=0) > 0
    assert 0.05 < (~there).mean() < 0.25
    for name in ("auprc[0]", "specificity[0]", "balanced_accuracy[0]"):
        np.testing.assert_array_equal(found[name].valid, there, err_msg=name)
    assert found["recall[0]"].valid.all() and found["f1[0]"].valid.all()


def test_alarms_without_a_positive_image_are_no_f1():
    scores, truth, groups = findings(n_patients=20)
    truth[:, 0] = 0
    truth[[0, -1], 0] = 1
    found = sample(scores, truth, groups, seed=0, n_replicates=200, thresholds=np.zeros((2, 3)))
    assert found["precision[0]"].valid.all()
    np.testing.assert_array_equal(found["f1[0]"].valid, found["recall[0]"].valid)
    assert not found["recall[0]"].valid.all()


def test_every_class_has_its_recall_by_the_highest_score():
    scores, truth, groups = classes()
    found = recalls_of_first_choice(truth, scores[0], Resamples.draw(groups, seed=0, n_replicates=3))
    expected = sk.recall_score(truth, scores[0].argmax(axis=1), average=None)
    assert found.draws.shape == found.valid.shape == (4, 4)
    np.testing.assert_allclose(found.draws[:, 0], expected)


@pytest.mark.parametrize("broken", [0, 1])
def test_a_metric_that_one_seed_lacks_has_no_entry(broken):
    scores, truth, groups = findings()
    scores[broken] *= 3
    assert {name.partition("[")[0] for name in sample(scores, truth, groups, seed=0, n_replicates=3)} == {"auprc"}
    scores, truth, groups = findings()
    scores[broken, :, 1] = 0.0
    found = sample(scores, truth, groups, seed=0, n_replicates=3, thresholds=np.full((2, 3), 0.5))
    assert "precision[1]" not in found and "recall[1]" in found


def test_each_seed_is_judged_at_its_own_threshold():
    scores, truth, groups = findings()
    thresholds = np.array([[0.2, 0.5, 0.8], [0.9, 0.4, 0.3]])
    found = sample(scores, truth, groups, seed=0, n_replicates=3, thresholds=thresholds)
    for s in range(2):
        for q in range(3):
            expected = sk.recall_score(truth[:, q], scores[s, :, q] >= thresholds[s, q])
            assert found[f"recall[{q}]"].values[s] == pytest.approx(expected)


def test_arms_after_their_temperatures_can_be_paired_and_are_named_by_finding():
    for make, names in ((findings, "abc"), (classes, "abcd")):
        scores, truth, groups = make()
        resamples = Resamples.draw(groups, seed=0, n_replicates=3)
        scores = np.clip(scores, 0.01, 0.99)
        found = sample_calibrated(scores, truth, resamples, val_truth=truth, val_scores=scores, classes=names)
        labels = ("", *(f"[{c}]" for c in names)) if make is findings else ("",)
        assert found.keys() == {f"{m}_calibrated{label}" for m in ("brier", "ece") for label in labels}
        yes = truth == 1 if make is findings else truth[:, None] == np.arange(4)
        assert {one.design for one in found.values()} == {resamples.design(yes, tuple(names))}


def test_resamples_are_those_of_auroc():
    scores, truth, groups = findings()
    metrics = sample(scores, truth, groups, seed=3, n_replicates=B)
    drawn = Resamples.draw(groups, seed=3, n_replicates=B)
    assert metrics["auprc"].design == sample_auroc(scores, truth, drawn)["auroc"].design


def test_running_sums_are_cumsum():
    table = np.random.default_rng(0).random((6, 4))
    expected = table.cumsum(axis=0)
    accumulate(table)
    np.testing.assert_array_equal(table, expected)


def test_a_metric_that_few_resamples_define_has_no_interval_and_says_why():
    scores, truth, groups = findings(n_patients=60)
    scores = np.minimum(scores, 0.9)
    scores[:, 0, 0] = 1.0  # one image is called positive, and (1 - 1/60)^60 = 37 % of the resamples lose it
    thresholds = np.full((2, 3), 1.0)
    found = sample(scores, truth, groups, seed=0, thresholds=thresholds, n_replicates=120)
    assert "precision[1]" not in found
    with pytest.raises(Unavailable, match="of 120 resamples of the patients define it, 100 are needed"):
        found["precision[0]"].interval()
    row = compare_metrics(found, found)["precision"]
    assert (row["difference"], row["low"], row["p_interval"]) == (0.0, None, None)
    assert "100 are needed" in row["note"]


def test_an_interval_lies_within_the_range_of_its_metric():
    scores, truth, groups = findings(n_seeds=3)
    found = sample(scores, truth, groups, seed=0, thresholds=np.full((3, 3), 0.5), n_replicates=200)
    for name, drawn in found.items():
        interval = drawn.interval()
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1, name


def test_paired_differences_cover_every_macro_metric_and_are_plain_json():
    scores, truth, groups = findings(n_seeds=6, n_patients=80)
    better = np.clip(scores + 0.2 * (2.0 * truth - 1), 0, 1)
    thresholds = np.full((6, 3), 0.5)
    a, b = (sample(x, truth, groups, seed=0, thresholds=thresholds, n_replicates=300) for x in (better, scores))
    found = compare_metrics(a, b)
    assert set(found) == {"auprc", "brier", "ece", *RATES}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name, row in found.items():
        assert row["difference"] == pytest.approx(a[name].values.mean() - b[name].values.mean())
        assert row["low"] <= row["difference"] <= row["high"]
        assert (row["p_interval"] < 0.05) == (row["low"] > 0 or row["high"] < 0)
    assert found["auprc"]["low"] > 0
    assert found["brier"]["high"] < 0
    same = compare_metrics(b, b)
    assert all(row["difference"] == 0 and row["p_value"] == 1 for row in same.values())


def test_arms_of_another_test_set_cannot_be_paired():
    scores, truth, groups = findings()
    a = sample(scores, truth, groups, seed=0, n_replicates=B)
    for other in (
        sample(scores, truth, groups, seed=1, n_replicates=B),
        sample(scores[:1], truth, groups, seed=0, n_replicates=B),
    ):
        with pytest.raises(ValueError, match="cannot be paired"):
            compare_metrics(a, other)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [("groups", "patients for"), ("shape", r"scores must be \(S, N, K\)"), ("none", "0 replicates of")],
)
def test_what_does_not_fit_is_refused(wrong, reason):
    scores, truth, groups = findings()
    with pytest.raises(ValueError, match=reason):
        sample(
            scores[0] if wrong == "shape" else scores,
            truth,
            groups[1:] if wrong == "groups" else groups,
            seed=0,
            n_replicates=0 if wrong == "none" else 5,
        )
