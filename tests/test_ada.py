"""Adaptive augmentation: what is done to an image, and how often, by how much a discriminator overfits."""

from __future__ import annotations

import dataclasses
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.check.candidate import Interrupted, interrupted_after
from benchmarks.check.checks import make_images
from data.images import ImageSet
from generators.dcgan import DCGAN, DCGANConfig, DCGANPerClass
from generators.lsgan import LSGAN, LSGANConfig
from generators.nets.ada import ADA, COLOURS, EDM, PLACES, augment, columns, resample
from generators.nets.adaptive import EVERY, LIMIT, Eyes
from generators.r3gan import R3GAN
from synthworth.errors import UserError
from synthworth.work import Budget, Work

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


# -- how often ---------------------------------------------------------------------------------------------------


def eyes(**change: Any) -> Eyes:
    options = {"policy": ("ada",), "target": 0.6, "batch": 8, "images": 320, **change}
    return Eyes(options.pop("policy"), **options)


def test_the_probability_rises_while_the_discriminator_knows_its_images_and_falls_while_it_does_not() -> None:
    found = eyes()
    for t in range(1, 3 * EVERY + 1):
        assert found.p.item() == pytest.approx(0.1 * ((t - 1) // EVERY))  # 8 images, 4 steps, of 320
        found.follow(torch.tensor(0.7), t)
    for t in range(3 * EVERY + 1, 4 * EVERY + 1):
        found.follow(torch.tensor(0.5), t)
    assert found.p.item() == pytest.approx(0.2)
    found.follow(torch.tensor(0.6), 4 * EVERY + 1)
    assert found.p.item() == pytest.approx(0.2)


def test_the_overfitting_is_the_mean_of_the_steps_since_the_last_move() -> None:
    found = eyes()
    for t, sign in enumerate((1.0, 1.0, 1.0, -0.4), 1):  # 0.65
        found.follow(torch.tensor(sign), t)
    assert found.p.item() == pytest.approx(0.1)
    for t, sign in enumerate((0.5, 0.5, 0.5, 0.8), 5):  # 0.575
        found.follow(torch.tensor(sign), t)
    assert found.p.item() == 0


def test_the_probability_stays_from_nothing_to_where_augmentations_leak() -> None:
    found = eyes()
    for t in range(1, 20 * EVERY + 1):
        found.follow(torch.tensor(1.0), t)
    assert found.p.item() == pytest.approx(LIMIT)
    for t in range(1, 20 * EVERY + 1):
        found.follow(torch.tensor(-1.0), t)
    assert found.p.item() == 0


def test_what_the_discriminator_sees_follows_the_words_and_the_probability() -> None:
    images = pictures()
    assert eyes(policy=())(images) is images
    assert not eyes(policy=("cutout",)).state_dict()
    found = eyes(policy=("ada", "cutout"))
    assert set(found.state_dict()) == {"p", "signs"}
    torch.manual_seed(0)
    assert (found(images) == 0).flatten(1).any(1).all()
    found = eyes()
    assert torch.equal(found(images), images)
    found.p.fill_(0.8)
    assert not torch.equal(found(images), images)


# -- in a fit ----------------------------------------------------------------------------------------------------


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=16)


OFTEN = dataclasses.replace(DCGAN.tiny_config(), augment=("ada",), ada_images=200, ada_target=-0.9)


def fit(config: DCGANConfig, train: ImageSet, folder: Path, steps: int = 12, **bench: Any) -> tuple[DCGAN, Any]:
    folder.mkdir(exist_ok=True)
    model = DCGAN(config)
    return model, model.fit(train, seed=1, work=Work(folder, budget=Budget(steps), **bench))


def test_a_fit_tells_its_probability_in_facts_and_as_a_curve(train: ImageSet, tmp_path: Path) -> None:
    _, report = fit(OFTEN, train, tmp_path)
    curve = [row["augmented"] for row in report.history]
    assert curve[:3] == [0, 0, 0]
    assert curve[3] == pytest.approx(8 * 4 / 200)
    assert report.facts["augmented"] == curve[-1] > curve[3]
    assert all(-1 <= row["overfitting"] <= 1 for row in report.history)


def test_an_adapting_fit_that_was_killed_ends_with_the_same_bits(train: ImageSet, tmp_path: Path) -> None:
    whole, told = fit(OFTEN, train, tmp_path / "whole")
    after: list[int] = []
    with suppress(Interrupted):
        fit(OFTEN, train, tmp_path / "cut", checkpoint_seconds=0, log=interrupted_after(6, []))
    again, report = fit(OFTEN, train, tmp_path / "cut", log=lambda step, **_: after.append(step))
    assert 0 < len(after) < 12
    assert report.facts["augmented"] == told.facts["augmented"]
    assert [row["augmented"] for row in report.history] == [row["augmented"] for row in told.history]
    assert torch.equal(again.sample(train.labels[:6], seed=2), whole.sample(train.labels[:6], seed=2))


def test_a_share_of_nothing_trains_as_without_and_one_that_rises_does_not(train: ImageSet, tmp_path: Path) -> None:
    """Up to the first move p is 0: the losses of these steps are those of a fit that does not augment."""
    plain = fit(DCGAN.tiny_config(), train, tmp_path / "plain", steps=8)[1].history
    often = fit(OFTEN, train, tmp_path / "often", steps=8)[1].history
    losses = [[row["discriminator"] for row in rows] for rows in (plain, often)]
    assert losses[0][:4] == losses[1][:4]
    assert losses[0][5] != losses[1][5]


@pytest.mark.parametrize(("cls", "seen"), [(DCGAN, [8, 8, 8]), (R3GAN, [16, 16])])
def test_the_discriminator_sees_real_and_drawn_images_through_it_in_both_updates(
    cls: Any, seen: list[int], train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through: list[int] = []
    whole = Eyes.forward
    monkeypatch.setattr(Eyes, "forward", lambda self, images: through.append(len(images)) or whole(self, images))
    config = dataclasses.replace(cls.tiny_config(), augment=("ada",))
    cls(config).fit(train, seed=1, work=Work(tmp_path, budget=Budget(1)))
    assert through == seen


def test_a_model_a_class_adapts_each_by_itself(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16)
    report = DCGANPerClass(OFTEN).fit(train, seed=1, work=Work(tmp_path, budget=Budget(12)))
    assert {f"augmented[{name}]" for name in train.classes} <= set(report.facts)


@pytest.mark.parametrize(
    ("codes", "expected"), [((0.0, 1.0), [1, 1, -1]), ((1.0, 0.0), [-1, -1, 1]), ((-1.0, 1.0), [1, 1, 1])]
)
def test_least_squares_lean_to_the_nearer_code(codes: tuple[float, float], expected: list[int]) -> None:
    game = LSGAN(LSGANConfig(code_drawn=codes[0], code_real=codes[1]))
    assert game.leaning(torch.tensor([2.0, 0.6, 0.4])).sign().tolist() == expected


@pytest.mark.parametrize("change", [{"ada_target": 1.0}, {"ada_images": 0}])
def test_options_out_of_range_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"--gen\.ada-\w+ .* out of range") as refused:
        DCGANConfig(**change)
    assert "\n" not in str(refused.value)
