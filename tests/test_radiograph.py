"""Statistics of radiographs: known answers on made images, and what collapse and noise look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.metrics import radiograph
from benchmarks.metrics.radiograph import (
    STATISTICS,
    histogram_distance,
    image_statistics,
    measure_lpips,
    measure_radiograph,
    measure_ssim,
    pairs_by_class,
    ssim,
    to_grey,
    unrank,
)  # fmt: skip
from benchmarks.metrics.registry import METRICS, measure


def films(n: int, *, seed: int, size: int = 32) -> torch.Tensor:
    """Smooth grey images."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = rng.uniform(0.5, 2, (n, 2, 1, 1)) * np.stack([x, y])[None] + rng.uniform(0, 3, (n, 2, 1, 1))
    return torch.from_numpy((128 + 50 * np.sin(waves * 3).sum(1) / 1.5).clip(0, 255).astype(np.uint8))[:, None]


def test_a_set_against_itself_differs_in_nothing():
    images = films(60, seed=0)
    found = measure_radiograph(real_images=images, fake_images=images.flip(0), seed=0)
    assert set(found) == {*STATISTICS, "histogram_distance"}
    assert all(value.value == pytest.approx(0, abs=1e-12) for value in found.values())


def test_a_shift_of_all_grey_levels_is_found_to_the_level():
    images = films(60, seed=0).clamp(40, 180)
    found = measure_radiograph(real_images=images, fake_images=images + 25, seed=0)
    for name in ("intensity_mean", "intensity_min", "intensity_max", "histogram_distance"):
        assert found[name].value == pytest.approx(25)
    assert found["intensity_std"].value == pytest.approx(0, abs=1e-9)
    means = found["intensity_mean"].extra
    assert means["synthetic"] - means["real"] == pytest.approx(25)


def test_statistics_of_one_image_are_its_own():
    image = np.zeros((1, 20, 20), np.uint8)
    image[0, :, 10:] = 200
    found = {name: float(values[0]) for name, values in image_statistics(image).items()}
    edges = found.pop("edge_density")
    assert found == {"intensity_mean": 100, "intensity_std": 100, "intensity_min": 0, "intensity_max": 200}
    assert 0 < edges <= 2 / 20


def test_noise_has_more_edges_than_films():
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 1, 32, 32), dtype=np.uint8))
    extra = measure_radiograph(real_images=films(60, seed=0), fake_images=noise, seed=0)["edge_density"].extra
    assert extra["synthetic"] > extra["real"] + 0.1


def test_histogram_distance_of_two_greys_is_their_difference():
    assert histogram_distance(np.full((3, 4, 4), 10, np.uint8), np.full((5, 2, 2), 70, np.uint8)) == pytest.approx(60)


def test_too_few_images_are_null_with_a_note():
    for value in measure_radiograph(real_images=films(60, seed=0), fake_images=films(9, seed=1), seed=0).values():
        assert value.value is None and "60 real and 9 synthetic" in str(value.note)


def test_of_a_large_set_some_are_looked_at_and_the_seed_decides_which(monkeypatch):
    monkeypatch.setattr(radiograph, "MOST", 50)
    images = films(200, seed=0)
    one, same, other = (radiograph.some(images, seed=s, most=50) for s in (0, 0, 1))
    assert len(one) == 50 and torch.equal(one, same) and not torch.equal(one, other)


def test_grey_of_equal_channels_is_that_channel():
    images = films(3, seed=0)
    assert (to_grey(images.expand(-1, 3, -1, -1)) == to_grey(images)).all()


def test_ssim_of_an_image_with_itself_is_one_and_equals_scikit_image_elsewhere():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = to_grey(films(2, seed=0))
    b = np.clip(b.astype(int) + np.random.default_rng(0).integers(-40, 40, b.shape), 0, 255).astype(np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    theirs = metrics.structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-6)
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(a[:8, :8], b[:8, :8])


def test_pairs_are_of_one_label_never_of_one_image_and_never_twice():
    labels = np.array([0, 0, 0, 1, 1, 2])
    found = pairs_by_class(labels, 30, seed=0)
    assert set(found) == {0, 1}
    assert {tuple(sorted(pair)) for pair in found[0].tolist()} == {(0, 1), (0, 2), (1, 2)}
    assert len(found[1]) == 1
    low, high = unrank(np.arange(45))
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == [(i, j) for j in range(10) for i in range(j)]


def test_pairs_of_findings_share_the_whole_vector():
    labels = np.array([[0, 1], [1, 1], [0, 1], [1, 1], [0, 0]], np.uint8)
    found = pairs_by_class(labels, 10, seed=0)
    assert sorted(sorted(pairs[0].tolist()) for pairs in found.values()) == [[0, 2], [1, 3]]


def test_a_collapsed_set_is_alike_and_noise_is_not():
    labels = np.repeat([0, 1], 30)
    values = {
        name: measure_ssim(fake_images=images, fake_labels=labels, seed=0, classes=("a", "b"))["ssim_within"]
        for name, images in (
            ("collapsed", films(1, seed=0).expand(60, -1, -1, -1)),
            ("films", films(60, seed=0)),
            ("noise", torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 1, 32, 32), dtype=np.uint8))),
        )
    }
    assert values["collapsed"].value == pytest.approx(1)
    assert values["collapsed"].value > values["films"].value > values["noise"].value
    assert values["noise"].value == pytest.approx(0, abs=0.05)
    assert set(values["films"].extra["by_class"]) == {"a", "b"}


def test_images_smaller_than_the_window_have_no_ssim():
    value = measure_ssim(fake_images=films(6, seed=0, size=8), fake_labels=np.zeros(6, int), seed=0)["ssim_within"]
    assert value.value is None and "11 pixels" in str(value.note)


def test_lpips_is_null_without_weights_and_is_never_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    value = measure_lpips(fake_images=films(6, seed=0), fake_labels=np.zeros(6, int), seed=0)["lpips_within"]
    assert value.value is None and value.direction == "higher" and "SYNTHWORTH_WEIGHTS" in str(value.note)


def test_lpips_of_a_collapsed_set_is_zero_and_of_others_is_not(monkeypatch, one_thread):
    from generators.nets.lpips import LPIPS

    net, rng = LPIPS().eval().requires_grad_(False), torch.Generator().manual_seed(0)
    for weight in net.layers.parameters():
        weight.normal_(0, 0.05, generator=rng)
    for weight in net.weights:
        weight.fill_(1.0)
    monkeypatch.setattr("generators.perceptual.find_weights", lambda: "somewhere")
    monkeypatch.setattr("generators.perceptual.load_lpips", lambda weights, device: net)
    labels = np.repeat([0, 1], 5)
    same, other = (
        measure_lpips(fake_images=images, fake_labels=labels, seed=0)["lpips_within"]
        for images in (films(1, seed=0).expand(10, -1, -1, -1), films(10, seed=0))
    )
    assert same.value == pytest.approx(0, abs=1e-9) and other.value > 1e-4
    assert other.extra == {"n_pairs": 20, "n_labels": 2}


def test_the_registry_offers_them_by_the_evidence_they_need():
    images, labels = films(60, seed=0), np.repeat([0, 1], 30)
    evidence = {"real_images": images, "fake_images": images, "fake_labels": labels, "seed": 0, "classes": ("a", "b")}
    for name in ("radiograph", "ssim_within"):
        assert measure(METRICS.get(name), **evidence)
