"""A record in full, on the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report.footnotes import Notes
from benchmarks.show import main
from synthworth.commands import guarded
from synthworth.cost import Cost, describe_cost


def shown(lab: Any, capsys: pytest.CaptureFixture[str], record: dict[str, Any], *flags: str) -> str:
    assert main([record["run_id"][:12], "--results", str(lab.folder), *flags]) == 0
    return capsys.readouterr().out


def test_a_missing_number_is_null_and_its_reason_stands_once(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lab.run("none", 1.0)
    text = shown(lab, capsys, lab.run("latent_ddpm", 2.0, fid=None))
    (row,) = (line for line in text.splitlines() if "fid@9" in line)
    assert "null" in row and "(a)" in row
    assert text.count("Inception's weights are not there") == 1
    assert "(a) Inception's weights are not there" in text


def test_the_record_is_printed_as_it_is_stored(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    record = lab.run("none", 1.0)
    assert json.loads(shown(lab, capsys, record, "--json")) == json.loads(json.dumps(record))


def test_what_every_fit_cost_is_one_line_and_older_records_have_none(
    lab: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record = lab.run("latent_ddpm", 1.0)
    assert "COST" not in shown(lab, capsys, record)
    told = describe_cost(Cost(640.0, 100.0, None, {"joules": "no counter"}), steps=10, images_seen=640, seconds=32.0)
    untold = describe_cost(Cost(), steps=0, images_seen=0, seconds=0.0)
    lab.change(record, cost={**record["cost"], "fit": {"steps": 10, "cost": told}, "classifiers": [told, None, untold]})
    lines = [line for line in shown(lab, capsys, record).splitlines() if line.startswith("COST")]
    assert lines[0].startswith(
        "COST     generator: 640 images seen, 1 GFLOP an image, 20 images/s, 20.0% of peak, kwh: null"
    )
    assert lines[0].endswith("(no counter)")
    assert [line.split(":")[0] for line in lines[1:]] == ["COST     classifier 0", "COST     classifier 2"]
    assert "nothing was trained" in lines[2]


def test_a_run_that_did_not_finish_says_why(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(lab, capsys, lab.fail("the loss is nan at step 3", generator="vae"), "--explain")
    assert "failed" in text and "the loss is nan at step 3" in text


def test_from_another_folder_it_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert guarded(main, ["0123abcd"]) == 2
    said = capsys.readouterr().err
    assert f"'0123abcd' is no run in {tmp_path / 'results/runs'}. There are: none; name the folder" in said
    assert "--results" in said


def test_equal_notes_share_a_letter_and_letters_do_not_run_out() -> None:
    notes = Notes()
    assert [notes.mark(n) for n in ("x", "y", "x")] == ["a", "b", "a"]
    marks = [notes.mark(f"reason {k}") for k in range(60)]
    assert marks[23:26] == ["z", "aa", "ab"]
    assert len(set(marks)) == 60
