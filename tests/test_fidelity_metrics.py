"""Frechet and kernel distance, Inception score, precision/recall/density/coverage, and the values they return."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

from benchmarks.metrics import frechet, inception_score, kernel, manifold, neighbours
from benchmarks.metrics.declare import Metric, Quantity, metric
from benchmarks.metrics.registry import EXTRACTORS, METRICS, measure, metric_named, metrics_on
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable
from synthworth.keys import seed_from


def gaussian(n: int, dim: int, *, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dim, dim)) / np.sqrt(dim)
    return (rng.normal(size=(n, dim)) @ mixing * scale + shift).astype(np.float32)


@pytest.mark.parametrize(("n", "dim"), [(300, 20), (60, 128)])
def test_identical_sets_are_at_frechet_distance_zero(n, dim):
    features = gaussian(n, dim, seed=1)
    assert frechet.frechet_distance(real=features, fake=features[::-1].copy()) < 1e-3


@pytest.mark.parametrize(("n", "m", "dim"), [(400, 300, 24), (60, 80, 128), (60, 400, 128)])
def test_frechet_distance_equals_pytorch_fid_and_torch_fidelity(n, m, dim, pytorch_fid_distance):
    real, fake = gaussian(n, dim, seed=1), gaussian(m, dim, seed=2, scale=1.3, shift=0.2)
    ours = frechet.frechet_distance(real=real, fake=fake)
    statistics = [fid_features_to_statistics(torch.from_numpy(x).double()) for x in (real, fake)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=1e-4)
    if n > dim:  # where the product of covariances is singular its square root is not accurate
        a, b = statistics
        sqrtm = pytorch_fid_distance(a["mu"], a["sigma"], b["mu"], b["sigma"])
        assert ours == pytest.approx(sqrtm, rel=1e-6)


def test_frechet_distance_of_a_shifted_set_is_the_squared_shift():
    real = gaussian(200, 16, seed=3).astype(np.float64)
    assert frechet.frechet_distance(real=real, fake=real + 0.5) == pytest.approx(16 * 0.25, rel=1e-9)


def test_frechet_distance_is_symmetric():
    a, b = gaussian(60, 30, seed=1), gaussian(80, 30, seed=2, scale=2.0)
    there = frechet.frechet_distance(real=a, fake=b)
    assert there == pytest.approx(frechet.frechet_distance(real=b, fake=a), rel=1e-9)


def test_too_few_images_give_null_with_a_note_that_counts_them():
    few, many = gaussian(20, 8, seed=1), gaussian(200, 8, seed=2)
    for name in ("fd", "kd", "prdc"):
        for value in measure(METRICS.get(name), real=many, fake=few, seed=0).values():
            assert value.value is None
            assert "200 real and 20 synthetic" in str(value.note)


@pytest.mark.parametrize("bad", [np.zeros((60, 3)), np.zeros(60)], ids=["other D", "one axis"])
def test_features_that_do_not_fit_are_refused(bad):
    with pytest.raises(ValueError, match="features"):
        frechet.frechet_distance(real=np.zeros((60, 4)), fake=bad)


def test_kernel_distance_of_whole_sets_equals_torch_fidelity():
    real, fake = gaussian(120, 32, seed=1), gaussian(120, 32, seed=2, scale=1.2)
    ours = kernel.kernel_distance(real=real, fake=fake, seed=0, n_subsets=1, subset_size=120)
    theirs = kid_features_to_metric(
        torch.from_numpy(real).double(),
        torch.from_numpy(fake).double(),
        kid_subsets=1,
        kid_subset_size=120,
        verbose=False,
    )
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)


def test_kernel_distance_equals_torch_fidelity_subset_by_subset(monkeypatch):
    monkeypatch.setattr(kernel, "CHUNK", 33)
    real, fake = gaussian(150, 16, seed=1), gaussian(90, 16, seed=2, scale=1.2)
    ours = kernel.kernel_distance(real=real, fake=fake, seed=5, n_subsets=8, subset_size=40)
    in_real = kernel.draw_subsets(150, 40, 8, seed=seed_from(5, "kernel distance", "real")) > 0
    in_fake = kernel.draw_subsets(90, 40, 8, seed=seed_from(5, "kernel distance", "fake")) > 0
    theirs = [
        kernel_mmd(real[in_real[:, s]].astype(np.float64), fake[in_fake[:, s]].astype(np.float64)) for s in range(8)
    ]
    assert ours.mean == pytest.approx(np.mean(theirs), rel=1e-9)
    assert ours.std == pytest.approx(np.std(theirs), rel=1e-9)


def test_kernel_distance_of_one_distribution_is_near_zero_and_moves_only_with_the_seed():
    real, fake = gaussian(400, 16, seed=1), gaussian(400, 16, seed=2)
    first = kernel.kernel_distance(real=real, fake=fake, seed=0)
    assert abs(first.mean) < 5 * first.std
    assert first == kernel.kernel_distance(real=real, fake=fake, seed=0)
    assert first != kernel.kernel_distance(real=real, fake=fake, seed=1)


def class_ordered_logits(n: int = 1000, n_classes: int = 10) -> np.ndarray:
    labels = np.arange(n) * n_classes // n
    noise = np.random.default_rng(0).normal(size=(n, 20))
    return (noise + 6.0 * np.eye(20)[labels]).astype(np.float32)


def test_inception_score_is_the_same_bits_for_shuffled_and_class_ordered_pools():
    ordered = class_ordered_logits()
    ordered[5] = ordered[700]
    score = inception_score.inception_score(logits=ordered, seed=3)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(ordered)
        assert inception_score.inception_score(logits=shuffled, seed=3) == score


def test_inception_score_in_class_order_would_be_far_too_low():
    ordered = class_ordered_logits()
    naive = isc_features_to_metric(torch.from_numpy(ordered), shuffle=False)["inception_score_mean"]
    assert naive < 2 < 6 < inception_score.inception_score(logits=ordered, seed=0).mean


def test_inception_score_equals_torch_fidelity_on_the_same_order():
    logits = class_ordered_logits()
    order = inception_score.canonical_order(logits)
    assert np.array_equal(order, np.lexsort(logits[:, ::-1].T))
    order = order[np.random.default_rng(seed_from(4, "inception score")).permutation(len(logits))]
    theirs = isc_features_to_metric(torch.from_numpy(logits[order]), shuffle=False)
    ours = inception_score.inception_score(logits=logits, seed=4)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert ours.std == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_inception_score_of_identical_images_is_one():
    assert inception_score.inception_score(logits=np.ones((100, 5)), seed=0).mean == pytest.approx(1.0)
    (few,) = measure(METRICS.get("inception_score"), logits=np.ones((99, 5)), seed=0).values()
    assert few.value is None and few.note == "needs 100 images; there are 99"
    with pytest.raises(Unavailable, match="an image in each of 10 splits; there are 9"):
        inception_score.inception_score(logits=np.ones((9, 5)), seed=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_recall_density_coverage_equal_the_prdc_package(dtype):
    real = (gaussian(150, 12, seed=1) + 100).astype(dtype)
    fake = (gaussian(90, 12, seed=2, scale=0.8) + 100).astype(dtype)
    theirs = compute_prdc(real.astype(np.float64), fake.astype(np.float64), 3)
    assert manifold.prdc(real=real, fake=fake, k=3)._asdict() == pytest.approx(theirs, abs=1e-12)


def test_precision_recall_density_coverage_do_not_depend_on_chunks(monkeypatch):
    real, fake = gaussian(130, 8, seed=1), gaussian(70, 8, seed=2)
    whole = manifold.prdc(real=real, fake=fake)
    monkeypatch.setattr(neighbours, "CHUNK", 500)
    assert manifold.prdc(real=real, fake=fake) == whole


def test_golden_values_of_two_gaussian_sets():
    """The published numbers are one unseeded draw, as is this one: they differ by chance.

    Over eight seeds the standard deviation of one draw was .0127, .0110, .0618 and .0065 (the prdc package gave
    the same digits as ours on both seeds tried); the tolerance is three of the difference of two draws.
    """
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(10_000, 1000)), rng.normal(size=(10_000, 1000))
    found = manifold.prdc(real=real.astype(np.float32), fake=fake.astype(np.float32), k=5)
    golden = manifold.PRDC(precision=0.4772, recall=0.4705, density=1.0555, coverage=0.9735)
    for name, scatter in zip(golden._fields, (0.0127, 0.0110, 0.0618, 0.0065), strict=True):
        tolerance = 3 * 2**0.5 * scatter
        assert getattr(found, name) == pytest.approx(getattr(golden, name), abs=tolerance), name


def test_collapsed_set_is_precise_and_over_wide_set_is_not():
    real = gaussian(400, 8, seed=1)
    collapsed = manifold.prdc(real=real, fake=real[:1] + gaussian(400, 8, seed=2, scale=0.01))
    assert collapsed.precision > 0.95
    assert collapsed.recall < 0.05
    wide = manifold.prdc(real=real, fake=gaussian(400, 8, seed=3, scale=6.0))
    assert wide.precision < 0.2
    assert wide.recall > 0.8


def test_copies_of_the_real_images_lie_exactly_on_them():
    real = gaussian(300, 64, seed=1) * 50
    assert manifold.prdc(real=real, fake=real[::-1].copy(), k=5) == manifold.PRDC(1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("part", [{"value": float("nan")}, {"low": float("inf")}, {"extra": {"std": np.nan}}])
def test_a_number_that_is_not_finite_never_enters_a_record(part):
    fields = {"name": "auroc[mass]", "value": 0.5, "n": 3, "direction": "higher"}
    with pytest.raises(ValueError, match=r"auroc\[mass\]"):
        Value(**(fields | part)).to_json()


def test_a_null_needs_a_note():
    with pytest.raises(ValueError, match="null without a note"):
        Value("fd", None, 3, "lower").to_json()
    assert Value.missing("fd", "too few", n=3, direction="lower").to_json()["note"] == "too few"


def test_values_are_plain_json():
    value = Value("fd", np.float32(1.5), 3, "lower", extra={"n": np.int64(2), "by": [np.float64(0.5)]})
    assert json.loads(json.dumps(value.to_json()))["extra"] == {"n": 2, "by": [0.5]}


def test_a_metric_is_given_the_evidence_it_names():
    real, fake = gaussian(60, 8, seed=1), gaussian(60, 8, seed=2)
    assert set(measure(METRICS.get("fd"), real=real, fake=fake, logits=None, seed=1)) == {"fd"}
    (missing,) = measure(METRICS.get("inception_score"), real=real, fake=fake, logits=None, seed=1).values()
    assert (missing.value, missing.n, missing.note) == (None, 60, "needs logits, which this run does not have")


@pytest.mark.parametrize(
    ("name", "alias"), [("fd", "fid"), ("kd", "kid"), ("fd_infinity", "fid_infinity"), ("prdc", None)]
)
def test_fid_and_kid_name_the_distances_of_features_that_earn_it_alone(name, alias):
    chosen = metric_named(name)
    plain = next(iter(chosen.missing("a reason", 500).values()))
    in_inception = chosen.on_features(plain, extractor="inception", features="inception@299-fp32", literature=True)
    elsewhere = chosen.on_features(plain, extractor="vgg16_random", features="vgg16_random@64-fp32", literature=False)
    assert (in_inception.name, in_inception.alias) == (f"{alias or plain.name}@500", alias)
    assert (elsewhere.name, elsewhere.alias) == (f"{plain.name}@500/vgg16_random@64-fp32", None)
    for value, extractor in ((in_inception, "inception"), (elsewhere, "vgg16_random")):
        assert (value.metric, value.extractor, value.n) == (plain.name, extractor, 500)


def test_only_inception_in_fp32_earns_the_names_of_the_literature():
    earned = {name: EXTRACTORS.get(name).literature_in for name in EXTRACTORS.names()}
    assert earned == {**dict.fromkeys(earned, None), "inception": "fp32"}
    assert [name for name in EXTRACTORS.names() if EXTRACTORS.get(name).gives_logits] == ["inception"]


@pytest.mark.parametrize("name", METRICS.names())
def test_every_built_in_metric_declares_each_number_that_it_gives_and_keeps_to_it(name):
    rng = np.random.default_rng(0)
    images = torch.randint(0, 256, (400, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    truth, scores = rng.integers(0, 2, (400, 3)), rng.random((400, 3))
    evidence = {
        "real": gaussian(400, 8, seed=1), "fake": gaussian(400, 8, seed=2), "logits": gaussian(400, 9, seed=3),
        "seed": 0, "real_images": images, "fake_images": images.flip(0), "fake_labels": rng.integers(0, 2, 400),
        "truth": truth, "scores": scores, "val_truth": truth, "val_scores": scores, "classes": ("a", "b", "c"),
    }  # fmt: skip
    declared = {q.name: q.direction for q in metric_named(name).quantities}
    found = metric_named(name).measure(**evidence)
    assert {value.metric for value in found.values()} <= set(declared)
    for key, value in found.items():
        assert key == value.name and value.direction == declared[value.metric] and value.n == 400
        assert key == (value.metric if value.label is None else f"{value.metric}[{value.label}]")
        assert value.label in (None, "a", "b", "c")


def test_a_metric_is_null_below_its_minimum_and_is_not_asked():
    asked = []

    @metric(Quantity("spread", "higher"), Quantity("width", "lower"), minimum_n=10)
    def spread(*, real, fake):
        asked.append(len(fake))
        return {"spread": Value("spread", 1.0, len(fake), "higher")}

    few = spread(real=np.zeros((20, 2)), fake=np.zeros((9, 2)))
    assert {(v.name, v.value, v.n, v.direction) for v in few.values()} == {
        ("spread", None, 9, "higher"), ("width", None, 9, "lower"),
    }  # fmt: skip
    assert all(v.note == "needs 10 images a side; there are 20 real and 9 synthetic" for v in few.values())
    assert not asked
    assert spread(real=np.zeros((10, 2)), fake=np.zeros((10, 2)))["spread"].value == 1 and asked == [10]


def test_a_metric_that_is_unavailable_is_null_with_its_reason_and_a_wrong_call_is_an_error():
    @metric(Quantity("lonely", "lower"))
    def lonely(*, truth):
        raise Unavailable("nobody is there")

    found = lonely(truth=np.zeros(3))["lonely"]
    assert (found.value, found.note, found.n, found.direction) == (None, "nobody is there", 3, "lower")
    with pytest.raises(TypeError, match="wrong"):
        lonely(truth=np.zeros(3), wrong=1)


def test_a_bare_function_is_a_metric_of_one_number_under_the_name_it_is_registered_by(monkeypatch):
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))

    @METRICS.register("a_guess")
    def anything(*, scores, truth, classes=None):
        return {"other": Value("other", 0.25, len(truth), "lower")}

    @METRICS.register("silent")
    def silent(*, truth):
        return {}

    found = metric_named("a_guess")
    assert isinstance(found, Metric) and found.quantities == (Quantity("a_guess", "higher"),)
    assert (found.needs, found.takes) == (("scores", "truth"), ("scores", "truth", "classes"))
    assert "a_guess" in dict(metrics_on({"truth", "scores"})) and "a_guess" not in dict(metrics_on({"real", "fake"}))
    (value,) = found.measure(truth=np.zeros(4), scores=np.zeros((4, 2)), val_truth=np.zeros(2)).values()
    assert (value.name, value.metric, value.value) == ("other", "a_guess", 0.25)
    assert metric_named("silent").measure(truth=np.zeros(4))["silent"].note == "the metric gave no number"


def test_a_declared_metric_is_listed_with_its_place_and_first_line(monkeypatch):
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))

    @METRICS.register("mine")
    @metric(Quantity("mine", "lower", title="MINE"))
    def mine(*, truth):
        """What is mine."""
        return {}

    (row,) = (row for row in METRICS.listing() if row.name == "mine")
    assert row.summary == "What is mine." and row.error is None
    assert row.source.endswith("mine") and "test_fidelity_metrics" in row.source


@pytest.mark.parametrize("registry", [METRICS, EXTRACTORS], ids=["metrics", "extractors"])
def test_every_registered_name_can_be_imported(registry):
    for name in registry.names():
        assert callable(registry.get(name))


def test_listing_metrics_imports_nothing_heavy():
    code = (
        "import sys, benchmarks.metrics.registry as r; list(r.METRICS.listing()); list(r.EXTRACTORS.listing());"
        "print([m for m in ('torch', 'scipy', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
