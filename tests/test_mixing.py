"""Mixtures hold what was asked for, and nothing drawn crosses into val or test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import ImageSet, Split, count_labels
from data.mixing import (
    MODES,
    VECTORS,
    Demand,
    Mode,
    SyntheticSet,
    TrainingMix,
    balancing_weights,
    check_ratio,
    demand,
    mix,
    stream_labels,
)
from synthworth.errors import UserError
from synthworth.keys import digest

CLASSES = ("a", "b", "c")


def train_set(counts: tuple[int, ...] = (10, 6, 4), *, multi: bool = False) -> ImageSet:
    labels = np.repeat(np.arange(len(counts)), counts)
    n = len(labels)
    names = tuple(f"i{i}" for i in range(n))
    return ImageSet(
        images=torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1).repeat(1, 1, 8, 8),
        labels=torch.from_numpy(np.eye(len(counts), dtype=np.uint8)[labels] if multi else labels),
        ids=names,
        groups=names,
        split=Split.train,
        classes=CLASSES[: len(counts)],
    )


def synthetic(train: ImageSet, labels: torch.Tensor, **change) -> SyntheticSet:
    images = torch.full((len(labels), 1, 8, 8), 255, dtype=torch.uint8)
    made = SyntheticSet(images, labels, train.classes, "fit", train.fingerprint())
    return replace(made, **change)


def synthetic_for(train: ImageSet, wanted: Demand) -> SyntheticSet:
    labels = [stream_labels(train, stream, n, seed=0) for stream, n in wanted.streams.items()]
    return synthetic(train, torch.cat(labels))


@settings(deadline=None)
@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.floats(0, 4, allow_nan=False),
    st.sampled_from(["add", "only", "replace"]),
)
def test_counts_by_class_sum_to_the_ratio_and_are_even(counts, ratio: float, mode: str) -> None:
    train = train_set(counts)
    if mode == "replace":
        ratio = ratio / 4
    wanted = demand(train, ratio=ratio, mode=mode)  # type: ignore[arg-type]
    assert wanted.total == round(ratio * len(train))
    assert max(wanted.streams.values()) - min(wanted.streams.values()) <= 1
    assert list(wanted.streams) == list(CLASSES)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize(
    ("mode", "keep_real", "total", "pretraining"),
    [("add", 20, 10, 0), ("only", 0, 10, 0), ("replace", 10, 10, 0), ("pretrain", 20, 10, 0.5), ("balance", 20, 10, 0)],
)
def test_each_mode_keeps_its_real_images_and_asks_for_the_ratio(
    mode: Mode, keep_real: int, total: int, pretraining: float, multi: bool
) -> None:
    wanted = demand(train_set((10, 6, 4), multi=multi), ratio=0.5, mode=mode)
    assert (wanted.keep_real, wanted.total, wanted.pretraining) == (keep_real, total, pretraining)


def test_a_remainder_goes_to_the_first_classes() -> None:
    assert dict(demand(train_set(), ratio=0.55, mode="add").streams) == {"a": 4, "b": 4, "c": 3}


def test_a_ratio_is_of_the_images_and_is_rounded() -> None:
    assert [demand(train_set(), ratio=r, mode="add").total for r in (0, 0.02, 0.03, 0.975, 0.98, 3)] == [
        0, 0, 1, 20, 20, 60,
    ]  # fmt: skip


def test_balance_fills_every_class_up_to_the_largest() -> None:
    train = train_set((10, 6, 4))
    wanted = demand(train, ratio=5, mode="balance")
    assert dict(wanted.streams) == {"a": 0, "b": 4, "c": 6}
    assert wanted.keep_real == 20
    mixed = mix(train, synthetic_for(train, wanted), keep_real=wanted.keep_real, seed=0)
    assert torch.bincount(mixed.labels).tolist() == [10, 10, 10]


def test_balance_is_capped_by_the_ratio_in_proportion_to_what_is_missing() -> None:
    assert dict(demand(train_set((10, 6, 4)), ratio=0.25, mode="balance").streams) == {"a": 0, "b": 2, "c": 3}


@pytest.mark.parametrize("multi", [False, True])
def test_balance_of_balanced_classes_asks_for_nothing(multi: bool) -> None:
    assert demand(train_set((5, 5, 5), multi=multi), ratio=1, mode="balance").total == 0


@pytest.mark.parametrize(("ratio", "total"), [(0.25, 5), (0.5, 10), (0.6, 10), (5, 10)])
@pytest.mark.parametrize("multi", [False, True])
def test_balance_asks_for_what_is_missing_and_never_for_more_than_the_ratio(
    multi: bool, ratio: float, total: int
) -> None:
    """10, 6 and 4 images: 4 and 6 are missing, 10 together, which is ratio 0.5."""
    assert demand(train_set((10, 6, 4), multi=multi), ratio=ratio, mode="balance").total == total


@pytest.mark.parametrize("ratio", [0, 0.1, 0.25, 0.5, 0.73, 1])
def test_replace_keeps_the_number_of_images(ratio: float) -> None:
    train = train_set()
    wanted = demand(train, ratio=ratio, mode="replace")
    mixed = mix(train, synthetic_for(train, wanted), keep_real=wanted.keep_real, seed=0)
    assert len(mixed) == 20
    assert int((~mixed.is_real).sum()) == round(ratio * 20)


def test_what_replace_keeps_is_nested_over_ratios() -> None:
    train, before = train_set(), set(range(20))
    for ratio in (0.1, 0.3, 0.5, 0.9):
        wanted = demand(train, ratio=ratio, mode="replace")
        mixed = mix(train, synthetic_for(train, wanted), keep_real=wanted.keep_real, seed=3)
        kept = set(mixed.images[mixed.is_real][:, 0, 0, 0].tolist())
        assert kept < before
        assert len(kept) == wanted.keep_real
        before = kept


def kept_rows(train: ImageSet, keep_real: int, *, seed: int) -> list[int]:
    mixed = mix(train, None, keep_real=keep_real, seed=seed)
    assert mixed.counts["real"] == count_labels(mixed.labels, train.classes)
    return sorted(mixed.images[:, 0, 0, 0].tolist())


def test_what_replace_keeps_is_drawn_among_all_real_images() -> None:
    """The rows stand by class: the first 50, or the last, would be of one class alone."""
    train = train_set((50, 50, 50))
    draws = [kept_rows(train, 50, seed=seed) for seed in range(20)]
    assert len({tuple(rows) for rows in draws}) == 20
    assert kept_rows(train, 50, seed=0) == draws[0]
    share = np.bincount(np.concatenate(draws), minlength=150) / 20
    by_class = share.reshape(3, 50).mean(1)
    assert by_class == pytest.approx([1 / 3] * 3, abs=0.08)
    assert share.max() < 0.8, "no image is always kept"
    assert share.min() > 0, "nor is one never kept"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ratio", [-0.1, float("nan"), float("inf")])
def test_a_ratio_that_means_nothing_is_refused(mode: str, ratio: float) -> None:
    with pytest.raises(UserError, match="--ratio"):
        demand(train_set(), ratio=ratio, mode=mode)  # type: ignore[arg-type]


def test_a_share_above_one_and_an_unknown_mode_are_refused() -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        check_ratio(1.5, "replace")
    with pytest.raises(UserError, match="add, replace"):
        check_ratio(1, "stir")
    with pytest.raises(UserError, match="add, replace"):
        demand(train_set(), ratio=1, mode="stir")  # type: ignore[arg-type]


def test_the_mixture_holds_each_image_once_with_its_own_label() -> None:
    train = train_set()
    wanted = demand(train, ratio=0.5, mode="add")
    mixed = mix(train, synthetic_for(train, wanted), keep_real=20, seed=0)
    real = mixed.images[mixed.is_real][:, 0, 0, 0].long()
    assert sorted(real.tolist()) == list(range(20))
    assert torch.equal(mixed.labels[mixed.is_real], train.labels[real])
    assert (mixed.images[~mixed.is_real] == 255).all()
    assert mixed.counts == {"real": train.counts(), "synthetic": {"a": 4, "b": 3, "c": 3}}
    assert not np.array_equal(mixed.is_real, np.sort(mixed.is_real)[::-1]), "class order must be broken"


def test_a_mixture_is_repeated_by_its_seed_and_leaves_global_randomness_alone() -> None:
    train = train_set()
    before = torch.random.get_rng_state()
    first, same, other = (mix(train, None, keep_real=20, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.images, same.images)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(torch.random.get_rng_state(), before)


def mixture_of(train: ImageSet, ratio: float, mode: Mode) -> list[Any]:
    """Which images a mixture holds, in their order, with their labels."""
    wanted = demand(train, ratio=ratio, mode=mode)
    drawn = synthetic_for(train, wanted)
    marks = (200 + torch.arange(len(drawn)) % 50).to(torch.uint8)
    marked = replace(drawn, images=marks[:, None, None, None].repeat(1, 1, 8, 8))
    mixed = mix(train, marked, keep_real=wanted.keep_real, seed=5)
    return [mixed.images[:, 0, 0, 0].tolist(), mixed.labels.tolist(), mixed.is_real.tolist(), mixed.counts]


def test_mixtures_never_change_between_versions() -> None:
    """Computed at commit f109d72: a stored classifier was trained on exactly these images in exactly this order."""
    found = [mixture_of(train_set((10, 6, 4), multi=multi), 0.7, mode) for multi in (False, True) for mode in MODES]
    found.append(mixture_of(multi_set(co_occurring(150)), 0.5, "add"))
    assert digest(found) == "991c495f8e968f0989b61e13ca44486318d8a31aced7e69f6224173acacb293c"


def test_a_mixture_is_gathered_some_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    train = train_set()
    whole = mixture_of(train, 1.0, "add")
    monkeypatch.setattr("data.mixing.GATHERED_AT_ONCE", 6)
    monkeypatch.setattr(torch, "empty", lambda size, **kind: torch.full(size, 99, **kind))  # no leftovers of `whole`
    assert mixture_of(train, 1.0, "add") == whole


def test_ratio_zero_is_the_real_images_alone() -> None:
    train = train_set()
    for nothing in (None, synthetic(train, torch.zeros(0, dtype=torch.int64))):
        mixed = mix(train, nothing, keep_real=20, seed=0, pretraining=0.5)
        assert len(mixed) == 20
        assert mixed.is_real.all()
        assert mixed.counts == {"real": train.counts(), "synthetic": {"a": 0, "b": 0, "c": 0}}
        assert mixed.pretraining == 0, "there is nothing to pretrain on"


def test_nothing_is_pretrained_on_unless_it_is_said() -> None:
    nothing = np.zeros(0, bool)
    assert Demand({"a": 1}, 1).pretraining == 0
    assert TrainingMix(torch.zeros(0), torch.zeros(0), nothing, CLASSES, {}).pretraining == 0


def test_a_mixture_says_how_it_is_trained_on() -> None:
    train = train_set()
    drawn = synthetic(train, torch.zeros(2, dtype=torch.int64))
    assert mix(train, drawn, keep_real=20, seed=0).pretraining == 0
    mixed = mix(train, drawn, keep_real=20, seed=0, pretraining=0.5)
    assert mixed.pretraining == 0.5
    assert (mixed.classes, mixed.multilabel) == (train.classes, False)


def test_one_seed_shuffles_real_and_synthetic_rows_together() -> None:
    train = train_set((40, 40, 40))
    drawn = synthetic(train, torch.arange(120) % 3)
    mixed = mix(train, drawn, keep_real=120, seed=0)
    halves = mixed.is_real[:120].mean(), mixed.is_real[120:].mean()
    assert halves == pytest.approx([0.5, 0.5], abs=0.15)
    assert mixed.counts["synthetic"] == {"a": 40, "b": 40, "c": 40}
    assert torch.equal(mixed.images, mix(train, drawn, keep_real=120, seed=0).images)
    assert not np.array_equal(mixed.is_real, mix(train, drawn, keep_real=120, seed=1).is_real)


def test_an_empty_mixture_is_refused() -> None:
    with pytest.raises(UserError, match="no image"):
        mix(train_set(), None, keep_real=0, seed=0)


def test_images_learned_from_another_train_split_are_refused() -> None:
    train = train_set()
    foreign = synthetic(train, torch.zeros(2, dtype=torch.int64), train_fingerprint="0" * 64)
    with pytest.raises(UserError, match="another train split"):
        mix(train, foreign, keep_real=20, seed=0)


@pytest.mark.parametrize("split", [Split.val, Split.test, Split.reserve])
def test_nothing_is_mixed_into_another_split_than_train(split: Split) -> None:
    train = train_set()
    with pytest.raises(UserError, match=r"^a mixture learns from the train split only"):
        mix(replace(train, split=split), None, keep_real=20, seed=0)


def test_a_synthetic_set_is_not_an_image_set_and_cannot_take_its_place() -> None:
    train = train_set()
    drawn = synthetic(train, torch.zeros(2, dtype=torch.int64))
    assert not isinstance(drawn, ImageSet)
    assert not {"split", "ids", "groups"} & set(vars(drawn))
    with pytest.raises(UserError, match="SyntheticSet"):
        mix(drawn, None, keep_real=2, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "2 synthetic images but 3 labels"),
        ({"labels": torch.full((2,), 3)}, r"labels run 3\.\.3 but there are 3 classes"),
        ({"images": torch.zeros(2, 1, 8, 8)}, "^synthetic images must be a uint8 tensor"),
    ],
)
def test_synthetic_images_that_do_not_agree_are_refused(change: dict, said: str) -> None:
    drawn = synthetic(train_set(), torch.zeros(2, dtype=torch.int64))
    with pytest.raises((TypeError, ValueError), match=said):
        replace(drawn, **change)


def co_occurring(n: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 4)) < [0.3, 0.1, 0.04, 0.02]).astype(np.uint8)
    labels[:, 3] &= labels[:, 0] | (rng.random(n) < 0.5)
    return labels


def multi_set(labels: np.ndarray) -> ImageSet:
    names = tuple(map(str, range(len(labels))))
    return ImageSet(
        images=torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8),
        labels=torch.from_numpy(labels),
        ids=names,
        groups=names,
        split=Split.train,
        classes=tuple("abcd"),
    )


def test_balanced_vectors_make_findings_and_their_absence_equally_frequent() -> None:
    vectors, weights = balancing_weights(co_occurring())
    frequency = np.append(weights @ vectors, weights[vectors.sum(1) == 0].sum())
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert frequency.max() / frequency.min() < 1.01


def test_findings_that_every_image_shows_are_balanced_too() -> None:
    """There is no empty vector to balance against."""
    labels = np.array([[1, 0]] * 8 + [[0, 1]] * 2 + [[1, 1]], dtype=np.uint8)
    vectors, weights = balancing_weights(labels)
    frequency = weights @ vectors
    assert frequency[0] == pytest.approx(frequency[1], rel=1e-3)
    assert weights.sum() == pytest.approx(1)
    train = multi_set(np.pad(labels, ((0, 0), (0, 2))))
    drawn = stream_labels(train, VECTORS, 6000, seed=0).numpy().mean(0)
    assert drawn[:2] == pytest.approx([5 / 9, 5 / 9], abs=0.03)


def test_drawn_vectors_are_only_those_of_the_training_set() -> None:
    labels = co_occurring(600)
    train = multi_set(labels)
    wanted = demand(train, ratio=2, mode="add")
    assert dict(wanted.streams) == {"vectors": 1200}, "the name is in the keys of pools"
    drawn = stream_labels(train, VECTORS, 1200, seed=0).numpy()
    assert drawn.shape == (1200, 4)
    assert drawn.dtype == np.uint8
    assert set(map(bytes, drawn)) <= set(map(bytes, labels))
    frequency = np.append(drawn.mean(0), (drawn.sum(1) == 0).mean())
    assert frequency.max() / frequency.min() < 1.5
    assert labels.mean(0).max() / labels.mean(0).min() > 5


def test_drawn_vectors_are_repeated_by_their_seed() -> None:
    train = multi_set(co_occurring(300))
    first, same, other = (stream_labels(train, VECTORS, 50, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("mode", MODES)
def test_co_occurring_findings_are_mixed_as_asked_in_every_mode(mode: Mode) -> None:
    train = multi_set(co_occurring(300))
    missing = sum(max(train.counts().values()) - n for n in train.counts().values())
    assert 0 < missing < 300, "the cap of balance must show"
    wanted = demand(train, ratio=1, mode=mode)
    mixed = mix(train, synthetic_for(train, wanted), keep_real=wanted.keep_real, seed=0, pretraining=wanted.pretraining)
    real, drawn = {
        "add": (300, 300), "replace": (0, 300), "balance": (300, missing), "only": (0, 300), "pretrain": (300, 300),
    }[mode]  # fmt: skip
    assert list(wanted.streams) == [VECTORS]
    assert mixed.multilabel
    assert (int(mixed.is_real.sum()), int((~mixed.is_real).sum())) == (real, drawn)
    assert mixed.pretraining == (0.5 if mode == "pretrain" else 0)
    assert mixed.labels.shape == (real + drawn, 4)
    for which, mask in (("real", mixed.is_real), ("synthetic", ~mixed.is_real)):
        assert mixed.counts[which] == count_labels(mixed.labels[mask], train.classes)
