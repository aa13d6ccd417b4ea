"""The audit finds what was planted, and only that."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from data.audit import duplicates
from data.audit.leaks import audit
from data.audit.report import audit_dataset
from data.images import ImageSet, Split
from data.splits.leaks import refuse_leaks, refuse_shared
from synthworth.errors import UserError


def sets(n: int = 8) -> dict[Split, ImageSet]:
    rng = np.random.default_rng(0)
    made = {}
    for split in (Split.train, Split.val, Split.test):
        names = tuple(f"{split.value}-{i}" for i in range(n))
        made[split] = ImageSet(
            images=torch.from_numpy(rng.integers(0, 256, (n, 1, 16, 16), dtype=np.uint8)),
            labels=torch.arange(n) % 2,
            ids=names,
            groups=tuple(f"patient of {name}" for name in names),
            split=split,
            classes=("healthy", "ill"),
        )
    return made


def plant(made: dict[Split, ImageSet], split: Split, row: int, pixels: torch.Tensor) -> None:
    images = made[split].images.clone()
    images[row] = pixels
    made[split] = replace(made[split], images=images)


def test_clean_splits_pass_without_a_warning() -> None:
    refuse_leaks(sets())
    report = audit(sets())
    assert report.warnings() == ()
    assert report.duplicates == ()
    assert report.to_json()["counts"]["val"] == {"healthy": 4, "ill": 4}
    assert report.to_json()["n_patients"] == {"train": 8, "val": 8, "test": 8}


@pytest.mark.parametrize(("field", "what"), [("ids", "image"), ("groups", "patient")])
def test_a_shared_name_is_refused_with_an_example(field: str, what: str) -> None:
    made = sets()
    names = list(getattr(made[Split.test], field))
    names[3] = getattr(made[Split.train], field)[5]
    made[Split.test] = replace(made[Split.test], **{field: tuple(names)})
    with pytest.raises(UserError, match=f"^{what} '{names[3]}' is in both train and test[^\n]*$"):
        refuse_leaks(made)
    report = audit(made)
    shared = report.shared_ids if field == "ids" else report.shared_patients
    assert [(s.name, s.splits) for s in shared] == [(names[3], ("train", "test"))]
    assert len(report.warnings()) == 1


def test_of_several_shared_names_all_are_counted_by_pair_of_splits_and_the_first_named() -> None:
    names = {Split.train: ["a", "b", "c", "b"], Split.val: ["c", "d"], Split.test: ["b", "c"]}
    with pytest.raises(UserError) as caught:
        refuse_shared(names, what="patient")
    assert str(caught.value) == (
        "patient 'b' is in both train and test (2 patients are shared): train and test 2 ('b', 'c'); train and val 1 "
        "('c'); val and test 1 ('c'); the splits must be apart by patient"
    )
    with pytest.raises(UserError, match=r"\(2 patients are shared\): train and val 2"):
        refuse_shared({Split.val: ["a", "b"], Split.train: ["b", "a"]}, what="patient")
    many = [f"p{i}" for i in range(9)]
    with pytest.raises(UserError, match=r"train and test 9 \('p0', 'p1', 'p2', \.\.\.\)"):
        refuse_shared({Split.train: many, Split.test: many}, what="patient")
    with pytest.raises(UserError, match=r"^image 'c' is in both train and val and test; the splits must be apart"):
        refuse_shared({**names, Split.test: ["c"]}, what="image")
    refuse_shared({Split.train: ["a", "a"], Split.val: ["b"]}, what="image")


def test_equal_pixels_are_told_apart_by_where_they_lie() -> None:
    made = sets()
    plant(made, Split.train, 1, made[Split.train].images[0])  # other label, same split
    plant(made, Split.test, 0, made[Split.train].images[2])  # same label, across splits
    plant(made, Split.val, 2, made[Split.val].images[4])
    report = audit(made)
    assert len(report.duplicates) == 3
    assert len(report.across) == 1
    assert len(report.conflicts) == 1
    assert report.across[0].members == (("train", "train-2"), ("test", "test-0"))
    assert not report.across[0].conflict
    assert report.across[0].patients == 2
    assert report.conflicts[0].members == (("train", "train-0"), ("train", "train-1"))
    refuse_leaks(made)


def test_one_grey_level_in_one_pixel_is_not_a_duplicate() -> None:
    made = sets()
    near = made[Split.train].images[2].clone()
    near[0, 5, 5] ^= 1
    plant(made, Split.test, 0, near)
    assert not audit(made).duplicates


def test_labels_of_co_occurring_findings_conflict_when_one_differs() -> None:
    made = {s: replace(x, labels=torch.zeros(8, 2, dtype=torch.uint8)) for s, x in sets().items()}
    labels = made[Split.val].labels.clone()
    labels[0, 1] = 1
    made[Split.val] = replace(made[Split.val], labels=labels)
    plant(made, Split.val, 0, made[Split.train].images[0])
    assert len(audit(made).conflicts) == 1


def test_the_record_is_json_and_its_examples_are_few() -> None:
    made = {s: replace(x, images=torch.zeros_like(x.images)) for s, x in sets(60).items()}
    record = audit(made).to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["n_duplicate_groups"] == 1
    assert all(len(line) < 200 for line in record["warnings"])


# -- near duplicates, constant films, co-occurrence ------------------------------------------------------------


def films(n: int, *, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures that resemble each other as films do: one body, and structure of their own. uint8 (n, 1, size, size)."""
    source = torch.Generator().manual_seed(seed)
    body = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(99))
    own = torch.rand(n, 1, 24, 24, generator=source)
    body, own = (interpolate(x, (size, size), mode="bicubic") for x in (body, own))
    return (40 + 110 * body + 70 * own).clamp(0, 255).to(torch.uint8)


def film_sets(n: int = 40, *, size: int = 64) -> dict[Split, ImageSet]:
    made = sets(n)
    return {s: replace(x, images=films(n, size=size, seed=i)) for i, (s, x) in enumerate(made.items())}


def changed(film: np.ndarray, how: str) -> np.ndarray:
    """A film as a second download of it might be: uint8 (H, W) in, uint8 (H, W) out."""
    picture, values = Image.fromarray(film), film.astype(np.float64)
    if how == "saved as JPEG":
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=60)
        return np.asarray(Image.open(stream))
    if how == "resized":
        small = picture.resize((50, 50), Image.Resampling.BILINEAR)
        return np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC))
    if how == "cut by 1 %":
        width, height = picture.size
        return np.asarray(
            picture.resize(picture.size, Image.Resampling.BILINEAR, box=(0.6, 0.6, width - 0.6, height - 0.6))
        )
    values = {
        "brightened": values + 30,
        "darkened": values - 20,
        "less contrast": 128 + 0.6 * (values - 128),
        "gamma": 255 * (values / 255) ** 0.7,
        "one grey level off": values + (np.arange(film.size).reshape(film.shape) == 7),
    }[how]
    return values.clip(0, 255).round().astype(np.uint8)


CHANGES = (
    "saved as JPEG", "resized", "cut by 1 %", "brightened", "darkened", "less contrast", "gamma", "one grey level off",
)  # fmt: skip


@pytest.mark.parametrize("how", CHANGES)
def test_a_changed_copy_in_another_split_is_found_and_nothing_else(how: str) -> None:
    made = film_sets()
    for row in (3, 11):
        copy = changed(made[Split.train].images[row, 0].numpy(), how)
        plant(made, Split.test, row + 1, torch.tensor(copy)[None])
    found = audit_dataset(made).near
    assert {(p.first, p.second) for p in found.pairs} == {
        (("train", "train-3"), ("test", "test-4")),
        (("train", "train-11"), ("test", "test-12")),
    }
    assert found.n_pairs == 2
    assert all(pair.conflict and not pair.same_patient for pair in found.pairs)
    assert [pair.second for pair in found.closest[:2]] == [pair.second for pair in found.pairs]


def test_different_films_are_no_near_duplicates() -> None:
    found = audit_dataset(film_sets()).near
    assert found.n_pairs == 0
    assert found.closest[0].similarity < found.threshold
    assert {split: len(values) for split, values in found.nearest.items()} == {"val": 40, "test": 40}


def test_black_bars_that_all_films_share_do_not_make_them_alike() -> None:
    made = film_sets()
    for split, images in made.items():
        barred = images.images.clone()
        barred[:, :, :8] = barred[:, :, -8:] = 0
        made[split] = replace(images, images=barred)
    assert audit_dataset(made).near.n_pairs == 0


def test_equal_films_are_no_near_duplicates_of_each_other_but_a_changed_copy_of_them_is() -> None:
    made = film_sets()
    for split, row in ((Split.train, 5), (Split.test, 1)):
        plant(made, split, row, made[Split.train].images[2])
    plant(made, Split.val, 0, torch.from_numpy(changed(made[Split.train].images[2, 0].numpy(), "brightened"))[None])
    found = audit_dataset(made)
    assert len(found.leaks.across) == 1
    assert [(p.first, p.second) for p in found.near.pairs] == [(("train", "train-2"), ("val", "val-0"))]


def test_films_compared_in_small_blocks_give_the_same_pairs(monkeypatch) -> None:
    made = film_sets()
    for row in range(5):
        copy = changed(made[Split.train].images[row + 20, 0].numpy(), "resized")
        plant(made, Split.val, row, torch.tensor(copy)[None])
    whole = audit_dataset(made).near
    monkeypatch.setattr(duplicates, "BLOCK", (7, 11))
    parts = audit_dataset(made).near
    assert whole.n_pairs == parts.n_pairs == 5
    assert {(p.first, p.second) for p in whole.pairs} == {(p.first, p.second) for p in parts.pairs}
    assert parts.nearest["test"] == pytest.approx(whole.nearest["test"], abs=1e-5)


def test_the_number_of_pairs_is_complete_where_only_the_best_are_kept(monkeypatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 10)
    made = sets(30)
    rng = np.random.default_rng(0)
    base = films(1)[0].numpy().astype(int)
    for split in (Split.train, Split.test):
        noisy = (base + rng.integers(-2, 3, (30, *base.shape))).clip(0, 255).astype(np.uint8)
        made[split] = replace(made[split], images=torch.from_numpy(noisy))
    made[Split.val] = replace(made[Split.val], images=films(30, seed=1))
    found = audit_dataset(made).near
    assert found.n_pairs == 900
    assert len(found.pairs) == 10
    assert min(p.similarity for p in found.pairs) >= found.closest[1].similarity - 0.01


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (100, 3)])
def test_films_of_any_size_and_colour_are_compared(size: int, channels: int) -> None:
    pictures = films(6, size=size).repeat(1, channels, 1, 1)
    vectors, stds = duplicates.describe(pictures)
    assert vectors.shape == (6, min(size, 32) ** 2)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(6), atol=1e-4)
    assert stds == pytest.approx(pictures.double().mean(1).std((1, 2), correction=0).numpy(), rel=1e-3)


def test_constant_films_are_named_and_resemble_nothing() -> None:
    made = film_sets()
    plant(made, Split.train, 4, torch.full((1, 64, 64), 17, dtype=torch.uint8))
    plant(made, Split.test, 9, torch.full((1, 64, 64), 18, dtype=torch.uint8))
    found = audit_dataset(made)
    assert found.constant == {"train": ("train-4",), "val": (), "test": ("test-9",)}
    assert found.near.n_pairs == 0
    assert "constant films in train: 1, first train-4" in found.warnings()


def test_findings_that_co_occur_are_counted_together() -> None:
    labels = torch.tensor([[1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [0, 0], [0, 0], [1, 0]], dtype=torch.uint8)
    made = {s: replace(x, labels=labels) for s, x in sets().items()}
    found = audit_dataset(made)
    assert found.together["val"].tolist() == [[4, 2], [2, 3]]
    assert found.without_finding == {"train": 3, "val": 3, "test": 3}
    assert found.to_json()["co_occurrence"]["test"] == [[4, 2], [2, 3]]


def test_the_whole_report_is_json_and_says_what_was_left_out() -> None:
    skipped = [{"id": "x.png", "split": "train", "reason": "the file is empty"}]
    found = audit_dataset(film_sets(), notes={"skipped": skipped, "rows of the table": 9})
    record = found.to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["n_skipped"] == 1
    assert record["notes"] == {"rows of the table": 9}
    assert found.warnings() == ("films left out at preparation: 1, first x.png: the file is empty",)
