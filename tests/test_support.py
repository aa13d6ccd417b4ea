"""How many patients a number rests on, what it does to intervals, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.compare import compare
from benchmarks.statistics.equivalence import equivalence
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.support import FEW, Support
from benchmarks.statistics.utility import sample_utility
from synthworth.errors import Unavailable


def of(weights: list[int], positive: list[int] | None = None) -> Support:
    """Patients with so many images each; `positive` are the patients whose images are all positive."""
    patient = np.repeat(np.arange(len(weights)), weights)
    yes = None if positive is None else np.isin(patient, positive)[:, None]
    return Support.of(patient, yes, ["ill"])


def sampled(n_with: int, n_without: int, *, dominant: int = 1, quality: float = 1.0, seed: int = 0, arm: int = 0):
    """AUROC of six seeds on a test set with a patient an image, but for the first, who has `dominant`."""
    rng = np.random.default_rng(seed)
    truth = np.r_[np.zeros(dominant - 1, int), np.zeros(n_without, int), np.ones(n_with, int)]
    groups = np.r_[np.zeros(dominant - 1, int), np.arange(n_without + n_with)]
    common = rng.normal(size=len(truth))
    own = np.random.default_rng([seed, 1, arm]).normal(size=(6, len(truth)))
    p = 1 / (1 + np.exp(-(quality * truth + common + 0.3 * own)))
    scores = np.stack([1 - p, p], axis=-1)
    return sample_auroc(scores, truth, Resamples.draw(groups, seed=1, n_replicates=300), classes=("well", "ill"))


# -- the numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "effective", "largest"),
    [([1] * 20, 20, 1 / 20), ([3] * 20, 20, 1 / 20), ([50, *[1] * 50], 100**2 / 2550, 0.5), ([2, 1, 1], 16 / 6, 0.5)],
)
def test_patients_count_by_kishs_effective_number(weights: list[int], effective: float, largest: float) -> None:
    found = of(weights)
    assert (found.n, found.effective, found.largest) == pytest.approx((len(weights), effective, largest))
    assert found.freedom == pytest.approx(effective - 1)


def test_the_smaller_side_of_a_class_gives_the_degrees_of_freedom() -> None:
    few = of([1] * 200, positive=list(range(5)))
    assert few.sides == ((5, 195),) and few.smallest_side == 5
    assert 4 < few.freedom < 4.6
    assert of([1] * 60, positive=list(range(30))).freedom == pytest.approx(58)
    turned = of([1] * 200, positive=list(range(195)))
    assert turned.freedom == pytest.approx(few.freedom)


def test_a_patient_with_images_of_both_kinds_is_on_both_sides() -> None:
    patient = np.array([0, 0, 1, 1, 2])
    found = Support.of(patient, np.array([1, 0, 1, 0, 0], bool)[:, None], ["ill"])
    assert found.sides == ((2, 3),)


def test_over_several_classes_the_rarest_bounds_the_freedom_by_its_share() -> None:
    patient, yes = np.arange(300), np.zeros((300, 3), bool)
    yes[:3, 0], yes[:100, 1], yes[100:220, 2] = True, True, True
    alone = [Support.of(patient, yes[:, [q]], ["x"]).freedom for q in range(3)]
    assert alone[0] < Support.of(patient, yes, list("abc")).freedom < min(alone[1:])


# -- what is said -------------------------------------------------------------------------------------------------


def test_few_patients_of_a_class_are_named_with_the_side_they_are_on() -> None:
    assert of([1] * 30, positive=list(range(FEW))).note is None
    assert of([1] * 30, positive=list(range(FEW - 1))).note == "few patients: 9 with ill"
    assert of([1] * 30, positive=list(range(26))).note == "few patients: 4 without ill"


def test_a_patient_who_dominates_is_named_with_the_share_and_what_the_patients_count_as() -> None:
    assert of([10, *[1] * 45]).note is None
    assert of([50, *[1] * 50]).note == ("one patient brings 50 % of the test images: the 51 patients count as 3.9")
    assert of([1, 1, 1]).note is None
    found = sampled(40, 60, dominant=80)
    said = compare(found["auroc"], found["auroc"], name_a="a", name_b="b").support
    assert said is not None and "one patient brings 45 %" in said


# -- one patient, two patients ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_with", "n_without", "reason"), [
    (1, 50, "1 positive patient: 2 are needed"), (50, 1, "1 negative patient: 2 are needed"),
    (0, 50, "no positive image"), (50, 0, "no negative image"),
])  # fmt: skip
def test_one_patient_on_a_side_gives_no_number(n_with: int, n_without: int, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        sampled(n_with, n_without)


def test_two_patients_on_a_side_give_a_number_with_an_interval_that_says_how_little_it_is() -> None:
    one = sampled(2, 100, quality=9.0)["auroc"]
    found = one.interval()
    assert found.estimate > 0.99
    assert found.low < 0.6 and found.high == 1.0


def test_five_patients_who_are_all_ranked_right_have_no_interval_of_a_point() -> None:
    found = sampled(5, 100, quality=30.0)["auroc"].interval()
    assert found.estimate == found.high == 1.0
    assert found.low < 0.9


@pytest.mark.parametrize("n_with", [2, 3, 5])
def test_few_positives_widen_a_difference(n_with: int) -> None:
    a, b = (sampled(n_with, 150, arm=arm)["auroc"] for arm in (0, 1))
    apart = a.minus(b)
    spread = apart.spread(level=0.95)
    assert spread.parts[1][1] == pytest.approx(apart.support.freedom)
    assert apart.support.freedom < n_with
    assert compare(a, b, name_a="a", name_b="b").support == f"few patients: {n_with} with ill"


def test_few_patients_are_never_shown_to_be_equivalent() -> None:
    few, many = sampled(5, 100, quality=30.0)["auroc"], sampled(50, 100, quality=30.0)["auroc"]
    found = equivalence(few.minus(few))
    assert not found["equivalent"] and found["few"] == 5
    assert found["sentence"].endswith("(5 patients on the smaller side)")
    assert equivalence(many.minus(many))["equivalent"]


def test_a_patient_who_is_nearly_the_whole_test_set_gives_no_interval() -> None:
    one = sampled(5, 5, dominant=200)["auroc"]
    with pytest.raises(Unavailable, match=r"those of the test set count as 1\.0"):
        one.interval()


def test_a_rate_needs_patients_on_its_own_side_alone() -> None:
    rng = np.random.default_rng(0)
    truth = np.r_[np.ones(1, int), np.zeros(60, int)]
    p = rng.uniform(size=(2, 61))
    scores = np.stack([1 - p, p], axis=-1)
    found = sample_utility(
        scores, truth, Resamples.draw(range(61), seed=0, n_replicates=50), thresholds=np.full((2, 1), 0.5)
    )
    assert found["specificity"].support.sides == ((60,),)
    assert found["specificity"].support.freedom == pytest.approx(59) and found["specificity"].support.note is None
    assert "brier" in found and not {"recall", "f1", "auprc", "balanced_accuracy"} & found.keys()
