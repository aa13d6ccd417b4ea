"""Subsamples keep whole patients and every class, are nested, and are as large as was asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import ImageSet, Split
from data.mixing import SyntheticSet
from data.splits.low_data import join_train, subsample_patients, take_patients
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


@pytest.mark.parametrize("multi", [False, True])
def test_of_patients_with_one_image_exactly_the_share_is_kept(multi: bool) -> None:
    labels = np.arange(40) % 3
    groups = [f"p{i}" for i in range(40)]
    images = image_set(groups, np.eye(3, dtype=np.uint8)[labels] if multi else labels)
    kept = [len(subsample_patients(images, n / 40, seed=0)[0]) for n in range(1, 41)]
    assert kept == [3, 3, *range(3, 41)], "never fewer than cover the classes"


def test_of_larger_patients_the_nearest_number_is_kept() -> None:
    images = image_set([f"p{i // 3}" for i in range(30)], np.zeros(30, np.int64))
    kept = {asked: len(subsample_patients(images, asked / 30, seed=0)[0]) for asked in (6, 7, 8, 9, 10, 14, 28, 29)}
    assert kept == {6: 6, 7: 6, 8: 9, 9: 9, 10: 9, 14: 15, 28: 27, 29: 30}


def test_the_classes_are_covered_by_the_fewest_images_first() -> None:
    """A patient with both rare classes covers both; the common one comes with another patient."""
    groups = ["both", "both", *(f"p{i}" for i in range(20))]
    images = image_set(groups, np.array([1, 2] + [0] * 20))
    kept, _ = subsample_patients(images, 0.01, seed=0)
    assert kept.counts() == {"c0": 1, "c1": 1, "c2": 1}


def test_an_image_without_findings_counts_as_a_class_of_its_own() -> None:
    images = image_set([f"p{i}" for i in range(30)], np.array([[0, 0]] + [[1, 0], [0, 1]] * 14 + [[1, 1]]))
    kept, _ = subsample_patients(images, 0.1, seed=0)
    assert (kept.labels.sum(1) == 0).sum() == 1


def test_a_reserve_may_be_empty_only_where_everything_is_kept() -> None:
    images = image_set([f"p{i}" for i in range(10)], np.arange(10) % 2)
    assert len(subsample_patients(images, 1.0, seed=0)[1]) == 0
    assert len(subsample_patients(images, 0.9, seed=0)[1]) == 1


# -- so many patients of each class -------------------------------------------------------------------------------


def holders(images: ImageSet) -> dict[str, set[str]]:
    """Patients who show each class."""
    labels = images.labels.numpy()
    marks = labels == 1 if labels.ndim == 2 else labels[:, None] == np.arange(images.n_classes)
    names = np.array(images.groups)
    return {name: set(names[marks[:, k]].tolist()) for k, name in enumerate(images.classes)}


one_class_each = st.lists(st.integers(0, 2), min_size=3, max_size=30).filter(lambda classes: set(classes) == {0, 1, 2})


@settings(deadline=None, max_examples=40)
@given(one_class_each, st.integers(0, 5))
def test_where_patients_have_one_class_exactly_so_many_of_each_are_taken_and_nested(of: list, seed: int) -> None:
    images = image_set([f"p{i}" for i in range(len(of)) for _ in range(2)], np.repeat(of, 2))
    before: set[str] = set()
    for n in range(1, min(of.count(k) for k in range(3)) + 1):
        kept, _ = take_patients(images, n, seed=seed)
        assert {name: len(patients) for name, patients in holders(kept).items()} == dict.fromkeys(images.classes, n)
        assert before < set(kept.groups)
        before = set(kept.groups)


@settings(deadline=None, max_examples=60)
@given(st.one_of(rows_of_patients, findings), st.integers(0, 5))
def test_taken_patients_are_whole_and_no_more_than_needed(rows: list, seed: int) -> None:
    images = image_set(*names_and_labels(rows))
    most = min(map(len, holders(images).values()))
    for n in range(1, most + 1):
        kept, rest = take_patients(images, n, seed=seed)
        patients, shown = set(kept.groups), holders(kept)
        assert all(len(of_class) >= n for of_class in shown.values())
        assert not patients & set(rest.groups)
        assert sorted((*kept.ids, *rest.ids)) == sorted(images.ids)
        assert (kept.split, rest.split) == (Split.train, Split.reserve)
        assert len(patients) <= n * images.n_classes
    with pytest.raises(UserError, match=f"--patients-per-class {most + 1} was asked for, and c. has {most} training"):
        take_patients(images, most + 1, seed=seed)


def test_a_patient_of_two_classes_counts_for_both() -> None:
    """The rarest class is served first: its patient is then one of those of the commoner class."""
    images = image_set(["both", "both", "x", "y", "z"], np.array([0, 1, 0, 0, 0]))
    for seed in range(5):
        kept, _ = take_patients(images, 1, seed=seed)
        assert set(kept.groups) == {"both"}


def test_which_patients_are_taken_depends_on_the_seed_and_the_names_alone() -> None:
    groups = [f"p{i // 2}" for i in range(60)]
    images = image_set(groups, np.arange(60) // 2 % 3)
    order = np.random.default_rng(0).permutation(60)
    one, other = (set(take_patients(rows, 4, seed=1)[0].groups) for rows in (images, images.subset(order)))
    assert one == other
    draws = {frozenset(take_patients(images, 4, seed=seed)[0].groups) for seed in range(5)}
    assert len(draws) == 5


# -- further real images ------------------------------------------------------------------------------------------


def test_joined_images_stand_after_the_training_images_with_all_that_is_known_of_them() -> None:
    whole = image_set([f"p{i // 2}" for i in range(20)], np.arange(20) // 2 % 3)
    whole = replace(whole, attributes={"sex": np.array(["F", "M"] * 10)})
    kept, rest = subsample_patients(whole, 0.5, seed=0)
    joined = join_train(kept, rest)
    assert joined.split is Split.train
    assert joined.ids == kept.ids + rest.ids
    assert joined.groups == kept.groups + rest.groups
    assert torch.equal(joined.labels, torch.cat([kept.labels, rest.labels]))
    assert not joined.attributes, "nobody reads them of what is learned from"
    assert torch.equal(joined.images, torch.cat([kept.images, rest.images]))


@pytest.mark.parametrize(
    ("ids", "groups", "named"), [((0, 9), (8, 9), "i0"), ((8, 9), (0, 9), "p0"), ((0, 1), (0, 1), "i0")]
)
def test_further_images_that_are_trained_on_already_are_refused(ids: tuple, groups: tuple, named: str) -> None:
    train = image_set(["p0", "p1", "p2"], np.array([0, 1, 0]))
    further = image_set(["q", "q"], np.array([0, 1])).subset([0, 1], split=Split.reserve)
    other = ImageSet(
        images=further.images, labels=further.labels, ids=tuple(f"i{i}" for i in ids),
        groups=tuple(f"p{i}" for i in groups), split=Split.reserve, classes=train.classes,
    )  # fmt: skip
    with pytest.raises(UserError, match=f"'{named}' is both in train and in the reserve"):
        join_train(train, other)


@pytest.mark.parametrize("split", [Split.train, Split.val, Split.test])
def test_a_curve_goes_on_with_the_reserve_alone(split: Split) -> None:
    train, other = (image_set([name], np.array([0])) for name in ("p", "q"))
    with pytest.raises(UserError, match=f"from the reserve or a donor, and was given '{split.value}'"):
        join_train(train, other.subset([0], split=split))
    drawn = SyntheticSet(train.images, train.labels, train.classes, "a fit", train.fingerprint())
    with pytest.raises(UserError, match="and was given 'SyntheticSet'"):
        join_train(train, drawn)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^a learning curve learns from"):
        join_train(train.subset([0], split=Split.reserve), other.subset([0], split=Split.reserve))
