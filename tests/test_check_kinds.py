"""The contract tests of metrics, extractors and filters; how every kind is checked by name, and in a pytest."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.check.__main__ import main
from benchmarks.check.functions import metric_proofs
from benchmarks.check.kinds import KINDS, check_plugin, kind_of
from benchmarks.metrics.extractors.base import Extractor
from benchmarks.metrics.registry import Value
from classifiers.factory import TimmClassifier
from data.datasets.digits import Digits
from synthworth.devices import isolated_randomness
from synthworth.errors import Unavailable

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def failures(plugin: Any, **options: Any) -> dict[str, str]:
    return {r.name: r.message for r in check_plugin(plugin, **options) if not r.passed}


# -- metrics ------------------------------------------------------------------------------------------------------


def accuracy(*, truth: Any, scores: Any) -> dict[str, Value]:
    """Share of images whose likeliest class is the true one."""
    if np.ndim(truth) == 2:
        raise Unavailable("one class an image only")
    return {"accuracy": Value("accuracy", float((scores.argmax(1) == truth).mean()), len(truth), "higher")}


def silent(*, truth: Any, scores: Any) -> dict[str, Value]:
    return accuracy(truth=truth, scores=scores)


def asks_for_age(*, truth: Any, age: Any) -> dict[str, Value]:
    """Needs what no run has."""
    return {}


def returns_floats(*, truth: Any, scores: Any) -> dict[str, Any]:
    """Returns a bare number."""
    return {"accuracy": 0.5}


def upside_down(*, truth: Any, scores: Any) -> dict[str, Value]:
    """Says that lower is better."""
    return {k: replace(v, direction="lower") for k, v in accuracy(truth=truth, scores=scores).items()}


def draws_globally(*, truth: Any, scores: Any) -> dict[str, Value]:
    """Draws from the global state."""
    return {"x": Value("x", float(np.random.rand()), len(truth), "higher")}  # noqa: NPY002


def changes_scores(*, truth: Any, scores: Any) -> dict[str, Value]:
    """Writes into its evidence."""
    scores += 1
    return accuracy(truth=truth, scores=scores)


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (silent, "described", "there is no docstring"),
        (asks_for_age, "keywords", "it needs age, and a run offers truth, scores"),
        (returns_floats, "values", "'accuracy' is a float and no Value"),
        (upside_down, "direction", "for good scores"),
        (draws_globally, "repeat", "other numbers a second time: x"),
        (changes_scores, "inputs", "it changed scores"),
    ],
)
def test_each_way_in_which_a_metric_breaks_its_contract_is_caught(broken: Any, check: str, says: str) -> None:
    assert says in failures(broken)[check]


def test_a_metric_that_keeps_its_contract_passes_every_check() -> None:
    assert failures(accuracy) == {}
    assert len(metric_proofs(accuracy)) == 6


# -- extractors ---------------------------------------------------------------------------------------------------


class Means(Extractor):
    """Mean grey level of each quarter."""

    name, size, weights_sha256 = "means", 8, "0" * 64

    def build(self) -> Any:
        return torch.nn.AdaptiveAvgPool2d(2)

    def forward(self, net: Any, images: Any) -> tuple[Any, None]:
        return net(self.resized(images)).flatten(1), None


class NoKey(Means):
    weights_sha256 = "none"


class Blind(Means):
    def forward(self, net: Any, images: Any) -> tuple[Any, None]:
        return torch.ones(len(images), 4), None


class RandomWeights(Means):
    def build(self) -> Any:
        with isolated_randomness(int(torch.randint(0, 2**31, (1,)))):
            return torch.nn.Sequential(super().build(), torch.nn.Conv2d(3, 4, 1))


class CountsItsBatch(Means):
    def forward(self, net: Any, images: Any) -> tuple[Any, None]:
        return super().forward(net, images)[0] * len(images), None


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (NoKey, "identity", "weights_sha256 is 'none'"),
        (Blind, "difference", "all images have the same features"),
        (RandomWeights, "repeat", "a second instance gives other features"),
        (CountsItsBatch, "rows", "in batches of 3 and of 8"),
    ],
)
def test_each_way_in_which_an_extractor_breaks_its_contract_is_caught(broken: type, check: str, says: str) -> None:
    assert says in failures(broken)[check]


def test_an_extractor_that_keeps_its_contract_passes_every_check() -> None:
    assert failures(Means) == {}


# -- filters ------------------------------------------------------------------------------------------------------


def bright(images: Any) -> np.ndarray:
    """Images of more than a mean grey level."""
    return images.float().mean((1, 2, 3)).numpy() > 80


def answers_numbers(images: Any) -> np.ndarray:
    """Returns grey levels."""
    return images.float().mean((1, 2, 3)).numpy()


def above_the_mean(images: Any) -> np.ndarray:
    """Judges images against each other."""
    means = images.float().mean((1, 2, 3)).numpy()
    return means > means.mean() if len(means) else means > 0


def tosses(images: Any) -> np.ndarray:
    """Draws from the global state."""
    return np.random.rand(len(images)) > 0.5  # noqa: NPY002


def wants_weather(images: Any, weather: Any) -> np.ndarray:
    """Needs what no run has."""
    return bright(images)


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (answers_numbers, "mask", "it returned ndarray float32 (48,) for 48 images"),
        (above_the_mean, "alone", "1 of 48 images were judged otherwise by themselves"),
        (tosses, "same_mask", "other images passed a second time"),
        (wants_weather, "keywords", "it needs weather, and a run offers images, labels"),
    ],
)
def test_each_way_in_which_a_filter_breaks_its_contract_is_caught(broken: Any, check: str, says: str) -> None:
    assert says in failures(broken)[check]


def test_a_filter_that_keeps_its_contract_passes_every_check() -> None:
    assert failures(bright) == {}


# -- kinds, the command, pytest -----------------------------------------------------------------------------------


def test_what_something_is_shows_in_its_methods_or_arguments() -> None:
    found = [kind_of(plugin) for plugin in (Digits, TimmClassifier, accuracy, Means, bright)]
    assert found == ["dataset", "classifier", "metric", "extractor", "filter"]
    assert set(found) < set(KINDS)


@pytest.mark.parametrize("name", ["auroc", "fd", "ssim_within", "vgg16_random", "near"])
def test_what_is_built_in_is_checked_by_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 0
    assert f" {name}: " in capsys.readouterr().out.splitlines()[-1]


def test_a_datasets_options_are_given_as_in_the_main_job(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--data.n-train", "40", "--data.n-val", "20", "--data.n-test", "20", "--data.task", "multi"]
    assert main(["phantom", *small]) == 0
    assert "dataset phantom: 10 of 10 checks passed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["phantom", "--data.n-trian", "40"])
    assert done.value.code == 2
    with pytest.raises(SystemExit):
        main(["auroc", "--data.n-train", "40"])


OWN_TESTS = """
from test_check import Crashes, Toy
from synthworth.api import parametrize_with_checks

@parametrize_with_checks(Toy, size=16)
def test_it_keeps_the_contract(check):
    check()

@parametrize_with_checks(Crashes, multilabel=False, size=16)
def test_it_does_not(check):
    check()
"""


def test_a_plugins_own_pytest_runs_every_check_and_shows_the_error_first(run_python: Run, tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(OWN_TESTS)
    done = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_own.py", path=[Path(__file__).parent])
    assert done.returncode == 1
    # 13 checks of the one that keeps it, twice; the other fails those that need a fit
    assert "AssertionError: ZeroDivisionError: by accident (test_check.py:" in done.stdout
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed and all("test_it_does_not[" in line for line in failed)
    assert done.stdout.splitlines()[-1].startswith(f"{len(failed)} failed, {39 - len(failed)} passed")
