"""Sensitivity where specificity is held, and the reverse: thresholds from val, rates on test and on its resamples."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judging.utility import mean_over_seeds
from benchmarks.metrics.fixed_rates import POINTS, FixedPoint, fixed_rates, held_threshold
from benchmarks.statistics.fixed_rates import sample_fixed
from benchmarks.statistics.resamples import Resamples
from synthworth.errors import Unavailable

SENS95, SPEC90 = FixedPoint("sensitivity", 0.95), FixedPoint("specificity", 0.90)


def findings(n: int, *, seed: int, k: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Truth (n, k) and scores that know something of it."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, k)) < 0.3).astype(np.uint8)
    scores = 1 / (1 + np.exp(-rng.normal(1.5 * truth - 1, 1.0)))
    return truth, np.round(scores, 2)  # with ties


@pytest.mark.parametrize("point", POINTS, ids=lambda p: p.name)
@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_holds_the_rate_on_val_and_no_other_gives_more(point: FixedPoint, seed: int) -> None:
    truth, scores = findings(150, seed=seed, k=1)
    yes, said = truth[:, 0] == 1, scores[:, 0]

    def rates(t: float) -> dict[str, float]:
        return {"sensitivity": (said[yes] >= t).mean(), "specificity": (said[~yes] < t).mean()}

    found = rates(held_threshold(yes, said, point))
    assert found[point.holds] >= point.level
    every = [rates(t) for t in (*np.unique(said), np.inf)]
    assert found[point.gives] == max(r[point.gives] for r in every if r[point.holds] >= point.level)


def test_val_needs_as_many_images_as_a_step_is_fine() -> None:
    yes, scores = np.array([True] * 30 + [False] * 19), np.linspace(0, 1, 49)
    with pytest.raises(Unavailable, match="19 negative images in val: 20 are needed to hold a specificity of 95%"):
        held_threshold(yes, scores, SENS95)
    assert np.isfinite(held_threshold(yes, scores, SPEC90))
    assert [point.least for point in POINTS] == [10, 20, 10, 20]


def test_rates_are_of_test_at_the_thresholds_of_val_and_tell_what_was_held_there() -> None:
    (val_truth, val_scores), (truth, scores) = findings(200, seed=1), findings(300, seed=2)
    found = fixed_rates(truth=truth, scores=scores, val_truth=val_truth, val_scores=val_scores, classes=("a", "b"))
    for q, name in enumerate(("a", "b")):
        yes, row = truth[:, q] == 1, found[f"sensitivity_at_95_specificity[{name}]"]
        threshold = held_threshold(val_truth[:, q] == 1, val_scores[:, q], SENS95)
        assert row.extra["threshold"] == threshold
        assert row.value == (scores[yes, q] >= threshold).mean()
        assert row.extra["held_on_test"] == (scores[~yes, q] < threshold).mean()
    pair = [found[f"specificity_at_90_sensitivity[{name}]"].value for name in ("a", "b")]
    assert found["specificity_at_90_sensitivity"].value == pytest.approx(np.mean(pair))


def test_a_record_says_what_the_threshold_of_val_held_on_test() -> None:
    """Of 95 % on val .68 may be left on another test set: the sensitivity beside it says little without that."""
    seeds = []
    for seed in (2, 3):
        (val_truth, val_scores), (truth, scores) = findings(200, seed=1), findings(300, seed=seed)
        evidence = {"truth": truth, "scores": scores, "val_truth": val_truth, "val_scores": val_scores}
        seeds.append(fixed_rates(**evidence, classes=("a", "b")))
    name = "sensitivity_at_95_specificity"
    for found in seeds:
        of_classes = [found[f"{name}[{label}]"].extra["held_on_test"] for label in ("a", "b")]
        assert found[name].extra["held_on_test"] == pytest.approx(np.mean(of_classes))
    kept = mean_over_seeds([found[name] for found in seeds]).extra
    assert kept["held_on_test"] == pytest.approx(np.mean([found[name].extra["held_on_test"] for found in seeds]))
    assert kept["held_on_test"] != pytest.approx(0.95, abs=1e-4)


def test_what_was_held_on_test_is_not_said_where_test_has_no_image_of_that_side() -> None:
    (val_truth, val_scores), (truth, scores) = findings(200, seed=1), findings(300, seed=2)
    truth = truth.copy()
    truth[:, 0] = 1
    found = fixed_rates(truth=truth, scores=scores, val_truth=val_truth, val_scores=val_scores, classes=("a", "b"))
    assert found["sensitivity_at_95_specificity[a]"].extra["held_on_test"] is None
    assert "held_on_test" not in found["sensitivity_at_95_specificity"].extra


def test_what_val_cannot_hold_or_test_has_too_few_of_is_null_with_its_reason() -> None:
    (val_truth, val_scores), (truth, scores) = findings(60, seed=1), findings(80, seed=2)
    val_truth[:, 0] = 0
    val_truth[:12, 0] = 1
    truth[:, 1] = 0
    truth[5, 1] = 1
    found = fixed_rates(truth=truth, scores=scores, val_truth=val_truth, val_scores=val_scores, classes=("a", "b"))
    held = found["specificity_at_95_sensitivity[a]"]
    assert held.value is None and "12 positive images in val: 20" in held.note
    few = found["sensitivity_at_90_specificity[b]"]
    assert few.value is None and few.note == "1 positive patient: 2 are needed"
    assert found["sensitivity_at_90_specificity"].note.startswith("mean of 1 of 2 classes; without b")
    drawn = sample(scores[None], truth, val_scores[None], val_truth)
    assert "specificity_at_95_sensitivity[a]" not in drawn and "sensitivity_at_90_specificity[b]" not in drawn


def sample(scores, truth, val_scores, val_truth, n_replicates: int = 9, groups=None):
    groups = [f"p{k // 2}" for k in range(len(truth))] if groups is None else groups
    resamples = Resamples.draw(groups, seed=3, n_replicates=n_replicates)
    return sample_fixed(
        scores, truth, resamples, val_truth=val_truth, val_scores=val_scores, classes=("a", "b")
    )  # fmt: skip


def test_every_resample_is_the_rate_of_the_resample_written_out() -> None:
    (val_truth, _), (truth, _) = findings(200, seed=1), findings(90, seed=2)
    scores = np.stack([findings(90, seed=2 + 7 * s)[1] for s in range(2)])
    val_scores = np.stack([findings(200, seed=1 + 7 * s)[1] for s in range(2)])
    found = sample(scores, truth, val_scores, val_truth)
    groups = np.array([k // 2 for k in range(90)])
    resamples = Resamples.draw([f"p{g}" for g in groups], seed=3, n_replicates=9)
    for point in POINTS:
        for s in range(2):
            plain = fixed_rates(
                truth=truth, scores=scores[s], val_truth=val_truth, val_scores=val_scores[s], classes=("a", "b"),
                patients=groups.tolist(),
            )  # fmt: skip
            assert found[point.name].values[s] == pytest.approx(plain[point.name].value, abs=1e-12)
            for b in range(9):
                rows = np.concatenate([np.repeat(np.flatnonzero(resamples.patient == p), int(n))
                                       for p, n in enumerate(resamples.counts[:, 1 + b])])  # fmt: skip
                means = []
                for q, name in enumerate(("a", "b")):
                    t = plain[f"{point.name}[{name}]"].extra["threshold"]
                    yes, said = truth[rows, q] == 1, scores[s, rows, q]
                    rate = (said[yes] >= t).mean() if point.gives == "sensitivity" else (said[~yes] < t).mean()
                    assert found[f"{point.name}[{name}]"].draws[s, b] == pytest.approx(rate, abs=1e-12)
                    means.append(rate)
                assert found[point.name].draws[s, b] == pytest.approx(np.mean(means), abs=1e-12)


def test_an_interval_of_a_rate_lies_in_0_to_1_and_around_it() -> None:
    (val_truth, val_scores), (truth, scores) = findings(200, seed=1), findings(120, seed=2)
    found = sample(scores[None].repeat(2, 0), truth, val_scores[None].repeat(2, 0), val_truth, n_replicates=200)
    for point in POINTS:
        interval = found[point.name].interval()
        assert 0 <= interval.low <= found[point.name].values.mean() <= interval.high <= 1
