"""Equal compute: an arm that trains longer than the others cannot pass for one whose images are better."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.verdicts.equal_compute import RATES, describe_training, unequal
from benchmarks.verdicts.explain import explain

EPOCHS = '''"""A classifier that passes over its images a fixed number of times, as most published comparisons do."""

import dataclasses

from classifiers.factory import TimmClassifier
from classifiers.registry import register
from synthworth.work import Budget


@register("epochs")
class Epochs(TimmClassifier):
    def fit(self, mix, val, *, seed, work):
        steps = 2 * len(mix) // self.config.batch_size
        return super().fit(mix, val, seed=seed, work=dataclasses.replace(work, budget=Budget(steps)))
'''


def report(steps: int = 6, *, peak: float = 0.1, batch: int = 4) -> dict[str, Any]:
    rows = [{"step": t + 1.0, "loss": 1.0, "learning_rate": peak * (t + 1) / steps} for t in range(steps)]
    return {"steps": steps, "images_seen": steps * batch, "stopped": "steps", "facts": {}, "history": rows}


def test_equal_trainings_are_equal() -> None:
    assert unequal(describe_training([report()] * 6), describe_training([report()] * 6)) is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (report(9), "9 optimiser steps against 6"),
        (report(batch=8), "48 images seen against 24"),
        (report(peak=0.2), "another learning-rate curve"),
    ],
)
def test_whatever_differs_is_named(other: dict[str, Any], said: str) -> None:
    assert unequal(describe_training([other] * 6), describe_training([report()] * 6)) == said


def test_one_seed_that_trains_longer_is_enough() -> None:
    mine = describe_training([*[report()] * 5, report(9)])
    assert unequal(mine, describe_training([report()] * 6)) == "6 to 9 optimiser steps against 6"
    assert mine["learning_rate"] is None
    assert mine["learning_rate_note"] == "the seeds had different learning rates"


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (6, range(1, 7)),
        (2 * RATES - 1, range(1, 2 * RATES)),
        (1001, range(1, 1002, 25)),
        (1000, [*range(1, 1001, 25), 1000]),
    ],
)
def test_the_learning_rate_curve_is_evenly_spaced_and_keeps_its_ends(steps: int, kept: Sequence[int]) -> None:
    found = describe_training([report(steps)])["learning_rate"]
    assert [step for step, _ in found] == list(kept)
    assert [rate for _, rate in found] == pytest.approx([0.1 * step / steps for step in kept])


def test_every_seed_says_why_it_stopped_and_what_it_was() -> None:
    reports = [report(), {**report(4), "stopped": "seconds", "facts": {"threshold": 0.5}}]
    assert describe_training(reports) == {
        "steps": [6, 4], "images_seen": [24, 16], "stopped": ["steps", "seconds"], "facts": [{}, {"threshold": 0.5}],
        "learning_rate": None, "learning_rate_note": "the seeds had different learning rates",
    }  # fmt: skip


@pytest.mark.parametrize("others", [0, 2])
def test_a_classifier_that_does_not_tell_its_rates_has_null_with_the_reason(others: int) -> None:
    silent = {**report(), "history": [{"step": 1.0, "loss": 1.0}]}
    found = describe_training([*[report()] * others, silent])
    assert found["learning_rate"] is None
    assert found["learning_rate_note"] == "the classifier's history has no learning_rate"


def test_arms_that_train_for_epochs_get_no_verdict(run_here: Callable[..., Any], tmp_path: Path) -> None:
    plugin = tmp_path / "epochs.py"
    plugin.write_text(EPOCHS)
    done = run_here(
        "-m", "benchmarks.run", "--preset", "smoke", "--generator", "noise", "--ratio", "1", "--classifier", "epochs",
        "--plugin", str(plugin), "--extractors", "--controls", "none", "--workers", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "VERDICT  UNEQUAL COMPUTE, 30 optimiser steps against 15" in done.stdout
    found = [json.loads(p.read_text()) for p in tmp_path.glob("results/runs/*/record.json")]
    record = next(r for r in found if r["spec"]["generator"] == "noise")
    assert record["comparisons"]["none"]["unequal"] == "30 optimiser steps against 15"
    assert "what the images did cannot be told" in "\n".join(explain(record))
