"""AUROC, AUPRC and the rates at the threshold chosen on val, for one class an image and for findings."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sklearn import metrics as sk

from benchmarks.metrics.utility import (
    RATES,
    auprc,
    auroc,
    one_vs_rest,
    operating_point,
    youden_threshold,
)


def findings(n: int = 200, k: int = 3, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, k)) < 0.3).astype(np.uint8)
    return truth, np.round(1 / (1 + np.exp(-(rng.normal(size=(n, k)) + truth))), 2)  # rounded: ties


def every_number(*, truth, scores, classes=None):
    """AUROC, AUPRC and the rates, with the thresholds chosen on val images like those of test."""
    plain = {"truth": truth, "scores": scores, "classes": classes}
    return auroc(**plain) | auprc(**plain) | operating_point(**plain, val_truth=truth, val_scores=scores)


def classes(n: int = 200, k: int = 4, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    raw = np.exp(rng.normal(size=(n, k)) + 1.5 * np.eye(k)[truth])
    return truth, raw / raw.sum(axis=1, keepdims=True)


def test_macro_scores_of_findings_are_scikit_learns():
    truth, scores = findings()
    found = auroc(truth=truth, scores=scores) | auprc(truth=truth, scores=scores)
    assert found["auroc"].value == pytest.approx(sk.roc_auc_score(truth, scores))
    assert found["auprc"].value == pytest.approx(sk.average_precision_score(truth, scores))
    assert found["auroc[1]"].value == pytest.approx(sk.roc_auc_score(truth[:, 1], scores[:, 1]))


def test_macro_auroc_of_many_classes_is_one_against_the_rest():
    truth, scores = classes()
    expected = sk.roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert auroc(truth=truth, scores=scores)["auroc"].value == pytest.approx(expected)


def test_two_classes_are_one_question_about_the_second():
    truth, scores = classes(k=2)
    found = every_number(truth=truth, scores=scores, classes=("normal", "pneumonia"))
    assert found["auroc"].value == found["auroc[pneumonia]"].value
    assert found["auprc"].value == pytest.approx(sk.average_precision_score(truth, scores[:, 1]))
    assert "auroc[normal]" not in found
    assert found["auprc[pneumonia]"].extra["prevalence"] == pytest.approx(truth.mean())


def test_a_class_that_test_lacks_is_null_and_the_macro_says_so():
    truth, scores = findings()
    truth[:, 2] = 0
    plain = {"truth": truth, "scores": scores, "classes": ("a", "b", "c")}
    found = auroc(**plain) | operating_point(**plain, val_truth=findings()[0], val_scores=scores)
    assert found["auroc[c]"].value is None
    assert found["auroc[c]"].note == "no positive image"
    assert found["auroc"].value == pytest.approx(sk.roc_auc_score(truth[:, :2], scores[:, :2]))
    assert found["auroc"].note == "mean of 2 of 3 classes; without c (no positive image)"
    assert found["specificity[c]"].value is not None
    assert found["recall[c]"].value is None


def test_a_test_set_of_one_class_has_no_auroc_at_all():
    found = auroc(truth=np.ones(5, int), scores=np.full((5, 2), 0.5))
    assert found["auroc"].value is None
    assert "no negative image" in str(found["auroc"].note)


def test_rates_at_the_threshold_are_scikit_learns():
    (val_truth, val_scores), (truth, scores) = findings(seed=1), findings(seed=2)
    found = operating_point(truth=truth, scores=scores, val_truth=val_truth, val_scores=val_scores)
    for q in range(3):
        threshold = found[f"f1[{q}]"].extra["threshold"]
        assert threshold == youden_threshold(val_truth[:, q].astype(bool), val_scores[:, q])
        called = scores[:, q] >= threshold
        for rate, score in {
            "balanced_accuracy": sk.balanced_accuracy_score,
            "precision": sk.precision_score,
            "recall": sk.recall_score,
            "f1": sk.f1_score,
        }.items():
            assert found[f"{rate}[{q}]"].value == pytest.approx(score(truth[:, q], called))
        specificity = sk.recall_score(truth[:, q], called, pos_label=0)
        assert found[f"specificity[{q}]"].value == pytest.approx(specificity)
    for rate in RATES:
        assert found[rate].value == pytest.approx(np.mean([found[f"{rate}[{q}]"].value for q in range(3)]))


def test_the_threshold_comes_from_val_and_never_from_test():
    (val_truth, val_scores), (truth, scores) = findings(seed=1), findings(seed=2)
    first = operating_point(truth=truth, scores=scores, val_truth=val_truth, val_scores=val_scores)
    other = operating_point(truth=1 - truth, scores=scores, val_truth=val_truth, val_scores=val_scores)
    assert first["f1[0]"].extra["threshold"] == other["f1[0]"].extra["threshold"]


def test_youden_separates_what_can_be_separated():
    yes = np.array([False, False, True, True])
    assert youden_threshold(yes, np.array([0.1, 0.2, 0.7, 0.9])) == 0.7
    assert np.isfinite(youden_threshold(yes, np.array([0.9, 0.7, 0.2, 0.1])))


def test_of_thresholds_with_equal_j_the_highest_is_taken_whatever_rounding_says():
    """65 with and 13 without: J = 21 / 65 = 273 / 845 both at .3345 (21 hits, no alarm) and at .3047 (56 and 7)."""
    assert 21 / 65 - 0 / 13 < 56 / 65 - 7 / 13, "equal, but for rounding"
    positives = [0.9] * 20 + [0.3345] + [0.31] * 34 + [0.3047] + [0.01] * 9
    scores = np.array(positives + [0.32] * 7 + [0.05] * 6)
    yes = np.arange(78) < 65
    assert youden_threshold(yes, scores) == 0.3345
    shuffled = np.random.default_rng(0).permutation(78)
    assert youden_threshold(yes[shuffled], scores[shuffled]) == 0.3345


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_highest_of_those_that_are_best_in_fractions(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 120))
    yes, scores = rng.random(n) < 0.4, rng.integers(0, 30, n) / 29
    yes[:2] = True, False
    table = []
    for t in sorted(set(scores.tolist()), reverse=True):
        called = scores >= t
        hits, alarms = (Fraction(int(called[side].sum()), int(side.sum())) for side in (yes, ~yes))
        table.append((hits - alarms, t))
    assert youden_threshold(yes, scores) == max(table)[1]


def test_a_class_that_val_lacks_has_no_threshold():
    truth, scores = findings()
    val_truth = truth.copy()
    val_truth[:, 0] = 0
    found = operating_point(truth=truth, scores=scores, val_truth=val_truth, val_scores=scores)
    assert found["f1[0]"].value is None
    assert "in val to choose a threshold on" in str(found["f1[0]"].note)
    assert found["f1"].value is not None


def test_precision_is_undefined_when_nothing_is_called_positive():
    val_truth, val_scores = np.array([[0], [1]]), np.array([[0.1], [0.9]])
    found = operating_point(
        truth=np.array([[0], [1], [1]]),
        scores=np.array([[0.2], [0.3], [0.3]]),
        val_truth=val_truth,
        val_scores=val_scores,
    )
    assert found["precision"].value is None
    assert found["f1"].value == 0.0


def test_balanced_accuracy_of_the_first_choice_is_scikit_learns():
    truth, scores = classes()
    found = operating_point(truth=truth, scores=scores, val_truth=truth, val_scores=scores)
    expected = sk.balanced_accuracy_score(truth, scores.argmax(axis=1))
    assert found["balanced_accuracy_argmax"].value == pytest.approx(expected)
    findings_found = operating_point(
        **dict(zip(("truth", "scores"), findings(), strict=True)),
        **{
            "val_truth": findings()[0],
            "val_scores": findings()[1],
        },
    )
    assert "balanced_accuracy_argmax" not in findings_found


@pytest.mark.parametrize(
    ("truth", "scores", "names", "message"),
    [
        (np.zeros(3, int), np.zeros((4, 2)), None, "do not fit"),
        (np.zeros((3, 2), int), np.zeros((3, 4)), None, "do not fit"),
        (np.array([0, 1, 5]), np.zeros((3, 2)), None, "labels other than"),
        (np.array([[0, 2]]), np.zeros((1, 2)), None, "labels other than 0 and 1"),
        (np.zeros(3, int), np.full((3, 2), np.nan), None, "NaN"),
        (np.zeros(3, int), np.zeros((3, 2)), ("a",), "1 class names for 2"),
    ],
)
def test_what_does_not_fit_is_refused(truth, scores, names, message):
    with pytest.raises(ValueError, match=message):
        one_vs_rest(truth, scores, names)


def test_every_value_can_be_written():
    truth, scores = classes()
    for value in every_number(truth=truth, scores=scores).values():
        assert value.to_json()["n"] == 200
