"""Every kind of file that is read, damaged at random, is taken or refused in one line (more: tests/chaos)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chaos.fuzz_inputs import EDITS, KINDS, Kind, drawn, edited, fuzz, try_one
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

EDIT = st.tuples(st.sampled_from(EDITS), st.floats(0, 1), st.binary(max_size=12))
FAST = settings(
    max_examples=20, deadline=10_000, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What C libraries say of damaged pictures is not shown."""
    yield
    capfd.readouterr()


@pytest.mark.parametrize("name", list(KINDS))
def test_a_damaged_file_is_taken_or_refused_in_one_line(name: str) -> None:
    kind = KINDS[name]
    examples = kind.examples()

    @FAST
    @given(which=st.integers(0, len(examples) - 1), edits=st.lists(EDIT, max_size=4))
    @example(which=0, edits=[("cut", 0.0, b"")])
    @example(which=0, edits=[("cut", 0.5, b"")])
    def holds(which: int, edits: list[tuple[str, float, bytes]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try_one(kind, edited(examples[which], edits), Path(folder))

    holds()


@pytest.mark.parametrize("name", list(KINDS))
def test_the_examples_that_are_damaged_are_whole_files(name: str, tmp_path: Path) -> None:
    assert try_one(KINDS[name], KINDS[name].examples()[0], tmp_path)


@pytest.mark.parametrize("how", EDITS)
def test_each_edit_changes_the_bytes(how: str) -> None:
    content = bytes(range(64))
    assert edited(content, [(how, 0.5, b"\x01\x02")]) != content


def test_a_reader_that_raises_or_hangs_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(file: Path) -> None:
        if file.read_bytes() != b"fine":
            raise KeyError("a fault")

    monkeypatch.setitem(KINDS, "odd", Kind(".odd", lambda: [b"fine"], raises))
    row = fuzz("odd", 12)
    assert row["inputs"] == 12
    assert row["taken"] + len(row["faults"]) == 12
    assert any("KeyError" in fault for fault in row["faults"])


def test_edits_are_drawn_from_a_seed_alone() -> None:
    assert drawn(np.random.default_rng(3)) == drawn(np.random.default_rng(3)) != drawn(np.random.default_rng(4))
