"""Splits and subsamples of given patients never change between versions: runs keep their ids, and results their images.

The tables are drawn by `random.Random`, whose numbers Python promises to repeat, and are such that no solver is asked.
The digests were computed at commit f109d72; whoever must change one raises the version of every dataset that splits.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from data.images import ImageSet, Split
from data.splits.by_patient import SPLITS, split_by_patient, split_patients_in
from data.splits.low_data import subsample_patients, take_patients
from synthworth.errors import UserError
from synthworth.keys import digest

MENDED = (56, 172, 272, 290, 341, 350, 395, 454, 683, 736, 14521)
"""Tables in which a class is missing from a part at first, and single patients change sides for it."""
TABLES = (*(n for n in range(2, 56) if n not in (14, 31, 43)), *MENDED)


def draw_table(number: int) -> tuple[list[str], np.ndarray]:
    """Patient of each image, and labels: one class a patient, one class an image, or three findings, in turn."""
    rng = random.Random(number)
    groups, labels = [], []
    for patient in range(3 + rng.randrange(12)):
        of_patient = int(4 * rng.random() ** 2)
        for _ in range(1 + rng.randrange(4)):
            groups.append(f"p{patient}")
            one = of_patient if number % 3 == 0 else int(4 * rng.random() ** 2)
            several = [int(rng.random() < rate) for rate in (0.5, 0.3, 0.2)]
            labels.append(several if number % 3 == 2 else one)
    return groups, np.array(labels)


def draw_images(number: int) -> ImageSet:
    groups, labels = draw_table(number)
    multi = labels.ndim == 2
    return ImageSet(
        images=torch.zeros(len(groups), 1, 8, 8, dtype=torch.uint8),
        labels=torch.from_numpy(labels.astype(np.uint8 if multi else np.int64)),
        ids=tuple(f"i{i}" for i in range(len(groups))),
        groups=tuple(groups),
        split=Split.train,
        classes=tuple("abc" if multi else "abcd"),
    )


@pytest.fixture
def _no_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of several equally good solutions a solver finds is its version's business, and cannot be pinned."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a solver was asked")

    monkeypatch.setattr("data.splits.cover_classes._solve", asked)


@pytest.mark.usefixtures("_no_solver")
def test_a_split_never_changes_between_versions() -> None:
    found = []
    for number in TABLES:
        parts = split_by_patient(*draw_table(number), seed=number)
        found.append([parts[split].tolist() for split in SPLITS])
    assert digest(found) == "15487f71c6e7965c47b7c435bb53833862d29c45962c576014367a326a0957ef"


@pytest.mark.usefixtures("_no_solver")
def test_a_split_in_two_never_changes_between_versions() -> None:
    found = []
    for number in TABLES:
        parts = split_patients_in(*draw_table(number), shares=(0.7, 0.3), seed=number)
        found.append([part.tolist() for part in parts])
    assert digest(found) == "e961f81788fc3cfaa1ac3494ca4b91c6a7e8fbb3d5d3695f4b00cf7b5a01d3bf"


def test_a_subsample_never_changes_between_versions() -> None:
    found = []
    for number in TABLES:
        images = draw_images(number)
        for fraction in (0.05, 0.25, 0.5, 0.8):
            kept, rest = subsample_patients(images, fraction, seed=number)
            found.append([list(kept.ids), list(rest.ids)])
    assert digest(found) == "fab52ce003e0ee0ec96838a788c368fbb263ca9e515c3a1d9228168a55221862"


def take(number: int, n: int) -> list[list[str]] | None:
    """Names of the images kept and left, or None where a class has fewer patients."""
    try:
        return [list(part.ids) for part in take_patients(draw_images(number), n, seed=number)]
    except UserError:
        return None


def test_so_many_patients_of_each_class_never_change_between_versions() -> None:
    found = [take(number, n) for number in TABLES for n in (1, 2, 3)]
    assert sum(taken is not None for taken in found) == 102
    assert digest(found) == "311aabb445ed63f888a303e27c2797e8e1e5af81c28c78521175d370057529a1"
