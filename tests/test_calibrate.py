"""Simulated experiments whose truth is known, the command that judges them, and what it found for this version."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.calibrate.__main__ import TARGETS, CalibrateOptions, calibrate, main, missed
from benchmarks.calibrate.design import DESIGNS, Design, simulate
from benchmarks.calibrate.families import (
    FAMILY_DESIGNS,
    FAMILY_METHODS,
    FamilyTask,
    run_families,
    simulate_families,
    summarise_families,
)
from benchmarks.calibrate.judge import HARNESS, METHODS, Task, run_experiments
from benchmarks.calibrate.share import SHARE_DESIGNS
from benchmarks.calibrate.summary import LUCK, summarise
from benchmarks.calibrate.worth import (
    N_REAL,
    N_SYNTHETIC,
    WORTH_DESIGNS,
    WorthTask,
    run_worth,
    simulate_arms,
    summarise_worth,
)
from synthworth.errors import UserError

COMMITTED = Path(__file__).resolve().parent.parent / "results" / "reference" / "calibration.json"
SMALL = Design("small", "a test set that a test can afford", n_patients=40, n_films=90, n_seeds=6)


@pytest.mark.parametrize("design", DESIGNS, ids=[d.name for d in DESIGNS])
def test_a_simulated_arm_has_the_auroc_that_its_design_says(design):
    """Mean over many seeds and patients; 60 seeds leave a standard error of about .004 where they differ much."""
    positive = 1800 * bool(design.n_positive)
    many = dataclasses.replace(design, n_patients=2000, n_films=6000, n_seeds=60, n_positive=positive, dominant=0.0)
    made = simulate(many, gain=0.05, seed=1)
    found = [np.mean([roc_auc_score(made.truth, p[:, 1]) for p in arm]) for arm in made.scores]
    levels = [many.truth(level) for level in (many.auroc, many.auroc, many.better(0.05))]
    assert found == pytest.approx(levels, abs=0.045 if design.collapse else 0.025)
    assert found[2] - found[0] == pytest.approx(levels[2] - levels[0], abs=0.05 if design.collapse else 0.02)
    assert made.truth.mean() == pytest.approx(design.prevalence, abs=0.03)


def test_the_edges_of_a_design_are_there():
    few = simulate(dataclasses.replace(SMALL, n_positive=3), gain=0.02, seed=0)
    assert few.truth.sum() == 3
    dominated = simulate(dataclasses.replace(SMALL, dominant=0.5), gain=0.02, seed=0)
    assert np.bincount(dominated.patients).max() == 45 and len(np.unique(dominated.patients)) == 40
    rounded = simulate(dataclasses.replace(SMALL, decimals=1), gain=0.02, seed=0)
    assert len(np.unique(rounded.scores[..., 1])) <= 11
    fallen = simulate(dataclasses.replace(SMALL, collapse=0.5, n_films=2000, n_seeds=20), gain=0.02, seed=0)
    aurocs = np.array([roc_auc_score(fallen.truth, p[:, 1]) for p in fallen.scores[0]])
    assert 3 <= (aurocs < 0.6).sum() <= 17 and (aurocs > 0.7).any()
    assert dataclasses.replace(SMALL, collapse=0.5).truth(0.8) == pytest.approx(0.65)


def test_an_experiment_that_cannot_be_judged_has_no_row():
    lonely = dataclasses.replace(SMALL, n_positive=1)
    assert run_experiments(Task(lonely, (0, 1), 0.02, 200, 0)) == []


@pytest.mark.parametrize("design", WORTH_DESIGNS, ids=[d.name for d in WORTH_DESIGNS])
def test_the_arm_that_is_valued_stands_on_the_curve_where_its_worth_says(design):
    layout = dataclasses.replace(design.layout, n_patients=2000, n_films=6000, n_seeds=40)
    scores, truth, _ = simulate_arms(dataclasses.replace(design, layout=layout), seed=0)
    found = [np.mean([roc_auc_score(truth, p[:, 1]) for p in arm]) for arm in scores]
    sizes = [*design.sizes, N_REAL + design.worth * N_SYNTHETIC]
    assert found == pytest.approx([design.auroc(n) for n in sizes], abs=0.02)
    assert np.polyfit(np.log2(design.sizes), found[:-1], 1)[0] == pytest.approx(design.per_doubling, abs=0.01)


def test_a_worth_that_is_known_is_measured_and_its_interval_holds_it():
    design = dataclasses.replace(WORTH_DESIGNS[0], per_doubling=0.06)
    rows = run_worth(WorthTask(design, (0, 1, 2), 200, 0))
    assert all(row["said"] for row in rows)
    found = summarise_worth(rows)
    assert found["n_experiments"] == 3 and found["coverage"] >= 2 / 3
    assert found["median"] == pytest.approx(0.5, abs=0.4)
    flat = summarise_worth([{"said": False, "worth": None, "closed": False, "holds": True}])
    assert (flat["said"], flat["coverage"], flat["median"]) == (0.0, None, None)


def test_films_of_a_patient_resemble_each_other_and_every_patient_has_one():
    made = simulate(dataclasses.replace(SMALL, n_patients=2000, n_films=5000), gain=0.02, seed=0)
    assert len(np.unique(made.patients)) == 2000
    first = np.flatnonzero(made.patients[1:] == made.patients[:-1])
    z = made.scores[0, 0, :, 1]
    assert np.corrcoef(z[first], z[first + 1])[0, 1] > 0.3
    assert np.corrcoef(made.truth[first], made.truth[first + 1])[0, 1] > 0.2


def test_same_seed_simulates_the_same_experiments_however_they_are_shared_out():
    together = run_experiments(Task(SMALL, (0, 1), 0.02, 20, 7))
    apart = [row for k in (0, 1) for row in run_experiments(Task(SMALL, (k,), 0.02, 20, 7))]
    assert together == apart
    assert together != run_experiments(Task(SMALL, (0, 1), 0.02, 20, 8))


def test_a_summary_counts_what_was_said():
    def row(truth: float, verdict: str, low: float, high: float) -> dict:
        return {
            "truth": truth,
            "estimate": (low + high) / 2,
            "verdict": verdict,
            "equivalent": verdict == "no difference shown",
            "metrics": {"f1": verdict == "helps"},
            "intervals": {m: (low, high) for m in METHODS if m != "sign_flip"},
            "significant": dict.fromkeys(METHODS, not low <= 0 <= high),
            "gained": truth != 0,
            "arm": {"below": verdict == "helps", "above": False},
            "luck": 0.7 if verdict == "helps" else 2.0,
            "detectable": 0.012,
        }

    rows = [
        row(0.0, "helps", 0.01, 0.02),
        row(0.0, "no difference shown", -0.01, 0.01),
        row(0.02, "helps", 0.01, 0.03),
        row(0.02, "hurts", -0.03, -0.01),
    ]
    found = summarise(rows, margin=0.02)
    assert summarise(rows, margin=0.03)["equivalence"]["false"] is None
    assert found["arm"] == {"coverage": 0.5, "below": 0.5, "above": 0.0}
    assert found["luck"]["below 0.8"] == {"n": 1, "false": 1.0}
    assert found["luck"]["1 or more"] == {"n": 1, "false": 0.0}
    assert found["luck"]["0.8 to 1"] == {"n": 0, "false": None} and list(found["luck"]) == list(LUCK)
    assert found["detectable"] == {"median": 0.012, "power": 1.0}
    assert found["verdicts"] == {"false": 0.5, "power": 0.5, "wrong_way": 0.5}
    assert found["equivalence"] == {"true": 0.5, "false": 0.0}
    assert found["methods"][HARNESS] == {"false_positives": 0.5, "power": 0.5, "coverage": 0.5}
    assert found["methods"]["sign_flip"]["coverage"] is None
    assert found["metrics"] == {"f1": 0.5}
    assert found["bias"]["none"] == pytest.approx(0.0075)


def test_the_command_writes_json_and_picture_and_prints_the_tables(tmp_path, capsys):
    out = tmp_path / "made" / "calibration.json"
    args = ["--experiments", "4", "--replicates", "20", "--only", "6 seeds", "3 seeds", "worth 1, steep"]
    args += ["half kept"]
    args += ["--out", str(out)]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert "where nothing differs" in said and "sign-flip test over the seeds" in said
    found = json.loads(out.read_text())
    assert [d["name"] for d in found["designs"]] == ["6 seeds", "3 seeds"]
    assert [d["name"] for d in found["worth"]] == ["worth 1, steep"]
    assert [d["name"] for d in found["shares"]] == ["half kept"] and "share of the sharing gain kept" in said
    assert "worth, where it is known" in said and "without its bound" in said
    assert found["designs"][1]["verdicts"]["false"] == 0  # screening says nothing
    for design in found["designs"]:
        rates = [x for method in design["methods"].values() for x in method.values() if x is not None]
        assert all(0 <= x <= 1 for x in rates)
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("change", [{"only": ("7 seeds",)}, {"experiments": 1}, {"gain": 0.0}, {"replicates": 0}])
def test_a_wrong_request_is_refused(change):
    with pytest.raises(UserError):
        calibrate(CalibrateOptions(**change))


def test_a_target_is_missed_outside_its_ends_and_screening_has_none_for_verdicts():
    def design(false: float, coverage: float, n_seeds: int = 6) -> dict:
        return {
            "n_seeds": n_seeds, "verdicts": {"false": false}, "methods": {HARNESS: {"coverage": coverage}},
            "arm": {"coverage": 0.95},
        }  # fmt: skip

    assert missed(design(0.05, 0.95)) == []
    assert missed(design(0.02, 0.98)) == ["coverage", "false_positives"]
    assert missed(design(0.0, 0.95, n_seeds=3)) == []


@pytest.mark.parametrize("design", FAMILY_DESIGNS, ids=[d.name for d in FAMILY_DESIGNS])
def test_simulated_families_have_the_auroc_and_differ_as_their_design_says(design):
    layout = dataclasses.replace(design.layout, n_patients=600, n_films=1500, n_seeds=4)
    many = dataclasses.replace(design, n_families=60, layout=layout)
    scores, truth, _ = simulate_families(many, gain=0.05, seed=1)
    found = np.array([[[roc_auc_score(truth, p[:, 1]) for p in arm] for arm in family] for family in scores])
    arms = found.mean(axis=(0, 2))
    assert arms == pytest.approx([0.8, 0.8, 0.85], abs=0.05)
    assert arms[2] - arms[0] == pytest.approx(0.05, abs=0.035)
    gains = found[:, 1].mean(axis=1) - found[:, 0].mean(axis=1)
    own = 0.176 * design.family  # a score is worth about so much AUROC at .8
    assert gains.std() == pytest.approx(np.hypot(own, 0.011), rel=0.5)
    shared = (found[:, 1] - found[:, 0] - gains[:, None]).mean(axis=0).std()
    assert shared > 0.01 if design.order else shared < 0.007


def test_families_are_judged_and_summed_up():
    design = dataclasses.replace(FAMILY_DESIGNS[0], layout=dataclasses.replace(SMALL, n_films=60))
    rows = run_families(FamilyTask(design, (0, 1), 0.05, 100, 0))
    assert rows == [row for k in (0, 1) for row in run_families(FamilyTask(design, (k,), 0.05, 100, 0))]
    assert [row["truth"] for row in rows] == pytest.approx([0.0, 0.05] * 2)
    for row in rows:
        low, high = row["intervals"][HARNESS]
        assert low < row["estimate"] < high and set(row["intervals"]) == set(FAMILY_METHODS)
    words, ends = ("helps", "helps", "no difference shown", "hurts"), ((0.01, 0.1),) * 2 + ((-0.1, 0.1), (-0.1, 0.0))
    told = [
        {**row, "verdict": word, "intervals": dict.fromkeys(FAMILY_METHODS, pair)}
        for row, word, pair in zip(rows, words, ends, strict=True)
    ]
    found = summarise_families(told)
    assert found["verdicts"] == {"false": 0.5, "power": 0.5}
    assert found["methods"][HARNESS]["coverage"] == 0.5 and found["methods"][HARNESS]["false_positives"] == 0.5


def test_what_is_committed_of_families_met_its_targets_where_one_family_or_nested_seeds_did_not():
    found = json.loads(COMMITTED.read_text())
    assert [d["name"] for d in found["families"]] == [d.name for d in FAMILY_DESIGNS]
    for d in found["families"]:
        mine = d["methods"][HARNESS]
        assert d["n_experiments"] >= 500 and TARGETS["coverage"][0] <= mine["coverage"], d["name"]
        assert mine["coverage"] <= TARGETS["coverage"][1] + 0.005, d["name"]  # two designs at 97.2 %, known to 1.4
        assert d["verdicts"]["false"] <= TARGETS["false_positives"][1]
    worst = {m: min(d["methods"][m]["coverage"] for d in found["families"]) for m in FAMILY_METHODS}
    assert worst["nested"] < 0.87 and worst["fixed"] < 0.7 and worst["one_family"] < 0.6


def test_the_committed_shares_of_the_sharing_gain_are_covered_as_often_as_they_say() -> None:
    found = json.loads(COMMITTED.read_text())["shares"]
    assert [d["name"] for d in found] == [d.name for d in SHARE_DESIGNS]
    low, high = TARGETS["coverage"]
    assert all(d["n_experiments"] >= 1000 and low <= d["coverage"] <= high for d in found)
    told = {d["name"]: d["said"] for d in found}
    assert told.pop("half kept, small gain") < 0.6 and min(told.values()) == 1


def test_what_is_committed_met_its_targets_where_what_others_do_did_not():
    found = json.loads(COMMITTED.read_text())
    assert found["settings"]["experiments"] >= 500
    assert [d["name"] for d in found["designs"]] == [d.name for d in DESIGNS]
    assert [d["name"] for d in found["worth"]] == [d.name for d in WORTH_DESIGNS]
    too_bold = {}
    for d in found["designs"]:
        rates = {
            "false": d["verdicts"]["false"] > TARGETS["false_positives"][1],
            "coverage": d["methods"][HARNESS]["coverage"] < TARGETS["coverage"][0],
            "arm": d["arm"]["coverage"] < TARGETS["arm"][0],
        }
        too_bold |= {d["name"]: [k for k, missed_it in rates.items() if missed_it]} if any(rates.values()) else {}
    assert too_bold == {"AUROC .98": ["coverage", "arm"], "collapsed seeds": ["arm"]}  # docs/scale.md says why
    for d in found["designs"]:
        assert d["methods"][HARNESS]["coverage"] >= 0.925 and d["arm"]["coverage"] >= 0.90, d["name"]
    assert all(0.93 <= d["coverage"] <= 0.98 for d in found["worth"])
    worst = {m: max(d["methods"][m]["false_positives"] or 0.0 for d in found["designs"]) for m in METHODS}
    assert worst[HARNESS] <= TARGETS["false_positives"][1]
    assert min(worst[m] for m in ("sign_flip", "seeds_t", "delong", "one_seed")) > 0.15
    assert worst["one_training"] > 0.09
