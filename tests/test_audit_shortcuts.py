"""What attributes alone tell is measured right: known answers, patients as the unit, and nothing told by nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from data.audit.shortcuts import CROSSED, ON_TEST, TOGETHER, Shortcut, measure_shortcuts, to_categories
from data.images import ImageSet, Split

SIZES = {Split.train: 1600, Split.val: 200, Split.test: 400}


def made(labels: np.ndarray, classes: tuple[str, ...], attributes: Mapping[str, np.ndarray], **sizes: int):
    """Splits without pictures, of two films a patient; rows in the order train, val, test."""
    found, start = {}, 0
    for split, n in SIZES.items():
        n = sizes.get(split.value, n)
        at = slice(start, start + n)
        found[split] = ImageSet(
            images=torch.zeros(n, 1, 1, 1, dtype=torch.uint8),
            labels=torch.from_numpy(labels[at]),
            ids=tuple(f"{split.value}-{i}" for i in range(n)),
            groups=tuple(f"{split.value}-{i // 2}" for i in range(n)),
            split=split,
            classes=classes,
            attributes={name: values[at] for name, values in attributes.items()},
        )
        start += n
    return found


def only(found: tuple[Shortcut, ...], attribute: str, class_name: str = "ill") -> Shortcut:
    (one,) = [s for s in found if (s.attribute, s.class_name) == (attribute, class_name)]
    return one


def draw(n: int = 2200, seed: int = 0) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, rng.integers(0, 2, n)


def test_a_view_that_leans_is_measured_as_scikit_learn_would_on_test() -> None:
    rng, ill = draw()
    view = np.where(rng.random(2200) < np.where(ill, 0.7, 0.4), "AP", "PA")
    found = only(measure_shortcuts(made(ill, ("well", "ill"), {"view": view})), "view")
    assert found.auroc == pytest.approx(roc_auc_score(ill[-400:], view[-400:] == "AP"))
    assert found.low < found.auroc < found.high
    assert found.basis == ON_TEST
    assert (found.n_positive + found.n_negative, found.n_patients) == (400, 200)
    assert found.notable


def test_an_attribute_that_means_nothing_tells_nothing() -> None:
    rng, ill = draw()
    noise = {"sex": rng.choice(["F", "M"], 2200), "age": rng.normal(50, 15, 2200), "site": rng.integers(0, 60, 2200)}
    for sizes in ({}, {"test": 100}):
        for found in measure_shortcuts(made(ill, ("well", "ill"), noise, **sizes)):
            assert found.auroc == pytest.approx(0.5, abs=0.06)
            assert not found.notable


def test_too_small_a_test_split_is_read_over_folds_of_patients() -> None:
    rng, ill = draw()
    view = np.where(rng.random(2200) < np.where(ill, 0.7, 0.4), "AP", "PA")
    found = only(measure_shortcuts(made(ill, ("well", "ill"), {"view": view}, test=100)), "view")
    assert found.basis == CROSSED
    assert found.n_patients == 950
    assert found.auroc == pytest.approx(roc_auc_score(ill[:1900], view[:1900] == "AP"), abs=0.005)


def test_an_age_at_both_ends_is_seen_though_it_does_not_rise() -> None:
    rng, _ = draw()
    age = rng.uniform(0, 100, 2200)
    ill = (np.abs(age - 50) > 25).astype(np.int64)
    assert only(measure_shortcuts(made(ill, ("well", "ill"), {"age": age})), "age").auroc > 0.95


def test_attributes_together_tell_what_each_tells_a_part_of() -> None:
    rng, ill = draw()
    parts = {name: np.where(rng.random(2200) < np.where(ill, 0.7, 0.3), "a", "b") for name in ("view", "sex", "site")}
    found = measure_shortcuts(made(ill, ("well", "ill"), parts))
    joint = only(found, TOGETHER)
    assert joint.auroc > max(only(found, name).auroc for name in parts) + 0.03


def test_films_of_one_patient_are_no_independent_witnesses() -> None:
    """With every patient's films alike, the interval is that of patients: wider by about the root of two."""
    rng, _ = draw()
    ill = np.repeat(rng.integers(0, 2, 1100), 2)
    once = np.where(rng.random(1100) < np.where(ill[::2], 0.7, 0.4), "AP", "PA")
    alike = only(measure_shortcuts(made(ill, ("well", "ill"), {"view": np.repeat(once, 2)})), "view")
    apart = np.where(rng.random(2200) < np.where(ill, 0.7, 0.4), "AP", "PA")
    loose = only(measure_shortcuts(made(ill, ("well", "ill"), {"view": apart})), "view")
    assert (alike.high - alike.low) / (loose.high - loose.low) == pytest.approx(2**0.5, rel=0.2)


def test_each_finding_is_read_alone_and_a_finding_nobody_has_is_null_with_a_note() -> None:
    _, ill = draw()
    labels = np.stack([ill, np.zeros(2200, np.int64), 1 - ill], axis=1).astype(np.uint8)
    found = measure_shortcuts(made(labels, ("a", "b", "c"), {"sex": np.where(ill, "F", "M")}))
    assert [s.class_name for s in found] == ["a", "b", "c"]
    assert only(found, "sex", "a").auroc == only(found, "sex", "c").auroc == 1.0
    none = only(found, "sex", "b")
    assert (none.auroc, none.note) == (None, "no film with b")
    assert none.to_json()["auroc"] is None
    assert not none.notable


def test_an_attribute_of_one_value_is_left_out() -> None:
    _, ill = draw()
    assert measure_shortcuts(made(ill, ("well", "ill"), {"view": np.full(2200, "PA")})) == ()
    assert measure_shortcuts(made(ill, ("well", "ill"), {})) == ()


def test_the_same_seed_gives_the_same_interval() -> None:
    rng, ill = draw()
    sets = made(ill, ("well", "ill"), {"sex": rng.choice(["F", "M"], 2200)})
    assert measure_shortcuts(sets, seed=3) == measure_shortcuts(sets, seed=3) != measure_shortcuts(sets, seed=4)


@pytest.mark.parametrize(
    ("values", "n_categories"),
    [
        (np.array(["F", "M", "F", ""]), 3),
        (np.arange(1000.0), 10),
        (np.array([*map(str, range(1000)), "", ""]), 11),
        (np.array([1.0, 2.0, np.nan, 2.0]), 3),
        (np.repeat([7, 8, 9], 5), 3),
    ],
)
def test_numbers_are_cut_into_tenths_and_what_is_missing_stands_apart(values: np.ndarray, n_categories: int) -> None:
    codes = to_categories(values)
    assert sorted(np.unique(codes)) == list(range(n_categories))
    assert codes.dtype == np.int64
