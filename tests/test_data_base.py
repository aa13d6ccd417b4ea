"""ImageSet keeps its promises, and a prepared dataset comes back as it went in."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from data.base import BaseDataset, Dataset
from data.images import ImageSet, Split, fingerprint_of, require_train
from data.prepared import INDEX, read_index, write_splits
from data.registry import datasets
from synthworth.artifacts import write_json
from synthworth.errors import UserError


def make_set(n: int = 6, *, split: Split = Split.train, multi: bool = False, prefix: str = "") -> ImageSet:
    prefix = prefix or split.value
    rng = np.random.default_rng(n)
    labels = np.arange(n) % 3
    return ImageSet(
        images=torch.from_numpy(rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)),
        labels=torch.from_numpy(np.eye(3, dtype=np.uint8)[labels] if multi else labels.astype(np.int64)),
        ids=tuple(f"{prefix}-{i}" for i in range(n)),
        groups=tuple(f"{prefix}-patient-{i // 2}" for i in range(n)),
        split=split,
        classes=("a", "b", "c"),
        attributes={"sex": np.array(["F", "M"] * (n // 2)), "age": np.arange(n) / 2},
    )


@pytest.mark.parametrize(
    "change",
    [
        {"images": torch.zeros(6, 1, 8, 8)},
        {"images": torch.zeros(6, 2, 8, 8, dtype=torch.uint8)},
        {"images": torch.zeros(5, 1, 8, 8, dtype=torch.uint8)},
        {"labels": torch.zeros(6)},
        {"labels": torch.full((6,), 3)},
        {"labels": torch.full((6,), -1)},
        {"labels": torch.zeros(6, 2, dtype=torch.uint8)},
        {"labels": torch.full((6, 3), 2, dtype=torch.uint8)},
        {"labels": torch.zeros(5, dtype=torch.int64)},
        {"ids": ("a",) * 6},
        {"ids": ("a", "b")},
        {"groups": ("p",)},
        {"attributes": {"sex": np.array(["F"])}},
    ],
)
def test_what_does_not_agree_is_refused(change: dict) -> None:
    with pytest.raises((TypeError, ValueError)):
        replace(make_set(), **change)


def test_counts_name_every_class_even_one_without_images() -> None:
    assert replace(make_set(), classes=("a", "b", "c", "d")).counts() == {"a": 2, "b": 2, "c": 2, "d": 0}
    assert make_set(multi=True).counts() == {"a": 2, "b": 2, "c": 2}


def test_a_subset_carries_everything_in_the_order_asked_for() -> None:
    whole = make_set()
    part = whole.subset([4, 1])
    assert part.ids == ("train-4", "train-1")
    assert part.groups == ("train-patient-2", "train-patient-0")
    assert torch.equal(part.images, whole.images[[4, 1]])
    assert part.labels.tolist() == [1, 1]
    assert part.attributes["age"].tolist() == [2.0, 0.5]
    assert part.split is Split.train
    assert len(whole.subset([])) == 0


@pytest.mark.parametrize("what", ["images", "labels", "ids", "groups", "split", "classes"])
def test_fingerprint_changes_with_everything_that_is_learned_from(what: str) -> None:
    whole = make_set()
    changed = {
        "images": whole.images.clone().index_fill_(0, torch.tensor([5]), 7),
        "labels": whole.labels.flip(0),
        "ids": (*whole.ids[:5], "other"),
        "groups": (*whole.groups[:5], "other"),
        "split": Split.test,
        "classes": ("a", "b", "z"),
    }[what]
    assert replace(whole, **{what: changed}).fingerprint() != whole.fingerprint()
    assert replace(whole).fingerprint() == whole.fingerprint()


@pytest.mark.parametrize(
    ("multi", "pinned"),
    [
        (False, "afa9fbaa6a56301619246a8260d7bc754e1a165ac3c50f05d17496ee4dbf87cc"),
        (True, "a79b41d0b70d46c93ad6f5b0546b3c68386abd76fecb1944582e8551fe837042"),
    ],
)
def test_a_fingerprint_never_changes_between_versions(multi: bool, pinned: str) -> None:
    """Computed at commit f109d72. If this fails, every run made so far loses its id."""
    images = ImageSet(
        images=torch.arange(384).remainder(251).to(torch.uint8).reshape(6, 1, 8, 8),
        labels=make_set(multi=multi).labels,
        ids=tuple(f"i{k}" for k in range(6)),
        groups=tuple(f"ü{k // 2}" for k in range(6)),
        split=Split.val,
        classes=("a", "b", "c"),
    )
    assert images.fingerprint() == pinned


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Split]:
    """The splits that have been hashed, in order."""
    seen: list[Split] = []

    def spy(pixels: Any, **facts: Any) -> str:
        seen.append(facts["split"])
        return fingerprint_of(pixels, **facts)

    monkeypatch.setattr("data.images.fingerprint_of", spy)
    return seen


def test_an_image_set_is_hashed_once_and_a_changed_one_anew(hashed: list[Split]) -> None:
    whole = make_set()
    assert len({whole.fingerprint() for _ in range(5)}) == 1
    assert hashed == [Split.train]
    sent = pickle.loads(pickle.dumps(whole))  # to a worker
    assert sent.fingerprint() == whole.fingerprint()
    assert hashed == [Split.train]
    assert whole.subset(range(5)).fingerprint() != whole.fingerprint()
    assert replace(whole, split=Split.test).fingerprint() != whole.fingerprint()
    assert hashed == [Split.train, Split.train, Split.test]


def test_a_prepared_split_is_hashed_once_and_refused_when_it_is_not_what_was_written(tmp_path, hashed) -> None:
    toy = Toy()
    toy.prepare(tmp_path)
    hashed.clear()
    loaded = toy.load(tmp_path, Split.train)
    assert not hashed
    known = loaded.fingerprint()
    assert loaded.fingerprint() == known == read_index(tmp_path)["splits"]["train"]["fingerprint"]
    assert hashed == [Split.train]
    assert loaded.subset(range(5)).fingerprint() != known
    file = tmp_path / "train-images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"prepared train split in .* is damaged.* Delete that folder"):
        toy.load(tmp_path, Split.train).fingerprint()


def test_a_split_whose_index_holds_no_fingerprint_is_hashed(tmp_path, hashed: list[Split]) -> None:
    toy = Toy()
    toy.prepare(tmp_path)
    index = read_index(tmp_path)
    known = index["splits"]["test"].pop("fingerprint")
    write_json(tmp_path / INDEX, index)
    hashed.clear()
    assert toy.load(tmp_path, Split.test).fingerprint() == known
    assert hashed == [Split.test]


@pytest.mark.parametrize("split", [Split.val, Split.test, Split.reserve])
def test_only_train_is_learned_from(split: Split) -> None:
    require_train(make_set(), what="a fit")
    with pytest.raises(UserError, match=f"a fit learns from the train split only.*{split.value}"):
        require_train(make_set(split=split), what="a fit")
    with pytest.raises(UserError, match="Tensor"):
        require_train(torch.zeros(1), what="a fit")  # type: ignore[arg-type]


@dataclass(frozen=True)
class NoOptions:
    """No options."""


class Toy(BaseDataset):
    """Two-line dataset for tests."""

    Config = NoOptions
    multi = False
    leak = False
    builds = 0

    def build(self) -> dict[Split, ImageSet]:
        self.builds += 1
        sets = {split: make_set(split=split, multi=self.multi) for split in Split}
        if self.leak:
            groups = ("train-patient-0", *sets[Split.val].groups[1:])
            sets[Split.val] = replace(sets[Split.val], groups=groups)
        return sets


@pytest.mark.parametrize("multi", [False, True])
def test_what_is_prepared_is_loaded_unchanged(tmp_path, multi: bool) -> None:
    toy = Toy()
    toy.multi = multi
    toy.prepare(tmp_path)
    for split in Split:
        loaded, made = toy.load(tmp_path, split), make_set(split=split, multi=multi)
        assert torch.equal(loaded.images, made.images)
        assert replace(loaded).fingerprint() == loaded.fingerprint() == made.fingerprint()
        assert loaded.attributes["sex"].tolist() == made.attributes["sex"].tolist()
        assert loaded.attributes["age"].tolist() == made.attributes["age"].tolist()


def test_preparing_twice_builds_once(tmp_path) -> None:
    toy = Toy()
    toy.prepare(tmp_path)
    toy.prepare(tmp_path)
    assert toy.builds == 1


def test_writing_to_a_loaded_image_never_reaches_the_file(tmp_path) -> None:
    toy = Toy()
    toy.prepare(tmp_path)
    toy.load(tmp_path, Split.test).images.zero_()
    assert torch.equal(toy.load(tmp_path, Split.test).images, make_set(split=Split.test).images)


def test_splits_that_name_other_classes_are_refused(tmp_path) -> None:
    sets = {split: make_set(split=split) for split in Split}
    sets[Split.val] = replace(sets[Split.val], classes=("a", "b", "z"))
    with pytest.raises(ValueError, match="same classes"):
        write_splits(tmp_path, sets)
    assert not list(tmp_path.iterdir())


def test_a_patient_on_two_sides_is_refused_and_nothing_is_written(tmp_path) -> None:
    toy = Toy()
    toy.leak = True
    with pytest.raises(UserError, match="'train-patient-0' is in both train and val"):
        toy.prepare(tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_built_in_dataset_that_can_be_imported_keeps_the_contract() -> None:
    for name in ("digits", "medmnist", "folder"):
        made = datasets.get(name)()
        assert isinstance(made, Dataset)
        assert made.version >= 1
        assert made.licence
