"""Whether networks are compiled: by what was asked, the device and the whole budget, and by what the machine has."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from benchmarks.request.options import parse
from synthworth.errors import UserError
from synthworth.training.compiling import PAYS_SECONDS, PAYS_STEPS, compile_options, decide
from synthworth.work import Budget

LONG, SHORT = Budget(PAYS_STEPS), Budget(PAYS_STEPS - 1)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """What this machine has for compiling; take something away."""
    there = {"triton", "gcc", "g++", "Python.h"}
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: (name in there or None) if name == "triton" else find(name)
    )
    monkeypatch.setattr(shutil, "which", lambda name: name if name in there else None)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "Python.h").touch()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    return there


@pytest.mark.parametrize(
    ("asked", "device", "budget", "compiles"),
    [
        ("auto", "cuda", LONG, True),
        ("auto", "cuda:1", LONG, True),
        ("auto", "cuda", SHORT, False),
        ("auto", "cuda", Budget(PAYS_STEPS, PAYS_SECONDS), True),
        ("auto", "cuda", Budget(PAYS_STEPS, PAYS_SECONDS - 1), False),
        ("auto", "cpu", LONG, False),
        ("auto", "mps", LONG, False),
        ("yes", "cuda", SHORT, True),
        ("yes", "cpu", SHORT, True),
        ("no", "cuda", LONG, False),
    ],
)
def test_auto_compiles_on_a_gpu_where_the_whole_budget_pays_for_it(
    tools: set[str], asked: Any, device: str, budget: Budget, compiles: bool
) -> None:
    assert decide(asked, device=device, budget=budget) is compiles


@pytest.mark.parametrize(
    ("device", "lost", "says"),
    [
        ("cuda", "triton", "the package triton"),
        ("cuda", "gcc", "a C compiler (gcc or clang)"),
        ("cpu", "g++", "a C++ compiler (g++ or clang++)"),
    ],
)
def test_what_compiling_needs_and_lacks_is_said_and_the_fit_goes_on(
    tools: set[str], caplog: pytest.LogCaptureFixture, device: str, lost: str, says: str
) -> None:
    tools.discard(lost)
    with caplog.at_level(logging.WARNING):
        assert not decide("yes", device=device, budget=LONG)
    (line,) = caplog.messages
    assert says in line
    caplog.clear()
    assert not decide("no", device=device, budget=LONG)
    assert not caplog.messages


def test_the_headers_of_python_and_a_compiler_by_name_are_looked_for(
    tools: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "mycc -O2")
    assert not decide("auto", device="cuda", budget=LONG)
    tools.add("mycc")
    assert decide("auto", device="cuda", budget=LONG)
    (tmp_path / "Python.h").unlink()
    assert not decide("auto", device="cuda", budget=LONG)
    assert decide("yes", device="cpu", budget=LONG)


def test_the_noise_is_that_of_a_plain_network_and_no_kernel_is_chosen_by_its_time() -> None:
    import torch
    import torch._inductor.config as inductor

    options = compile_options()
    assert options["fallback_random"] is True
    assert options.get("deterministic", False) is hasattr(inductor, "deterministic")
    torch.compile(lambda x: x, options=options)  # raises for an option that torch does not know


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ([], "auto"),
        (["--compile"], "yes"),
        (["--compile", "--seeds", "2"], "yes"),
        (["--compile", "no"], "no"),
        (["--compile=auto"], "auto"),
    ],
)
def test_compile_is_one_of_three_words_and_alone_it_is_yes(flags: list[str], found: str) -> None:
    assert parse(["--preset", "smoke", *flags], prog="test").options.compile == found


def test_another_word_for_compile_is_refused_by_the_words_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(["--preset", "smoke", "--compile", "maybe"], prog="test")
    said = "".join(capsys.readouterr())
    assert "'maybe'" in said and "Expected one of" in said and "'auto'" in said


def test_the_words_of_yaml_for_true_and_false_are_yes_and_no(tmp_path: Path) -> None:
    for text, found in (("yes", "yes"), ("no", "no"), ("auto", "auto"), ("true", "yes")):
        file = tmp_path / "run.yaml"
        file.write_text(f"compile: {text}\n")
        assert parse(["--preset", "smoke", "--config", str(file)], prog="test").options.compile == found
    file.write_text("compile: 1\n")
    with pytest.raises(UserError, match="compile"):
        parse(["--preset", "smoke", "--config", str(file)], prog="test")
