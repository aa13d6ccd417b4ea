"""The figure of a sweep shows the bar that synthetic images must clear, where there is one bar."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.sweep import figure
from benchmarks.sweep.figure import _copies, draw_sweep
from benchmarks.sweep.rows import NUMBERS, Row


def row(generator: str, ratio: float, gain: float, copies: float | None) -> Row:
    numbers: dict[str, Any] = dict.fromkeys(NUMBERS) | {"vs_none": gain, "vs_none_low": gain, "vs_none_high": gain}
    numbers["vs_duplicate"] = None if copies is None else gain - copies
    spec: Any = SimpleNamespace()
    return Row({"generator": generator, "ratio": ratio}, spec, "done", numbers)


def test_copies_stand_where_their_control_does() -> None:
    rows = [row("a", 0.5, 0.02, 0.01), row("b", 0.5, -0.03, 0.01), row("a", 1.0, 0.02, 0.015), row("b", 1.0, 0, None)]
    assert _copies(rows, "ratio") == pytest.approx({0.5: 0.01, 1.0: 0.015})
    assert _copies([*rows, row("c", 1.0, 0.0, 0.3)], "ratio") == {}  # lines of other copies have no one bar


def test_the_bar_is_drawn_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    from matplotlib.axes import Axes

    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, *a, **more: drawn.append(more.get("label", "")) or plot(self, *a, **more)
    )
    rows = [row("a", 0.5, 0.02, 0.01), row("a", 1.0, 0.02, 0.015)]
    assert draw_sweep(tmp_path / "f.png", rows, ["generator", "ratio"], title="t")
    assert figure.COPIES in drawn
    drawn.clear()
    assert draw_sweep(
        tmp_path / "f.png", [row("a", r, 0.02, None) for r in (0.5, 1)], ["generator", "ratio"], title="t"
    )
    assert figure.COPIES not in drawn
