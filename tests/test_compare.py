"""Two finished runs compared from their predictions: the same numbers as in a record, and refusals in one line."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.compare import compare_runs, sentences
from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.records.store import Records
from synthworth.errors import UserError

Run = Callable[..., subprocess.CompletedProcess[str]]


def entry(lab: Any, record: dict[str, Any]) -> Entry:
    return Entry(record, Records(lab.folder).path(record["run_id"]))


def compared(lab: Any, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return compare_runs(entry(lab, a), entry(lab, b), margin=0.01)


def test_it_says_what_the_record_says(lab: Any) -> None:
    none, arm = lab.run("none", 1.0), lab.run("latent_ddpm", 2.5)
    found = compared(lab, arm, none)
    for name in ("difference", "low", "high", "p_value", "by_seed"):
        assert found[name] == arm["comparisons"]["none"][name]
    assert sentences(found)[-1].startswith("latent_ddpm add 0.5 is BETTER than none: AUROC +")


def test_exchanging_the_two_changes_the_sign_and_the_word(lab: Any) -> None:
    none, arm = lab.run("none", 1.0), lab.run("latent_ddpm", 2.5)
    there, back = compared(lab, arm, none), compared(lab, none, arm)
    assert back["difference"] == pytest.approx(-there["difference"])
    assert sentences(back)[-1].startswith("none is WORSE than latent_ddpm add 0.5")


def test_two_draws_of_one_control_are_not_shown_to_differ(lab: Any) -> None:
    first = lab.run("duplicate", 1.0, jitter=1)
    second = lab.run("duplicate", 1.0, jitter=3, generator_seed=1)
    found = compared(lab, first, second)
    assert found["differing"] == []
    assert "NOT SHOWN TO DIFFER" in sentences(found)[-1]


def test_settings_that_differ_and_unequal_compute_are_said(lab: Any) -> None:
    first = lab.run("dcgan", 1.0)
    other = lab.run("dcgan", 1.0, train=dataclasses.replace(lab.spec.train, steps=9))
    found = compared(lab, first, other)
    text = "\n".join(sentences(found))
    assert "the two also differ in train" in text
    assert "not at equal compute: 5 optimiser steps against 9" in text


def test_a_run_that_trained_longer_is_not_called_better(lab: Any) -> None:
    none, longer = lab.run("none", 1.0), lab.run("longer", 2.5, ratio=1.0)
    found = compared(lab, longer, none)
    assert found["verdict"] == "helps"
    assert sentences(found)[-1].startswith("longer x 2 is NOT COMPARED AT EQUAL COMPUTE with none: AUROC +")


def test_few_seeds_show_no_difference_however_large(lab: Any) -> None:
    none, arm = (lab.run(name, quality, seeds=3) for name, quality in (("none", 1.0), ("latent_ddpm", 2.5)))
    lines = sentences(compared(lab, arm, none))
    assert lines[-1].startswith("latent_ddpm add 0.5 is NOT SHOWN TO DIFFER from none: AUROC +")
    assert any("lies above 0; but 3 seeds cannot reach p < 0.05: no difference shown" in line for line in lines)


@pytest.mark.parametrize("change", [{"seed": 1}, {"seeds": 3}])
def test_runs_that_cannot_be_paired_are_refused(lab: Any, change: dict[str, int]) -> None:
    with pytest.raises(UserError, match="cannot be paired"):
        compared(lab, lab.run("dcgan", 1.0), lab.run("vae", 1.0, **change))


def test_missing_predictions_are_named(lab: Any) -> None:
    first, second = lab.run("dcgan", 1.0), lab.run("vae", 1.0)
    (Records(lab.folder).path(second["run_id"]) / PREDICTIONS).unlink()
    with pytest.raises(UserError, match=r"cannot be compared: predictions\.parquet is missing"):
        compared(lab, first, second)


def test_the_command_prints_lines_or_json(lab: Any, run_here: Run) -> None:
    none, arm = lab.run("none", 1.0), lab.run("latent_ddpm", 2.5)
    ids = arm["run_id"][:12], none["run_id"][:12]
    done = run_here("-m", "benchmarks.compare", *ids, "--results", str(lab.folder))
    assert done.returncode == 0, done.stderr
    assert "latent_ddpm add 0.5 minus none, seed by seed" in done.stdout
    printed = run_here("-m", "benchmarks.compare", *ids, "--results", str(lab.folder), "--json")
    assert json.loads(printed.stdout)["difference"] == arm["comparisons"]["none"]["difference"]


def test_a_run_that_failed_is_refused_by_the_command(lab: Any, run_here: Run) -> None:
    none, lost = lab.run("none", 1.0), lab.fail("the loss is nan", generator="vae")
    done = run_here("-m", "benchmarks.compare", none["run_id"], lost["run_id"], "--results", str(lab.folder))
    assert done.returncode == 2
    assert "has not finished: the loss is nan" in done.stderr
