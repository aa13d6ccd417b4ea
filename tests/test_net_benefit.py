"""Net benefit at a stated prevalence: the formula, the way probabilities are moved, resamples, records and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.metrics.net_benefit import THRESHOLDS, Moved, describe_decision, net_benefit, net_benefit_of
from benchmarks.records.decision_shape import DECISION, of_decision
from benchmarks.records.kinds import Wrong
from benchmarks.report.decision import SHOWN, net_benefit_sentence, print_decision
from benchmarks.report.figures.decision import draw_decision
from benchmarks.request.options import parse
from benchmarks.request.spec import RunSpec, real_only
from benchmarks.statistics.net_benefit import sample_net_benefit
from benchmarks.statistics.resamples import Resamples
from leaderboard.tables import arm_of, setting_of
from synthworth.errors import UserError

PI = 0.02


def findings(n: int, *, seed: int, k: int = 2, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Truth (n, k) and probabilities that know something of it, and are far too sure of themselves."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, k)) < share).astype(np.uint8)
    return truth, 1 / (1 + np.exp(-3 * rng.normal(1.5 * truth - 1, 1.0)))


def exact(n: int, *, share: float, seed: int, off: float = 0.0, sure: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """One finding: x ~ N(+-1/2, 1), whose true log-odds are x + logit(share).

    The classifier says these, moved by `off` and times `sure`.
    """
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < share).astype(np.uint8)
    x = rng.normal(truth - 0.5, 1.0)
    return truth[:, None], 1 / (1 + np.exp(-sure * (x + np.log(share / (1 - share)) + off)))[:, None]


# -- the formula ----------------------------------------------------------------------------------------------------


def test_the_formula_gives_what_is_worked_out_by_hand() -> None:
    """1,000 patients, 100 with the finding; 80 found, 90 false alarms; at 20 % an alarm costs a quarter: 80 - 22.5."""
    assert net_benefit_of(0.8, 0.1, prevalence=0.1, threshold=0.2) == pytest.approx((80 - 90 / 4) / 1000)
    assert net_benefit_of(1.0, 1.0, prevalence=0.1, threshold=0.1) == pytest.approx(0)
    assert net_benefit_of(0.8, 0.1, prevalence=0.1, threshold=0.1) == pytest.approx(0.1 * 0.7)


@pytest.mark.parametrize(("off", "sure"), [(0.0, 1.0), (2.0, 1.0), (0.0, 3.0), (-1.5, 0.4)])
def test_probabilities_are_brought_to_the_stated_prevalence_whatever_the_classifier_was_trained_on(
    off: float, sure: float
) -> None:
    """A film is called positive where its true chance at the stated prevalence is the threshold or more."""
    val_truth, val_scores = exact(40_000, share=0.3, seed=0, off=off, sure=sure)
    moved = Moved.fit(truth=val_truth, scores=val_scores)
    for prevalence, threshold in ((0.02, 0.02), (0.02, 0.1), (0.5, 0.3)):
        # x from which the chance is `threshold`: x = logit(threshold) - logit(prevalence)
        x = np.log(threshold / (1 - threshold)) - np.log(prevalence / (1 - prevalence))
        said = sure * (x + np.log(0.3 / 0.7) + off)  # the logit that such a film is given
        assert moved.cut(prevalence, threshold)[0] == pytest.approx(said, abs=0.12 * sure)


def test_the_mean_on_val_is_its_share_of_positives() -> None:
    truth, scores = findings(400, seed=1)
    moved = Moved.fit(truth=truth, scores=scores)
    logits = np.log(scores / (1 - scores)) * moved.slope + moved.intercept
    assert (1 / (1 + np.exp(-logits))).mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=1e-9)
    assert Moved.from_json(json.loads(json.dumps(moved.to_json()))).cut(PI, 0.1) == pytest.approx(moved.cut(PI, 0.1))


def test_slope_and_intercept_are_those_of_logistic_regression_on_the_logit() -> None:
    from sklearn.linear_model import LogisticRegression

    truth, scores = findings(400, seed=1)
    moved = Moved.fit(truth=truth, scores=scores)
    for q in range(2):
        logit = np.log(scores[:, [q]] / (1 - scores[:, [q]]))
        made = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(logit, truth[:, q])
        assert (moved.slope[q], moved.intercept[q]) == pytest.approx((made.coef_[0, 0], made.intercept_[0]), abs=1e-4)


def test_val_that_is_told_apart_without_an_error_still_gives_a_cut_between_the_two_sides() -> None:
    truth = np.array([[0]] * 5 + [[1]] * 5)
    scores = np.array([[0.1]] * 5 + [[0.7]] * 5)
    cut = Moved.fit(truth=truth, scores=scores).cut(PI, PI)[0]
    assert np.log(0.1 / 0.9) < cut < np.log(0.7 / 0.3)


def test_at_the_prevalence_itself_the_decision_is_one_for_every_prevalence() -> None:
    truth, scores = findings(400, seed=1)
    moved = Moved.fit(truth=truth, scores=scores)
    assert moved.cut(0.01, 0.01) == pytest.approx(moved.cut(0.4, 0.4))


def measured(truth: Any, scores: Any, val: Any, prevalence: float = PI, **more: Any) -> Any:
    return net_benefit(truth=truth, scores=scores, val_truth=val[0], val_scores=val[1], prevalence=prevalence, **more)


def test_it_is_the_prevalence_times_sensitivity_less_false_alarms_by_class_and_their_mean() -> None:
    val, (truth, scores) = findings(300, seed=1), findings(300, seed=2)
    found = measured(truth, scores, val, classes=("a", "b"))
    moved = Moved.fit(truth=val[0], scores=val[1])
    values = []
    for q, name in enumerate(("a", "b")):
        yes = truth[:, q] == 1
        # the cut, written out as a threshold on the probability as it was given
        threshold = 1 / (1 + np.exp(-moved.cut(PI, PI)[q]))
        called = scores[:, q] >= threshold
        row = found[f"net_benefit[{name}]"]
        assert row.value == pytest.approx(PI * (called[yes].mean() - called[~yes].mean()))
        assert row.extra["sensitivity"] == called[yes].mean() and row.extra["prevalence"] == PI
        values.append(row.value)
    assert found["net_benefit"].value == pytest.approx(np.mean(values))


def test_of_two_classes_there_is_one_question_and_of_three_one_each() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 3):
        truth = rng.integers(0, k, 200)
        raw = np.exp(rng.normal(size=(200, k)) + 2 * np.eye(k)[truth])
        scores = raw / raw.sum(axis=1, keepdims=True)
        found = measured(truth, scores, (truth, scores), 0.1)
        labels = [value.label for value in found.values()]
        assert labels == [None, "1"] if k == 2 else [None, "0", "1", "2"]
        assert 0.02 < found["net_benefit"].value <= 0.1


def test_what_val_or_test_cannot_judge_is_null_with_its_reason() -> None:
    val, (truth, scores) = findings(60, seed=1), findings(80, seed=2)
    val[0][:, 0] = 0
    truth[:, 1] = 0
    truth[5, 1] = 1
    found = measured(truth, scores, val, classes=("a", "b"))
    assert found["net_benefit[a]"].note == "no positive image in val to calibrate by"
    assert found["net_benefit[b]"].note == "1 positive patient: 2 are needed"
    assert found["net_benefit"].value is None
    told = measured(truth, 5 * scores, val)
    assert told["net_benefit"].value is None and "are no probabilities" in told["net_benefit"].note


# -- resamples ------------------------------------------------------------------------------------------------------


def test_every_resample_is_the_number_of_the_resample_written_out() -> None:
    (val_truth, _), (truth, _) = findings(200, seed=1), findings(90, seed=2)
    scores = np.stack([findings(90, seed=2 + 7 * s)[1] for s in range(2)])
    val_scores = np.stack([findings(200, seed=1 + 7 * s)[1] for s in range(2)])
    groups = np.array([k // 2 for k in range(90)])
    resamples = Resamples.draw([f"p{g}" for g in groups], seed=3, n_replicates=9)
    found = sample_net_benefit(
        scores, truth, resamples, val_truth=val_truth, val_scores=val_scores, prevalence=PI, classes=("a", "b")
    )
    for s in range(2):
        plain = measured(truth, scores[s], (val_truth, val_scores[s]), classes=("a", "b"), patients=groups.tolist())
        assert found["net_benefit"].values[s] == pytest.approx(plain["net_benefit"].value, abs=1e-12)
        for b in range(9):
            rows = np.concatenate([np.repeat(np.flatnonzero(resamples.patient == p), int(n))
                                   for p, n in enumerate(resamples.counts[:, 1 + b])])  # fmt: skip
            again = measured(truth[rows], scores[s][rows], (val_truth, val_scores[s]), classes=("a", "b"))
            for name in ("net_benefit", "net_benefit[a]", "net_benefit[b]"):
                assert found[name].draws[s, b] == pytest.approx(again[name].value, abs=1e-12)


def test_an_interval_lies_within_the_prevalence_and_may_lie_below_0() -> None:
    val, (truth, scores) = findings(200, seed=1), findings(60, seed=2)
    resamples = Resamples.draw(list(range(60)), seed=3, n_replicates=200)
    told = {"val_truth": val[0], "val_scores": val[1][None].repeat(2, 0), "prevalence": PI, "classes": ("a", "b")}
    for turned in (scores, 1 - scores):
        found = sample_net_benefit(turned[None].repeat(2, 0), truth, resamples, **told)["net_benefit"]
        interval = found.interval()
        assert -PI <= interval.low < found.mean < interval.high <= PI
    assert found.mean < 0 and interval.low < -PI / 2


# -- the decision curve ---------------------------------------------------------------------------------------------


def described(prevalence: float = 0.1, **change: Any) -> dict[str, Any]:
    val, (truth, scores) = findings(300, seed=1), findings(300, seed=2)
    told = {
        "truth": truth, "scores": scores[None], "val_truth": val[0], "val_scores": val[1][None],
        "prevalence": prevalence, "classes": ("a", "b"), "patients": list(range(300)),
    }  # fmt: skip
    return describe_decision(**{**told, **change})


def test_the_curve_goes_through_the_number_at_the_prevalence_and_beats_treating_everybody_and_nobody() -> None:
    found, val, (truth, scores) = described(), findings(300, seed=1), findings(300, seed=2)
    number = measured(truth, scores, val, 0.1, classes=("a", "b"))
    at = THRESHOLDS.index(0.1)
    for name in ("a", "b"):
        assert found["curves"][name][at] == pytest.approx(number[f"net_benefit[{name}]"].value)
    assert found["mean"][at] == pytest.approx(number["net_benefit"].value)
    assert found["treat_all"][at] == pytest.approx(0) and found["treat_all"][0] == pytest.approx(0.1 - 0.9 / 99)
    assert found["mean"][at] > 0.03
    assert found["mean"][0] >= found["treat_all"][0] - 0.002  # where hardly an alarm is too many, all are alarmed


def test_a_finding_without_patients_has_no_curve_and_scores_that_are_none_say_so() -> None:
    truth, _ = findings(300, seed=2)
    truth[:, 0] = 0
    found = described(truth=truth)
    assert found["curves"]["a"] is None and found["mean"] == found["curves"]["b"]
    none = described(val_scores=7 * findings(300, seed=1)[1][None])
    assert none["mean"] is None and "no probabilities" in none["note"]


def test_pictures_and_tables_show_a_curve_or_say_why_there_is_none(tmp_path: Path) -> None:
    from benchmarks.report.tables import console

    record = {"name": "vae add 1", "run_id": "a" * 64, "decision": described()}
    alone = {"name": "none", "run_id": "b" * 64, "decision": described()}
    null = {**record, "decision": {**described(), "mean": None, "curves": {}, "note": "no probabilities"}}
    made = {}
    for name, one, other in (("a", record, alone), ("b", record, None), ("c", null, alone)):
        draw_decision(tmp_path / f"{name}.png", one, alone=other)
        made[name] = (tmp_path / f"{name}.png").read_bytes()
    assert all(picture.startswith(b"\x89PNG") for picture in made.values()) and len(set(made.values())) == 3
    out = console()
    with out.capture() as said:
        print_decision(out, record)
        print_decision(out, null)
    assert "everybody" in said.get() and f"{described()['mean'][THRESHOLDS.index(0.1)]:+.4f}" in said.get()
    assert "decision curve: null (no probabilities)" in said.get()
    assert set(SHOWN) <= set(THRESHOLDS)


def test_a_part_of_a_record_that_does_not_go_together_is_named() -> None:
    held = json.loads(json.dumps(described()))
    spec = {"prevalence": 0.1, "seeds": 1}
    DECISION(held)
    assert list(of_decision(held, spec)) == [] and list(of_decision(None, spec)) == []
    (said,) = of_decision(held, {**spec, "prevalence": 0.2})
    assert "another prevalence" in said
    (said,) = of_decision(held, {**spec, "seeds": 2})
    assert said == "moves probabilities of 1 classifiers, and has 2 seeds"
    (said,) = of_decision({**held, "mean": held["mean"][1:]}, spec)
    assert "number of points" in said
    with pytest.raises(Wrong):
        DECISION({**held, "treat_all": "all"})


# -- the option -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prevalence", [1.0, 1.5, -0.1, float("nan")])
def test_a_prevalence_that_is_no_share_is_refused(make_spec: Any, prevalence: float) -> None:
    with pytest.raises(UserError, match=r"--prevalence .* above 0 and below 1"):
        make_spec(prevalence=prevalence)


def test_it_is_a_measurement_and_changes_neither_what_is_trained_nor_a_record_without_it(make_spec: Any) -> None:
    plain, stated = make_spec(), make_spec(prevalence=0.1)
    assert "prevalence" not in plain.to_json() and plain.run_id != stated.run_id
    assert (plain.fit_key, plain.name) == (stated.fit_key, stated.name)
    one, other = plain.to_json(), stated.to_json()
    assert (arm_of(one), setting_of(one)) == (arm_of(other), setting_of(other))  # one row of one table
    spec: RunSpec = real_only(stated)
    assert spec.prevalence == 0.1  # what an arm is compared with is measured at the same prevalence
    assert parse(["--preset", "smoke", "--prevalence", "0.1"], prog="test").options.prevalence == 0.1


# -- a record -------------------------------------------------------------------------------------------------------

TINY = [
    "--preset", "smoke", "--dataset", "digits", "--extractors", "--generator", "noise", "--controls", "none",
    "--classifier", "resnet10t", "--train.steps", "12", "--workers", "1", "--prevalence", "0.2",
]  # fmt: skip


@pytest.mark.slow
def test_a_record_holds_it_shows_it_and_its_predictions_bear_it_out(tmp_path: Path, call_here: Any) -> None:
    from benchmarks.records.store import Records
    from benchmarks.request.again import request_again
    from benchmarks.verdicts.recheck import recheck

    done = call_here(tmp_path, "benchmarks.run", *TINY)
    assert done.returncode == 0, done.stderr
    assert "BENEFIT  noise add 0.5 at a prevalence of 0.2: net benefit " in done.stdout
    kept = Records(tmp_path / "results/runs")
    mine = next(e for e in kept.read().finished if e.spec["generator"] == "noise")
    record, beside = dict(mine.record), kept.beside(mine)
    row = record["comparisons"]["none"]["metrics"]["net_benefit"]
    assert row["low"] <= row["difference"] <= row["high"]
    assert f"{row['difference']:+.4f}" in net_benefit_sentence(record)
    assert (mine.folder / "decision.png").read_bytes().startswith(b"\x89PNG")
    shown = call_here(tmp_path, "benchmarks.show", mine.run_id[:12])
    assert "net benefit where 0.2 have the finding" in shown.stdout and "NOT BORNE OUT" not in shown.stdout
    assert request_again(record["spec"], [], prog="test").options.prevalence == 0.2
    assert recheck(mine, beside).contradicted == ()

    def changed(**parts: Any) -> str:
        return " ".join(recheck(type(mine)({**record, **parts}, mine.folder), beside).contradicted)

    value = record["utility"]["net_benefit"]
    assert "net_benefit" in changed(utility={**record["utility"], "net_benefit": {**value, "value": 0.19}})
    curve = [x + 0.05 for x in record["decision"]["mean"]]
    assert "decision.mean" in changed(decision={**record["decision"], "mean": curve})
    better = {**row, "difference": row["difference"] + 0.1}
    metrics = {**record["comparisons"]["none"]["metrics"], "net_benefit": better}
    assert "net_benefit" in changed(comparisons={"none": {**record["comparisons"]["none"], "metrics": metrics}})

    again = call_here(tmp_path, "benchmarks.reanalyse", "--out", "again")
    assert again.returncode == 0, again.stderr
    made = next(e for e in Records(tmp_path / "again").read().finished if e.run_id == mine.run_id)
    assert made.record["decision"]["mean"] == pytest.approx(record["decision"]["mean"])
    assert made.record["utility"]["net_benefit"]["value"] == pytest.approx(value["value"])
    assert made.record["comparisons"]["none"]["metrics"]["net_benefit"]["low"] == pytest.approx(row["low"])
    assert "net_benefit" not in made.record["reanalysed"]["kept"]
