"""What a verdict says beside its word: power, the positive control, Holm, the margin, few patients, collapsed seeds."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.verdicts.sentences import control_sentence, doubts, power_sentence
from benchmarks.verdicts.verdict import Kind, verdict, word_of, word_of_arm


def row(low: float, high: float, *, n_seeds: int = 6, **more: Any) -> dict[str, Any]:
    """A comparison as a record holds it, as far as a verdict is concerned."""
    return {"difference": (low + high) / 2, "low": low, "high": high, "p_interval": 0.031, "n_seeds": n_seeds, **more}


def positive(low: float, high: float, *, shown: bool | None) -> dict[str, Any]:
    """The positive control's own gain, as a record holds it."""
    return {"name": "holdout_real add 1", "run_id": "x", "shown": shown, **row(low, high)}


ABOVE, BELOW, ACROSS = row(0.01, 0.03), row(-0.03, -0.01), row(-0.01, 0.03)
FAILED = positive(-0.166, 0.032, shown=False)


# -- power --------------------------------------------------------------------------------------------------------


def test_every_verdict_says_the_smallest_difference_that_would_have_been_shown() -> None:
    said = verdict("vae add 1", {"none": {**ACROSS, "detectable": 0.0254}})
    assert said.endswith(
        "This test set and these seeds would have shown a difference of 0.025 in four of five experiments."
    )
    assert "0.025" in verdict("vae add 1", {"none": {**ABOVE, "detectable": 0.0254}})


def test_too_few_seeds_would_have_shown_nothing_whatever_the_size() -> None:
    assert power_sentence(row(0.01, 0.03, n_seeds=5, detectable=0.02)) == ""
    assert power_sentence(ACROSS) == ""  # a record of an older analysis


# -- the positive control -----------------------------------------------------------------------------------------


def test_a_positive_control_that_did_not_come_out_stands_in_the_word_and_in_the_verdict() -> None:
    word = word_of(ACROSS, positive=FAILED)
    assert word.short == "no difference shown (positive control not shown)"
    said = verdict("vae add 1", {"none": ACROSS}, positive=FAILED)
    assert "POSITIVE CONTROL NOT SHOWN TO HELP: holdout_real add 1, further real images, AUROC -0.0670" in said
    assert "could not have shown here" in said


@pytest.mark.parametrize("control", [None, positive(0.02, 0.06, shown=True), positive(0.02, 0.06, shown=None)])
def test_a_positive_control_that_came_out_or_was_not_run_adds_nothing(control: dict[str, Any] | None) -> None:
    assert control_sentence(control) == ""
    assert verdict("vae", {"none": ACROSS}, positive=control) == verdict("vae", {"none": ACROSS})
    assert word_of(ACROSS, positive=control) == word_of(ACROSS)


# -- Holm and the margin ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("judged", "kind"), [(ABOVE, Kind.HELPS), (BELOW, Kind.HURTS)])
def test_holms_p_decides_the_word_of_a_table(judged: dict[str, Any], kind: Kind) -> None:
    assert word_of(judged, adjusted=0.049).kind is kind
    taken = word_of(judged, adjusted=0.491)
    assert (taken.kind, taken.short) == (Kind.NO_DIFFERENCE, "no difference shown")
    assert taken.loud == "NO DIFFERENCE SHOWN, p = 0.491 after Holm's correction for the other arms of the table"
    said = verdict("vae add 1", {"none": judged}, adjusted=0.491)
    assert said.startswith("NO DIFFERENCE SHOWN, p = 0.491 after Holm's correction")


def test_holm_gives_no_word_to_an_interval_that_holds_zero_or_to_screening() -> None:
    assert word_of(ACROSS, adjusted=0.001).kind is Kind.NO_DIFFERENCE
    assert word_of(row(0.01, 0.03, n_seeds=3), adjusted=0.001).kind is Kind.SCREENING


@pytest.mark.parametrize(
    ("low", "high", "below"), [(0.001, 0.009, 0.01), (0.002, 0.02, None), (-0.009, -0.001, 0.01), (-0.03, -0.01, None)]
)
def test_a_difference_below_the_margin_is_marked(low: float, high: float, below: float | None) -> None:
    word = word_of(row(low, high, equivalence={"margin": 0.01, "equivalent": False}))
    assert word.below == below
    assert ("by less than 0.01" in word.short) == (below is not None)
    assert (", BY LESS THAN THE MARGIN OF 0.01" in word.loud) == (below is not None)


def test_without_a_difference_shown_nothing_is_below_the_margin() -> None:
    assert word_of(row(-0.001, 0.002, equivalence={"margin": 0.01, "equivalent": False})).below is None


def test_an_arm_below_the_margin_is_still_measured_against_the_controls() -> None:
    small = row(0.001, 0.009, equivalence={"margin": 0.01, "equivalent": False})
    assert word_of_arm({"none": small, "duplicate": ACROSS}).loud == (
        "HELPS, BY LESS THAN THE MARGIN OF 0.01, BUT NOT SHOWN TO BEAT DUPLICATE"
    )


# -- what it rests on ---------------------------------------------------------------------------------------------


def test_few_patients_and_collapsed_seeds_are_said_after_the_differences() -> None:
    judged = {**ACROSS, "support": "few patients: 3 with ill", "collapsed": ["seed 3 of none collapsed (AUROC 0.500)"]}
    said = verdict("vae add 1", {"none": judged})
    assert said.endswith("Seed 3 of none collapsed (AUROC 0.500). Few patients: 3 with ill.")
    assert list(doubts(ACROSS)) == []


def test_what_could_not_be_compared_says_why() -> None:
    assert verdict("vae add 1", {}, missing="no class can be judged") == (
        "vae add 1: not compared with real images alone: no class can be judged"
    )


def test_where_nothing_scatters_or_everything_does_no_size_is_claimed() -> None:
    assert "cannot be said" in power_sentence({**ACROSS, "detectable": 0.0})
    assert power_sentence({**ACROSS, "detectable": 2.42}).endswith("could not have shown any difference.")


def test_a_gain_beside_a_failed_positive_control_is_to_be_doubted_and_not_denied() -> None:
    said = verdict("vae add 1", {"none": ABOVE}, positive=FAILED)
    assert said.startswith("HELPS") and "could not have shown" not in said and "read with doubt" in said
    hurting = positive(-0.05, -0.01, shown=False)
    assert "POSITIVE CONTROL HURTS" in verdict("vae add 1", {"none": ACROSS}, positive=hurting)


def test_holms_p_of_exactly_five_in_a_hundred_is_no_finding() -> None:
    assert word_of(ABOVE, adjusted=0.05).kind is Kind.NO_DIFFERENCE
