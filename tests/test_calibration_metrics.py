"""Brier score, calibration error and temperature: scikit-learn, known answers, the bootstrap's definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.metrics import brier_score_loss, log_loss

from benchmarks.judging.utility import mean_over_seeds
from benchmarks.metrics.calibration import (
    N_BINS,
    TEMPERATURES,
    Bins,
    after_temperature,
    apply_temperature,
    brier,
    describe_calibration,
    ece,
    fit_temperature,
    temper,
)
from benchmarks.metrics.registry import METRICS, metrics_on
from benchmarks.metrics.value import Value
from benchmarks.report.figures.reliability import draw_reliability
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.utility import sample_calibrated, sample_utility
from synthworth.errors import Unavailable

PNG = b"\x89PNG\r\n\x1a\n"


def one_class(n: int = 400, k: int = 4, *, seed: int = 0, sureness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth (N,) drawn from a softmax, and the probabilities of `sureness` times its logits."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.standard_normal((n, k))
    truth = np.array([rng.choice(k, p=p) for p in softmax(logits, axis=1)])
    return truth, softmax(sureness * logits, axis=1)


def findings(n: int = 400, k: int = 3, *, seed: int = 0, sureness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth (N, K) drawn from sigmoids, and the probabilities of `sureness` times their logits."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k)) - 1
    return (rng.random((n, k)) < expit(logits)).astype(np.uint8), expit(sureness * logits)


# -- Brier --------------------------------------------------------------------------------------------------------


def test_brier_of_findings_is_scikit_learns_for_each_and_their_mean() -> None:
    truth, scores = findings()
    found = brier(truth=truth, scores=scores, classes=("a", "b", "c"))
    each = [brier_score_loss(truth[:, q], scores[:, q]) for q in range(3)]
    assert [found[f"brier[{c}]"].value for c in "abc"] == pytest.approx(each)
    assert found["brier"].value == pytest.approx(np.mean(each))


def test_brier_of_two_classes_is_twice_scikit_learns() -> None:
    truth, scores = one_class(k=2)
    assert brier(truth=truth, scores=scores)["brier"].value == pytest.approx(2 * brier_score_loss(truth, scores[:, 1]))


def test_brier_of_many_classes_sums_over_the_classes() -> None:
    truth, scores = one_class()
    by_hand = sum(brier_score_loss((truth == k).astype(int), scores[:, k], labels=[0, 1]) for k in range(4))
    assert brier(truth=truth, scores=scores)["brier"].value == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([0, 1], [[1.0, 0.0], [0.0, 1.0]], 0.0),
        ([1, 0], [[1.0, 0.0], [0.0, 1.0]], 2.0),
        ([0, 1, 2], [[1 / 3] * 3] * 3, 2 / 3),
        ([[0, 1], [1, 1]], [[0.5, 0.5], [0.5, 0.5]], 0.25),
    ],
)
def test_brier_gives_the_known_answer(truth: Any, scores: Any, expected: float) -> None:
    assert brier(truth=truth, scores=scores)["brier"].value == pytest.approx(expected)


def test_a_finding_that_no_image_has_still_has_a_brier_score() -> None:
    truth, scores = findings()
    truth[:, 1] = 0
    found = brier(truth=truth, scores=scores)
    assert found["brier[1]"].value == pytest.approx((scores[:, 1] ** 2).mean())
    assert found["brier"].note is None


# -- ECE ----------------------------------------------------------------------------------------------------------


def test_ece_gives_the_known_answer() -> None:
    truth = [0, 0, 0, 1]  # three of four right at a confidence of .9, in one bin
    scores = [[0.9, 0.1]] * 4
    assert ece(truth=truth, scores=scores)["ece"].value == pytest.approx(0.15)
    truth, scores = [[1], [0], [0], [1]], [[0.75], [0.75], [0.05], [0.05]]  # two bins, off by .25 and by .45
    assert ece(truth=truth, scores=scores)["ece"].value == pytest.approx((0.25 + 0.45) / 2)


def test_ece_is_that_of_a_loop_over_the_bins() -> None:
    truth, scores = one_class(seed=3)
    said, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    total = 0.0
    for b in range(15):
        inside = (said > b / 15) & (said <= (b + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(said[inside].mean() - right[inside].mean())
    assert ece(truth=truth, scores=scores)["ece"].value == pytest.approx(total)


def test_ece_of_findings_is_the_mean_over_findings() -> None:
    truth, scores = findings()
    found = ece(truth=truth, scores=scores)
    assert found["ece"].value == pytest.approx(np.mean([found[f"ece[{k}]"].value for k in range(3)]))


@given(st.floats(0, 1), st.booleans())
def test_every_confidence_has_its_bin(confidence: float, correct: bool) -> None:
    bins = Bins.of(np.array([confidence]), np.array([correct]))
    place = int(bins.n.argmax())
    assert bins.n.sum() == 1
    assert bins.ece == pytest.approx(abs(confidence - correct))
    assert place / N_BINS - 1e-12 <= confidence <= (place + 1) / N_BINS + 1e-12


def test_probabilities_that_come_true_are_calibrated_and_sure_ones_are_not() -> None:
    truth, scores = one_class(20_000)
    assert ece(truth=truth, scores=scores)["ece"].value < 0.015
    sure = apply_temperature(scores, 1 / 3, multilabel=False)
    assert ece(truth=truth, scores=sure)["ece"].value > 0.15
    assert brier(truth=truth, scores=scores)["brier"].value < brier(truth=truth, scores=sure)["brier"].value


# -- temperature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [one_class, findings])
@pytest.mark.parametrize("sureness", [0.5, 2.0, 3.0])
def test_the_temperature_undoes_what_made_the_logits_too_large(make: Any, sureness: float) -> None:
    truth, scores = make(20_000, sureness=sureness)
    assert fit_temperature(truth=truth, scores=scores).value == pytest.approx(sureness, rel=0.05)


@pytest.mark.parametrize("make", [one_class, findings])
def test_no_other_temperature_has_a_smaller_loss_on_val(make: Any) -> None:
    truth, scores = make(sureness=2.2)
    found = fit_temperature(truth=truth, scores=scores).value

    def loss(t: float) -> float:
        p = apply_temperature(scores, t, multilabel=truth.ndim == 2)
        if truth.ndim == 1:
            return float(log_loss(truth, p))
        return float(np.mean([log_loss(truth[:, q], p[:, q]) for q in range(p.shape[1])]))

    assert all(loss(found) <= loss(found * factor) for factor in (0.7, 0.97, 1.03, 1.5))


@pytest.mark.parametrize("make", [one_class, findings])
def test_a_temperature_of_one_changes_nothing_and_none_changes_an_order(make: Any) -> None:
    truth, scores = make()
    multilabel = truth.ndim == 2
    assert apply_temperature(scores, 1.0, multilabel=multilabel) == pytest.approx(scores)
    softer = apply_temperature(scores, 3.0, multilabel=multilabel)
    if multilabel:
        assert (softer.argsort(axis=0, kind="stable") == scores.argsort(axis=0, kind="stable")).all()
    else:
        assert (softer.argmax(axis=1) == scores.argmax(axis=1)).all()
        assert softer.sum(axis=1) == pytest.approx(1)


def test_the_temperature_comes_from_val_alone() -> None:
    truth, scores = one_class(sureness=2.0)
    val_truth, val_scores = one_class(seed=1, sureness=2.0)
    found = after_temperature(truth=truth, scores=scores, val_truth=val_truth, val_scores=val_scores)
    other = after_temperature(truth=(truth + 1) % 4, scores=scores, val_truth=val_truth, val_scores=val_scores)
    expected = fit_temperature(truth=val_truth, scores=val_scores).value
    for table in (found, other):
        assert table["brier_calibrated"].extra["temperature"] == expected
    assert found["ece_calibrated"].value < ece(truth=truth, scores=scores)["ece"].value


def test_scores_that_say_nothing_or_all_stop_at_the_last_temperature_and_say_so() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=300)
    wrong = softmax(5 * np.eye(3)[(truth + 1) % 3], axis=1)
    found = fit_temperature(truth=truth, scores=wrong)
    assert found.value == TEMPERATURES[1] and found.note and "say nothing" in found.note
    right = softmax(np.eye(3)[truth], axis=1)
    found = fit_temperature(truth=truth, scores=right)
    assert found.value == TEMPERATURES[0] and found.note and "hardly" in found.note


@pytest.mark.parametrize("multilabel", [False, True])
def test_probabilities_of_exactly_0_and_1_have_a_temperature(multilabel: bool) -> None:
    truth = np.array([0, 1, 0, 1, 1, 0])
    scores = np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 0, 0]]
    labels = np.eye(2, dtype=np.uint8)[truth] if multilabel else truth
    found = after_temperature(truth=labels, scores=scores, val_truth=labels, val_scores=scores)
    assert all(v.value is not None and np.isfinite(v.value) for v in found.values())


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_brier_and_ece_stay_in_their_range(seed: int, sureness: float) -> None:
    for truth, scores in (one_class(30, seed=seed, sureness=sureness), findings(30, seed=seed, sureness=sureness)):
        b, e = brier(truth=truth, scores=scores)["brier"].value, ece(truth=truth, scores=scores)["ece"].value
        assert 0 <= b <= (2 if truth.ndim == 1 else 1) and 0 <= e <= 1


# -- what cannot be computed --------------------------------------------------------------------------------------


def test_scores_that_are_no_probabilities_are_null_with_the_reason() -> None:
    truth, scores = one_class()
    margins = scores * 7 - 3
    found = brier(truth=truth, scores=margins) | ece(truth=truth, scores=2 * scores / 3)
    found |= after_temperature(truth=truth, scores=scores, val_truth=truth, val_scores=margins)
    assert set(found) == {"brier", "ece", "brier_calibrated", "ece_calibrated"}
    assert all(v.value is None and v.direction == "lower" for v in found.values())
    assert "no probabilities" in found["brier"].note and "sum to 0.667" in found["ece"].note


def test_without_val_images_there_is_no_temperature() -> None:
    truth, scores = one_class()
    with pytest.raises(Unavailable, match="no image in val"):
        fit_temperature(truth=truth[:0], scores=scores[:0])


@pytest.mark.parametrize("metric", [brier, ece])
def test_shapes_that_do_not_fit_are_refused(metric: Any) -> None:
    truth, scores = one_class()
    with pytest.raises(ValueError, match="do not fit"):
        metric(truth=truth[:-1], scores=scores)


# -- where they are used ------------------------------------------------------------------------------------------


def test_they_are_registered_and_lower_is_better() -> None:
    truth, scores = findings()
    asked = dict(metrics_on({"truth", "scores"}))
    assert {"brier", "ece", "after_temperature"} <= asked.keys() and set(asked) <= set(METRICS.names())
    found = asked["after_temperature"](truth=truth, scores=scores, val_truth=truth, val_scores=scores)
    found |= asked["brier"](truth=truth, scores=scores) | asked["ece"](truth=truth, scores=scores)
    assert all(value.direction == "lower" and value.to_json()["value"] is not None for value in found.values())


@pytest.mark.parametrize("make", [one_class, findings])
def test_the_bootstrap_of_the_whole_test_set_is_the_metric(make: Any) -> None:
    arms = [make(120, seed=s, sureness=2.0) for s in (0, 0, 0)]
    truth, scores = arms[0][0], np.stack([a[1] for a in arms]) ** np.array([1.0, 1.1, 1.2])[:, None, None]
    if truth.ndim == 1:
        scores /= scores.sum(axis=2, keepdims=True)
    names = tuple("abcd"[: scores.shape[2]])
    patients = [f"p{i // 2}" for i in range(len(truth))]
    resamples = Resamples.draw(patients, seed=1, n_replicates=60)
    drawn = sample_utility(scores, truth, resamples, classes=names)
    drawn |= sample_calibrated(scores, truth, resamples, val_truth=truth, val_scores=scores, classes=names)
    for s, one in enumerate(scores):
        table = brier(truth=truth, scores=one, classes=names) | ece(truth=truth, scores=one, classes=names)
        table |= after_temperature(truth=truth, scores=one, val_truth=truth, val_scores=one, classes=names)
        for name, value in table.items():
            assert drawn[name].values[s] == pytest.approx(value.value, rel=1e-9), name
    tempered, _ = temper(scores=scores, val_truth=truth, val_scores=scores)
    same = sample_utility(tempered, truth, resamples, classes=names)
    for name in ("brier", "ece"):
        assert drawn[f"{name}_calibrated"].draws == pytest.approx(same[name].draws)
    assert drawn["ece_calibrated"].interval().high > drawn["ece_calibrated"].interval().low


def test_without_probabilities_the_bootstrap_has_nothing_calibrated() -> None:
    truth, scores = one_class(20)
    resamples = Resamples.draw(range(20), seed=0, n_replicates=5)
    found = sample_calibrated(
        9 * scores[None], truth, resamples, val_truth=truth, val_scores=9 * scores[None], classes="abcd"
    )
    assert found == {}


def test_a_mean_over_seeds_above_1_is_not_cut() -> None:
    value = mean_over_seeds([Value("brier", x, 9, "lower") for x in (1.1, 1.2, 1.3)])
    assert value.value is not None and value.high is not None and value.high >= value.value


def describe(make: Any, **options: Any) -> dict[str, Any]:
    """A record of two seeds, as far as the figure reads it."""
    truth, scores = make(600, **options)
    stack = np.stack([scores, scores])
    evidence = {"truth": truth, "scores": stack, "val_truth": truth, "val_scores": stack}
    one = {**evidence, "scores": scores, "val_scores": scores}
    values = ece(truth=truth, scores=scores) | after_temperature(**one)
    return {
        "run_id": str(options),
        "name": "an arm",
        "spec": {"generator": "some"},
        "calibration": describe_calibration(**evidence),
        "utility": {name: value.to_json() for name, value in values.items()},
    }


@pytest.mark.parametrize("make", [one_class, findings])
def test_a_record_keeps_the_bins_of_all_seeds_and_their_temperatures(make: Any) -> None:
    found = describe(make, sureness=2.0)["calibration"]
    json.dumps(found, allow_nan=False)
    assert len(found["temperature"]) == 2 and 1.5 < found["temperature"][0] < 2.5
    n = 2 * 600 * (3 if make is findings else 1)
    assert sum(found["as_given"]["n"]) == sum(found["calibrated"]["n"]) == n
    filled = [k for k, m in enumerate(found["as_given"]["n"]) if m]
    assert all(k / 15 < found["as_given"]["confidence"][k] <= (k + 1) / 15 for k in filled)


@pytest.mark.parametrize("beside", [False, True])
def test_the_figure_is_a_png_and_the_same_one_twice(tmp_path: Path, beside: bool) -> None:
    record, alone = describe(one_class, sureness=2.5), describe(one_class, sureness=1.3) if beside else None
    for name in ("one.png", "two.png"):
        draw_reliability(tmp_path / name, record, alone=alone)
    assert (tmp_path / "one.png").read_bytes().startswith(PNG)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_figure_of_an_arm_without_probabilities_says_why(tmp_path: Path) -> None:
    record = describe(one_class)
    reason = {"temperature": None, "as_given": None, "calibrated": None, "note": "no probabilities"}
    record["calibration"] |= reason
    draw_reliability(tmp_path / "none.png", record, alone=None)
    assert (tmp_path / "none.png").read_bytes().startswith(PNG)


@pytest.mark.filterwarnings("error:constrained_layout not applied")
def test_too_few_predictions_for_a_curve_leave_the_figure_in_shape(tmp_path: Path) -> None:
    record = describe(one_class)
    for stage in ("as_given", "calibrated"):
        record["calibration"][stage]["n"] = [min(n, 1) for n in record["calibration"][stage]["n"]]
    draw_reliability(tmp_path / "few.png", record, alone=None)
    assert (tmp_path / "few.png").read_bytes().startswith(PNG)
