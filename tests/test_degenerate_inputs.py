"""Sets of one or two images, of one picture, of constant or broken features, without a class: a number or a reason."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from prdc import compute_prdc

from benchmarks.metrics import inception_score, manifold
from benchmarks.metrics.registry import METRICS, metric_named
from synthworth.errors import Unavailable

N = 420  # more than any metric's minimum


def evidence(n: int, **change: Any) -> dict[str, Any]:
    """What a run offers, of n synthetic images and as many val and test images of three classes."""
    rng = np.random.default_rng(0)
    images = torch.randint(0, 256, (N, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    truth, raw = np.arange(n) % 3, rng.random((n, 3)) + 0.1
    scores = raw / raw.sum(axis=1, keepdims=True)
    return {
        "real": rng.normal(size=(N, 6)).astype(np.float32), "fake": rng.normal(size=(n, 6)).astype(np.float32),
        "logits": rng.normal(size=(n, 9)).astype(np.float32), "seed": 0, "real_images": images,
        "fake_images": images[:n], "fake_labels": truth, "truth": truth, "scores": scores, "val_truth": truth,
        "val_scores": scores, "classes": ("a", "b", "c"), **change,
    }  # fmt: skip


ONES = np.ones((N, 6), np.float32)
NAN = np.full((N, 6), np.nan, np.float32)
GREY = torch.full((N, 1, 16, 16), 7, dtype=torch.uint8)
TWO = np.arange(N) % 2  # class c is in no image
SURE = np.eye(3)[np.arange(N) % 3]
CASES: dict[str, dict[str, Any]] = {
    "no image": evidence(0),
    "one image": evidence(1),
    "two images": evidence(2),
    "synthetic images all equal": evidence(N, fake=ONES, logits=ONES, fake_images=GREY),
    "real images all equal": evidence(N, real=ONES, real_images=GREY),
    "constant features": evidence(N, real=ONES, fake=ONES),
    "one feature constant": evidence(N, real=ONES * np.arange(N)[:, None] * [0, 1, 1, 1, 1, 1], fake=ONES),
    "NaN in the synthetic features": evidence(N, fake=NAN, logits=NAN),
    "NaN in one real feature": evidence(N, real=np.where(np.arange(N)[:, None] == 3, NAN, ONES)),
    "infinite logits": evidence(N, logits=np.where(np.arange(N)[:, None] == 3, np.inf, ONES)),
    "huge logits": evidence(N, logits=(1e4 * SURE).astype(np.float32)),
    "a class that no image has": evidence(N, fake_labels=TWO, truth=TWO, val_truth=TWO),
    "one class alone": evidence(N, fake_labels=TWO * 0, truth=TWO * 0, val_truth=TWO * 0),
    "scores that are always right and sure": evidence(N, scores=SURE, val_scores=SURE),
    "scores all equal": evidence(N, scores=SURE * 0 + 1 / 3, val_scores=SURE * 0 + 1 / 3),
    "findings that nobody has": evidence(
        N, truth=np.zeros((N, 3), int), val_truth=np.zeros((N, 3), int), fake_labels=np.zeros((N, 3), np.uint8)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_gives_a_finite_number_or_a_null_with_its_reason(name, case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metric_named(name).measure(**CASES[case])
    assert found
    for value in found.values():
        assert value.to_json()["value"] is not None or len(value.note) > 5


@pytest.mark.parametrize("name", ["fd", "kd", "fd_infinity", "prdc", "inception_score"])
def test_broken_features_are_null_and_the_reason_counts_the_images(name):
    for value in metric_named(name).measure(**CASES["NaN in the synthetic features"]).values():
        assert value.value is None and f"{N} of {N}" in value.note and "NaN or infinity" in value.note


@pytest.mark.parametrize("name", ["fd", "kd", "prdc", "inception_score", "radiograph", "ssim_within", "lpips_within"])
@pytest.mark.parametrize("case", ["no image", "one image", "two images"])
def test_fidelity_of_one_or_two_images_is_null(name, case):
    assert all(value.value is None for value in metric_named(name).measure(**CASES[case]).values())


def test_precision_is_not_said_to_be_0_of_copies_where_no_real_ball_has_an_inside():
    with pytest.raises(Unavailable, match="every real image has 5 others with the same features"):
        manifold.prdc(real=ONES, fake=ONES)
    collapsed = manifold.prdc(real=evidence(N)["real"], fake=np.zeros((60, 6), np.float32))
    assert collapsed.recall == 0 and collapsed.precision == 1


def test_the_inception_score_of_sure_and_even_answers_is_the_number_of_classes():
    score = inception_score.inception_score(logits=(1e4 * np.eye(5)[np.arange(500) % 5]).astype(np.float32), seed=0)
    assert score.mean == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("kind", ["copies", "a lattice", "twins", "copies of one image", "far from the origin"])
def test_ties_and_copies_count_as_in_the_package_of_the_authors(kind, k):
    """Whole numbers, so that the package's distances are exact too, and many pairs are as far apart as a radius."""
    rng = np.random.default_rng(k)
    real = rng.integers(-3, 4, (80, 3))
    fake = {
        "copies": real[rng.permutation(80)],
        "a lattice": rng.integers(-3, 4, (60, 3)),
        "twins": np.repeat(real[:20], 3, axis=0),
        "copies of one image": np.repeat(real[:1], 60, axis=0),
        "far from the origin": rng.integers(-3, 4, (60, 3)) + 1000,
    }[kind]
    if kind == "far from the origin":
        real = real + 1000
    theirs = compute_prdc(real.astype(np.float64), fake.astype(np.float64), k)
    ours = manifold.prdc(real=real.astype(np.float32), fake=fake.astype(np.float32), k=k)
    assert ours._asdict() == pytest.approx(theirs, abs=1e-12)
