"""Splits keep patients together and classes apart evenly; subsamples are nested."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import ImageSet, Split
from data.splits.by_patient import split_by_patient, split_patients_in
from data.splits.low_data import subsample_patients
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


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=3, max_size=60), st.integers(0, 9))
def test_a_class_of_three_patients_is_in_every_split(patients: list, seed: int) -> None:
    groups = [f"p{i}" for i, (_, n) in enumerate(patients) for _ in range(n)]
    labels = np.array([c for c, n in patients for _ in range(n)])
    parts = split_by_patient(groups, labels, seed=seed)
    for c in set(labels.tolist()):
        n_patients = sum(1 for of_patient, _ in patients if of_patient == c)
        present = {split for split, rows in parts.items() if (labels[rows] == c).any()}
        if n_patients >= 3:
            assert present == set(Split) - {Split.reserve}
        else:
            assert len(present) >= min(n_patients, 1)


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


def test_two_parts_keep_their_shares() -> None:
    groups = [f"p{i}" for i in range(90)]
    kept, val = split_patients_in(groups, np.arange(90) % 2, shares=(8 / 9, 1 / 9), seed=0)
    assert len(kept) == 80
    assert len(val) == 10


def image_set(groups: list[str], labels: np.ndarray) -> ImageSet:
    labels = np.asarray(labels)
    k = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    return ImageSet(
        images=torch.zeros(len(groups), 1, 8, 8, dtype=torch.uint8),
        labels=torch.from_numpy(labels.astype(np.uint8 if labels.ndim == 2 else np.int64)),
        ids=tuple(f"i{i}" for i in range(len(groups))),
        groups=tuple(groups),
        split=Split.train,
        classes=tuple(f"c{c}" for c in range(k)),
    )


@settings(deadline=None, max_examples=40)
@given(st.one_of(rows_of_patients, findings), st.integers(0, 5))
def test_smaller_fractions_are_nested_and_lose_no_class(rows: list, seed: int) -> None:
    images = image_set(*names_and_labels(rows))
    before: set[str] = set()
    for fraction in (0.01, 0.125, 0.25, 0.5, 0.9, 1.0):
        kept, rest = subsample_patients(images, fraction, seed=seed)
        patients = set(kept.groups)
        assert before <= patients
        assert not patients & set(rest.groups)
        assert len(kept) + len(rest) == len(images)
        assert kept.split is Split.train
        assert rest.split is Split.reserve
        assert all(kept.counts()[c] for c, n in images.counts().items() if n)
        before = patients
    assert kept.ids == images.ids
    assert len(rest) == 0


def test_a_fraction_keeps_about_that_share_of_every_class() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 4000, p=[0.7, 0.2, 0.1])
    groups = [f"{labels[i]}-{i // 2}" for i in range(4000)]
    images = image_set(groups, labels)
    for fraction in (0.125, 0.25, 0.5):
        kept, _ = subsample_patients(images, fraction, seed=0)
        for c, n in images.counts().items():
            assert kept.counts()[c] == pytest.approx(fraction * n, abs=4)


def test_subsampling_depends_on_names_not_on_rows() -> None:
    groups = [f"p{i // 3}" for i in range(90)]
    images = image_set(groups, np.arange(90) % 3)
    order = np.random.default_rng(0).permutation(90)
    one, _ = subsample_patients(images, 0.3, seed=4)
    other, _ = subsample_patients(images.subset(order), 0.3, seed=4)
    assert set(one.groups) == set(other.groups)
    assert set(one.groups) != set(subsample_patients(images, 0.3, seed=5)[0].groups)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match="fraction"):
        subsample_patients(image_set(["a", "b", "c"], np.array([0, 1, 0])), fraction, seed=0)
