"""AUROC by subgroup, the worst-group gap, and what an arm changes in them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.metrics import roc_auc_score

from benchmarks.judging.subgroups import MIN_IMAGES, MOST_GROUPS, Subgroups, find_attributes, measure_gap
from benchmarks.show import print_subgroups
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from data.images import ImageSet, Split

N = 600


def image_set(labels: np.ndarray, patients: np.ndarray, n_classes: int, **attributes: Any) -> ImageSet:
    return ImageSet(
        images=torch.zeros((len(labels), 1, 8, 8), dtype=torch.uint8),
        labels=torch.from_numpy(labels),
        ids=tuple(f"i{k:04d}" for k in range(len(labels))),
        groups=tuple(f"p{p:04d}" for p in patients),
        split=Split.test,
        classes=tuple("abcdef"[:n_classes]),
        attributes={name: np.asarray(values) for name, values in attributes.items()},
    )


@pytest.fixture
def make_test() -> Callable[..., ImageSet]:
    """600 images of 300 patients in 3 classes; sex is the patient's, view the image's."""

    def make(*, multi: bool = False, **attributes: Any) -> ImageSet:
        rng = np.random.default_rng(0)
        labels = rng.integers(3, size=N)
        patients = np.arange(N) // 2
        shown = attributes or {
            "sex": np.where(rng.random(N // 2) < 0.5, "F", "M")[patients],
            "view": np.where(rng.random(N) < 0.4, "AP", "PA"),
        }
        truth = np.eye(3, dtype=np.uint8)[labels] if multi else labels
        return image_set(truth, patients, 3, **shown)

    return make


def scores_of(test: ImageSet, quality: Any, *, n_seeds: int = 6, own: int = 0) -> np.ndarray:
    """float32 (S, N, K): `quality`, one number or one an image, standard deviations between yes and no."""
    n, k = len(test), test.n_classes
    yes = test.labels.numpy() if test.multilabel else np.eye(k)[test.labels.numpy()]
    common = np.random.default_rng(5).standard_normal((1, n, k))
    noise = np.random.default_rng([6, own]).standard_normal((n_seeds, n, k))
    logits = np.broadcast_to(quality, n)[:, None] * yes + common + 0.3 * noise
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def judge(test: ImageSet, alone: np.ndarray | None = None, **options: Any) -> Subgroups:
    resamples = Resamples.draw(test.groups, **{"seed": 1, "n_replicates": 200, **options})
    return Subgroups(test, resamples, alone=alone)


# -- which groups there are ---------------------------------------------------------------------------------------


def test_phantom_is_judged_by_sex_age_band_and_view_but_not_by_age() -> None:
    from data.datasets.phantom.patients import draw_films

    films = draw_films(900, seed=0, stream="test", task="single", difficulty=1.0)
    patients = np.unique(films.groups, return_inverse=True)[1]
    test = image_set(np.asarray(films.labels), patients, 6, **films.attributes)
    found = {a.name: [g.name for g in a.judged] for a in find_attributes(test)}
    assert found == {"age_band": ["18-39", "40-59", "60+"], "sex": ["F", "M"], "view": ["AP", "PA"]}


def test_an_attribute_of_one_value_or_of_many_is_no_set_of_groups(make_test: Callable[..., ImageSet]) -> None:
    one, many = np.full(N, "F"), np.arange(N) % (MOST_GROUPS + 1)
    assert find_attributes(make_test(one=one, many=many)) == ()
    (found,) = find_attributes(make_test(number=np.arange(N) % 2 + 0.5))
    assert [g.name for g in found.groups] == ["0.5", "1.5"]


def test_images_that_do_not_say_are_in_no_group_and_counted(make_test: Callable[..., ImageSet]) -> None:
    sex = np.array(["F", "M", "unknown"])[np.arange(N) % 3]
    (found,) = find_attributes(make_test(sex=sex))
    assert [g.name for g in found.groups] == ["F", "M"]
    assert found.note == "200 images do not say"


def test_a_small_group_is_null_with_its_reason(make_test: Callable[..., ImageSet]) -> None:
    view = np.array(["PA"] * (N - 200) + ["AP"] * (200 - MIN_IMAGES + 1) + ["LL"] * (MIN_IMAGES - 1))
    test = make_test(view=view)
    row = judge(test).of(scores_of(test, 1.0))["view"]
    assert row["groups"]["LL"]["auroc"] is None
    assert row["groups"]["LL"]["note"] == f"{MIN_IMAGES - 1} images, fewer than {MIN_IMAGES}"
    assert row["groups"]["LL"]["n_images"] == MIN_IMAGES - 1
    assert row["gap"]["n_groups"] == 2 and row["gap"]["value"] is not None


def test_a_group_of_one_class_is_null_and_the_gap_too(make_test: Callable[..., ImageSet]) -> None:
    labels = make_test().labels.numpy()
    test = make_test(ward=np.where(labels == 0, "healthy", "sick"))
    row = judge(test).of(scores_of(test, 1.0))["ward"]
    assert row["groups"]["healthy"]["auroc"] is None
    assert row["groups"]["healthy"]["note"].startswith("0 of 3 classes have 5 patients with")
    assert row["groups"]["sick"]["auroc"] is not None
    assert row["gap"]["value"] is None and row["gap"]["note"] == "1 group could be judged: a gap takes two"


def test_a_class_too_rare_in_one_group_is_left_out_of_all(make_test: Callable[..., ImageSet]) -> None:
    labels = make_test(multi=True).labels.numpy().argmax(axis=1)
    site = np.where((labels != 2) & (np.arange(N) % 3 == 0), "small", "large")
    test = make_test(multi=True, site=site)
    scores = scores_of(test, 1.0)
    row = judge(test).of(scores)["site"]
    assert row["classes"] == ["a", "b"]
    assert "too rare in some group: c" in row["note"]
    inside = np.flatnonzero(site == "large")
    by_hand = [roc_auc_score(test.labels.numpy()[inside, :2], s[inside, :2]) for s in scores]
    assert row["groups"]["large"]["auroc"] == pytest.approx(np.mean(by_hand))


# -- the numbers --------------------------------------------------------------------------------------------------


def test_auroc_of_a_group_is_scikit_learns_on_its_images(make_test: Callable[..., ImageSet]) -> None:
    test = make_test()
    scores = scores_of(test, 1.0)
    rows = judge(test).of(scores)["sex"]["groups"]
    for name, row in rows.items():
        inside = np.flatnonzero(test.attributes["sex"] == name)
        truth = np.eye(3)[test.labels.numpy()[inside]]
        assert row["per_seed"] == pytest.approx([roc_auc_score(truth, s[inside]) for s in scores])
        assert row["auroc"] == pytest.approx(np.mean(row["per_seed"]))
        assert row["low"] < row["auroc"] < row["high"]
        assert row["n_images"] == len(inside) and row["n_patients"] == len(inside) // 2


def test_a_group_is_resampled_as_the_whole_test_set_is(make_test: Callable[..., ImageSet]) -> None:
    """Every patient has one image in each view: the resamples are those of the view alone."""
    view = np.where(np.arange(N) % 2, "AP", "PA")
    test = make_test(view=view)
    scores = scores_of(test, 1.0)
    rows = judge(test).of(scores)["view"]["groups"]
    for name, row in rows.items():
        part = test.subset(np.flatnonzero(view == name))
        resamples = Resamples.draw(part.groups, seed=1, n_replicates=200)
        expected = sample_auroc(scores[:, view == name], part.labels.numpy(), resamples)["auroc"].interval()
        found = [row["auroc"], row["low"], row["high"]]
        assert found == pytest.approx([expected.estimate, expected.low, expected.high])


def test_groups_of_the_same_patients_are_paired_in_the_gap() -> None:
    rng = np.random.default_rng(0)
    n = 150
    patients, labels = np.repeat(np.arange(n), 4), np.repeat((rng.random(n) < 0.4).astype(np.int64), 4)
    within, between = np.tile(["AP", "AP", "PA", "PA"], n), np.repeat(np.where(np.arange(n) % 2, "AP", "PA"), 4)
    test = image_set(labels, patients, 2, within=within, between=between)
    hardness = rng.standard_normal(n)[patients]
    positive = 1 / (1 + np.exp(-(labels + hardness + 0.3 * rng.standard_normal((6, 4 * n)))))
    found = judge(test).of(np.stack([1 - positive, positive], axis=-1))
    width = {name: found[name]["gap"]["high"] - found[name]["gap"]["low"] for name in found}
    assert width["within"] < 0.6 * width["between"]


def test_an_arm_that_helps_one_group_and_hurts_another_shows_both(make_test: Callable[..., ImageSet]) -> None:
    test = make_test()
    male = test.attributes["sex"] == "M"
    alone = scores_of(test, 1.2)
    found = judge(test, alone).of(scores_of(test, np.where(male, 2.0, 0.6), own=1))["sex"]
    helped, hurt = (found["groups"][g]["against_none"] for g in "MF")
    assert helped["low"] > 0 and helped["verdict"] == "helps"
    assert hurt["high"] < 0 and hurt["verdict"] == "hurts"
    gap = found["gap"]
    assert (gap["best"], gap["worst"]) == ("M", "F") and gap["low"] > 0 and gap["note"] is None
    assert abs(gap["against_none"]["difference"]) > 0.1


def test_real_images_alone_are_not_compared_with_themselves(make_test: Callable[..., ImageSet]) -> None:
    test = make_test()
    alone = scores_of(test, 1.2)
    found = judge(test, alone).of(alone)["sex"]
    assert found["gap"]["against_none"] is None
    assert all(row["against_none"] is None for row in found["groups"].values())
    assert judge(test).of(alone)["sex"]["groups"] == found["groups"]


def test_without_a_difference_between_groups_no_gap_is_shown(make_test: Callable[..., ImageSet]) -> None:
    test = make_test()
    gap = judge(test).of(scores_of(test, 1.0))["sex"]["gap"]
    assert gap["low"] < 0 < gap["value"] < gap["high"]
    assert gap["note"] == "no gap shown: the interval holds 0"


def test_the_gap_is_the_best_group_less_the_worst() -> None:
    groups = {"a": 0.8, "b": 0.6, "c": 0.7}
    found = measure_gap({g: _flat(x) for g, x in groups.items()}, None)
    assert (found["value"], found["best"], found["worst"]) == (pytest.approx(0.2), "a", "b")
    wider = measure_gap(
        {g: _flat(x) for g, x in groups.items()}, {g: _flat(x) for g, x in {"a": 0.8, "b": 0.75, "c": 0.7}.items()},
    )["against_none"]  # fmt: skip
    assert (wider["best"], wider["worst"]) == ("a", "b")
    assert wider["difference"] == pytest.approx(0.2 - 0.05)


def _flat(level: float, *, n_draws: int = 100, seed: int = 0, n_groups: int = 80, sd: float = 0.0) -> Sampled:
    """An AUROC that hardly varies, or does with `sd` over patients."""
    rng = np.random.default_rng(seed)
    spread = sd * rng.standard_normal(n_draws)
    draws = np.tile(level + spread, (6, 1))
    return Sampled("auroc", np.full(6, level), draws, np.ones(n_draws, bool), Support.equal(n_groups), 0, f"{seed}")


def test_more_groups_make_the_interval_of_the_gap_wider() -> None:
    def width(n: int) -> float:
        made = {f"g{k}": _flat(0.7 + 0.05 * (k == 0) - 0.05 * (k == 1), seed=k, sd=0.01) for k in range(n)}
        found = measure_gap(made, None)
        assert (found["best"], found["worst"]) == ("g0", "g1")
        return found["high"] - found["low"]

    assert width(2) < width(4) < width(12)


def test_of_many_equal_groups_the_widest_gap_is_seldom_shown() -> None:
    """Reading the pair off the data costs no more than 5 %: the interval is that of any pair."""
    rng = np.random.default_rng(3)
    shown = 0
    for trial in range(300):
        made = {}
        for k in range(5):
            centre = 0.7 + 0.02 * rng.standard_normal()
            made[f"g{k}"] = _flat(centre, seed=1000 * trial + k, sd=0.02, n_draws=200)
        shown += measure_gap(made, None)["low"] > 0
    assert shown / 300 <= 0.07


# -- records ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multi", [False, True])
def test_the_same_seed_gives_the_same_plain_json(make_test: Callable[..., ImageSet], multi: bool) -> None:
    test = make_test(multi=multi)
    alone, mine = scores_of(test, 1.0), scores_of(test, 1.3, own=1)
    one, two = (json.dumps(judge(test, alone).of(mine), allow_nan=False) for _ in range(2))
    assert one == two
    assert json.dumps(judge(test, alone, seed=2).of(mine)) != one


def test_one_seed_gives_intervals_over_patients(make_test: Callable[..., ImageSet]) -> None:
    test = make_test()
    found = judge(test, scores_of(test, 1.0, n_seeds=1)).of(scores_of(test, 1.3, n_seeds=1, own=1))
    row = found["sex"]["groups"]["F"]
    assert row["low"] < row["auroc"] < row["high"]
    assert "screening" in row["against_none"]["note"]


def test_show_prints_every_group_and_the_gap(make_test: Callable[..., ImageSet]) -> None:
    test = make_test()
    alone = scores_of(test, np.where(test.attributes["view"] == "AP", 0.5, 1.5))
    found = judge(test, alone).of(scores_of(test, 1.3, own=1))
    out = Console(record=True, width=160, file=io.StringIO())
    print_subgroups(out, {"subgroups": found})
    print_subgroups(out, {})
    text = out.export_text()
    assert "AUROC by sex" in text and "AUROC by view" in text
    assert f"gap, {found['view']['gap']['best']} over {found['view']['gap']['worst']}" in text
    assert f"{found['view']['groups']['AP']['against_none']['difference']:+.4f}" in text
