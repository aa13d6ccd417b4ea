"""Frechet distance at infinite n: the analytic distance of Gaussians comes out, and too few images give no number."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics.fd_infinity import fd_infinity, measure_fd_infinity, minimum
from benchmarks.metrics.frechet import frechet_distance
from synthworth.errors import Unavailable

DIM = 24


def gaussian(n: int, *, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, DIM)) * scale + shift).astype(np.float32)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.0, 0.3), (1.5, 0.0)])
def test_the_analytic_distance_of_two_gaussians_comes_out_where_the_plain_one_is_too_large(scale, shift):
    truth = DIM * ((scale - 1) ** 2 + shift**2)
    found, plain = [], []
    for seed in range(6):
        real, fake = gaussian(400, seed=2 * seed), gaussian(500, seed=2 * seed + 1, scale=scale, shift=shift)
        found.append(fd_infinity(real=real, fake=fake, seed=seed).intercept)
        plain.append(frechet_distance(real=real, fake=fake))
    assert np.mean(plain) > truth + 0.5
    assert np.mean(found) == pytest.approx(truth, abs=0.25)


def test_the_slope_is_the_bias_times_n():
    found = fd_infinity(real=gaussian(800, seed=0), fake=gaussian(800, seed=1), seed=0)
    assert found.slope / 800 == pytest.approx(found.distances[-1], rel=0.25)
    assert found.residual < 0.2 * found.distances[0]
    assert found.sizes[0] == 200 and found.sizes[-1] == 800
    assert list(found.sizes) == sorted(found.sizes)


def test_the_same_seed_gives_the_same_number_and_another_one_another():
    real, fake = gaussian(400, seed=0), gaussian(400, seed=1)
    first = fd_infinity(real=real, fake=fake, seed=3)
    assert fd_infinity(real=real, fake=fake, seed=3) == first
    assert fd_infinity(real=real, fake=fake, seed=4).intercept != first.intercept


def test_real_against_itself_is_not_cut_at_zero():
    values = [
        fd_infinity(real=gaussian(400, seed=s), fake=gaussian(400, seed=50 + s), seed=s).intercept for s in range(8)
    ]
    assert min(values) < 0 < max(values)


def test_too_few_images_for_the_dimensions_are_null_with_a_note():
    assert minimum(1280) == 5120
    wide = np.random.default_rng(0).normal(size=(500, 200))
    with pytest.raises(Unavailable, match="needs 800 images a side in 200 dimensions; there are 500 real"):
        fd_infinity(real=wide, fake=wide, seed=0)
    value = measure_fd_infinity(real=wide, fake=wide, seed=0)["fd_infinity"]
    assert value.value is None and "1/n" in str(value.note)


def test_features_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="features must be"):
        fd_infinity(real=np.zeros((500, 3)), fake=np.zeros((500, 4)), seed=0)


def test_the_value_says_how_it_was_made():
    value = measure_fd_infinity(real=gaussian(400, seed=0), fake=gaussian(400, seed=1), seed=0)["fd_infinity"]
    extra = value.to_json()["extra"]
    assert len(extra["sizes"]) == len(extra["distances"]) == 8
    assert {"slope", "residual", "n_real", "n_fake"} <= set(extra)
