"""The word that a comparison earns, and that every place that says a word says this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.statistics.word import MIN_SEEDS, side_of_zero, too_few_seeds, word_of_interval
from benchmarks.verdicts.verdict import MIN_TRAININGS, Kind, Word, verdict, word_of, word_of_arm

REFERENCE = sorted((Path(__file__).resolve().parent.parent / "results/reference").glob("*/record.json"))


def row(low: float, high: float, *, n_seeds: int = 6, **more: Any) -> dict[str, Any]:
    """A comparison as a record holds it, as far as a word is concerned."""
    return {"difference": (low + high) / 2, "low": low, "high": high, "p_interval": 0.031, "n_seeds": n_seeds, **more}


ABOVE, BELOW, ACROSS = row(0.01, 0.03), row(-0.03, -0.01), row(-0.01, 0.03)
EQUIVALENT = {"equivalent": True, "sentence": "EQUIVALENT within +-0.01"}


# -- the interval alone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "side"),
    [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (0.0, 0.1, 0), (-0.1, 0.0, 0), (0.0, 0.0, 0)],
)
def test_an_interval_lies_on_a_side_of_zero_only_with_both_its_ends(low: float, high: float, side: int) -> None:
    assert side_of_zero(low, high) == side
    words = {1: "helps", -1: "hurts", 0: "no difference shown"}
    assert word_of_interval(low, high, n_seeds=MIN_SEEDS) == words[side]


def test_fewer_than_six_seeds_give_no_word_and_say_why() -> None:
    assert [too_few_seeds(n) for n in (1, 5, 6, 7)] == [
        "1 seed cannot reach p < 0.05", "5 seeds cannot reach p < 0.05", None, None,
    ]  # fmt: skip
    assert {word_of_interval(*ends, n_seeds=5) for ends in ((0.1, 0.2), (-0.2, -0.1))} == {"no difference shown"}


# -- the word -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judged", "word"),
    [
        (None, Word(Kind.NOT_COMPARED)),
        (ABOVE, Word(Kind.HELPS)),
        (BELOW, Word(Kind.HURTS)),
        (ACROSS, Word(Kind.NO_DIFFERENCE)),
        ({**ACROSS, "equivalence": EQUIVALENT}, Word(Kind.NO_DIFFERENCE, "EQUIVALENT within +-0.01")),
        ({**ACROSS, "equivalence": {**EQUIVALENT, "equivalent": False}}, Word(Kind.NO_DIFFERENCE)),
        ({**ACROSS, "equivalence": None}, Word(Kind.NO_DIFFERENCE)),
        ({**ABOVE, "equivalence": EQUIVALENT}, Word(Kind.HELPS)),
        ({**BELOW, "equivalence": EQUIVALENT}, Word(Kind.HURTS)),
        (row(0.01, 0.03, n_seeds=5), Word(Kind.SCREENING, "5 seeds cannot reach p < 0.05")),
        ({**ABOVE, "unequal": None}, Word(Kind.HELPS)),
        ({**ABOVE, "unequal": "9 steps against 5"}, Word(Kind.UNEQUAL, "9 steps against 5")),
        (row(-3, -1, n_seeds=1, unequal="9 steps against 5"), Word(Kind.UNEQUAL, "9 steps against 5")),
        ({**ABOVE, "n_trainings": MIN_TRAININGS}, Word(Kind.HELPS)),
        ({**ABOVE, "n_trainings": 2}, Word(Kind.SCREENING, "2 trainings are fewer than 3")),
        (row(1, 2, n_seeds=3, n_trainings=2), Word(Kind.SCREENING, "3 seeds cannot reach p < 0.05")),
    ],
)
def test_every_comparison_earns_one_word(judged: dict[str, Any] | None, word: Word) -> None:
    assert word_of(judged) == word


def test_an_arm_that_helps_is_not_shown_to_beat_a_control_unless_the_whole_interval_lies_above_it() -> None:
    others = {"duplicate": ACROSS, "holdout_real": BELOW, "noise": ABOVE, "jitter": row(0.0, 0.02)}
    assert word_of(ABOVE, others).unbeaten == ("duplicate", "holdout_real", "jitter")
    assert word_of(ABOVE, {"noise": ABOVE}) == Word(Kind.HELPS)
    assert word_of_arm({"noise": ABOVE, "none": ABOVE, **others}) == word_of(ABOVE, others)


@pytest.mark.parametrize("gain", [BELOW, ACROSS, row(0.01, 0.03, n_seeds=3), {**ABOVE, "unequal": "x"}])
def test_only_an_arm_that_helps_is_told_which_controls_it_does_not_beat(gain: dict[str, Any]) -> None:
    assert word_of_arm({"none": gain, "duplicate": ACROSS}).unbeaten == ()


def test_without_real_images_alone_nothing_is_said_of_an_arm() -> None:
    assert word_of_arm({"duplicate": ABOVE}) == Word(Kind.NOT_COMPARED)
    assert verdict("vae add 1", {"duplicate": ABOVE}) == "vae add 1: not compared with real images alone"


@pytest.mark.parametrize(
    ("word", "short", "loud"),
    [
        (Word(Kind.HELPS), "helps", "HELPS"),
        (
            Word(Kind.HELPS, unbeaten=("duplicate", "jitter")),
            "helps, not shown to beat duplicate or jitter",
            "HELPS, BUT NOT SHOWN TO BEAT DUPLICATE OR JITTER",
        ),
        (Word(Kind.HURTS), "hurts", "HURTS"),
        (
            Word(Kind.NO_DIFFERENCE, "EQUIVALENT within +-0.01"),
            "no difference shown",
            "NO DIFFERENCE SHOWN, EQUIVALENT within +-0.01",
        ),
        (Word(Kind.SCREENING, "3 seeds"), "screening only", "SCREENING ONLY, 3 seeds"),
        (Word(Kind.UNEQUAL, "9 against 5"), "unequal compute", "UNEQUAL COMPUTE, 9 against 5"),
        (Word(Kind.NOT_COMPARED), "not compared", "NOT COMPARED"),
    ],
)
def test_a_table_says_the_word_in_short_and_a_sentence_aloud(word: Word, short: str, loud: str) -> None:
    assert (word.short, word.loud) == (short, loud)


# -- the sentence -------------------------------------------------------------------------------------------------


def test_the_verdict_gives_the_gain_and_the_difference_to_duplicates_and_no_other() -> None:
    found = verdict("vae add 1", {"noise": BELOW, "duplicate": ACROSS, "none": ABOVE})
    assert found == (
        "HELPS, BUT NOT SHOWN TO BEAT DUPLICATE OR NOISE. vae add 1: AUROC +0.0200 [+0.0100, +0.0300], p = 0.031 "
        "against real images alone; AUROC +0.0100 [-0.0100, +0.0300], p = 0.031 against duplicate"
    )


def test_one_seed_has_no_p_in_the_sentence() -> None:
    assert verdict("vae", {"none": row(0.01, 0.03, n_seeds=1)}) == (
        "SCREENING ONLY, 1 seed cannot reach p < 0.05. vae: AUROC +0.0200 [+0.0100, +0.0300] against real images alone"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_verdict_does_not_depend_on_the_order_of_the_comparisons(order: int) -> None:
    rows = {"none": row(0.01, 0.05), "oversample": row(-0.01, 0.03), "jitter": row(-0.01, 0.03), "longer": row(0, 0.1)}
    rows["duplicate"] = row(-0.02, 0.02)
    made = verdict("x add 1", dict(list(rows.items())[::order]))
    assert made.startswith("HELPS, BUT NOT SHOWN TO BEAT DUPLICATE OR JITTER OR LONGER OR OVERSAMPLE.")


# -- what is committed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", REFERENCE, ids=lambda file: file.parent.name)
def test_committed_records_earn_the_words_that_they_hold(file: Path) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    made = verdict(
        record["name"], record["comparisons"], positive=record["positive_control"],
        missing=record["not_compared"].get("none"), audited=record["audit"],
    )  # fmt: skip
    assert made == record["verdict"]
    for found in record["comparisons"].values():
        assert word_of_interval(found["low"], found["high"], n_seeds=found["n_seeds"]) == found["verdict"]
