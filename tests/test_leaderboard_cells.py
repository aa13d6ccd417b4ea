"""What a cell of a table says, and what stands in the place of a number that is missing."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.verdicts.verdict import Kind, word_of_arm
from leaderboard.flat import flat_rows
from leaderboard.latex import latex
from leaderboard.numbers import FIDELITY, Number
from leaderboard.pages.columns import built_in
from leaderboard.text import cell, markdown


def test_a_control_drawn_again_is_compared_with_its_first_draw(lab: Any) -> None:
    lab.run("none", 1.0)
    first, again = lab.run("duplicate", 1.0), lab.run("duplicate", 1.0, jitter=3, generator_seed=1)
    lab.run("duplicate", 1.0, jitter=4, filters=("near",))
    (table,) = lab.tables()
    rows = {row.standing.entry.run_id: row.standing for row in table.rows}
    assert rows[again["run_id"]].against["duplicate"]["run_id"] == first["run_id"]
    assert rows[first["run_id"]].missing["duplicate"] == "this arm is the control itself"


def test_a_point_of_the_learning_curve_is_never_the_zero_line(lab: Any) -> None:
    lab.run("none", 2.5, portion=2.0)
    zero = lab.run("none", 1.0)
    arm = lab.run("good", 2.0, controls=("duplicate",))
    (table,) = lab.tables()
    rows = {row.standing.entry.run_id: row for row in table.rows}
    assert [row.label for row in table.rows] == ["none x 2", "good add 0.5", "none"]
    assert rows[arm["run_id"]].standing.against["none"]["run_id"] == zero["run_id"]
    assert rows[arm["run_id"]].verdict == "helps"


def test_a_remedy_says_why_it_has_no_fidelity_no_worth_and_no_duplicate_arm(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("mixup", 1.1, ratio=0.0)
    (table,) = lab.tables()
    row = next(r for r in table.rows if r.standing.entry.spec["generator"] == "mixup")
    notes = {name: row.numbers[name].note for name in ("fid", "class_consistency", "worth", "vs_duplicate")}
    assert notes == {
        "fid": "real images alone: nothing was fitted or drawn",
        "class_consistency": "real images alone: nothing was fitted or drawn",
        "worth": "real images alone: nothing was added",
        "vs_duplicate": "a classical remedy has no ratio at which there would be a duplicate arm",
    }
    assert row.numbers["vs_none"].value is not None


def test_a_tiny_p_is_not_written_as_zero() -> None:
    assert cell("holm_none", Number(1e-9), str) == "< 0.001"
    assert cell("p_none", Number(0.0313), str) == "0.031"


@pytest.mark.parametrize(("metric", "label"), [
    ("fd", "FD"), ("kd", "KD"), ("manifold_precision", "precision"), ("manifold_recall", "recall"),
    ("density", "density"), ("coverage", "coverage"),
])  # fmt: skip
def test_a_number_is_shown_in_the_features_it_was_measured_in(metric: str, label: str, lab: Any) -> None:
    lab.run("none", 1.0)
    record = lab.run("good", 2.0, fid=None)
    (like,) = (value for value in record["fidelity"].values() if value["extractor"] == "efficientnet_lite0")
    of = {"metric": metric, "value": 0.625, "n": 9, "extra": {"floor": 0.5, "floor_n": 9}}
    lite = {**like, **of}
    inception = {**lite, "extractor": "inception", "features": None, "value": 0.25}
    lab.change(record, fidelity={f"{metric}@9/lite": lite})
    (table,) = lab.tables()
    (row,) = (row for row in table.rows if row.label.startswith("good"))
    shown = row.numbers[f"{metric}_efficientnet_lite0"]
    assert (shown.value, shown.floor, shown.floor_n) == (0.625, 0.5, 9)
    theirs = metric if metric not in ("fd", "kd") else {"fd": "fid", "kd": "kid"}[metric]
    assert row.numbers[theirs].value is None and row.numbers[theirs].note
    assert f"| {label} (EfficientNet) |" in markdown([table]) and "| 0.625 @9 (floor 0.5 @9) |" in markdown([table])
    (flat,) = (one for one in flat_rows([table]) if one["generator"] == "good")
    assert flat[f"{metric}_efficientnet_lite0"] == 0.625 and flat[f"{metric}_efficientnet_lite0_floor"] == 0.5
    if theirs == metric:
        lab.change(record, fidelity={f"{metric}@9/lite": lite, f"{metric}@9": inception})
        (both,) = (row for row in lab.tables()[0].rows if row.label.startswith("good"))
        assert (both.numbers[metric].value, both.numbers[f"{metric}_efficientnet_lite0"].value) == (0.25, 0.625)
        assert f"| {label} (Inception) |" in markdown([table])


def test_a_sensitivity_stands_beside_what_its_threshold_holds_on_test(lab: Any) -> None:
    lab.run("none", 1.0)
    record = lab.run("good", 2.0)
    rate = {**record["utility"]["auroc"], "metric": "sensitivity_at_95_specificity", "value": 0.96, "low": 0.9,
            "high": 1.0}  # fmt: skip
    kept = {**rate, "extra": {"held_on_test": 0.68, "per_seed": [0.96] * 6}}
    lab.change(record, utility={**record["utility"], rate["metric"]: kept})
    (table,) = lab.tables()
    (row,) = (row for row in table.rows if row.label.startswith("good"))
    assert (row.numbers[rate["metric"]].value, row.numbers["held_on_test"].value) == (0.96, 0.68)
    lab.change(record, utility={**record["utility"], rate["metric"]: {**rate, "extra": {"per_seed": [0.96] * 6}}})
    (table,) = lab.tables()
    (row,) = (row for row in table.rows if row.label.startswith("good"))
    assert row.numbers["held_on_test"].value is None
    assert "written before" in str(row.numbers["held_on_test"].note)
    named = {column.id: column.label for column in built_in()}
    assert named["sensitivity_at_95_specificity"].endswith("on val")


def test_columns_of_image_quality_say_in_whose_features_they_are() -> None:
    for one in built_in():
        if one.id in FIDELITY:
            whose = FIDELITY[one.id].get("extractor", "inception")
            name = "EfficientNet" if whose == "efficientnet_lite0" else "Inception"
            assert one.label in ("FID", "KID", "IS") or one.label.endswith(f"({name})"), one.id
            assert name in one.help and one.group == "Image quality", one.id


def test_latex_has_fid_where_it_was_measured_and_else_the_distance_in_efficientnets_features(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("good", 2.0, fid=None)
    text = latex(lab.tables())
    assert "FD (EfficientNet-Lite0) & status" in text and "FID" not in text and "0.5 @9" in text
    lab.run("bad", 0.5, fid=30.0)
    text = latex(lab.tables())
    assert "& FID & status" in text and "FD (EfficientNet-Lite0)" not in text and "30 @9" in text


def test_an_arm_that_trained_longer_is_not_called_better(lab: Any) -> None:
    lab.run("none", 1.0)
    record = lab.run("longer", 2.5, ratio=1.0)
    row = {**record["comparisons"]["none"], "unequal": "10 optimiser steps against 5"}
    lab.change(record, comparisons={"none": row})
    (table,) = lab.tables()
    found = next(r for r in table.rows if r.standing.entry.spec["generator"] == "longer")
    assert found.verdict == "unequal compute"
    assert found.sentence.startswith("UNEQUAL COMPUTE, 10 optimiser steps against 5. ")


def test_worth_stands_in_the_table_or_the_reason_why_not(lab: Any) -> None:
    lab.run("none", 1.0)
    record = lab.run("good", 2.0)
    lab.run("bad", 0.5)
    worth = {"n_real": 9, "n_synthetic": 4, "where": "on the curve", "n_equivalent": 11.0, "n_low": 9.5, "n_high": None,
             "worth": 0.5, "low": 0.125, "high": None, "note": "", "curve": []}  # fmt: skip
    lab.change(record, worth=worth)
    text = markdown(lab.tables())
    assert "0.50 [0.12, ...]" in text
    assert "no worth: run it with --curve" in text


def test_the_word_of_a_table_is_the_one_that_survives_holms_correction(lab: Any) -> None:
    """One arm whose interval alone excludes 0 by a little, among thirty that change nothing."""
    lab.run("none", 1.0)
    found = None
    for quality in (1.02, 1.03, 1.04, 1.05, 1.06, 1.08):
        arm = lab.run("good", quality, jitter=9, gen={"quality": quality})
        if 0.002 < arm["comparisons"]["none"]["p_interval"] < 0.05:
            found = arm
    assert found is not None and word_of_arm(found["comparisons"]).kind is Kind.HELPS
    for k in range(30):
        lab.run("idle", 1.0, jitter=20 + k, gen={"k": k})
    (table,) = lab.tables()
    row = next(r for r in table.rows if r.standing.entry.run_id == found["run_id"])
    assert row.standing.holm is not None and row.standing.holm >= 0.05
    assert row.verdict == "no difference shown"
    assert "after Holm's correction" in row.sentence


def test_a_positive_control_that_failed_is_in_the_row_and_in_the_sentence(lab: Any) -> None:
    lab.run("none", 1.0)
    arm = lab.run("idle", 1.0, jitter=3)
    failed = {
        "name": "holdout_real add 0.5", "run_id": "e" * 64, "shown": False, "difference": -0.07, "low": -0.17,
        "high": 0.03, "p_interval": 0.2, "n_seeds": 6, "detectable": 0.1,
    }  # fmt: skip
    lab.change(arm, positive_control=failed)
    (table,) = lab.tables()
    row = next(r for r in table.rows if r.standing.entry.run_id == arm["run_id"])
    assert row.verdict == "no difference shown (positive control not shown)"
    assert "POSITIVE CONTROL NOT SHOWN TO HELP: holdout_real add 0.5" in row.sentence
