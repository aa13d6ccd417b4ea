"""Short plays of `tests/chaos/sweeps.py`: killed drivers and workers, two nodes whose locks and clocks lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.sweeps import Play, kill_at_random, on_two_nodes, whole


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """A sweep that nobody disturbs."""
    play = Play(tmp_path_factory.mktemp("alone"), small=True)
    whole(play)
    return play


def test_a_sweep_whose_driver_and_workers_are_killed_ends_as_one_left_alone(alone: Play, tmp_path: Path) -> None:
    play = Play(tmp_path / "killed", small=True)
    rows = kill_at_random(play, kills=2, seed=4, longest=12.0)
    assert [row for row in [*rows, *play.looked_at(alone)] if not row[1]] == []


def test_two_nodes_whose_locks_and_clocks_lie_share_a_sweep(alone: Play, tmp_path: Path) -> None:
    play = Play(tmp_path / "shared", small=True)
    rows = on_two_nodes(play, patience=4.0)
    assert [row for row in [*rows, *play.looked_at(alone)] if not row[1]] == []
