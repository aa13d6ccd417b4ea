"""How a verdict was reached, told from the record."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.report.tables import worth_sentence
from benchmarks.verdicts.explain import explain


def told(record: dict[str, Any], **change: Any) -> str:
    return "\n".join(explain({**record, "worth": None, **change}))


@pytest.mark.parametrize(("quality", "word"), [(2.5, "HELPS"), (0.2, "HURTS"), (1.0, "NO DIFFERENCE SHOWN")])
def test_the_word_is_given_with_the_interval_it_comes_from(lab: Any, quality: float, word: str) -> None:
    lab.run("none", 1.0)
    record = lab.run("latent_ddpm", quality)
    text = told(record)
    row = record["comparisons"]["none"]
    assert f"{word}, because the interval of the difference to real images alone" in text
    assert f"= [{row['low']:+.4f}, {row['high']:+.4f}], which" in text
    assert all(f"{x:+.4f}" in text for x in row["by_seed"])
    assert "smallest possible: 0.031" in text
    assert "6 classifiers (resnet18), each trained on 9 real and 4 synthetic images" in text


def test_controls_that_were_not_run_and_trainings_cut_short_are_named(lab: Any) -> None:
    lab.run("none", 1.0)
    record = lab.run("latent_ddpm", 2.0)
    text = told(record, training={**record["training"], "stopped": ["steps"] * 5 + ["seconds"]})
    assert "holdout_real was not run" in text and "duplicate was not run" in text
    assert "cut short by the wall clock" in text


def test_an_arm_that_trained_longer_is_told(lab: Any) -> None:
    lab.run("none", 1.0)
    record = lab.run("latent_ddpm", 2.0)
    text = told(record, training={**record["training"], "steps": [9] * 6})
    assert "All took 9 optimiser steps, where the budget of the other arms is 5" in text


def test_few_seeds_are_screening(lab: Any) -> None:
    lab.run("none", 1.0, seeds=3)
    text = told(lab.run("latent_ddpm", 2.0, seeds=3))
    assert "because 3 seeds are fewer than 6" in text


def test_worth_is_said_in_real_images(lab: Any) -> None:
    worth = {"n_real": 9, "n_synthetic": 4, "where": "on the curve", "n_equivalent": 11.0, "n_low": 9.5, "n_high": None,
             "worth": 0.5, "low": 0.125, "high": None, "note": "", "curve": []}  # fmt: skip
    lab.run("none", 1.0)
    record = {**lab.run("latent_ddpm", 2.0), "worth": worth}
    assert worth_sentence(record).endswith("did what 11 real images do: each was worth 0.50 [0.12, ...] real images")
    assert "WORTH" in told(record, worth=worth)
    beyond = {**worth, "worth": None, "n_equivalent": None, "where": "beyond the curve", "note": "better than 20"}
    assert "beyond the curve (better than 20)" in worth_sentence({**record, "worth": beyond})
