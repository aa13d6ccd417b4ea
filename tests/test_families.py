"""Several classifier families: their interval covers, each is paired with its own control, and what is said of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from benchmarks.records.predictions import Entry
from benchmarks.records.store import Records
from benchmarks.statistics.families import over_families
from benchmarks.statistics.interval import half_width
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from benchmarks.verdicts.over_families import by_arm, family_sentences, over_classifiers
from leaderboard.build import main as build
from synthworth.errors import Unavailable

NAMES = ("resnet18", "resnet34", "densenet121")


def sampled(values: np.ndarray, draws: np.ndarray, *, n: int = 60) -> Sampled:
    """An AUROC of S seeds with its resamples."""
    return Sampled("auroc", values, draws, np.ones(draws.shape[1], dtype=bool), Support.equal(n), 0, "one design")


def simulated(
    rng: np.random.Generator, *, f: int, family: float, order: float, s: int = 6, n: int = 60
) -> list[tuple[Sampled, Sampled]]:
    """(arm, control) of f families on n patients; the mean gain over all families, seeds and patients is 0."""
    normal, counts = rng.standard_normal, rng.multinomial(n, np.full(n, 1 / n), size=150).T / n
    shared, alike = 0.3 * normal(n), order * normal(s)
    pairs = []
    for _ in range(f):
        arms = []
        for gained in (1.0, 0.0):
            base = gained * (family * normal() + alike) + 0.15 * normal(s)
            by_patient = gained * shared + 0.3 * normal(n) + 0.5 * normal((s, n))
            arms.append(sampled(base + by_patient.mean(axis=1), base[:, None] + by_patient @ counts))
        pairs.append((arms[0], arms[1]))
    return pairs


@pytest.mark.parametrize(
    ("f", "family", "order"),
    [(3, 0.0, 0.0), (3, 0.15, 0.0), (3, 0.5, 0.0), (5, 0.15, 0.0), (5, 0.5, 0.0), (5, 0.1, 0.3)],
)
def test_the_interval_covers_for_families_that_differ_little_or_much_and_seeds_alike_or_not(
    f: int, family: float, order: float
) -> None:
    """93 to 97 % is the aim; 400 experiments have a standard error of .011."""
    rng, hits = np.random.default_rng([f, int(100 * family)]), 0
    for _ in range(400):
        found = over_families(simulated(rng, f=f, family=family, order=order))
        hits += found.low <= 0 <= found.high
    assert 0.93 - 0.025 <= hits / 400 <= 0.97 + 0.02


def test_seeds_taken_for_new_ones_in_each_family_would_miss_what_they_share() -> None:
    """The mean of each family as the unit: where seeds of one number are alike it covers far less than 95 %."""
    rng, hits, crossed = np.random.default_rng(3), 0, 0
    for _ in range(300):
        pairs = simulated(rng, f=5, family=0.0, order=0.4)
        apart = [arm.minus(control) for arm, control in pairs]
        means = np.array([one.values.mean() for one in apart])
        draws = np.stack([one.draws.mean(axis=0) for one in apart])
        hits += abs(means.mean()) <= half_width(means, draws, n_groups=60).half
        found = over_families(pairs)
        crossed += found.low <= 0 <= found.high
    assert hits / 300 < 0.85 < 0.92 < crossed / 300


def test_each_family_is_paired_with_its_own_control() -> None:
    """One family is better than the other in both arms; the gain is the same, and does not scatter."""
    values, draws = np.full(6, 0.7), np.full((6, 9), 0.7)
    low = sampled(values, draws), sampled(values - 0.1, draws - 0.1)
    high = sampled(values + 0.2, draws + 0.2), sampled(values + 0.1, draws + 0.1)
    found = over_families([low, high])
    assert found.difference == pytest.approx(0.1) and found.by_family == pytest.approx((0.1, 0.1))
    assert found.high - found.low == pytest.approx(0, abs=1e-9)


def test_families_that_differ_widen_the_interval_with_as_many_degrees_of_freedom_as_they_allow() -> None:
    still = [sampled(np.full(6, x), np.full((6, 9), x)) for x in (0.6, 0.7, 0.8)]
    control = sampled(np.full(6, 0.5), np.full((6, 9), 0.5))
    found = over_families([(arm, control) for arm in still])
    assert found.quantile == pytest.approx(4.3027, abs=1e-3)  # Student's t, 2 degrees of freedom, 97.5 %
    assert found.se_families == pytest.approx(0.1 / np.sqrt(3))
    assert (found.low, found.high) == pytest.approx(
        (0.2 - 4.3027 * 0.1 / 3**0.5, 0.2 + 4.3027 * 0.1 / 3**0.5), abs=1e-4
    )


def test_one_family_or_what_cannot_be_paired_is_refused() -> None:
    (pair,) = simulated(np.random.default_rng(0), f=1, family=0.0, order=0.0)
    with pytest.raises(ValueError, match="two or more"):
        over_families([pair])
    elsewhere = dataclasses.replace(pair[0], design="another test set")
    with pytest.raises(ValueError, match="one test set"):
        over_families([pair, (elsewhere, pair[1])])
    few = [dataclasses.replace(one, values=one.values[:1], draws=one.draws[:1]) for one in pair]
    with pytest.raises(Unavailable, match="two classifier seeds"):
        over_families([(few[0], few[1])] * 2)


# -- records --------------------------------------------------------------------------------------------------------


def run_all(
    lab: Any, qualities: dict[str, tuple[float, float]], *, positive: float | None = None, **change: Any
) -> Any:
    """Records of none, duplicate and a generator with each classifier: quality of real images alone, and of the arm."""
    for k, (name, (zero, arm)) in enumerate(qualities.items()):
        own = {"classifier": name, "clf": {"arch": name}, "jitter": 10 * k, **change}
        lab.run("none", zero, **own)
        lab.run("duplicate", zero, **{**own, "jitter": 10 * k + 1})
        lab.run("latent_ddpm", arm, **{**own, "jitter": 10 * k + 2})
        if positive is not None:
            lab.run("holdout_real", positive, **{**own, "jitter": 10 * k + 3})
    return lab


def entries(lab: Any) -> tuple[Entry, ...]:
    return Records(lab.folder).read().finished


def of_the_arm(lab: Any, **more: Any) -> str:
    found = over_classifiers(entries(lab), **more)
    (said,) = family_sentences([one for one in found if one.is_of("latent_ddpm")])
    return said


def test_a_gain_with_every_classifier_helps_and_each_is_named(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES, (1.0, 2.0)))
    said = of_the_arm(lab)
    assert said.startswith("HELPS. latent_ddpm add 0.5, 3 classifiers: AUROC +")
    assert "against real images alone, for new classifiers, seeds and patients, p < 0.001" in said
    assert "against duplicate" in said
    assert all(f"{name} +0." in said for name in NAMES)


def test_a_gain_with_one_classifier_of_three_is_not_a_finding(lab: Any) -> None:
    run_all(lab, {"resnet18": (1.0, 2.5), "resnet34": (1.0, 1.0), "densenet121": (1.0, 1.0)})
    one = next(e for e in entries(lab) if e.spec["classifier"] == "resnet18" and e.spec["generator"] == "latent_ddpm")
    assert one.record["verdict"].startswith("HELPS")
    assert of_the_arm(lab).startswith("NO DIFFERENCE SHOWN. latent_ddpm add 0.5, 3 classifiers")


def test_two_classifiers_and_too_few_seeds_are_screening(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES[:2], (1.0, 2.0)))
    assert of_the_arm(lab).startswith("SCREENING ONLY, 2 classifiers are fewer than 3. latent_ddpm add 0.5")


def test_a_control_is_put_together_like_any_arm(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES, (1.0, 2.0)))
    found = {one.name: one for one in over_classifiers(entries(lab))}
    assert set(found) == {"duplicate add 0.5", "latent_ddpm add 0.5"}  # real images alone are compared with nothing
    assert list(found["duplicate add 0.5"].compared) == ["none"]
    duplicate = found["latent_ddpm add 0.5"].compared["duplicate"]
    for name, entry in found["latent_ddpm add 0.5"].entries.items():
        own = entry.record["comparisons"]["duplicate"]["difference"]
        assert duplicate["by_family"][name] == pytest.approx(own)


def test_unequal_compute_with_one_classifier_takes_the_word(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES, (1.0, 2.0)))
    longer = next(
        e for e in entries(lab) if e.spec["classifier"] == "resnet34" and e.spec["generator"] == "latent_ddpm"
    )
    training = longer.record["training"]
    lab.change(longer.record, training={**training, "steps": [2 * n for n in training["steps"]]})
    assert of_the_arm(lab).startswith("UNEQUAL COMPUTE, with resnet34 ")


def test_a_positive_control_that_does_not_come_out_over_classifiers_is_said(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES, (1.0, 1.0)), positive=1.0, controls=("none", "duplicate", "holdout_real"))
    said = of_the_arm(lab)
    assert "POSITIVE CONTROL NOT SHOWN TO HELP: holdout_real add 0.5, 3 classifiers" in said


def test_a_classifier_that_lacks_the_arm_is_named(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES[:2], (1.0, 2.0)))
    said = of_the_arm(lab, together=True, asked=NAMES)
    assert "latent_ddpm add 0.5, 2 classifiers (without densenet121)" in said


def test_a_control_whose_record_is_missing_leaves_the_comparison_out_with_the_reason(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES, (1.0, 2.0)))
    left = [e for e in entries(lab) if (e.spec["classifier"], e.spec["generator"]) != ("resnet34", "none")]
    (said,) = family_sentences([one for one in over_classifiers(left) if one.is_of("latent_ddpm")])
    assert said.endswith("not compared with real images alone: there is no record of it with resnet34")


def test_records_of_a_folder_are_put_together_only_where_the_other_options_agree(lab: Any) -> None:
    for name, augment in (("resnet18", "none"), ("resnet34", "none"), ("densenet121", "light")):
        own = {"classifier": name, "clf": {"arch": name, "augment": augment}}
        lab.run("none", 1.0, **own)
        lab.run("latent_ddpm", 2.0, **own)
    arms = [sorted(group) for group in by_arm(entries(lab))]
    assert arms == [["resnet18", "resnet34"]] * 2
    assert [len(group) for group in by_arm(entries(lab), together=True)] == [3, 3]


def test_one_network_under_several_names_is_one_family(lab: Any) -> None:
    run_all(lab, {"resnet18": (1.0, 2.0)})
    for name in ("timm", "resnet10t"):
        own = {"classifier": name, "clf": {"arch": "resnet18"}}
        lab.run("none", 1.0, **own)
        lab.run("latent_ddpm", 2.0, **own)
    assert by_arm(entries(lab)) == []
    run_all(lab, {"resnet34": (1.0, 2.0)})
    assert {len(group) for group in by_arm(entries(lab))} == {2}


def test_a_verdict_over_classifiers_names_its_test_set_where_there_are_others(lab: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES, (1.0, 2.0)))
    more = [Entry({**e.record, "spec": {**e.spec, "test_on": [{"name": "nih14"}]}}, e.folder) for e in entries(lab)]
    said = family_sentences([one for one in over_classifiers(more) if one.is_of("latent_ddpm")])
    assert "latent_ddpm add 0.5 on its own test split, 3 classifiers" in said[0]


def test_the_films_of_a_donor_stand_in_for_the_positive_control(lab: Any) -> None:
    controls = ("none", "duplicate", "shared_real")
    run_all(lab, dict.fromkeys(NAMES, (1.0, 1.0)), controls=controls, donor="0.5")
    for k, name in enumerate(NAMES):
        own = {"classifier": name, "clf": {"arch": name}, "controls": controls, "donor": "0.5", "jitter": 10 * k + 3}
        lab.run("shared_real", 1.0, **own)
    assert "POSITIVE CONTROL NOT SHOWN TO HELP: shared_real add 0.5, 3 classifiers" in of_the_arm(lab)


def test_arms_of_other_generators_ratios_or_trainings_are_not_put_together(lab: Any) -> None:
    own = [{"classifier": name, "clf": {"arch": name}} for name in NAMES]
    lab.run("latent_ddpm", 2.0, **own[0])
    lab.run("latent_ddpm", 2.0, ratio=1.0, **own[1])
    lab.run("latent_ddpm", 2.0, generator_seed=1, **own[2])
    assert by_arm(entries(lab), together=True) == []


def test_the_leaderboard_has_a_line_over_classifiers(lab: Any, tmp_path: Any) -> None:
    run_all(lab, dict.fromkeys(NAMES, (1.0, 2.0)))
    assert build(["--results", str(lab.folder), "--out", str(tmp_path / "site"), "--figures", "0"]) == 0
    page = (tmp_path / "site" / "leaderboard.md").read_text()
    assert "## Over several classifiers\n\n- HELPS. latent_ddpm add 0.5, 3 classifiers" in page
    assert "duplicate add 0.5, 3 classifiers" not in page
