"""The classical remedies, the order of images in every mode, and low-data subsets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmarks.request.remedies import REMEDIES, changed_budget, changed_config, changed_options
from benchmarks.request.spec import NONE, RunSpec, normalise
from classifiers.balance import BalancedOrder, PhasedOrder, blend_batch, class_weights, row_weights, soft_targets
from classifiers.config import Config
from classifiers.factory import TimmClassifier
from classifiers.logits import row_losses
from classifiers.training import make_order
from data.augment import find_augmentation
from data.images import ImageSet, Split
from data.mixing import SyntheticSet, TrainingMix, demand, mix
from data.splits.low_data import join_train, subsample_patients, take_patients
from generators.controls import Duplicate, Jittered, LabelShuffle
from synthworth.errors import UserError
from synthworth.keys import plain
from synthworth.work import Budget, Work

Images = Callable[..., ImageSet]


def test_balanced_rows_show_rare_classes_as_often_as_common_ones() -> None:
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    weights = row_weights(labels)
    assert [weights[labels == k].sum() for k in range(3)] == pytest.approx([1 / 3] * 3)
    order = BalancedOrder(labels, 64, seed=1)
    seen = torch.cat([labels[order(t)] for t in range(60)])
    assert torch.bincount(seen) / len(seen) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert torch.equal(order(5), BalancedOrder(labels, 64, seed=1)(5))


def test_balanced_rows_of_cooccurring_findings_keep_real_vectors() -> None:
    labels = torch.tensor([[1, 0]] * 80 + [[0, 1]] * 10 + [[0, 0]] * 10, dtype=torch.uint8)
    weights = row_weights(labels)
    assert weights.sum() == pytest.approx(1)
    assert weights @ labels.numpy() == pytest.approx([1 / 3, 1 / 3], abs=1e-3)


def test_class_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 7 + [1] * 2 + [2])
    known = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    assert class_weights(labels).tolist() == pytest.approx(known.tolist())
    vectors = torch.tensor([[1, 0], [1, 0], [1, 1], [0, 0]], dtype=torch.uint8)
    assert class_weights(vectors).tolist() == pytest.approx([1 / 3, 3.0])


def test_the_loss_takes_soft_targets_and_weights() -> None:
    logits, labels = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 1])
    hard, soft = row_losses(logits, labels), row_losses(logits, soft_targets(labels, 3), multilabel=False)
    assert soft.item() == pytest.approx(hard.item())
    vectors = torch.tensor([[1, 0, 0], [0, 1, 1]], dtype=torch.uint8)
    both = row_losses(logits, vectors), row_losses(logits, soft_targets(vectors, 3), multilabel=True)
    assert both[0].item() == pytest.approx(both[1].item())
    heavier = row_losses(logits, labels, weights=torch.tensor([1.0, 5.0, 1.0]))
    assert heavier.item() != pytest.approx(hard.item())


@pytest.mark.parametrize("how", ["mixup", "cutmix"])
def test_a_blend_shares_label_and_pixels_alike(how: str) -> None:
    images = torch.arange(6.0)[:, None, None, None].expand(6, 1, 16, 16).contiguous()
    targets = torch.eye(6)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        blended, soft = blend_batch(images, targets, how=how, alpha=1.0)  # type: ignore[arg-type]
    assert soft.sum(1) == pytest.approx(torch.ones(6))
    assert blended.mean((1, 2, 3)) == pytest.approx(soft @ torch.arange(6.0), abs=1e-5)
    assert (soft.max(1).values < 1).any()
    if how == "cutmix":
        assert set(blended.unique().tolist()) <= set(range(6))


@pytest.fixture
def paired_with_the_last(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Every image is blended with the one before it, as torchvision does: 6 grey levels of 16 px."""
    monkeypatch.setattr("classifiers.balance.torch.randperm", lambda n: torch.arange(n).roll(1))
    return torch.arange(6.0)[:, None, None, None].expand(6, 1, 16, 16).contiguous()


@pytest.mark.parametrize("seed", range(5))
def test_mixup_is_that_of_torchvision(seed: int, paired_with_the_last: torch.Tensor) -> None:
    from torchvision.transforms.v2 import MixUp

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ours = blend_batch(paired_with_the_last, torch.eye(6), how="mixup", alpha=0.4)
        torch.manual_seed(seed)
        known = MixUp(alpha=0.4, num_classes=6)(paired_with_the_last, torch.arange(6))
    assert torch.allclose(ours[0], known[0])
    assert torch.allclose(ours[1], known[1])


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_is_that_of_torchvision_to_a_pixel(seed: int, paired_with_the_last: torch.Tensor) -> None:
    from torchvision.transforms.v2 import CutMix

    images = paired_with_the_last
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ours, _ = blend_batch(images, torch.eye(6), how="cutmix", alpha=1.0)
        torch.manual_seed(seed)
        turned, _ = CutMix(alpha=1.0, num_classes=6)(images, torch.arange(6))  # it draws across before down
    for blended, axis in ((ours, 2), (ours, 3)):
        our_cut, their_cut = ((b != images).any(a).any((0, 1)) for b, a in ((blended, 5 - axis), (turned, axis)))
        assert int((our_cut != their_cut).sum()) <= 2
    assert int((ours != images).sum()) > 0


def test_randaugment_changes_each_image_by_itself_and_keeps_the_range() -> None:
    image = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        out = find_augmentation("randaugment")(image.expand(8, 1, 24, 24).clone())
    assert out.shape == (8, 1, 24, 24)
    assert out.min() >= 0 and out.max() <= 1
    assert len({o.numpy().tobytes() for o in out}) > 3


def make_mix(make_images: Images, *, mode: str, ratio: float = 1.0) -> TrainingMix:
    train = make_images()
    demanded = demand(train, ratio=ratio, mode=mode)  # type: ignore[arg-type]
    labels = torch.cat([torch.full((n,), k) for k, n in enumerate(demanded.streams.values())])
    drawn = SyntheticSet(
        torch.zeros((len(labels), 1, 8, 8), dtype=torch.uint8), labels, train.classes, "fit", train.fingerprint()
    )
    return mix(train, drawn, keep_real=demanded.keep_real, seed=0, pretraining=demanded.pretraining)


def test_pretraining_sees_synthetic_images_first_and_real_ones_after(make_images: Images) -> None:
    mixed = make_mix(make_images, mode="pretrain")
    order = make_order(mixed, Config(batch_size=4), n_steps=10, seed=1)
    seen = [set(mixed.is_real[order(t).numpy()].tolist()) for t in range(10)]
    assert seen == [{False}] * 5 + [{True}] * 5
    assert sum(mixed.counts["synthetic"].values()) == sum(mixed.counts["real"].values()) == 18


def test_phases_pass_over_all_their_rows() -> None:
    order = PhasedOrder(torch.tensor([5, 6]), torch.tensor([1, 2, 3]), 1, turn=2, seed=0)
    assert sorted(int(order(t)) for t in range(2)) == [5, 6]
    assert sorted(int(order(t)) for t in range(2, 5)) == [1, 2, 3]


@pytest.mark.parametrize("name", REMEDIES)
def test_a_remedy_is_an_arm_of_real_images_alone(name: str, make_spec: Callable[..., RunSpec]) -> None:
    spec = normalise(make_spec(generator=name, ratio=0.5))
    assert spec.is_real_only and not spec.is_zero_line
    assert spec.generator == name and spec.ratio == (0.5 if REMEDIES[name].trains_longer else 0)
    assert spec.controls == (NONE,)
    options = changed_options(name, plain(Config()), {})
    assert options == plain(changed_config(name, Config(), {}))
    assert (options != plain(Config())) is not REMEDIES[name].trains_longer


def test_only_the_remedy_that_says_so_trains_longer() -> None:
    steps = {name: changed_budget(name, Budget(100), ratio=0.5).steps for name in (*REMEDIES, "latent_ddpm", NONE)}
    assert {name for name, n in steps.items() if n != 100} == {"longer"}
    assert steps["longer"] == 150


def test_a_remedy_a_classifier_has_no_option_for_is_refused() -> None:
    with pytest.raises(UserError, match="and this classifier has none"):
        changed_options("mixup", {"arch": "mine"}, {})


@pytest.mark.parametrize("name", [n for n in REMEDIES if not REMEDIES[n].trains_longer])
@pytest.mark.usefixtures("one_thread")
def test_every_remedy_trains_for_exactly_the_same_steps(name: str, make_images: Images, tmp_path) -> None:
    tiny = changed_config(name, Config(batch_size=4, n_evaluations=1, augment="none"), {})
    train, val = make_images(), make_images(split=Split.val)
    mixed = mix(train, None, keep_real=len(train), seed=0)
    report = TimmClassifier(tiny).fit(mixed, val, seed=1, work=Work(tmp_path, budget=Budget(3)))
    assert (report.steps, report.images_seen) == (3, 12)


def test_patients_of_each_class_are_nested_and_whole(make_images: Images) -> None:
    images = make_images((20, 12, 8))
    kept = {n: take_patients(images, n, seed=3)[0] for n in (1, 2, 4)}
    assert [len(kept[n]) for n in kept] == [6, 12, 24]
    for small, large in ((1, 2), (2, 4)):
        assert set(kept[small].groups) < set(kept[large].groups)
    assert kept[2].counts() == {"a": 4, "b": 4, "c": 4}
    rest = take_patients(images, 2, seed=3)[1]
    assert rest.split is Split.reserve
    assert not set(rest.groups) & set(kept[2].groups)
    assert len(rest) + len(kept[2]) == 40


def test_more_patients_than_a_class_has_are_refused(make_images: Images) -> None:
    with pytest.raises(UserError, match="c has 2 training patients"):
        take_patients(make_images((8, 6, 4)), 3, seed=0)


def test_a_curve_goes_on_with_the_reserve_and_with_nothing_else(make_images: Images) -> None:
    kept, rest = subsample_patients(make_images((20, 12, 8)), 0.5, seed=0)
    whole = join_train(kept, rest)
    assert whole.split is Split.train
    assert sorted(whole.ids) == sorted((*kept.ids, *rest.ids))
    with pytest.raises(UserError, match="was given 'test'"):
        join_train(kept, make_images(split=Split.test))
    with pytest.raises(UserError, match="both in train and in the reserve"):
        join_train(kept, dataclasses.replace(kept, split=Split.reserve))


def fit(control: type, train: ImageSet, folder) -> Duplicate:
    made: Duplicate = control()
    made.fit(train, seed=0, work=Work(folder))
    return made


@pytest.mark.parametrize("multi", [False, True])
def test_shuffled_labels_are_always_wrong(multi: bool, make_images: Images, tmp_path) -> None:
    train = make_images(multi=multi)
    control = fit(LabelShuffle, train, tmp_path)
    drawn = control.sample(train.labels, seed=4)
    by_pixels = {image.numpy().tobytes(): label for image, label in zip(train.images, train.labels, strict=True)}
    shown = torch.stack([by_pixels[image.numpy().tobytes()] for image in drawn])
    wrong = shown != train.labels
    assert bool((wrong.any(1) if multi else wrong).all())


def test_shuffled_labels_need_two_classes(make_images: Images, tmp_path) -> None:
    with pytest.raises(UserError, match="two different labels"):
        fit(LabelShuffle, make_images((4,)), tmp_path).sample(torch.tensor([0]), seed=0)


def test_jittered_copies_are_near_their_originals_and_no_two_alike(make_images: Images, tmp_path) -> None:
    train = make_images((1, 1, 1))
    smooth = dataclasses.replace(
        train,
        images=torch.nn.functional.interpolate(
            torch.tensor([[[[40.0, 200.0], [90.0, 10.0]]]]).expand(3, 1, 2, 2), size=32, mode="bilinear"
        ).byte(),
    )
    drawn = fit(Jittered, smooth, tmp_path).sample(torch.zeros(6, dtype=torch.int64), seed=1)
    assert len({image.numpy().tobytes() for image in drawn}) == 6
    flat = drawn.float().flatten(1) - drawn.float().flatten(1).mean(1, keepdim=True)
    original = smooth.images[0].float().flatten() - smooth.images[0].float().mean()
    alike = (flat @ original) / (flat.norm(dim=1) * original.norm())
    assert alike.min() > 0.5
