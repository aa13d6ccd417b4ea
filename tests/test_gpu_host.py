"""A machine with an NVIDIA GPU: what a user meets there, and that this suite asks there for what it asks elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from test_bad_input import SMOKE
from test_drawing import SMALL as DRAWING
from test_filters import SMALL as FILTERED
from test_kills import COMMAND
from test_leaks import TINY as LEAKING
from test_loop import Bench
from test_run import TINY

from benchmarks.request import named
from benchmarks.request.options import Request, parse
from synthworth.devices import resolve_device
from synthworth.errors import Diverged
from synthworth.training import loop
from synthworth.work import Work

PINNED = {
    "bad_input": SMOKE,
    "drawing": DRAWING[2:],
    "filters": FILTERED[2:],
    "kills": COMMAND,
    "leaks": LEAKING[2:],
    "run": TINY,
}
"""Flags that the commands of other test files begin with."""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that tells of a loaded NVIDIA driver; not there yet."""
    file = tmp_path / "version"
    monkeypatch.setattr(named, "DRIVER_FILES", (file, tmp_path / "nowhere"))
    return file


def asked(flags: tuple[str, ...] | list[str]) -> Request:
    return parse(list(flags), prog="test")


def test_auto_asks_for_more_where_there_is_a_gpu(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    small = asked([])
    driver.touch()
    large = asked([])
    assert (small.options.preset, large.options.preset) == ("quick", "standard")
    assert small.options.train.steps < large.options.train.steps
    assert (small.options.classifier, large.options.classifier) == ("resnet10t", "densenet121")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert asked([]) == small


@pytest.mark.parametrize("flags", PINNED.values(), ids=PINNED)
def test_the_commands_of_the_suite_ask_the_same_where_there_is_a_gpu(
    flags: tuple[str, ...], driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = asked(flags)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    driver.touch()
    assert asked(flags) == elsewhere
    assert elsewhere.options.preset == "smoke"


def test_the_suite_computes_on_the_cpu_whatever_the_machine_has() -> None:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert resolve_device("auto") == "cpu"


LOSSES_ON_A_GPU = {**loop.CHECK_EVERY, "cpu": loop.CHECK_EVERY["cuda"]}


def test_losses_that_are_read_seldom_change_nothing_that_is_learned(
    tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    often, seldom = Bench(), Bench()
    every = often.run(Work(tmp_path / "a"))
    monkeypatch.setattr(loop, "CHECK_EVERY", LOSSES_ON_A_GPU)
    last = seldom.run(Work(tmp_path / "b"))
    assert all(torch.equal(a, b) for a, b in zip(often.weights(), seldom.weights(), strict=True))
    assert len(every.history) == every.steps
    assert last.history == every.history[-1:]


def test_a_loss_that_is_not_finite_is_found_at_the_next_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECK_EVERY", LOSSES_ON_A_GPU)
    with pytest.raises(Diverged, match="the loss is nan at step 25 of 60"):
        loop.run_steps(
            "phase", lambda t: {"loss": torch.tensor(1.0 if t < 3 else float("nan"))},
            n_steps=60, parts={}, seed=0, work=Work(tmp_path),
        )  # fmt: skip
