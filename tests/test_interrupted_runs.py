"""A run that is interrupted: the trials of `tests/chaos/interrupts.py`, some of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.interrupts import WAYS, trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of them run: what one has finished the next ones go on from."""
    return tmp_path_factory.mktemp("interrupted")


@pytest.mark.parametrize(
    ("moment", "way"),
    [
        ("0.00", "SIGINT to the group"),
        ("0.50", "SIGINT to the group"),
        ("fit", "SIGTERM to the parent alone"),
        ("workers", "SIGINT twice"),
        ("classifiers", "SIGINT to the workers first"),
        ("classifiers", "SIGTERM to the group"),
        ("classifiers", "SIGINT ignored (&), then SIGTERM"),
    ],
)
def test_it_ends_with_130_within_five_seconds_says_so_in_one_line_and_leaves_nobody_behind(
    moment: str, way: str, folder: Path
) -> None:
    assert way in WAYS
    assert trial(way, moment, folder).faults() == []
