"""Simulated experiments whose truth is known, the command that judges them, and what it found for this version."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.calibrate.__main__ import TARGETS, CalibrateOptions, calibrate, main, missed
from benchmarks.calibrate.simulate import DESIGNS, HARNESS, METHODS, Design, Task, run_experiments, simulate, summarise
from synthworth.errors import UserError

COMMITTED = Path(__file__).resolve().parent.parent / "results" / "reference" / "calibration.json"
SMALL = Design("small", "a test set that a test can afford", n_patients=40, n_films=90, n_seeds=6)


@pytest.mark.parametrize("design", DESIGNS, ids=[d.name for d in DESIGNS])
def test_a_simulated_arm_has_the_auroc_that_its_design_says(design):
    """Mean over many seeds and patients; 60 seeds leave a standard error of about .004 where they differ much."""
    many = dataclasses.replace(design, n_patients=2000, n_films=6000, n_seeds=60)
    made = simulate(many, gain=0.05, seed=1)
    found = [np.mean([roc_auc_score(made.truth, p[:, 1]) for p in arm]) for arm in made.scores]
    assert found == pytest.approx([0.80, 0.80, 0.85], abs=0.02)
    assert found[2] - found[0] == pytest.approx(0.05, abs=0.02)
    assert made.truth.mean() == pytest.approx(design.prevalence, abs=0.03)


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
        }

    rows = [
        row(0.0, "helps", 0.01, 0.02),
        row(0.0, "no difference shown", -0.01, 0.01),
        row(0.02, "helps", 0.01, 0.03),
        row(0.02, "hurts", -0.03, -0.01),
    ]
    found = summarise(rows)
    assert found["verdicts"] == {"false": 0.5, "power": 0.5, "wrong_way": 0.5}
    assert found["equivalence"] == {"true": 0.5, "false": 0.0}
    assert found["methods"][HARNESS] == {"false_positives": 0.5, "power": 0.5, "coverage": 0.5}
    assert found["methods"]["sign_flip"]["coverage"] is None
    assert found["metrics"] == {"f1": 0.5}
    assert found["bias"]["none"] == pytest.approx(0.0075)


def test_the_command_writes_json_and_picture_and_prints_the_tables(tmp_path, capsys):
    out = tmp_path / "made" / "calibration.json"
    args = ["--experiments", "4", "--replicates", "20", "--only", "6 seeds", "3 seeds", "--out", str(out)]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert "says helps or hurts" in said and "sign-flip test over the seeds" in said
    found = json.loads(out.read_text())
    assert [d["name"] for d in found["designs"]] == ["6 seeds", "3 seeds"]
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
        return {"n_seeds": n_seeds, "verdicts": {"false": false}, "methods": {HARNESS: {"coverage": coverage}}}

    assert missed(design(0.05, 0.95)) == []
    assert missed(design(0.02, 0.98)) == ["coverage", "false_positives"]
    assert missed(design(0.0, 0.95, n_seeds=3)) == []


def test_what_is_committed_met_its_targets_where_what_others_do_did_not():
    found = json.loads(COMMITTED.read_text())
    assert found["settings"]["experiments"] >= 500
    assert [d["name"] for d in found["designs"]] == [d.name for d in DESIGNS]
    known = {"3 trainings": ["coverage"]}  # 97.1 %, a little wide; docs/decisions.md says so
    for design in found["designs"]:
        assert missed(design) == known.get(design["name"], []), design["name"]
        assert design["methods"][HARNESS]["coverage"] >= TARGETS["coverage"][0], design["name"]
    worst = {m: max(d["methods"][m]["false_positives"] or 0.0 for d in found["designs"]) for m in METHODS}
    assert worst[HARNESS] <= TARGETS["false_positives"][1]
    assert min(worst[m] for m in ("sign_flip", "seeds_t", "delong", "one_seed")) > 0.15
    assert worst["one_training"] > 0.09
