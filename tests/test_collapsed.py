"""Seeds that collapsed are named; seeds that merely scatter are not."""

from __future__ import annotations

import pytest

from benchmarks.statistics.collapsed import collapsed, collapsed_note


@pytest.mark.parametrize(
    ("aurocs", "seeds"),
    [
        ([0.80, 0.81, 0.79, 0.50, 0.82, 0.80], (3,)),
        ([0.50, 0.81, 0.79, 0.47, 0.82, 0.80], (0, 3)),
        ([0.80, 0.50, 0.52, 0.81, 0.49, 0.82], (1, 2, 4)),
        ([0.95, 0.96, 0.61, 0.94, 0.95, 0.96], (2,)),
        ([0.70, 0.50], (1,)),
        ([0.50, 0.50, 0.50, 0.80], (0, 1, 2)),
        ([0.50] * 5 + [0.90], (0, 1, 2, 3, 4)),
        ([0.50, 0.66, 0.90, 0.90], (0,)),
        ([0.60, 0.50, 0.58], ()),
        ([0.68, 0.69, 0.70, 0.31, 0.69, 0.70], (3,)),
        ([0.50, 0.51, 0.49, 0.50, 0.52, 0.48], ()),
        ([0.55, 0.58, 0.50, 0.57, 0.56, 0.59], ()),
        ([0.75, 0.55, 0.62, 0.68, 0.71, 0.60], ()),
        ([0.80, 0.81, 0.79, 0.74, 0.82, 0.80], ()),
        ([0.98, 0.97, 0.98, 0.80, 0.99, 0.98], ()),
        ([0.50], ()),
        ([], ()),
    ],
)
def test_a_seed_at_chance_is_named_where_the_others_are_not(aurocs: list[float], seeds: tuple[int, ...]) -> None:
    assert collapsed(aurocs) == seeds


def test_the_note_names_the_seed_the_arm_and_both_levels() -> None:
    assert collapsed_note("none", [0.80, 0.81, 0.79, 0.50, 0.82, 0.80]) == (
        "seed 3 of none collapsed (AUROC 0.500; the others 0.790 to 0.820)"
    )
    assert collapsed_note("vae add 1", [0.5, 0.81, 0.79, 0.47, 0.82, 0.80]) == (
        "seeds 0, 3 of vae add 1 collapsed (AUROC 0.500, 0.470; the others 0.790 to 0.820)"
    )
    assert collapsed_note("none", [0.80, 0.81]) is None
    assert str(collapsed_note("none", [0.5, 0.8])).endswith("(AUROC 0.500; the other 0.800)")
