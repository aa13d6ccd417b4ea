"""Plugins and names that misbehave outside the run itself: one line, no silence, nothing that steers the terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import show
from benchmarks.metrics.declare import declared
from benchmarks.metrics.value import LARGEST, Value
from data.audit.__main__ import _print_shared
from data.audit.__main__ import main as audit
from data.images import Split
from data.prepare import main as prepare
from data.splits.leaks import SharedNames, refuse_shared
from leaderboard.build import main as build
from synthworth.commands import _print_fault, guarded
from synthworth.errors import UserError
from synthworth.printable import UNPRINTABLE
from synthworth.progress import Progress

METRIC = """
import sys
from synthworth.api import Value, register

@register.metric("{name}")
def {name}(*, truth, scores):
    {body}
"""
VALUE = 'return {{"x": Value("x", {}, n=3, direction="higher")}}'
BODIES = {
    "exit": ("sys.exit(0)", "ended the program by sys.exit"),
    "number": ('return {"x": 0.5}', "'x' is a float and no Value"),
    "nan": (VALUE.format("float('nan')"), "a record takes finite numbers"),
    "null": (VALUE.format("None"), "null without a note"),
    "steering": ("raise ValueError('\\x1b[31mred')", "\\x1b[31mred"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_metric_that_misbehaves_is_one_line_wherever_it_is_asked(
    kind: str, lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body, said = BODIES[kind]
    plugin = tmp_path / f"{kind}_metric.py"
    plugin.write_text(METRIC.format(name=f"{kind}_metric", body=body))
    record = lab.run("none", 1.0)
    about = ["--results", str(lab.folder), "--plugin", str(plugin)]
    for command, args in ((show.main, [record["run_id"]]), (build, ["--out", str(tmp_path / "site")])):
        assert guarded(command, [*args, *about]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: metric {kind}_metric raised") and said in line


def test_a_number_beyond_all_measure_is_null_and_says_so() -> None:
    def vast(*, truth: Any) -> dict[str, Value]:
        return {"x": Value("x", 1e300, len(truth), "higher", 0.0, 1e301), "y": Value("y", LARGEST, 3, "higher")}

    found = declared("vast", vast).measure(truth=np.zeros(3))
    assert (found["x"].value, found["x"].low, found["x"].high) == (None, None, None)
    assert "1e+301 is no measurement" in str(found["x"].note)
    assert found["y"].value == LARGEST


@pytest.mark.usefixtures("one_thread")
def test_names_of_films_and_classes_are_text_in_prepare_and_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val", "test"):
        for number, kind in enumerate(("NORMAL", "SICK\x1b[31m\u202e\nimages  9")):
            for k in range(4):
                file = tmp_path / "films" / split / kind / f"p{split}{number}{k}\x1b]0;t\x07.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng([number, k, len(split)]).integers(0, 256, (16, 16), dtype=np.uint8)
                Image.fromarray(noise).save(file)
    about = ["--dataset", "folder", "--data.path", str(tmp_path / "films"), "--home", str(tmp_path / "home")]
    for command in (prepare, audit):
        assert guarded(command, about) == 0
        said = capsys.readouterr()
        assert not UNPRINTABLE.search((said.out + said.err).replace("\n", "")), command
        assert "SICK" in said.out and "images  9" not in [line.strip() for line in said.out.splitlines()]


def test_names_that_splits_share_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    same = ["p\x1b[31m", "q\nr"]
    with pytest.raises(SharedNames) as refused:
        refuse_shared({Split.train: same, Split.test: same}, what="patient")
    _print_shared(refused.value, as_json=False)
    said = capsys.readouterr().out
    assert said == "patients in train and test, 2:\n  p\\x1b[31m\n  q r\n"


def test_progress_takes_no_markup_and_no_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("fidelity of [/x] \x1b]0;title\x07", 3) as bar:
        bar.advance()
    assert "[/x] \\x1b]0;title\\x07" in screen.getvalue() and "\x07" not in screen.getvalue()


def test_a_traceback_steers_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    assert guarded(lambda _: 0, []) == 0 and sys.excepthook is _print_fault
    try:
        raise LookupError("a\x1b[2Jb")
    except LookupError as error:
        sys.excepthook(LookupError, error, error.__traceback__)
    said = capsys.readouterr().err
    assert "LookupError: a\\x1b[2Jb" in said and said.startswith("Traceback (most recent call last):\n")


def test_a_metric_of_this_suite_keeps_its_traceback() -> None:
    def own(*, truth: Any) -> dict[str, Value]:
        return {"x": Value("x", float("nan"), 3, "higher")}

    own.__module__ = "benchmarks.metrics.own"
    with pytest.raises(ValueError, match="finite"):
        declared("own", own).measure(truth=np.zeros(3))
    own.__module__ = "elsewhere"
    with pytest.raises(UserError, match="finite"):
        declared("own", own).measure(truth=np.zeros(3))
