"""Threads wait asleep unless the user said how they wait, and before torch is there, in every process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.check.checks import make_images
from benchmarks.cli import COMMANDS
from benchmarks.job.carry_out import carry_out
from benchmarks.request.options import parse
from benchmarks.speed.classifier import threads
from benchmarks.stages.generator import fit_threads
from generators.latent_ddpm import LatentDDPM
from generators.pixel_ddpm import PixelDDPM, PixelDDPMConfig
from generators.vae import VAE
from synthworth.threads import OF_THE_USER, POLICY, threads_for, wait_asleep


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nobody has said how OpenMP waits."""
    for name in OF_THE_USER:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_said")
def test_threads_sleep_while_they_wait() -> None:
    wait_asleep()
    assert os.environ[POLICY] == "PASSIVE"


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize(("name", "value"), [(POLICY, "ACTIVE"), ("GOMP_SPINCOUNT", "20000"), ("KMP_BLOCKTIME", "200")])
def test_what_the_user_says_of_waiting_stands(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    wait_asleep()
    assert {other: os.environ.get(other) for other in OF_THE_USER} == {**dict.fromkeys(OF_THE_USER), name: value}


@pytest.mark.parametrize(
    ("asked", "shares"), [(None, [4, 2, 1]), ("1", [1, 1, 1]), ("3,2", [3, 2, 1]), ("9", [4, 2, 1]), ("x", [4, 2, 1])]
)
def test_a_share_of_the_cores_is_no_more_than_the_environment_allows(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, shares: list[int]
) -> None:
    from synthworth import threads

    monkeypatch.setattr(threads, "n_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert [threads.share_of_cores(n) for n in (1, 2, 5)] == shares


def test_it_is_said_before_torch_is_there_by_whatever_is_imported_first(run_python: Any) -> None:
    modules = sorted({module for module, _ in COMMANDS.values()} | {"synthworth.api", "generators.base", "data.base"})
    code = (
        "import os, sys; from importlib import import_module; import_module(sys.argv[1]); "
        "assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    )
    for module in modules[::4]:
        done = run_python("-c", code, module)
        assert (done.returncode, done.stdout.strip()) == (0, "PASSIVE"), done.stderr


@pytest.mark.parametrize(
    ("gflop", "cores", "threads"), [(0.1, 16, 1), (5.9, 2, 1), (13.3, 2, 2), (37.9, 2, 2), (37.9, 16, 6), (1e4, 16, 16)]
)
def test_a_step_is_computed_with_as_many_threads_as_it_is_worth(gflop: float, cores: int, threads: int) -> None:
    assert threads_for(gflop * 1e9, at_most=cores) == threads


@pytest.fixture
def two_threads() -> Iterator[None]:
    """torch with two threads inside the test."""
    with threads(2):
        yield


@pytest.mark.usefixtures("two_threads")
def test_a_fit_of_small_steps_has_one_thread_and_one_of_large_steps_all() -> None:
    train = make_images(multilabel=False, channels=1, size=32)
    small, large = LatentDDPM(), PixelDDPM(PixelDDPMConfig(batch=32))
    assert fit_threads(small, train, 100, device="cpu") == 1
    assert fit_threads(large, train, 100, device="cpu") == 2
    assert fit_threads(small, train, 100, device="cuda") is None


def test_a_generator_that_does_not_say_what_it_computes_keeps_its_threads() -> None:
    train = make_images(multilabel=False, channels=1, size=32)
    assert fit_threads(object(), train, 100, device="cpu") is None


@pytest.mark.usefixtures("two_threads")
def test_a_run_fits_with_those_threads_and_draws_with_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    for name in ("fit", "sample"):
        whole: Any = getattr(VAE, name)

        def watched(*given: Any, whole: Any = whole, **named: Any) -> Any:
            seen.append(torch.get_num_threads())
            return whole(*given, **named)

        monkeypatch.setattr(VAE, name, watched)
    words = ["--preset", "smoke", "--device", "cpu", "--workers", "1", "--generator", "vae", "--ratio", "0.1"]
    words += ["--seeds", "1", "--controls", "none", "--extractors", "--train.steps", "2", "--fit.steps", "2"]
    carry_out(parse([*words, "--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs")], prog="test"))
    assert seen[0] == 1 and set(seen[1:]) == {2}
