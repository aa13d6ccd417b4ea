"""The adversarial generators: their criteria, what joins them, and one model a class."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.check.checks import check_generator, make_images
from data.images import ImageSet
from generators.base import BaseGenerator
from generators.dcgan import DCGAN, DCGANConfig, DCGANPerClass
from generators.gan import GAN, with_naming
from generators.lsgan import LSGAN, LSGANConfig, LSGANPerClass
from generators.nets.dcgan import Critic, Known, Ladder, Painter
from generators.nets.diffaugment import augment
from generators.per_class import PerClass
from synthworth.errors import UserError
from synthworth.work import Budget, FitReport, Work

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = DCGAN.tiny_config()
ONE_OF_THREE = Known(3, multilabel=False)


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=16)


def fit(config: DCGANConfig, train: ImageSet, folder: Path, steps: int = 6, **bench: Any) -> DCGAN:
    folder.mkdir(exist_ok=True)
    model = DCGAN(config)
    model.fit(train, seed=1, work=Work(folder, budget=Budget(steps), **bench))
    return model


def make_painter(size: int = 16, known: Known = ONE_OF_THREE, **change: Any) -> Painter:
    options = {"noise": 4, "channels": 1, "base": 8, "limit": 16, "conditioning": "norms", "spectral": False}
    return Painter(Ladder.reaching(size), known, **{**options, **change})


def make_critic(size: int = 16, known: Known = ONE_OF_THREE, **change: Any) -> Critic:
    options = {"channels": 1, "base": 8, "limit": 16, "spread": True, "spectral": False, "naming": True}
    return Critic(Ladder.reaching(size), known, **{**options, **change})


# -- the criteria ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "expected"), [("real", math.log(4 / 3)), ("drawn", math.log(4)), ("wanted", math.log(4 / 3))]
)
def test_dcgan_plays_binary_cross_entropy(role: Any, expected: float) -> None:
    logits = torch.tensor([math.log(3), math.log(3)])  # a probability of 3/4
    assert DCGAN().criterion(logits, role).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0.0, 1.0, 1.0), {"drawn": (4 + 1) / 4, "real": (1 + 4) / 4, "wanted": (1 + 4) / 4}),
        ((-1.0, 1.0, 0.0), {"drawn": (9 + 0) / 4, "real": (1 + 4) / 4, "wanted": (4 + 1) / 4}),
    ],
)
def test_lsgan_plays_least_squares_around_its_codes(codes: tuple[float, ...], expected: dict[str, float]) -> None:
    game = LSGAN(LSGANConfig(**dict(zip(("code_drawn", "code_real", "code_wanted"), codes, strict=True))))
    logits = torch.tensor([2.0, -1.0])
    assert {role: game.criterion(logits, role).item() for role in expected} == pytest.approx(expected)  # type: ignore[arg-type]


def test_naming_adds_its_weighted_cross_entropy() -> None:
    game, even = torch.tensor(2.0), torch.zeros(3, 4)
    one = with_naming(game, even, torch.tensor([0, 1, 3]), 0.5)
    many = with_naming(game, even, torch.ones((3, 4), dtype=torch.uint8), 0.5)
    assert one["loss"].item() == pytest.approx(2 + 0.5 * math.log(4))
    assert many["loss"].item() == pytest.approx(2 + 0.5 * math.log(2))
    assert one["game"].item() == many["game"].item() == 2
    assert set(with_naming(game, None, torch.tensor([0]), 0.5)) == {"loss", "game"}


# -- what the discriminator sees ---------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")])
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_draws_for_each_image_and_lets_gradients_through(policy: tuple[str, ...], channels: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, channels, 16, 16).expand(8, -1, -1, -1).clone().requires_grad_()
    seen = augment(images, policy)
    assert seen.shape == images.shape
    assert len({image.detach().numpy().tobytes() for image in seen}) > 4
    seen.square().sum().backward()
    assert images.grad is not None and images.grad.isfinite().all()
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_augmentation_depends_on_the_global_generator_and_nothing_else() -> None:
    images = torch.rand(4, 1, 16, 16)
    torch.manual_seed(3)
    first = augment(images, ("color", "translation", "cutout"))
    torch.manual_seed(3)
    assert torch.equal(augment(images, ("color", "translation", "cutout")), first)
    assert augment(images, ()) is images


def test_translation_shifts_by_an_eighth_at_most_and_never_flips() -> None:
    torch.manual_seed(0)
    images = torch.rand(20, 2, 16, 16) + 1
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    shifts = set()
    for k, seen in enumerate(augment(images, ("translation",))):
        found = [(y, x) for y in range(5) for x in range(5) if torch.equal(seen, padded[k, :, y : y + 16, x : x + 16])]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 8


def test_cutout_greys_one_square_of_half_the_side() -> None:
    torch.manual_seed(0)
    holes = augment(torch.ones(50, 1, 16, 16), ("cutout",))[:, 0] == 0
    for hole in holes:
        rows, columns = hole.any(1).sum(), hole.any(0).sum()
        assert hole.sum() == rows * columns
        assert 3 <= rows <= 8 and 3 <= columns <= 8
    assert holes.sum((1, 2)).max() == 64


def test_colour_changes_brightness_and_contrast_of_grey_images_alone() -> None:
    torch.manual_seed(0)
    images = torch.randn(30, 1, 8, 8)
    seen = augment(images, ("color",))
    shift = seen.mean((1, 2, 3)) - images.mean((1, 2, 3))
    gain = seen.std((1, 2, 3)) / images.std((1, 2, 3))
    assert -0.5 <= shift.min() < -0.2 and 0.2 < shift.max() <= 0.5
    assert 0.5 <= gain.min() < 0.8 and 1.2 < gain.max() <= 1.5


# -- the networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "start", "end"), [(28, 7, 28), (32, 4, 32), (50, 7, 56), (64, 4, 64), (256, 4, 256)])
def test_the_ladder_reaches_every_size(size: int, start: int, end: int) -> None:
    ladder = Ladder.reaching(size)
    assert (ladder.start, ladder.end) == (start, end)


@pytest.mark.parametrize("size", [28, 32, 50, 64, 128, 256])
@pytest.mark.parametrize("multilabel", [False, True])
def test_networks_of_every_size_fit_each_other(size: int, multilabel: bool) -> None:
    known = Known(3, multilabel)
    labels = torch.eye(3, dtype=torch.uint8) if multilabel else torch.arange(3)
    images = make_painter(size, known, base=2, limit=8)(torch.randn(3, 4), labels)
    logits, named = make_critic(size, known, base=2, limit=8)(images, labels)
    assert images.shape == (3, 1, Ladder.reaching(size).end, Ladder.reaching(size).end)
    assert logits.shape == (3,)
    assert named is not None and named.shape == (3, 3)


@pytest.mark.parametrize("conditioning", ["input", "norms", "both"])
def test_every_parameter_gets_a_gradient_and_the_label_moves_the_image(conditioning: str) -> None:
    painter, critic = make_painter(conditioning=conditioning), make_critic()
    images = painter(torch.randn(1, 4).expand(3, -1), torch.arange(3))
    assert not torch.allclose(images[0], images[1])
    logits, named = critic(images, torch.arange(3))
    (logits.sum() + named.square().sum()).backward()  # type: ignore[union-attr]
    for net in (painter, critic):
        assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_a_single_class_leaves_no_label_in_the_networks() -> None:
    alone = Known(1, multilabel=False)
    names = [n for net in (make_painter(known=alone), make_critic(known=alone)) for n, _ in net.named_parameters()]
    assert not [name for name in names if "label" in name or "classes" in name]


def test_spectral_norm_bounds_the_largest_singular_value() -> None:
    painter, critic = make_painter(spectral=True), make_critic(spectral=True)
    for part in (*painter.modules(), *critic.modules()):
        if isinstance(part, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            part.parametrizations.weight.original.data.mul_(50)  # type: ignore[union-attr]
    for _ in range(60):
        critic(painter(torch.randn(3, 4), torch.arange(3)), torch.arange(3))
    for part in (*painter.modules(), *critic.modules()):
        if isinstance(part, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            rows = 1 if isinstance(part, torch.nn.ConvTranspose2d) else 0
            largest = torch.linalg.matrix_norm(part.weight.detach().movedim(rows, 0).flatten(1), ord=2)
            assert 0.9 < largest.item() < 1.05
    assert not [m for m in critic.modules() if isinstance(m, torch.nn.BatchNorm2d)]


# -- fits --------------------------------------------------------------------------------------------------------

CHECKED = [
    (DCGAN, True, 3, 28), (DCGAN, False, 1, 32), (LSGAN, False, 3, 50), (DCGANPerClass, False, 1, 28),
    (LSGANPerClass, False, 3, 32), (LSGANPerClass, True, 1, 32),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "multilabel", "channels", "size"), CHECKED)
def test_the_contract_is_kept(cls: type, multilabel: bool, channels: int, size: int) -> None:
    results = check_generator(cls, multilabel=multilabel, channels=channels, size=size)
    assert [f"{r.name}: {r.message}" for r in results if not r.passed] == []


def test_every_option_together_is_saved_and_loaded(train: ImageSet, tmp_path: Path) -> None:
    config = dataclasses.replace(
        TINY, spectral="both", conditioning="both", augment=("color", "translation", "cutout"), accumulate=2
    )
    model, folder = fit(config, train, tmp_path / "work"), tmp_path / "saved"
    folder.mkdir()
    model.save(folder)
    loaded = DCGAN.load(folder, device="cpu")
    assert loaded.config == config
    assert torch.equal(loaded.sample(train.labels[:5], seed=2), model.sample(train.labels[:5], seed=2))


@pytest.mark.parametrize("spectral", ["none", "both"])
def test_the_moving_average_is_what_is_drawn_with(spectral: Any, train: ImageSet, tmp_path: Path) -> None:
    model = fit(dataclasses.replace(TINY, ema=0.5, spectral=spectral), train, tmp_path / "ema")
    kept = torch.load(tmp_path / "ema" / "dcgan.ckpt", weights_only=True)["parts"]["painter"]
    drawn_with = {name: p.detach() for name, p in model.painter.named_parameters()}
    assert all(torch.equal(kept["average"][f"module.{name}"], p) for name, p in drawn_with.items())
    assert not all(torch.equal(kept["net"][name], p) for name, p in drawn_with.items())
    raw = fit(dataclasses.replace(TINY, ema=None, spectral=spectral), train, tmp_path / "raw")
    assert all(torch.equal(kept["net"][name], p) for name, p in raw.painter.named_parameters())
    assert not torch.equal(raw.sample(train.labels[:5], seed=2), model.sample(train.labels[:5], seed=2))


@pytest.mark.parametrize("change", [{}, {"spectral": "both"}, {"ema": None, "spectral": "both"}])
def test_snapshots_do_not_change_the_fit(change: dict[str, Any], train: ImageSet, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, **change)
    without = fit(config, train, tmp_path / "without")
    among = fit(config, train, tmp_path / "with", snapshot_epochs=0.34)
    assert torch.equal(among.sample(train.labels[:6], seed=2), without.sample(train.labels[:6], seed=2))
    kept = [torch.load(tmp_path / name / "dcgan.ckpt", weights_only=True)["parts"] for name in ("with", "without")]
    for part in ("painter", "critic"):
        assert all(torch.equal(kept[0][part]["net"][name], kept[1][part]["net"][name]) for name in kept[0][part]["net"])
    found = sorted(file.name for file in (tmp_path / "with" / "snapshots").iterdir())
    steps = ("step-000002", "step-000004", "step-000006")
    assert found == [f"{step}.{kind}" for step in steps for kind in ("png", "safetensors")]


def test_the_last_snapshot_holds_what_is_saved(train: ImageSet, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = fit(TINY, train, tmp_path / "work", snapshot_epochs=1.0)
    model.save(tmp_path)
    last = load_file(tmp_path / "work" / "snapshots" / "step-000006.safetensors")
    saved = load_file(tmp_path / "model.safetensors")
    assert set(last) == set(saved)
    assert all(torch.equal(last[name], saved[name]) for name in saved)


def test_a_step_is_taken_at_256_px(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=256, n=4 * 3)
    model = fit(dataclasses.replace(TINY, batch=2, width=2, max_width=8), train, tmp_path / "work", steps=1)
    assert model.sample(train.labels[:2], seed=1).shape == (2, 1, 256, 256)


@pytest.mark.parametrize(
    "change",
    [{"ema": 1.0}, {"auxiliary": -1.0}, {"batch": 1}, {"lr": 0.0}, {"augment": ("color", "color")}, {"noise": 0}],
)
def test_options_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"--gen.{next(iter(change))} .* out of range"):
        DCGANConfig(**change)


def test_a_class_without_an_image_is_refused(train: ImageSet, tmp_path: Path) -> None:
    lacking = train.subset(np.flatnonzero(train.labels.numpy() != 1))
    for cls in (DCGAN, LSGANPerClass):
        with pytest.raises(UserError, match="no training image shows middle"):
            cls(cls.tiny_config()).fit(lacking, seed=1, work=Work(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cls", [DCGAN, LSGAN, DCGANPerClass])
def test_it_learns_to_draw_the_class_it_is_asked_for(cls: Any, tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    config = dataclasses.replace(cls.tiny_config(), width=16, max_width=32, batch=16, ema=0.9, lr=1e-3, critic_lr=1e-3)
    model = cls(config)
    model.fit(train, seed=1, work=Work(tmp_path, budget=Budget(240)))
    asked = torch.arange(30) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.8
    assert abs(drawn.mean() - train.images.float().mean()) < 25


# -- one model a class -------------------------------------------------------------------------------------------


class Means(BaseGenerator):
    """Draws the mean of what it was given, and counts rows in the first pixel."""

    Config, version = DCGANConfig, 3

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        self.require(train)
        assert train.classes in (("left",), ("middle",), ("right",)) and not train.labels.any()
        self.mean, self.seed, self.folder = train.images.float().mean(0).byte(), seed, work.folder
        for step in range(work.budget.steps):
            work.log(step + 1, loss=0.0)
        history = tuple({"step": step + 1.0, "loss": 0.5} for step in range(work.budget.steps))
        return FitReport(work.budget.steps, len(train), 1.0, history=history, facts={"size": 7})

    def sample(self, labels: torch.Tensor, *, seed: int) -> torch.Tensor:
        drawn = self.mean.repeat(len(labels), 1, 1, 1)
        drawn[:, 0, 0, 0] = torch.arange(len(labels))
        return drawn


class MeansPerClass(PerClass):
    inner = Means


class SecondMeansPerClass(PerClass):
    inner, version = Means, 2


def test_a_model_a_class_shares_the_budget_and_keeps_to_its_class(train: ImageSet, tmp_path: Path) -> None:
    model, logged = MeansPerClass(), []
    work = Work(tmp_path, budget=Budget(8, seconds=30.0), log=lambda step, **_: logged.append(step))
    report = model.fit(train, seed=1, work=work)
    assert (report.steps, report.images_seen, report.seconds) == (8, len(train), 3.0)
    assert logged == list(range(1, 9))
    assert [row["step"] for row in report.history] == list(range(1, 9))
    assert [row["class"] for row in report.history] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert report.facts == {"size[left]": 7, "size[middle]": 7, "size[right]": 7}
    assert len({m.seed for m in model.models}) == len({m.folder for m in model.models}) == 3  # type: ignore[attr-defined]
    means = torch.stack([train.images[train.labels == k].float().mean(0).byte() for k in range(3)])
    asked = torch.tensor([2, 0, 1, 2, 2])
    drawn = model.sample(asked, seed=3)
    assert torch.equal(drawn[:, :, 1:], means[asked][:, :, 1:])
    assert drawn[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 2]


def test_rows_of_a_model_a_class_do_not_depend_on_later_ones(train: ImageSet, tmp_path: Path) -> None:
    model = DCGANPerClass(TINY)
    model.fit(train, seed=1, work=Work(tmp_path, budget=Budget(6)))
    asked = torch.tensor([2, 0, 2, 1, 0, 2, 2])
    whole = model.sample(asked, seed=4)
    for k in range(len(asked)):
        assert (model.sample(asked[:k], seed=4).int() - whole[:k].int()).abs().max() <= 1 if k else True
    assert not torch.equal(whole[0], whole[2])


def test_a_model_a_class_resumes_and_comes_back_from_disk(train: ImageSet, tmp_path: Path) -> None:
    first, second = LSGANPerClass(LSGAN.tiny_config()), LSGANPerClass(LSGAN.tiny_config())
    work = Work(tmp_path / "work", budget=Budget(6))
    work.folder.mkdir()
    first.fit(train, seed=1, work=work)
    assert sorted(p.name for p in work.folder.iterdir()) == ["class-0", "class-1", "class-2"]
    assert second.fit(train, seed=1, work=work).steps == 6
    (tmp_path / "saved").mkdir()
    second.save(tmp_path / "saved")
    loaded = LSGANPerClass.load(tmp_path / "saved", device="cpu")
    assert loaded.config == LSGAN.tiny_config()
    assert torch.equal(loaded.sample(train.labels[:5], seed=2), first.sample(train.labels[:5], seed=2))


def test_a_model_a_class_takes_after_its_inner_generator() -> None:
    assert MeansPerClass.Config is DCGANConfig and MeansPerClass.trains
    assert MeansPerClass.version == Means.version
    assert SecondMeansPerClass.version == Means.version + 1
    assert LSGANPerClass.tiny_config() == LSGAN.tiny_config()
    assert DCGANPerClass.tasks == ("single",)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_model_a_class_refuses_what_it_cannot_do(label: int, train: ImageSet, tmp_path: Path) -> None:
    model = MeansPerClass()
    with pytest.raises(UserError, match="trains 3 networks or stages in turn, and has 2 steps"):
        model.fit(train, seed=1, work=Work(tmp_path, budget=Budget(2)))
    assert not list(tmp_path.iterdir())
    model.fit(train, seed=1, work=Work(tmp_path, budget=Budget(3)))
    with pytest.raises(UserError, match="there are 3 classes"):
        model.sample(torch.tensor([0, label]), seed=1)


def test_a_gan_without_a_criterion_says_so() -> None:
    with pytest.raises(NotImplementedError, match="which game"):
        GAN().criterion(torch.zeros(1), "real")
