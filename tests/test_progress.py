"""Progress is silent when it is short, speaks in lines where there is no terminal, and never on stdout."""

from __future__ import annotations

import re

import pytest

from synthworth import progress
from synthworth.progress import Progress, track


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_what_is_short_says_nothing(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    for _ in track(range(50), "drawing"):
        clock.now += 0.1
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("fit", 100, unit="images") as bar:
        for _ in range(35):
            clock.now += 1.0
            bar.advance(2, loss=0.25)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 3
    assert lines[0].startswith("fit: 20/100  2.0 images/s  40 s left")
    assert "loss 0.25" in lines[0]
    assert not re.search("[\r\x1b]", err)


def test_a_total_that_is_not_known_is_not_made_up(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    for _ in track(iter("abc"), "reading"):
        clock.now += 11
    assert capsys.readouterr().err.splitlines()[0].startswith("reading: 1  ")


def test_work_that_goes_on_counts_from_where_it_was(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("fit", 100, done=50) as bar:
        clock.now += 10
        bar.advance(10)
    assert "fit: 60/100  1.0 it/s  40 s left" in capsys.readouterr().err


def test_a_muted_process_is_silent(
    capsys: pytest.CaptureFixture[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_muted", False)
    progress.mute()
    for _ in track(range(3), "drawing"):
        clock.now += 60
    assert capsys.readouterr().err == ""


def test_tracking_yields_every_item_and_lets_errors_through() -> None:
    assert list(track([3, 1, 2], "x")) == [3, 1, 2]
    items = track((1 // n for n in (1, 0)), "x")
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)
