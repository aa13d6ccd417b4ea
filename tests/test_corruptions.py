"""Corruptions: bytes stay bytes, stronger is further away, and one image comes out alike in every batch and run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from synthworth.errors import UserError

EVERY = [(name, strength) for name in CORRUPTIONS for strength in STRENGTHS]


def films(n: int = 3, *, channels: int = 1, side: int = 24) -> torch.Tensor:
    """Smooth films with edges and a little grain."""
    y, x = np.mgrid[:side, :side] / side
    grain = np.random.default_rng(0).normal(0, 6, (n, channels, side, side))
    shapes = [110 + 90 * np.sin(3 * x + k) + 40 * (y > 0.3 + 0.1 * k) for k in range(n)]
    levels = np.stack(shapes)[:, None] + grain
    return torch.from_numpy(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def names(images: torch.Tensor) -> list[str]:
    return [f"film-{k}" for k in range(len(images))]


def moved(name: str, strength: int, images: torch.Tensor) -> float:
    made = corrupt(images, name, strength, ids=names(images))
    return float((made.float() - images.float()).abs().mean())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "strength"), EVERY)
def test_bytes_of_the_same_shape_come_out_and_those_given_stay(name: str, strength: int, channels: int) -> None:
    images = films(channels=channels, side=20)
    before = images.clone()
    made = corrupt(images, name, strength, ids=names(images))
    assert made.dtype == torch.uint8 and made.shape == images.shape
    assert not torch.equal(made, images) and torch.equal(images, before)


@pytest.mark.parametrize("side", [16, 32, 64, 224])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_stronger_one_moves_pixels_further(name: str, side: int) -> None:
    images = films(2, side=side)
    distances = [moved(name, strength, images) for strength in STRENGTHS]
    assert distances[0] > 0 and all(a < b for a, b in itertools.pairwise(distances)), distances


@pytest.mark.parametrize(("name", "strength"), EVERY)
def test_an_image_comes_out_alike_alone_and_in_any_batch(name: str, strength: int) -> None:
    images = films(3)
    whole = corrupt(images, name, strength, ids=names(images))
    alone = corrupt(images[1:2], name, strength, ids=["film-1"])
    turned = corrupt(images.flip(0), name, strength, ids=names(images)[::-1])
    assert torch.equal(whole[1:2], alone) and torch.equal(whole, turned.flip(0))


def test_noise_belongs_to_the_image_and_grows_on_one_field() -> None:
    flat = torch.full((2, 1, 64, 64), 128, dtype=torch.uint8)
    one, other = (corrupt(flat, "noise", k, ids=["a", "b"]).double() - 128 for k in (1, 2))
    assert not torch.equal(one[0], one[1])
    assert one[0].std().item() == pytest.approx(0.04 * 255, rel=0.05) and abs(one[0].mean().item()) < 1
    assert torch.corrcoef(torch.stack([one[0].flatten(), other[0].flatten()]))[0, 1] > 0.99


def test_gamma_darkens_and_keeps_black_and_white() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    made = corrupt(levels, "gamma", 5, ids=["a"]).flatten()
    assert (made[0], made[255]) == (0, 255) and (made[1:255] <= levels.flatten()[1:255]).all()
    assert made[128] == round(255 * (128 / 255) ** 1.6)
    assert (made.int().diff() >= 0).all()


def test_contrast_draws_levels_to_the_mean_of_their_own_film() -> None:
    images = torch.stack([torch.full((1, 8, 8), 40), torch.full((1, 8, 8), 200)]).to(torch.uint8)
    images[:, :, :4] += 20
    made = corrupt(images, "contrast", 5, ids=["a", "b"]).double()
    assert made.mean(dim=(1, 2, 3)).tolist() == [50, 210]
    assert [float(film.max() - film.min()) for film in made] == [8, 8]  # 0.4 of 20


def test_colours_draw_to_the_grey_of_the_whole_film() -> None:
    red = torch.zeros((1, 3, 8, 8), dtype=torch.uint8)
    red[:, 0] = 200
    made = corrupt(red, "contrast", 1, ids=["a"])[0, :, 0, 0].tolist()
    grey = 0.299 * 200
    assert made == [round(grey + 0.9 * (200 - grey)), *[round(grey - 0.9 * grey)] * 2]


def test_blur_keeps_the_mean_and_spreads_a_point() -> None:
    point = torch.zeros((1, 1, 33, 33), dtype=torch.uint8)
    point[0, 0, 16, 16] = 255
    made = corrupt(point, "blur", 5, ids=["a"])[0, 0].double()
    sigma = 2 ** (np.log(33 / 32) / np.log(7))
    assert made[16, 16].item() == pytest.approx(255 / (2 * np.pi * sigma**2), rel=0.03)
    assert made.sum().item() == pytest.approx(255, rel=0.03)


def test_blur_at_224_px_is_twice_that_at_32() -> None:
    edge = torch.zeros((1, 1, 224, 224), dtype=torch.uint8)
    edge[..., 112:] = 255
    made = corrupt(edge, "blur", 5, ids=["a"])[0, 0, 0].double() / 255
    slope = float(made[112] - made[111])  # of a step blurred by a Gaussian: the density at its middle
    assert slope == pytest.approx(1 / (np.sqrt(2 * np.pi) * 2.0), rel=0.03)


def test_jpeg_is_what_pillow_reads_back() -> None:
    import io

    from PIL import Image

    images = films(1, channels=3)
    file = io.BytesIO()
    Image.fromarray(images[0].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=7)
    read = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)
    assert torch.equal(corrupt(images, "jpeg", 5, ids=["a"])[0], read)


@pytest.mark.parametrize("strength", [0, 6, -1])
def test_other_strengths_do_not_exist(strength: int) -> None:
    with pytest.raises(UserError, match=f"noise has no strength {strength}; there are 1, 2, 3, 4, 5"):
        corrupt(films(), "noise", strength, ids=["a", "b", "c"])


def test_what_is_no_corruption_and_no_batch_is_refused() -> None:
    with pytest.raises(UserError, match="no corruption named 'snow'; there are noise, blur, contrast, jpeg, gamma"):
        corrupt(films(), "snow", 1, ids=["a", "b", "c"])
    with pytest.raises(TypeError, match="uint8"):
        corrupt(films().float(), "gamma", 1, ids=["a", "b", "c"])
    with pytest.raises(ValueError, match="3 images but 1 ids"):
        corrupt(films(), "gamma", 1, ids=["a"])
