"""The audit finds what was planted, and only that."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.audit import audit, refuse_leaks
from data.base import ImageSet, Split
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
            groups=names,
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
    names[3] = "train-5"
    made[Split.test] = replace(made[Split.test], **{field: tuple(names)})
    with pytest.raises(UserError, match=f"^{what} 'train-5' is in both train and test[^\n]*$"):
        refuse_leaks(made)
    report = audit(made)
    shared = report.shared_ids if field == "ids" else report.shared_patients
    assert [(s.name, s.splits) for s in shared] == [("train-5", ("train", "test"))]
    assert len(report.warnings()) == 1


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
