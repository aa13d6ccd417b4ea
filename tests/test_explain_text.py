"""What `--explain` prints, line by line, for records whose numbers are known."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.verdicts.explain import explain, explain_difference
from benchmarks.verdicts.sentences import difference_sentence, worth_sentence

BECAUSE = "because the interval of the difference to real images alone"
WORTH = {"n_real": 9, "n_synthetic": 4, "where": "on the curve", "n_equivalent": 11.2, "worth": 0.5, "low": 0.125,
         "high": None, "note": "none"}  # fmt: skip


def row(low: float, high: float, *, n_seeds: int = 6, **change: Any) -> dict[str, Any]:
    """A comparison as a record holds it; its interval is 2 standard errors on either side."""
    return {
        "difference": (low + high) / 2, "low": low, "high": high, "p_value": 0.0312, "p_interval": 0.0414, "note": None,
        "n_seeds": n_seeds, "n_groups": 60, "by_seed": [0.01, -0.02], "unequal": None,
        "interval": {"se_seeds": 0.003, "se_patients": 0.004, "quantile": 2.0}, **change,
    }  # fmt: skip


def record(comparisons: dict[str, Any], **change: Any) -> dict[str, Any]:
    """A record of an arm with two seeds in its numbers; `comparisons` by control."""
    return {
        "name": "vae add 1", "verdict": "THE VERDICT", "comparisons": comparisons, "is_control": False, "worth": None,
        "spec": {"seeds": 6, "classifier": "resnet18", "dataset": "phantom", "train": {"steps": 5}, "generator": "vae"},
        "counts": {"real": {"a": 4, "b": 5}, "synthetic": {"a": 1, "b": 2}}, "added": "synthetic",
        "training": {"steps": [5, 5], "images_seen": [320, 320], "stopped": ["steps", "steps"]},
        "utility": {"auroc": {"value": 0.75, "low": 0.7, "high": 0.8, "note": None, "extra": {"per_seed": [0.7, 0.8]}}},
        "audit": {"warnings": []}, **change,
    }  # fmt: skip


def parts(found: dict[str, Any]) -> list[list[str]]:
    """The paragraphs of an explanation, as lists of lines."""
    made: list[list[str]] = [[]]
    for line in explain(found):
        if line:
            made[-1].append(line)
        else:
            made.append([])
    return made


ABOVE, BELOW, ACROSS = row(0.01, 0.05), row(-0.05, -0.01), row(-0.01, 0.03)
WITH_CONTROLS = {"holdout_real": ABOVE, "duplicate": ABOVE}


def test_an_arm_is_told_with_its_images_its_training_and_its_auroc() -> None:
    assert parts(record({"none": ABOVE}))[0] == [
        "vae add 1: 6 classifiers (resnet18), each trained on 9 real and 3 synthetic images of phantom.",
        "All took 5 optimiser steps, as every arm does; each saw 320 images, with repetition.",
        "AUROC on test 0.7500 [0.7000, 0.8000], mean over the seeds: 0.7000, 0.8000.",
    ]


def test_seeds_that_took_other_steps_and_an_auroc_that_is_missing_are_told() -> None:
    training = {"steps": [9, 5], "images_seen": [320, 640], "stopped": ["steps", "steps"]}
    auroc = {"value": None, "note": "test shows one class"}
    lines = list(explain(record({}, training=training, utility={"auroc": auroc})))
    assert lines[1:] == [
        "They took [5, 9] optimiser steps, where the budget of the other arms is 5; each saw 320 images, with "
        "repetition.",
        "AUROC on test could not be computed: test shows one class.",
        "It was compared with nothing, so there is no verdict to explain.",
    ]


def test_a_budget_of_one_step_more_is_told_against_that_of_the_others() -> None:
    training = {"steps": [6, 6], "images_seen": [384, 384], "stopped": ["steps", "steps"]}
    assert parts(record({"none": ABOVE}, training=training))[0][1] == (
        "All took 6 optimiser steps, where the budget of the other arms is 5; each saw 384 images, with repetition."
    )


@pytest.mark.parametrize(
    ("judged", "side"),
    [
        (ABOVE, "[+0.0100, +0.0500], which lies above 0: shown to be better"),
        (BELOW, "[-0.0500, -0.0100], which lies below 0: shown to be worse"),
        (ACROSS, "[-0.0100, +0.0300], which holds 0: no difference shown"),
        (
            row(0.01, 0.05, n_seeds=5),
            "[+0.0100, +0.0500], which lies above 0; but 5 seeds cannot reach p < 0.05: no difference shown",
        ),
    ],
)
def test_every_difference_is_told_with_the_parts_of_its_interval(judged: dict[str, Any], side: str) -> None:
    n, mean = judged["n_seeds"], judged["difference"]
    assert list(explain_difference("vae add 1", "none", judged)) == [
        "vae add 1 minus none, seed by seed: +0.0100, -0.0200.",
        f"  mean {mean:+.4f}, on 60 test patients",
        "  standard error 0.0100: 0.0030 from the choice of seeds; which patients are in test moves the mean by 0.0040",
        f"  95 % interval {mean:+.4f} -/+ 2.00 standard errors = {side}",
        f"  exact sign-flip over the {n} seeds: p = 0.031 (smallest possible: {2 / 2**n:.3f})",
        "  it asks of new seeds on the same patients; for new patients as well: p = 0.041",
    ]


def test_one_seed_has_no_error_between_seeds_and_no_sign_flip() -> None:
    parts = {"se_seeds": None, "se_patients": 0.004, "quantile": 2.0}
    assert list(explain_difference("a", "b", row(0.01, 0.05, n_seeds=1, interval=parts))) == [
        "a minus b, seed by seed: +0.0100, -0.0200.",
        "  mean +0.0300, on 60 test patients",
        "  95 % interval +0.0300 -/+ 2.00 standard errors = [+0.0100, +0.0500], which lies above 0; but 1 seed cannot "
        "reach p < 0.05: no difference shown",
    ]


def test_two_seeds_have_a_sign_flip() -> None:
    lines = list(explain_difference("a", "b", row(0.01, 0.05, n_seeds=2)))
    assert lines[4] == "  exact sign-flip over the 2 seeds: p = 0.031 (smallest possible: 0.500)"


def test_seeds_and_patients_without_any_spread_have_a_standard_error_of_zero() -> None:
    parts = {"se_seeds": 0.0, "se_patients": 0.0, "quantile": 0.0}
    lines = list(explain_difference("a", "b", row(0.0, 0.0, interval=parts)))
    assert lines[2].startswith("  standard error 0.0000: 0.0000 from the choice of seeds;")


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"unequal": "9 steps against 5"}, ["  not at equal compute: 9 steps against 5"]),
        (
            {"delong": {"p_value": 0.0005}},
            ["  DeLong, which takes films as independent and knows one model: p = 0.001"],
        ),
        (
            {"delong": {"p_value": 0.0004}},
            ["  DeLong, which takes films as independent and knows one model: p < 0.001"],
        ),
        ({"delong": {"p_value": None, "note": "one class"}}, []),
        ({"delong": None, "equivalence": None}, []),
        (
            {"equivalence": {"sentence": "EQUIVALENT within +-0.01"}},
            ["  two one-sided tests: EQUIVALENT within +-0.01"],
        ),
        ({"note": "macro without Hernia"}, ["  note: macro without Hernia"]),
    ],
)
def test_what_else_is_known_of_a_difference_follows(change: dict[str, Any], lines: list[str]) -> None:
    assert list(explain_difference("a", "b", {**ABOVE, **change}))[6:] == lines


def test_every_control_has_a_paragraph_and_the_word_the_last_one() -> None:
    found = parts(record({"none": ABOVE, "duplicate": ACROSS, "jitter": BELOW, "noise": ABOVE}, worth=WORTH))
    firsts = ["vae add 1 minus none, seed by seed: +0.0100, -0.0200.", "VERDICT  THE VERDICT", "What to keep in mind:"]
    assert [found[1][0], found[5][0], found[6][0]] == firsts
    assert [part[0].split()[4][:-1] for part in found[2:5]] == ["duplicate", "jitter", "noise"]
    assert found[5][1:] == [
        f"  HELPS, {BECAUSE} lies above 0.",
        "  The same is not shown against duplicate, jitter, which do without a generator.",
        "WORTH    vae add 1: 4 added images beside 9 real ones did what 11 real images do: each was worth 0.50 "
        "[0.12, ...] real images",
    ]


@pytest.mark.parametrize(
    ("gain", "lines"),
    [
        (None, ["  because real images alone are not among --controls."]),
        (
            {**ABOVE, "unequal": "9 steps against 5"},
            [
                "  because its classifiers took 9 steps against 5 of real images alone:",
                "  what the images did cannot be told from what the training did.",
            ],
        ),
        (
            row(0.01, 0.05, n_seeds=5),
            ["  because 5 seeds are fewer than 6: no exact test over them can reach p < 0.05."],
        ),
        (ABOVE, [f"  HELPS, {BECAUSE} lies above 0."]),
        (BELOW, [f"  HURTS, {BECAUSE} lies below 0."]),
        (
            ACROSS,
            [
                f"  NO DIFFERENCE SHOWN, {BECAUSE} holds 0. That is not",
                "  evidence of equality: what lies inside the interval is possible.",
            ],
        ),
    ],
)
def test_the_word_is_told_with_its_reason(gain: dict[str, Any] | None, lines: list[str]) -> None:
    comparisons = {**({"none": gain} if gain else {}), **WITH_CONTROLS}
    assert parts(record(comparisons))[-2] == ["VERDICT  THE VERDICT", *lines]


def doubts(found: dict[str, Any]) -> list[str]:
    last = parts(found)[-1]
    return [line.removeprefix("  - ") for line in last[1:]] if last[0] == "What to keep in mind:" else []


ONE_TRAINING = "this is one training of the generator; --generator-seed 0 1 2 gives a verdict over several"
NO_HOLDOUT = "holdout_real was not run: nothing shows that real images would have helped at this budget"
NO_DUPLICATE = "duplicate was not run: more copies of the real images might do the same"


@pytest.mark.parametrize(
    ("generator", "controls", "expected"),
    [
        ("vae", (), [NO_HOLDOUT, NO_DUPLICATE]),
        ("vae", ("holdout_real",), [NO_DUPLICATE]),
        ("vae", ("duplicate",), [NO_HOLDOUT]),
        ("vae", ("holdout_real", "duplicate"), []),
        ("holdout_real", (), [NO_DUPLICATE]),
        ("duplicate", (), [NO_HOLDOUT]),
        ("none", (), [NO_HOLDOUT]),
    ],
)
def test_controls_that_were_not_run_are_a_reason_to_doubt(
    generator: str, controls: tuple[str, ...], expected: list[str]
) -> None:
    spec = {**record({})["spec"], "generator": generator}
    found = record({"none": ABOVE, **dict.fromkeys(controls, ABOVE)}, spec=spec, is_control=True)
    assert doubts(found) == expected


def test_one_training_a_clock_and_the_audit_are_reasons_to_doubt() -> None:
    training = {"steps": [5, 5], "images_seen": [320, 320], "stopped": ["steps", "seconds"]}
    audit = {"warnings": ["two patients are in train and test"]}
    comparisons = {"none": ABOVE, **WITH_CONTROLS}
    assert doubts(record(comparisons)) == [ONE_TRAINING]
    assert doubts(record(comparisons, training=training, audit=audit)) == [
        "a training was cut short by the wall clock", ONE_TRAINING, "two patients are in train and test",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("left", "control", "told"),
    [
        ({"value": 3.0, "n": 4}, False, "1 of 4 added images are near-copies of training images"),
        ({"value": 4.0, "n": 4}, False, None),
        ({"value": None, "n": 4}, False, None),
        ({"value": 3.0, "n": 4}, True, None),
        (None, False, None),
    ],
)
def test_near_copies_are_a_reason_to_doubt_a_generator(
    left: dict[str, Any] | None, control: bool, told: str | None
) -> None:
    found = record({"none": ABOVE, **WITH_CONTROLS}, is_control=control, privacy={"n_without_copies": left})
    expected = [] if control else [ONE_TRAINING]
    assert doubts(found) == expected + ([f"{told}; --without-copies shows what is left without them"] if told else [])
    assert doubts({**found, "privacy": None}) == expected


# -- sentences ----------------------------------------------------------------------------------------------------


def test_a_difference_has_a_p_from_two_seeds_on() -> None:
    assert difference_sentence(row(0.01, 0.05, n_seeds=2)) == "AUROC +0.0300 [+0.0100, +0.0500], p = 0.041"
    assert difference_sentence(row(-0.05, -0.01, n_seeds=1)) == "AUROC -0.0300 [-0.0500, -0.0100]"


@pytest.mark.parametrize(
    ("worth", "said"),
    [
        (None, ""),
        (WORTH, "vae: 4 added images beside 9 real ones did what 11 real images do: each was worth 0.50 [0.12, ...] "
                "real images"),
        ({**WORTH, "where": "on a flat curve", "worth": None, "note": "it does not rise"},
         "vae: not to be said (it does not rise)"),
        ({**WORTH, "where": "beyond the curve", "worth": None, "low": None, "high": 2.0, "note": "above 20"},
         "vae: 4 added images beside 9 real ones: beyond the curve (above 20); each was worth [..., 2.00] real images"),
    ],
)  # fmt: skip
def test_worth_is_a_sentence(worth: dict[str, Any] | None, said: str) -> None:
    assert worth_sentence({"name": "vae", "worth": worth}) == said
    assert worth_sentence({"name": "vae"}) == ""


def test_two_one_sided_tests_are_evidence_of_equality_and_are_told_as_such() -> None:
    equal = row(-0.002, 0.003, equivalence={"equivalent": True, "margin": 0.01, "sentence": "EQUIVALENT within +-0.01"})
    assert any("two one-sided tests above are" in line for line in parts(record({"none": equal}))[2])
    assert not any("one-sided tests above" in line for line in parts(record({"none": ACROSS}))[2])


def test_a_positive_control_that_was_run_beside_the_arm_is_no_reason_to_doubt_that_it_was_not() -> None:
    ran = {"name": "holdout_real add 1", "run_id": "x", "shown": True, **row(0.02, 0.04)}
    for positive, missing in ((None, True), (ran, False)):
        said = " ".join(explain(record({"none": ABOVE}, positive_control=positive)))
        assert ("holdout_real was not run" in said) == missing
