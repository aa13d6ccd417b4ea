"""Adaptive augmentation: what is done to an image, and how often, by how much a discriminator overfits."""

from __future__ import annotations

import math

import pytest
import torch

from generators.nets.ada import ADA, COLOURS, EDM, PLACES, augment, columns, resample

pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(n: int = 8, channels: int = 1, side: int = 16) -> torch.Tensor:
    return torch.rand((n, channels, side, side), generator=torch.Generator().manual_seed(3)) * 2 - 1


# -- the transformations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("kinds", [ADA, EDM, ()])
def test_nothing_is_done_at_probability_zero(kinds: tuple[str, ...], channels: int) -> None:
    images = pictures(channels=channels, side=15)
    seen, said = augment(images, 0.0, kinds)
    assert torch.equal(seen, images)
    assert said.shape == (8, columns(kinds))
    assert not said.any()


def test_a_denoiser_is_told_nine_numbers() -> None:
    assert columns(EDM) == 9


@pytest.mark.parametrize("kind", [*PLACES, *COLOURS])
def test_images_that_were_passed_over_stay_to_the_bit_and_the_others_change(kind: str) -> None:
    torch.manual_seed(0)
    images = pictures(60, channels=3)
    seen, said = augment(images, 0.5, (kind,))
    done = said.any(1)
    assert 10 < done.sum() < 50
    same = (seen == images).flatten(1).all(1)
    assert torch.equal(same, ~done)


@pytest.mark.parametrize("kind", [*PLACES, *COLOURS])
def test_what_is_said_tells_apart_what_was_done(kind: str) -> None:
    torch.manual_seed(0)
    images = pictures(1, channels=3).expand(40, -1, -1, -1)
    seen, said = augment(images, 1.0, (kind,))
    for a, b in zip(range(39), range(1, 40), strict=True):
        assert torch.equal(said[a], said[b]) == torch.equal(seen[a], seen[b])


def test_flips_quarter_turns_and_whole_shifts_are_exact() -> None:
    torch.manual_seed(0)
    images = pictures(40)
    seen, said = augment(images, 1.0, ("quarter",))
    turns = {(0.0, 0.0): 0, (-1.0, 1.0): 1, (-2.0, 0.0): 2, (-1.0, -1.0): 3}
    assert len({tuple(row) for row in said.tolist()}) == 4
    for was, now, row in zip(images, seen, said.tolist(), strict=True):
        assert torch.equal(now, torch.rot90(was, turns[tuple(row)], (1, 2)))
    for kind, axis in (("x_flip", 2), ("y_flip", 1)):
        seen, said = augment(images, 1.0, (kind,))
        for was, now, flipped in zip(images, seen, said[:, 0], strict=True):
            assert torch.equal(now, was.flip(axis) if flipped else was)
    seen, said = augment(images, 1.0, ("blit",))
    mirrored = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    assert said.abs().max() == 2 / 16
    for k, (down, right) in enumerate((said * 16).int().tolist()):
        assert torch.equal(seen[k], mirrored[k, :, 2 - down : 18 - down, 2 - right : 18 - right])


def test_resampling_is_bilinear_between_the_pixels_around() -> None:
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    where = torch.eye(3)[None].clone()
    where[0, 0, 2], where[0, 1, 2] = 0.25, -0.5
    seen = resample(images, where)[0, 0]
    assert seen[1, 1].item() == pytest.approx(images[0, 0, 1, 1].item() + 0.25 - 0.5 * 4)
    assert seen[0, 0].item() == pytest.approx((images[0, 0, 0, 0].item() + images[0, 0, 1, 0].item()) / 2 + 0.25)


def test_a_scale_grows_what_is_in_the_middle() -> None:
    torch.manual_seed(0)
    disc = torch.zeros(30, 1, 32, 32)
    disc[:, :, 11:21, 11:21] = 1
    seen, said = augment(disc, 1.0, ("scale",))
    area = seen.sum((1, 2, 3)) / 100
    torch.testing.assert_close(area.log2(), 2 * said[:, 0], atol=0.15, rtol=0)


def test_a_stretch_leaves_the_area_and_widens_as_it_says() -> None:
    torch.manual_seed(0)
    block = torch.zeros(30, 1, 32, 32)
    block[:, :, 11:21, 11:21] = 1
    for kind in ("stretch", "stretch_any"):
        seen, said = augment(block, 1.0, (kind,))
        assert (seen.sum((1, 2, 3)) / 100 - 1).abs().max() < 0.06
    seen, said = augment(block, 1.0, ("stretch",))
    widths = seen[:, 0, 16].sum(1) / 10
    torch.testing.assert_close(widths.log2(), said[:, 0], atol=0.1, rtol=0)


def test_hue_and_saturation_leave_the_grey_and_a_negative_leaves_the_colour() -> None:
    torch.manual_seed(0)
    images = pictures(20, channels=3)
    grey = images.mean(1, keepdim=True)
    for kind in ("hue", "saturation"):
        seen, _ = augment(images, 1.0, (kind,))
        torch.testing.assert_close(seen.mean(1, keepdim=True), grey, atol=1e-6, rtol=0)
    seen, said = augment(images, 1.0, ("hue",))
    torch.testing.assert_close((seen - grey).square().sum(1), (images - grey).square().sum(1), atol=1e-5, rtol=1e-5)
    third = said[:, 0].sub(math.cos(2 * math.pi / 3) - 1).abs().argmin()
    assert not torch.allclose(seen[third], images[third])
    seen, said = augment(images, 1.0, ("negative",))
    assert set(said.flatten().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(seen - seen.mean(1, keepdim=True), images - grey, atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.mean(1, keepdim=True), grey * (1 - 2 * said[:, :, None, None]), atol=1e-6, rtol=0)


def test_what_is_drawn_has_its_middle_at_nothing() -> None:
    """Whatever may go one way goes the other as often: no kind moves the images as a whole."""
    torch.manual_seed(0)
    kinds = ("blit", "scale", "stretch", "stretch_any", "shift", "brightness", "contrast", "saturation")
    _, said = augment(torch.zeros(4000, 1, 16, 16), 0.5, kinds)
    assert (said.mean(0).abs() < 4 * said.std(0) / math.sqrt(4000)).all()
    spots = torch.zeros(4000, 1, 17, 17)
    spots[:, 0, 8, 8] = 1
    seen = augment(spots, 0.5, ("x_flip", "quarter", "blit", "scale", "turn", "stretch", "turn", "shift"))[0].mean(0)[0]
    place = torch.arange(17.0) - 8
    assert abs((seen.sum(0) * place).sum() / seen.sum()) < 0.1
    assert abs((seen.sum(1) * place).sum() / seen.sum()) < 0.1


def test_either_turn_falls_with_the_probability_asked_for() -> None:
    torch.manual_seed(0)
    _, said = augment(torch.zeros(6000, 1, 4, 4), 0.5, ("turn", "turn"))
    assert said.any(1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert said[:, :2].any(1).float().mean().item() == pytest.approx(1 - math.sqrt(0.5), abs=0.03)


def test_images_are_augmented_each_by_itself_by_the_global_generator_alone() -> None:
    images = pictures(1, channels=3).expand(12, -1, -1, -1)
    torch.manual_seed(1)
    first = augment(images, torch.tensor(0.9))
    torch.manual_seed(1)
    again = augment(images, 0.9)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({image.numpy().tobytes() for image in first[0]}) > 10


def test_a_gradient_of_a_gradient_goes_through() -> None:
    torch.manual_seed(0)
    images = pictures(2, channels=3, side=5).double().requires_grad_()

    def seen(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2)
        return augment(x, 0.9)[0].square()

    assert torch.autograd.gradcheck(seen, (images,), atol=1e-5)
    assert torch.autograd.gradgradcheck(seen, (images,), atol=1e-5)
