"""Threads wait asleep unless the user said how they wait, and before torch is there, in every process."""

from __future__ import annotations

import os
from typing import Any

import pytest

from benchmarks.cli import COMMANDS
from synthworth.threads import OF_THE_USER, POLICY, wait_asleep


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


def test_it_is_said_before_torch_is_there_by_whatever_is_imported_first(run_python: Any) -> None:
    modules = sorted({module for module, _ in COMMANDS.values()} | {"synthworth.api", "generators.base", "data.base"})
    code = (
        "import os, sys; from importlib import import_module; import_module(sys.argv[1]); "
        "assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    )
    for module in modules[::4]:
        done = run_python("-c", code, module)
        assert (done.returncode, done.stdout.strip()) == (0, "PASSIVE"), done.stderr
