from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import RandAugment as Transform

from data.augment import AUGMENTATIONS, RandAugment, find_augmentation
from synthworth.errors import UserError


@pytest.fixture
def images():
    return torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def augmented(name, images, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AUGMENTATIONS[name](images)


def test_none_changes_nothing(images):
    assert torch.equal(augmented("none", images), images)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_shape_type_and_range_are_kept(name, images):
    out = augmented(name, images)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("name", ["light", "strong"])
def test_a_mark_on_the_left_never_appears_on_the_right(name):
    images = torch.zeros(256, 1, 32, 32)
    images[:, :, 4:12, 4:10] = 1.0
    out = augmented(name, images)
    mark = (out > out.mean((1, 2, 3), keepdim=True) + 0.2).float()[:, 0]
    columns, rows = mark.sum(1), mark.sum(2)
    assert (columns[:, :16].sum(1) > 2 * columns[:, 16:].sum(1)).all()
    assert (rows[:, :16].sum(1) > 2 * rows[:, 16:].sum(1)).all()


@pytest.mark.parametrize("name", ["exposure", "light", "strong"])
def test_every_image_of_a_batch_draws_its_own_change(name, images):
    same = images[:1].expand(16, -1, -1, -1).contiguous()
    out = augmented(name, same)
    assert len({tuple(image.flatten().tolist()) for image in out}) == 16


@pytest.mark.parametrize("name", ["light", "strong"])
def test_the_change_follows_the_seed(name, images):
    assert torch.equal(augmented(name, images), augmented(name, images))
    assert not torch.equal(augmented(name, images), augmented(name, images, seed=1))


@pytest.mark.parametrize("name", ["light", "strong"])
def test_the_images_given_are_left_as_they_were(name, images):
    before = images.clone()
    augmented(name, images)
    assert torch.equal(images, before)


def test_a_uniform_image_stays_uniform_because_the_border_is_repeated():
    out = augmented("light", torch.full((8, 1, 32, 32), 0.5))
    assert (out.amax((1, 2, 3)) - out.amin((1, 2, 3))).max() < 1e-5


def test_light_moves_a_point_by_no_more_than_it_says():
    images = torch.zeros(256, 1, 64, 64)
    images[:, :, 31:33, 31:33] = 1.0
    out = augmented("light", images)
    out = out - out.amin((1, 2, 3), keepdim=True)
    weights = out[:, 0] / out[:, 0].sum((1, 2), keepdim=True)
    at = torch.arange(64) - 31.5
    across, down = (weights.sum(1) * at).sum(1), (weights.sum(2) * at).sum(1)
    limit = 0.05 * 64 * 1.06 + 0.3
    assert across.abs().max() <= limit
    assert down.abs().max() <= limit
    assert across.std() > 1


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'light'"):
        find_augmentation("ligth")


def test_exposure_moves_nothing():
    images = torch.full((8, 1, 32, 32), 0.5)
    images[:, :, 3:6, 20:25] = 0.6
    out = augmented("exposure", images)
    assert torch.equal(out.flatten(1).argsort(stable=True), images.flatten(1).argsort(stable=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_in_groups_draws_and_gives_what_torchvision_does_image_after_image(channels: int) -> None:
    images = torch.rand(48, channels, 28, 28, generator=torch.Generator().manual_seed(0))
    theirs, ours = Transform(2, 9), RandAugment()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = torch.stack([theirs(image) for image in images])
        after = torch.rand(())
        torch.manual_seed(5)
        found = ours.in_groups(theirs, images)
        assert torch.rand(()) == after
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, images, atol=1e-2)
