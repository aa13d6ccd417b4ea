"""The controls draw what their names say."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.check.checks import make_images
from data.images import ImageSet, Split
from generators.base import BaseGenerator
from generators.controls import Duplicate, HoldoutReal, NoImages, Noise
from generators.latent_ddpm import LatentDDPM
from generators.reconstruct import Reconstruct, ReconstructConfig
from synthworth.errors import UserError
from synthworth.work import Budget, Work


def rows_of(images: torch.Tensor, source: ImageSet) -> list[int]:
    """Which source image each drawn one is, byte for byte."""
    known = {image.numpy().tobytes(): i for i, image in enumerate(source.images)}
    return [known[image.numpy().tobytes()] for image in images]


@pytest.fixture
def single() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=8)


@pytest.fixture
def multi() -> ImageSet:
    return make_images(multilabel=True, channels=3, size=8)


def test_duplicate_copies_training_images_of_the_class_asked_for(single: ImageSet, tmp_path: Path) -> None:
    control = Duplicate()
    control.fit(single, seed=0, work=Work(tmp_path))
    asked = torch.tensor([2, 0, 0, 1, 2] * 4)
    rows = rows_of(control.sample(asked, seed=3), single)
    assert torch.equal(single.labels[rows], asked)


def test_duplicate_repeats_no_image_before_all_of_its_class_came_once(single: ImageSet, tmp_path: Path) -> None:
    control = Duplicate()
    control.fit(single, seed=0, work=Work(tmp_path))
    n = single.counts()["left"]
    rows = rows_of(control.sample(torch.zeros(2 * n + 3, dtype=torch.int64), seed=3), single)
    assert len(set(rows[:n])) == len(set(rows[n : 2 * n])) == n
    assert rows[:n] != rows[n : 2 * n]
    assert set(Counter(rows).values()) == {2, 3}


def test_duplicate_answers_a_label_vector_with_images_of_exactly_that_vector(multi: ImageSet, tmp_path: Path) -> None:
    control = Duplicate()
    control.fit(multi, seed=0, work=Work(tmp_path))
    asked = multi.labels[[7, 1, 1, 0, 4]]
    rows = rows_of(control.sample(asked, seed=3), multi)
    assert torch.equal(multi.labels[rows], asked)


def test_duplicate_answers_an_unseen_vector_with_one_that_differs_least(multi: ImageSet, tmp_path: Path) -> None:
    kept = multi.subset(np.flatnonzero(multi.labels.sum(1).numpy() < 3))
    control = Duplicate()
    control.fit(kept, seed=0, work=Work(tmp_path))
    asked = torch.ones((9, 3), dtype=torch.uint8)
    rows = rows_of(control.sample(asked, seed=3), kept)
    assert set(kept.labels[rows].sum(1).tolist()) == {2}


def test_duplicate_refuses_labels_of_another_task_and_a_class_it_has_not(single: ImageSet, tmp_path: Path) -> None:
    control = Duplicate()
    control.fit(single, seed=0, work=Work(tmp_path))
    with pytest.raises(UserError, match="labels of shape"):
        control.sample(torch.zeros((2, 3), dtype=torch.uint8), seed=0)
    with pytest.raises(UserError, match="no image of class 7"):
        control.sample(torch.tensor([7]), seed=0)


def test_holdout_real_draws_from_the_reserve_alone_without_repeats(single: ImageSet, tmp_path: Path) -> None:
    reserve = make_images(multilabel=False, channels=1, size=8, split=Split.reserve, seed=1, n=90)
    control = HoldoutReal()
    control.fit(single, seed=0, work=Work(tmp_path, reserve=reserve))
    rows = rows_of(control.sample(torch.ones(30, dtype=torch.int64), seed=3), reserve)
    assert len(set(rows)) == 30
    assert set(reserve.labels[rows].tolist()) == {1}


def test_holdout_real_refuses_to_do_without_a_reserve_or_with_training_images(single: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no reserve"):
        HoldoutReal().fit(single, seed=0, work=Work(tmp_path))
    with pytest.raises(UserError, match="no reserve"):
        HoldoutReal().fit(single, seed=0, work=Work(tmp_path, reserve=single))
    leaked = single.subset([0, 1, 2], split=Split.reserve)
    with pytest.raises(UserError, match="3 images are in both"):
        HoldoutReal().fit(single, seed=0, work=Work(tmp_path, reserve=leaked))


def test_noise_has_the_mean_and_spread_of_the_training_pixels_by_channel(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=3, size=16)
    shifted = train.images.clone()
    shifted[:, 2] = shifted[:, 2] // 2
    train = dataclasses.replace(train, images=shifted)
    control = Noise()
    control.fit(train, seed=0, work=Work(tmp_path))
    drawn = control.sample(torch.zeros(400, dtype=torch.int64), seed=3).double()
    real = train.images.double()
    assert torch.allclose(drawn.mean((0, 2, 3)), real.mean((0, 2, 3)), atol=1.5)
    assert torch.allclose(drawn.std((0, 2, 3)), real.std((0, 2, 3)), atol=3.0)


def test_no_images_answers_only_the_empty_request(single: ImageSet, tmp_path: Path) -> None:
    control = NoImages()
    control.fit(single, seed=0, work=Work(tmp_path))
    assert control.sample(single.labels[:0], seed=0).shape == (0, 1, 8, 8)
    with pytest.raises(UserError, match="draws none"):
        control.sample(single.labels[:2], seed=0)
    assert not NoImages.draws


@pytest.mark.parametrize("multilabel", [False, True])
def test_reconstruct_draws_training_images_through_the_generators_autoencoder(
    multilabel: bool, tmp_path: Path, one_thread: None
) -> None:
    train = make_images(multilabel=multilabel, channels=1, size=28)
    model, fitted = LatentDDPM(LatentDDPM.tiny_config()), tmp_path / "fitted"
    model.fit(train, seed=1, work=Work(tmp_path / "work", budget=Budget(4)))
    fitted.mkdir()
    model.save(fitted)
    control = Reconstruct(ReconstructConfig(generator="latent_ddpm"))
    report = control.fit(train, seed=0, work=Work(tmp_path, fitted=fitted))
    seen = dataclasses.replace(train, images=model.reconstruct(train.images))
    rows = rows_of(control.sample(train.labels[:9], seed=3), seen)
    assert torch.equal(train.labels[rows], train.labels[:9])
    assert not torch.equal(seen.images, train.images)
    error = (seen.images.double() - train.images.double()).square().mean().sqrt()
    assert report.facts["root_mean_square_error"] == pytest.approx(float(error), abs=0.01)
    assert (Reconstruct.needs_generator, Reconstruct.is_control, Reconstruct.trains) == (True, True, False)


def test_reconstruct_refuses_a_generator_without_an_autoencoder_or_none_at_all(
    single: ImageSet, tmp_path: Path
) -> None:
    assert not hasattr(BaseGenerator, "reconstruct")
    with pytest.raises(UserError, match="dcgan has no autoencoder to reconstruct with; leave the control"):
        Reconstruct(ReconstructConfig(generator="dcgan")).fit(single, seed=0, work=Work(tmp_path, fitted=tmp_path))
    with pytest.raises(UserError, match="needs a fitted latent_ddpm"):
        Reconstruct().fit(single, seed=0, work=Work(tmp_path))
