"""R3GAN: its loss and penalties against direct computations, its networks, its schedules and its fits."""

from __future__ import annotations

import dataclasses
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.check.candidate import Interrupted, interrupted_after
from benchmarks.check.checks import check_generator, make_images
from data.images import ImageSet
from generators.nets.dcgan import Known, Ladder
from generators.nets.r3gan import Block, Critic, Painter, double, halve, squared_gradients
from generators.r3gan import R3GAN, R3GANConfig, against
from synthworth.errors import UserError
from synthworth.work import Budget, FitReport, Work

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = R3GAN.tiny_config()
SIZES = {"noise": 4, "channels": 1, "base": 4, "limit": 8, "blocks": 1, "expansion": 2, "group": 4}


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=16)


def fit(config: R3GANConfig, train: ImageSet, folder: Path, steps: int = 6, **bench: Any) -> tuple[R3GAN, FitReport]:
    folder.mkdir(exist_ok=True)
    model = R3GAN(config)
    return model, model.fit(train, seed=1, work=Work(folder, budget=Budget(steps), **bench))


def make_critic(known: Known, size: int = 16, **change: Any) -> Critic:
    return Critic(Ladder.reaching(size), known, **{**SIZES, "eyes": nn.Identity(), **change})


# -- the loss and its penalties ----------------------------------------------------------------------------------


def test_the_loss_pairs_a_drawn_image_with_a_real_one() -> None:
    real, drawn = torch.tensor([2.0, -1.0]), torch.tensor([0.0, 3.0])
    of_critic = (math.log1p(math.exp(-2)) + math.log1p(math.exp(4))) / 2
    of_painter = (math.log1p(math.exp(2)) + math.log1p(math.exp(-4))) / 2
    assert against(drawn, real).item() == pytest.approx(of_critic)
    assert against(real, drawn).item() == pytest.approx(of_painter)
    assert against(drawn + 7, real + 7).item() == pytest.approx(of_critic)


def test_a_penalty_is_the_squared_gradient_of_a_critic_that_is_known() -> None:
    torch.manual_seed(0)
    images = torch.randn(5, 1, 2, 2, requires_grad=True)
    weight = torch.randn(4, requires_grad=True)
    logits = (images.flatten(1) * weight).sum(1).square()  # the gradient is 2 <w, x> w
    found = squared_gradients(logits, images)
    expected = 4 * logits.detach() * weight.detach().square().sum()
    torch.testing.assert_close(found.detach(), expected)
    (by_weight,) = torch.autograd.grad(found.sum(), weight)
    again = weight.detach().clone().requires_grad_()
    direct = (4 * (images.detach().flatten(1) * again).sum(1).square() * again.square().sum()).sum()
    torch.testing.assert_close(by_weight, torch.autograd.grad(direct, again)[0])


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_critic_gives_the_slope_of_what_it_says_of_each_image(multilabel: bool) -> None:
    torch.manual_seed(0)
    critic = make_critic(Known(3, multilabel))
    for block in critic.modules():
        if isinstance(block, Block):
            nn.init.normal_(block.project.weight, 0.0, 0.3)
    images, labels = torch.randn(3, 1, 16, 16), torch.eye(3, dtype=torch.uint8) if multilabel else torch.arange(3)
    logits, slopes = critic(images, labels, True)
    assert torch.equal(logits, critic(images, labels))
    step = 1e-3
    for k in range(3):
        alone = images[k : k + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(alone, labels[k : k + 1]).sum(), alone)
        assert slopes[k].item() == pytest.approx(gradient.square().sum().item(), rel=1e-4)
        along = gradient / gradient.norm()
        up, down = (critic(images[k : k + 1] + sign * step * along, labels[k : k + 1]).item() for sign in (1, -1))
        assert ((up - down) / (2 * step)) ** 2 == pytest.approx(slopes[k].item(), rel=0.05)


def test_a_step_descends_the_loss_with_both_penalties(
    train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a critic D(x) = w sum(x) every term of the first step is known."""

    class Line(nn.Module):
        def __init__(self, eyes: nn.Module) -> None:
            super().__init__()
            self.w, self.eyes = nn.Parameter(torch.tensor(0.01)), eyes

        def forward(self, images: Tensor, labels: Tensor, slopes: bool = False) -> Any:
            logits = self.w * images.sum((1, 2, 3))
            return (logits, self.w.square().expand(len(images)) * images[0].numel()) if slopes else logits

    built = R3GAN._build
    monkeypatch.setattr(R3GAN, "_build", lambda self: (built(self)[0], Line(self._eyes())))
    for gamma in (0.0, 3.0):
        _, report = fit(dataclasses.replace(TINY, gamma=gamma), train, tmp_path / str(gamma), steps=1)
        row = report.history[0]
        assert row["r1"] == row["r2"] == pytest.approx(0.01**2 * 256)
        joined = row["discriminator"] + gamma / 2 * (row["r1"] + row["r2"]) + row["generator"]
        assert row["loss"] == pytest.approx(joined, rel=1e-6)


# -- the networks ------------------------------------------------------------------------------------------------


def test_resampling_by_two_is_torchs_bilinear_interpolation() -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    expected = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(double(x), expected)
    halved = nn.functional.interpolate(expected, scale_factor=0.5, mode="bilinear", align_corners=False)
    torch.testing.assert_close(halve(expected), halved)


def test_a_block_begins_as_nothing_and_keeps_the_scale_of_many() -> None:
    torch.manual_seed(0)
    block = Block(32, expansion=2, group=16, n_blocks=16)
    x = torch.randn(2, 32, 8, 8)
    assert torch.equal(block(x), x)
    assert block.mix.groups == 4
    he = math.sqrt(2 / (1 + 0.2**2) / 32)
    assert block.expand.weight.std().item() == pytest.approx(he * 16**-0.25, rel=0.1)
    assert Block(6, expansion=2, group=5, n_blocks=1).mix.groups == 2


@pytest.mark.parametrize("size", [28, 32, 50, 64])
@pytest.mark.parametrize("multilabel", [False, True])
def test_networks_of_every_size_fit_each_other_and_every_parameter_learns(size: int, multilabel: bool) -> None:
    torch.manual_seed(0)
    ladder, known = Ladder.reaching(size), Known(3, multilabel)
    painter, critic = Painter(ladder, known, **SIZES), make_critic(known, size)
    for block in (*painter.modules(), *critic.modules()):
        if isinstance(block, Block):
            nn.init.normal_(block.project.weight, 0.0, 0.1)
    labels = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 0, 1]], dtype=torch.uint8) if multilabel else torch.arange(3)
    images = painter(torch.randn(1, 4).expand(3, -1), labels)
    assert images.shape == (3, 1, ladder.end, ladder.end)
    assert not torch.allclose(images[0], images[1])
    logits = critic(images, labels)
    assert logits.shape == (3,)
    assert (logits != 0).all()  # of an image without a finding too
    logits.square().sum().backward()
    for net in (painter, critic):
        assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_single_class_leaves_no_label_in_the_networks() -> None:
    known = Known(1, multilabel=False)
    nets = (Painter(Ladder.reaching(16), known, **SIZES), make_critic(known))
    assert not [name for net in nets for name, _ in net.named_parameters() if "label" in name or "common" in name]
    assert nets[1](torch.randn(2, 1, 16, 16), torch.zeros(2, dtype=torch.long)).shape == (2,)


def test_what_an_image_is_judged_to_be_does_not_depend_on_the_others() -> None:
    torch.manual_seed(0)
    critic, images, labels = make_critic(Known(3, multilabel=False)), torch.randn(6, 1, 16, 16), torch.arange(6) % 3
    whole = critic(images, labels)
    torch.testing.assert_close(torch.cat([critic(images[:2], labels[:2]), critic(images[2:], labels[2:])]), whole)


def test_a_critic_whose_gradient_is_differentiated_is_not_compiled() -> None:
    critic = make_critic(Known(3, multilabel=False))
    critic.compile(options={"fallback_random": True})
    logits, slopes = critic(torch.randn(2, 1, 16, 16), torch.arange(2), True)
    (logits.sum() + slopes.sum()).backward()
    assert critic._compiled_call_impl is None


# -- the schedules -----------------------------------------------------------------------------------------------


def test_the_burn_in_ends_where_it_is_said_to() -> None:
    half = R3GAN(R3GANConfig(burn_in=0.5))
    assert [round(half.burnt(t, 100), 6) for t in (0, 25, 50, 99)] == [0, 0.5, 1, 1]
    assert R3GAN(R3GANConfig(burn_in=0.0)).burnt(0, 100) == 1


def test_rates_decays_and_penalties_move_along_it(train: ImageSet, tmp_path: Path) -> None:
    _, report = fit(dataclasses.replace(TINY, gamma=1000.0, burn_in=1.0), train, tmp_path, steps=8)
    kept = torch.load(tmp_path / "r3gan.ckpt", weights_only=True)["parts"]
    over = (1 - math.cos(math.pi * 7 / 8)) / 2  # at the last step
    for part in ("painter", "critic"):
        (group,) = kept[part]["optimiser"]["param_groups"]
        assert group["betas"] == pytest.approx((0.0, 0.9 + 0.09 * over))
        assert float(group["lr"]) == pytest.approx(2e-4 * (1 - 0.75 * over))
    first, last = report.history[0], report.history[-1]
    for row, gamma in ((first, 1000.0), (last, 1000.0 * (1 - 0.9 * over))):
        penalty = row["loss"] - row["discriminator"] - row["generator"]
        assert penalty == pytest.approx(gamma / 2 * (row["r1"] + row["r2"]), rel=1e-3)


# -- fits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("multilabel", "channels", "size"), [(False, 1, 28), (True, 3, 16)])
def test_the_contract_is_kept(multilabel: bool, channels: int, size: int) -> None:
    results = check_generator(R3GAN, multilabel=multilabel, channels=channels, size=size)
    assert [f"{r.name}: {r.message}" for r in results if not r.passed] == []


def test_the_average_is_drawn_with_and_none_exports_the_last_weights(train: ImageSet, tmp_path: Path) -> None:
    model, _ = fit(dataclasses.replace(TINY, half_life=8), train, tmp_path / "ema")
    kept = torch.load(tmp_path / "ema" / "r3gan.ckpt", weights_only=True)["parts"]["painter"]
    drawn_with = dict(model.painter.named_parameters())
    assert all(torch.equal(kept["average"][f"module.{name}"], p) for name, p in drawn_with.items())
    assert not all(torch.equal(kept["net"][name], p) for name, p in drawn_with.items())
    raw, _ = fit(dataclasses.replace(TINY, half_life=0), train, tmp_path / "raw")
    assert all(torch.equal(kept["net"][name], p) for name, p in raw.painter.named_parameters())


def test_an_adapting_fit_that_was_killed_ends_with_the_same_bits(train: ImageSet, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, augment=("ada",), ada_images=200, ada_target=-0.5, accumulate=2)
    whole, _ = fit(config, train, tmp_path / "whole", steps=12)
    cut, after = tmp_path / "cut", list[int]()
    with suppress(Interrupted):
        fit(config, train, cut, steps=12, checkpoint_seconds=0, log=interrupted_after(6, []))
    again, report = fit(config, train, cut, steps=12, log=lambda step, **_: after.append(step))
    assert 0 < len(after) < 12
    assert report.facts["augmented"] > 0.3
    states = [torch.load(f / "r3gan.ckpt", weights_only=True)["parts"]["critic"] for f in (tmp_path / "whole", cut)]
    assert all(torch.equal(states[0]["net"][name], states[1]["net"][name]) for name in states[0]["net"])
    assert states[0]["net"]["eyes.p"].item() == report.facts["augmented"]
    assert torch.equal(again.sample(train.labels[:6], seed=2), whole.sample(train.labels[:6], seed=2))


def test_the_sign_that_augmentation_follows_is_that_of_the_pairs(train: ImageSet, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, augment=("ada",))
    row = fit(config, train, tmp_path, steps=1)[1].history[0]
    assert -1 <= row["overfitting"] <= 1
    assert row["augmented"] == 0
    assert "augmented" not in fit(TINY, train, tmp_path / "plain", steps=1)[1].history[0]


def test_penalties_in_bf16_are_those_of_fp32_but_for_rounding(train: ImageSet, tmp_path: Path) -> None:
    rows = [fit(TINY, train, tmp_path / p, steps=3, precision=p)[1].history[-1] for p in ("fp32", "bf16")]
    for name in ("r1", "r2", "discriminator", "generator"):
        assert rows[1][name] == pytest.approx(rows[0][name], rel=0.05)
        assert rows[1][name] != rows[0][name]


def test_it_learns_to_draw_the_class_it_is_asked_for(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    config = dataclasses.replace(TINY, noise=16, width=8, max_width=32, group=8, batch=16, half_life=200, lr=1e-3)
    model, _ = fit(config, train, tmp_path, steps=150)
    asked = torch.arange(30) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.8
    assert abs(drawn.mean() - train.images.float().mean()) < 25


@pytest.mark.parametrize(
    "change",
    [{"gamma": -1.0}, {"gamma": math.inf}, {"burn_in": 1.5}, {"half_life": -1}, {"blocks": 0}, {"expansion": 0},
     {"group": 0}, {"lr": 0.0}, {"ada_target": 1.0}, {"ada_images": 0}, {"augment": ("ada", "ada")}],
)  # fmt: skip
def test_options_out_of_range_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"--gen.{next(iter(change)).replace('_', '-')} .* out of range") as refused:
        R3GANConfig(**change)
    assert "\n" not in str(refused.value)
