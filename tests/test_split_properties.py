"""Properties of the split by patient, for any table of patients and labels."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import Split
from data.splits.by_patient import SPLITS, split_by_patient, split_patients_in
from data.splits.cover_classes import cover_classes

N_FINDINGS = 3
patients = st.integers(0, 25)
single = st.lists(st.tuples(patients, st.integers(0, 4)), min_size=3, max_size=80)
several = st.lists(
    st.tuples(patients, st.lists(st.integers(0, 1), min_size=N_FINDINGS, max_size=N_FINDINGS)), min_size=3, max_size=80
)
tables = st.one_of(single, several).filter(lambda rows: len({patient for patient, _ in rows}) >= 3)
few = st.lists(
    st.tuples(st.integers(0, 6), st.lists(st.integers(0, 1), min_size=N_FINDINGS, max_size=N_FINDINGS)),
    min_size=3,
    max_size=12,
).filter(lambda rows: len({patient for patient, _ in rows}) >= 3)
shares = st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.4, 0.3, 0.3), (0.1, 0.1, 0.8)])
seeds = st.integers(0, 2**32)


def columns(rows: list[tuple[int, Any]]) -> tuple[list[str], np.ndarray]:
    """Patients' names, and labels int64 (N,) or uint8 (N, K)."""
    labels = np.array([label for _, label in rows])
    return [f"p{patient}" for patient, _ in rows], labels.astype(np.uint8 if labels.ndim == 2 else np.int64)


def carried(groups: list[str], labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Patients, and bool (P, K): which classes each carries; no finding at all counts as a class."""
    if labels.ndim == 2:
        marks = np.concatenate([labels == 1, ~labels.any(1, keepdims=True)], axis=1)
    else:
        marks = labels[:, None] == np.arange(labels.max() + 1)
    names = sorted(set(groups))
    return names, np.stack([marks[[group == name for group in groups]].any(0) for name in names])


def parts_of(parts: dict[Split, np.ndarray], groups: list[str], names: list[str]) -> np.ndarray:
    """Part of each patient, int (P,); a patient in two parts fails the test."""
    sides = [{groups[i] for i in parts[split]} for split in SPLITS]
    assert [sum(name in side for side in sides) for name in names] == [1] * len(names)
    return np.array([next(s for s, side in enumerate(sides) if name in side) for name in names])


def held_by(part: np.ndarray, has: np.ndarray) -> np.ndarray:
    """bool (3, K), whether a part holds a class."""
    return np.stack([has[part == s].any(0) for s in range(3)])


def worth(part: np.ndarray, has: np.ndarray) -> tuple[int, int, int]:
    """Classes in train, classes over the three parts, classes in test."""
    held = held_by(part, has)
    return int(held[0].sum()), int(held.sum()), int(held[2].sum())


@settings(deadline=None, max_examples=150)
@given(tables, shares, seeds)
def test_splits_share_no_patient_and_lose_no_image(rows: list, fractions: tuple, seed: int) -> None:
    groups, labels = columns(rows)
    parts = split_by_patient(groups, labels, fractions=fractions, seed=seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(rows)))
    assert all(len(part) for part in parts.values())
    parts_of(parts, groups, sorted(set(groups)))


@settings(deadline=None, max_examples=100)
@given(tables, shares, seeds, st.randoms(use_true_random=False))
def test_the_same_seed_gives_the_same_split_whatever_the_row_order(
    rows: list, fractions: tuple, seed: int, random: Any
) -> None:
    groups, labels = columns(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    one = split_by_patient(groups, labels, fractions=fractions, seed=seed)
    other = split_by_patient([groups[i] for i in order], labels[order], fractions=fractions, seed=seed)
    for split in SPLITS:
        assert one[split].tolist() == sorted(order[i] for i in other[split])


@settings(deadline=None, max_examples=80)
@given(few, seeds)
def test_every_class_that_can_be_in_every_split_is(rows: list, seed: int) -> None:
    """Against every possible assignment: no other has more classes in train, or as many and more over all."""
    groups, labels = columns(rows)
    names, has = carried(groups, labels)
    part = parts_of(split_by_patient(groups, labels, seed=seed), groups, names)
    every = [np.array(p) for p in itertools.product(range(3), repeat=len(names)) if len(set(p)) == 3]
    assert worth(part, has) == max(worth(p, has) for p in every)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=3, max_size=60), shares, seeds)
def test_a_class_of_three_patients_is_everywhere_where_patients_have_one_class(
    sizes: list, fractions: tuple, seed: int
) -> None:
    groups = [f"p{i}" for i, (_, n) in enumerate(sizes) for _ in range(n)]
    labels = np.array([c for c, n in sizes for _ in range(n)])
    parts = split_by_patient(groups, labels, fractions=fractions, seed=seed)
    held = np.stack([np.bincount(labels[parts[split]], minlength=5) > 0 for split in SPLITS])
    n_patients = np.bincount([c for c, _ in sizes], minlength=5)
    assert held[:, n_patients >= 3].all()
    if n_patients.max() >= 3:  # else a rare class's patient may be needed to inhabit val or test
        assert held[0, n_patients >= 1].all() and held[2, n_patients >= 2].all()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_more_patients_change_sides_than_it_takes(data: st.DataObject) -> None:
    """Against every possible assignment: the best there is, and among those the one that moves the fewest patients."""
    n_patients, n_classes = data.draw(st.integers(3, 6)), data.draw(st.integers(1, 4))
    bits = st.lists(st.booleans(), min_size=n_classes, max_size=n_classes)
    has = np.array(data.draw(st.lists(bits.filter(any), min_size=n_patients, max_size=n_patients)))
    every = [np.array(p) for p in itertools.product(range(3), repeat=n_patients) if len(set(p)) == 3]
    part = every[data.draw(st.integers(0, len(every) - 1))]
    moved = cover_classes(part, has, n_parts=3)
    best = max((worth(p, has), int((p == part).sum())) for p in every)
    assert len(set(moved.tolist())) == 3
    if best[0] == worth(part, has):
        assert moved is part
    else:
        assert (worth(moved, has), int((moved == part).sum())) == best


@pytest.mark.parametrize(
    ("part", "has", "instead"),
    [
        ([2, 1, 2, 0], ["1001", "0010", "0010", "0010"], (1, 5, 3)),
        ([0, 1, 2, 1, 1], ["00011", "01101", "01110", "00010", "00100"], (4, 9, 4)),
    ],
)
def test_train_comes_before_all_parts_together_and_these_before_test(
    part: list[int], has: list[str], instead: tuple[int, int, int]
) -> None:
    """Two tables where what is wanted more costs what is wanted less; `instead` is what could be had in its place."""
    carries = np.array([[mark == "1" for mark in marks] for marks in has])
    every = [np.array(p) for p in itertools.product(range(3), repeat=len(part)) if len(set(p)) == 3]
    worths = {worth(p, carries) for p in every}
    assert instead in worths
    assert worth(cover_classes(np.array(part), carries, n_parts=3), carries) == max(worths) > instead


def test_only_the_first_patients_of_a_class_are_free_to_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a large table makes no large programme: here the first two of each of two classes."""
    monkeypatch.setattr(sys.modules[cover_classes.__module__], "FREE_PER_CLASS", 2)
    has = np.eye(2, dtype=bool)[[0] * 5 + [1] * 5]
    part = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 2])
    moved = cover_classes(part, has, n_parts=3)
    assert {0, 1} < set(np.flatnonzero(moved != part).tolist()) < {0, 1, 5, 6}
    assert held_by(moved, has).all()


def test_where_nothing_is_to_be_mended_no_solver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every class is in as many parts as it has patients: one in train, two in train and test."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a solver was asked")

    monkeypatch.setattr(sys.modules[cover_classes.__module__], "_solve", asked)
    has = np.eye(4, dtype=bool)[[0, 0, 0, 1, 2, 2]]  # the last class has nobody
    part = np.array([0, 1, 2, 0, 0, 2])
    assert cover_classes(part, has, n_parts=3) is part
    for mended in ([0, 1, 2, 1, 0, 2], [0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 0, 1], [0, 1, 1, 0, 0, 2]):
        with pytest.raises(AssertionError, match="a solver was asked"):
            cover_classes(np.array(mended), has, n_parts=3)


def test_patients_with_several_findings_change_sides_until_every_finding_is_everywhere() -> None:
    """Two findings, three patients each, one shared: a first guess by hand leaves test without the second."""
    has = np.array([[1, 1], [1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    before = np.array([0, 1, 2, 0, 1])
    after = cover_classes(before, has, n_parts=3)
    assert held_by(after, has).all() and not held_by(before, has).all()
    assert (after != before).sum() == 1


def test_what_is_covered_already_is_left_alone_and_what_cannot_be_is_trained_on() -> None:
    has = np.eye(3, dtype=bool)[[0, 0, 0, 1, 1, 1, 2]]
    part = np.array([0, 1, 2, 0, 1, 2, 0])
    assert cover_classes(part, has, n_parts=3) is part
    misplaced = np.array([0, 1, 2, 0, 1, 2, 1])
    assert cover_classes(misplaced, has, n_parts=3).tolist() == part.tolist()


@pytest.mark.parametrize("n_parts", [2, 4])
def test_other_numbers_of_parts_keep_patients_apart_too(n_parts: int) -> None:
    rng = np.random.default_rng(0)
    groups = [f"p{i}" for i in rng.integers(0, 60, 200)]
    labels = (rng.random((200, 6)) < 0.05).astype(np.uint8)
    parts = split_patients_in(groups, labels, shares=[1 / n_parts] * n_parts, seed=0)
    assert sum(len({groups[i] for i in part}) for part in parts) == len(set(groups))
    assert all(labels[part].any(0).all() for part in parts)
