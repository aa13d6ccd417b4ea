"""Splits keep patients together and classes apart evenly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import Split
from data.splits.by_patient import split_by_patient, split_patients_in
from synthworth.errors import UserError

rows_of_patients = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=120).filter(
    lambda rows: len({patient for patient, _ in rows}) >= 3
)
findings = st.lists(
    st.tuples(st.integers(0, 30), st.lists(st.integers(0, 1), min_size=3, max_size=3)),
    min_size=1,
    max_size=100,
).filter(lambda rows: len({patient for patient, _ in rows}) >= 3)


def names_and_labels(rows: list) -> tuple[list[str], np.ndarray]:
    return [f"p{patient}" for patient, _ in rows], np.array([label for _, label in rows])


def check_partition(parts: dict[Split, np.ndarray], groups: list[str]) -> None:
    rows = np.concatenate(list(parts.values()))
    assert sorted(rows) == list(range(len(groups)))
    assert all(len(part) and part.dtype == np.int64 for part in parts.values())
    sides = [{groups[i] for i in part} for part in parts.values()]
    assert sum(map(len, sides)) == len(set(groups))


@settings(deadline=None, max_examples=60)
@given(rows_of_patients, st.integers(0, 5))
def test_no_patient_is_on_two_sides_and_no_image_is_lost(rows: list, seed: int) -> None:
    groups, labels = names_and_labels(rows)
    check_partition(split_by_patient(groups, labels, seed=seed), groups)


@settings(deadline=None, max_examples=60)
@given(findings, st.integers(0, 5))
def test_no_patient_is_on_two_sides_where_findings_co_occur(rows: list, seed: int) -> None:
    groups, labels = names_and_labels(rows)
    check_partition(split_by_patient(groups, labels.astype(np.uint8), seed=seed), groups)


@settings(deadline=None, max_examples=60)
@given(rows_of_patients, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: list, random) -> None:
    groups, labels = names_and_labels(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    one = split_by_patient(groups, labels, seed=1)
    other = split_by_patient([groups[i] for i in order], labels[order], seed=1)
    for split in one:
        assert {groups[i] for i in one[split]} == {groups[order[i]] for i in other[split]}


def three_each(*, alone: bool) -> tuple[list[str], np.ndarray]:
    """60 patients of class 0 and three of each other; where not `alone`, every patient has films of class 0 too."""
    groups, labels = [], []
    for patient in range(69):
        rare = patient // 3 - 19 if patient >= 60 else 0
        for label in {rare} if alone else {0, rare}:
            groups.append(f"p{patient}")
            labels.append(label)
    return groups, np.array(labels)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_of_three_patients_each_split_gets_one(seed: int, alone: bool) -> None:
    groups, labels = three_each(alone=alone)
    parts = split_by_patient(groups, labels, seed=seed)
    for rare in (1, 2, 3):
        assert [int((labels[rows] == rare).sum()) for rows in parts.values()] == [1, 1, 1]


def test_the_emptiest_split_gets_the_next_patient_and_not_the_largest() -> None:
    """Ten patients of ten films each among 100 of one: every split gets its share of the large ones."""
    groups = [f"p{i}" for i in range(100)] + [f"large{i}" for i in range(10) for _ in range(10)]
    labels = np.zeros(len(groups), np.int64)
    n_large = [
        [sum(name.startswith("large") for name in {groups[i] for i in part}) for part in parts.values()]
        for parts in (split_by_patient(groups, labels, fractions=(0.6, 0.2, 0.2), seed=seed) for seed in range(20))
    ]
    assert np.mean(n_large, axis=0) == pytest.approx([6, 2, 2], abs=0.7)


def test_a_split_that_would_be_empty_gets_the_smallest_patient() -> None:
    """Three patients of three classes: each would be trained on."""
    parts = split_by_patient([*"aaaaa", "b", *"ccc"], np.array([0] * 5 + [1] + [2] * 3), seed=0)
    assert {split.value: rows.tolist() for split, rows in parts.items()} == {
        "train": [0, 1, 2, 3, 4], "val": [6, 7, 8], "test": [5],
    }  # fmt: skip


def test_a_class_of_one_patient_is_trained_on_and_of_two_also_tested() -> None:
    groups = [f"p{i}" for i in range(40)]
    labels = np.array([1] + [2] * 2 + [0] * 37)
    parts = split_by_patient(groups, labels, seed=0)
    assert 1 in labels[parts[Split.train]]
    assert 2 in labels[parts[Split.train]]
    assert 2 in labels[parts[Split.test]]


def test_shares_are_met_by_class_and_large_patients_are_on_every_side() -> None:
    rng = np.random.default_rng(0)
    sizes = 1 + rng.geometric(0.3, 1500)
    groups = [f"p{i}" for i, n in enumerate(sizes) for _ in range(n)]
    labels = np.repeat(rng.choice(4, 1500, p=[0.6, 0.25, 0.1, 0.05]), sizes)
    parts = split_by_patient(groups, labels, seed=0)
    for split, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        got = np.bincount(labels[parts[split]]) / np.bincount(labels)
        assert np.abs(got - share).max() < 0.01
        n_patients = len({groups[i] for i in parts[split]})
        assert len(parts[split]) / n_patients == pytest.approx(sizes.mean(), rel=0.12)


def test_findings_are_spread_in_proportion() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((3000, 5)) < [0.3, 0.1, 0.05, 0.02, 0.2]).astype(np.uint8)
    groups = [f"p{i}" for i in rng.integers(0, 900, 3000)]
    parts = split_by_patient(groups, labels, seed=0)
    for split, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert np.abs(labels[parts[split]].sum(0) / labels.sum(0) - share).max() < 0.03


def test_another_seed_draws_another_split_and_the_same_seed_the_same() -> None:
    groups = [f"p{i}" for i in range(100)]
    labels = np.arange(100) % 2
    first, same, other = (split_by_patient(groups, labels, seed=seed)[Split.test].tolist() for seed in (0, 0, 1))
    assert first == same != other


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1)])
def test_fractions_that_are_no_shares_are_refused(fractions: tuple) -> None:
    with pytest.raises(UserError, match="fractions"):
        split_by_patient(list("abcdef"), np.zeros(6, int), fractions=fractions, seed=0)


def test_two_patients_cannot_be_split_in_three() -> None:
    with pytest.raises(UserError, match="2 patients"):
        split_by_patient(["a", "b", "a"], np.zeros(3, int), seed=0)
    parts = split_by_patient(["a", "b", "c"], np.zeros(3, int), seed=0)
    assert sorted(map(len, parts.values())) == [1, 1, 1]


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_image_at_all_cannot_be_split(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="cannot be split into 3 parts"):
        split_by_patient([], np.zeros(shape, np.int64), seed=0)


def test_names_and_labels_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="3 patients' names but 4 labels"):
        split_by_patient(["a", "b", "c"], np.zeros(4, int), seed=0)


def test_no_finding_at_all_is_spread_like_a_finding() -> None:
    groups = [f"p{i}" for i in range(63)]
    labels = np.array([[0, 0]] * 3 + [[1, 0], [0, 1], [1, 1]] * 20, dtype=np.uint8)
    parts = split_by_patient(groups, labels, seed=0)
    assert [int((labels[rows].sum(1) == 0).sum()) for rows in parts.values()] == [1, 1, 1]


def test_two_parts_keep_their_shares() -> None:
    groups = [f"p{i}" for i in range(90)]
    kept, val = split_patients_in(groups, np.arange(90) % 2, shares=(8 / 9, 1 / 9), seed=0)
    assert len(kept) == 80
    assert len(val) == 10
