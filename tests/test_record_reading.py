"""Whether a file is a record and may be believed: what is refused, in which words, and that the others are read."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, reanalyse, show
from benchmarks.job.believe import doubt_what_changed
from benchmarks.judging.positive_control import KEPT
from benchmarks.records.load import Unreadable, load_record
from benchmarks.records.predictions import PREDICTIONS, write_predictions
from benchmarks.records.seal import SEAL, write_seal
from benchmarks.records.store import RECORD, Records
from leaderboard.build import CSV, MARKDOWN, collect, main
from leaderboard.text import markdown
from synthworth.commands import guarded
from synthworth.keys import digest

Arms = dict[str, dict[str, Any]]


@pytest.fixture
def arms(lab: Any) -> Arms:
    """Real images alone, their duplicates, and a generator that changes nothing."""
    return {name: lab.run(name, 1.0, jitter=k) for k, name in enumerate(("none", "duplicate", "idle"))}


def home(lab: Any, record: dict[str, Any]) -> Path:
    return Path(lab.folder / record["run_id"][:16])


def rewrite(lab: Any, record: dict[str, Any], *, sealed: bool = False, **parts: Any) -> Path:
    """Edit a record where it lies; `sealed` as an editor would who knows of the seal, else without one."""
    folder = home(lab, record)
    (folder / RECORD).write_text(json.dumps({**record, **parts}))
    (folder / SEAL).unlink(missing_ok=True)
    if sealed:
        write_seal(folder, RECORD)
    return folder / RECORD


def helping(record: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Comparisons in which an arm helps."""
    row = record["comparisons"]["none"]
    return {"none": {**row, "difference": 0.1, "low": 0.05, "high": 0.15, "p_interval": 1e-4, **more}}


def reason(file: Path) -> str:
    with pytest.raises(Unreadable) as refused:
        load_record(file)
    return str(refused.value)


# -- where it lies ------------------------------------------------------------------------------------------------


def test_the_record_of_one_run_in_the_folder_of_another_is_not_taken(
    lab: Any, arms: Arms, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(home(lab, arms["idle"]))
    shutil.copytree(home(lab, arms["none"]), home(lab, arms["idle"]))
    assert "lies in the folder of another" in reason(home(lab, arms["idle"]) / RECORD)
    kept = Records(lab.folder)
    assert [kept.find(arms["idle"]["run_id"]) for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1, "it is said once"
    assert {e.record["name"] for e in collect([lab.folder]).entries} == {"none", "duplicate add 0.5"}


@pytest.mark.parametrize("run_id", ["e" * 64, "../../elsewhere", "", 7, None, "E" * 64, "\x1b[31m" * 13])
def test_a_run_id_that_is_not_the_digest_of_the_spec_is_refused(lab: Any, arms: Arms, run_id: Any) -> None:
    file = rewrite(lab, arms["idle"], run_id=run_id)
    assert "run_id" in reason(file)
    if run_id == "e" * 64:
        file.parent.rename(lab.folder / run_id[:16])
        assert "another spec than its run_id is the digest of" in reason(lab.folder / run_id[:16] / RECORD)


def test_a_spec_that_was_edited_is_refused(lab: Any, arms: Arms) -> None:
    file = rewrite(lab, arms["idle"], sealed=True, spec={**arms["idle"]["spec"], "seeds": 5})
    assert "another spec than its run_id is the digest of" in reason(file)


@pytest.mark.parametrize("number", ["gflop_per_image", "images_per_second", "peak_tflops", "share_of_peak", "kwh"])
@pytest.mark.parametrize(("value", "said"), [(-1.0, "it lies from 0"), ("many", "not a number")])
def test_a_cost_that_no_fit_has_is_refused(lab: Any, arms: Arms, number: str, value: Any, said: str) -> None:
    cost = {"images_seen": 64, "notes": {}, number: value}
    file = rewrite(lab, arms["idle"], cost={**arms["idle"]["cost"], "classifiers": [None, cost]})
    assert f"cost.classifiers.1.{number} is" in reason(file) and said in reason(file)


# -- what it holds ------------------------------------------------------------------------------------------------

BAD = {
    b"": "is not JSON (line 1, column 1",
    b"[]": "is no record but a list",
    b"null": "is no record but null",
    b'{"schema": 99}': "schema 99, this version reads 4",
    b'{"schema": true}': "schema True",
    b"\xff\xfe": "is not UTF-8 (byte 0)",
    b'{"schema": 4}': "status is missing",
    b'{"schema": 4, "status": "done"}': "status is 'done', not one of ok, failed, skipped",
    b'{"schema": 4, "status": "ok"}': "name is missing",
    b'{"schema": 3, "status": "ok", "utility": 3}': "utility is 3, not a mapping",
    b'{"schema": NaN}': "holds NaN",
    b'{"schema": 4, "x": -Infinity}': "holds -Infinity",
    b'{"schema": 4, "x": 1e999}': "holds a number too large for a float",
    b'{"schema": 4, "x": -1E+0400 }': "holds a number too large for a float",
    b'{"schema": 4, "x": ' + b"7" * 400 + b".5}": "holds a number too large for a float",
    b'{"schema": 4, "x": ' + b"7" * 5000 + b"}": "holds no number of this world",
    b"[" * 100_000: "is nested too deeply",
    b'{"a":' * 60 + b"1" + b"}" * 60: "is nested deeper than 50 levels",
}


@pytest.mark.parametrize(("content", "said"), BAD.items(), ids=[str(b[:32]) for b in BAD])
def test_what_is_no_record_is_named_with_its_reason_and_the_rest_goes_on(
    lab: Any, arms: Arms, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home(lab, arms["idle"])
    (folder / RECORD).write_bytes(content)
    (folder / SEAL).unlink()
    assert said in reason(folder / RECORD)
    out = ["--results", str(lab.folder), "--out", str(lab.folder.parent / "site")]
    assert guarded(main, out) == 0
    printed, page = capsys.readouterr().out, (lab.folder.parent / "site" / MARKDOWN).read_text()
    (line,) = (line for line in printed.splitlines() if line.startswith(f"not read: {folder / RECORD} "))
    assert said in line and "## Not read" in page
    assert "| none (control) |" in page and "| idle add 0.5 |" not in page
    assert guarded(show.main, [arms["none"]["run_id"], *out[:2]]) == 0
    assert guarded(reanalyse.main, [*out[:2], "--out", str(lab.folder.parent / "again")]) == 0
    assert "2 records in analysis" in capsys.readouterr().out
    for command in ((show.main, [folder.name]), (compare.main, [arms["none"]["run_id"], folder.name])):
        assert guarded(command[0], [*command[1], *out[:2]]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{RECORD} " in line and said.partition(" (")[0] in line


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link", "loop", "no permission to pass"])
def test_what_is_no_file_is_named_and_nothing_waits_for_it(lab: Any, arms: Arms, kind: str) -> None:
    file = home(lab, arms["idle"]) / RECORD
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to({"device": "/dev/zero", "loop": file, "dangling link": "nowhere"}.get(kind, "/proc/1/mem"))
    assert collect([lab.folder]).skipped[0].startswith(f"{file} ")
    assert len(collect([lab.folder]).entries) == 2
    records = Records(lab.folder)
    assert records.find(arms["idle"]["run_id"]) is None
    records.write(arms["idle"], {})
    assert records.find(arms["idle"]["run_id"]) == arms["idle"], "it heals"


AUROC_OUT = {"value": 1.5}, {"value": float("nan")}, {"value": "0.9"}, {"value": True}, {"value": 10**400}


@pytest.mark.parametrize("part", AUROC_OUT, ids=lambda part: repr(part["value"])[:12])
def test_an_auroc_that_is_none_gets_no_rank(lab: Any, arms: Arms, part: dict[str, Any]) -> None:
    utility = {**arms["idle"]["utility"], "auroc": {**arms["idle"]["utility"]["auroc"], **part}}
    rewrite(lab, arms["idle"], sealed=True, utility=utility)
    found = collect([lab.folder])
    assert [e.record["name"] for e in found.entries if "idle" in e.record["name"]] == []
    assert "idle" not in " ".join(e.record["name"] for e in found.entries) and len(found.skipped) == 1


# -- what its predictions say -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [False, True])
def test_comparisons_that_were_edited_are_not_printed_as_they_stand(
    lab: Any, arms: Arms, sealed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(lab, arms["idle"], sealed=sealed, comparisons=helping(arms["idle"]), verdict="HELPS. idle add 0.5: AUROC")
    (table,) = lab.tables()
    row = next(row for row in table.rows if row.label == "idle add 0.5")
    assert (row.status.word, row.verdict, row.numbers["vs_none"].value) == ("contradicted", "not compared", None)
    assert "the record says +0.1000 [+0.0500, +0.1500]" in markdown([table])
    for flags in ([], ["--explain"]):
        assert guarded(show.main, [arms["idle"]["run_id"], "--results", str(lab.folder), *flags]) == 0
        printed = capsys.readouterr().out
        assert "NOT BORNE OUT BY THE PREDICTIONS  against none" in printed and "HELPS" not in printed


def test_an_interval_alone_that_was_edited_is_seen(lab: Any, arms: Arms) -> None:
    true = arms["idle"]["comparisons"]["none"]
    narrow = {"difference": true["difference"], "low": true["difference"] - 1e-4, "high": true["difference"] + 1e-4}
    rewrite(lab, arms["idle"], comparisons=helping(arms["idle"], **narrow))
    (table,) = lab.tables()
    row = next(row for row in table.rows if "idle" in row.label)
    assert row.status.word == "contradicted" and row.numbers["vs_none"].low is None


@pytest.mark.parametrize("sealed", [False, True])
def test_a_positive_control_that_was_edited_is_made_again(
    lab: Any, sealed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    controls = ("none", "holdout_real")
    zero, positive = lab.run("none", 1.0), lab.run("holdout_real", 1.0, jitter=2, controls=("none",))
    arm = lab.run("idle", 1.0, jitter=3, controls=controls)
    row = positive["comparisons"]["none"]
    true = {name: row[name] for name in KEPT} | {"name": positive["name"], "run_id": positive["run_id"], "shown": False}
    lab.change(arm, positive_control=true)
    assert all(not row.standing.noted for row in lab.tables()[0].rows)
    assert guarded(show.main, [arm["run_id"], "--results", str(lab.folder)]) == 0
    assert "NOT BORNE OUT" not in (capsys.readouterr().out)
    for lie in ({**true, "shown": True}, {**true, "difference": 0.1, "low": 0.05, "high": 0.2, "shown": True}):
        rewrite(lab, arm, sealed=sealed, positive_control=lie)
        (table,) = lab.tables()
        found = next(row for row in table.rows if "idle" in row.label)
        assert found.status.word == "contradicted" and str(found.status.why).startswith("positive control: ")
        guarded(show.main, [arm["run_id"], "--results", str(lab.folder)])
        assert "NOT BORNE OUT BY THE PREDICTIONS  positive control" in capsys.readouterr().out
    assert zero["run_id"] in arm["comparisons"]["none"]["run_id"]


@pytest.mark.parametrize("part", [{"value": 0.99, "low": 0.98, "high": 1.0}, {"low": 0.0, "high": 1.0}])
def test_an_auroc_that_was_edited_is_null_and_stands_last(lab: Any, arms: Arms, part: dict[str, float]) -> None:
    was = arms["idle"]["utility"]["auroc"]
    seeds = [part["value"]] * 6 if "value" in part else was["extra"]["per_seed"]
    auroc = {**was, **part, "extra": {**was["extra"], "per_seed": seeds}}
    utility = {**arms["idle"]["utility"], "auroc": auroc}
    rewrite(lab, arms["idle"], sealed=True, utility=utility, comparisons=helping(arms["idle"]))
    (table,) = lab.tables()
    row = table.rows[-1]
    assert (row.label, row.standing.rank, row.verdict) == ("idle add 0.5", None, "not compared")
    shown = ("auroc", "f1", "vs_none", "p_none", "holm_none", "vs_duplicate", "worth")
    assert {row.numbers[name].value for name in shown} == {None}
    assert "the record says" in str(row.numbers["auroc"].note)


def test_a_record_of_an_earlier_home_is_read_and_a_run_measures_it_by_its_predictions(
    lab: Any, arms: Arms, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a seal: as versions wrote them that had none."""
    for record in arms.values():
        rewrite(lab, record)
    kept = Records(lab.folder)
    ids = [record["run_id"] for record in arms.values()]
    doubt_what_changed(kept, map(kept.find, ids))
    assert all(kept.find(i) is not None for i in ids) and not caplog.records
    rewrite(lab, arms["idle"], comparisons=helping(arms["idle"]))
    doubt_what_changed(kept, map(kept.find, ids))
    assert [kept.find(i) is None for i in ids] == [False, False, True]
    assert "is not borne out by its predictions: against none" in caplog.text
    kept.write(arms["idle"], {})
    assert kept.find(ids[2]) == arms["idle"]
    (old,) = lab.folder.glob(".damaged.*")
    assert json.loads((old / RECORD).read_text())["comparisons"] == helping(arms["idle"])


@pytest.mark.parametrize("file", [RECORD, SEAL, PREDICTIONS, "grid.png"])
def test_one_byte_flipped_is_named_wherever_it_lies(
    lab: Any, arms: Arms, file: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    record = arms["idle"]
    kept = Records(lab.folder)
    raw = (home(lab, record) / PREDICTIONS).read_bytes()
    kept.write(record, {PREDICTIONS: lambda to: to.write_bytes(raw), "grid.png": lambda to: to.write_bytes(b"x" * 999)})
    place = home(lab, record) / file
    whole = place.read_bytes()
    for at in range(3, len(whole), max(len(whole) // 23, 1)):
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        caplog.clear()
        guarded(show.main, [record["run_id"], "--results", str(lab.folder)])
        printed = capsys.readouterr()
        doubt_what_changed(kept, [kept.find(record["run_id"])])
        kept = Records(lab.folder)
        if whole[at : at + 1].isspace():
            continue
        places = (RECORD, PREDICTIONS, "grid.png", SEAL) if file == SEAL else (file,)
        said = [re.compile(rf"{name} (has|have|is|cannot|holds)|{name} that have") for name in places]
        assert any(one.search(caplog.text) for one in said), at
        assert any(one.search(printed.out + printed.err) for one in said), at
        (table,) = lab.tables()
        shown = {row.label: row for row in table.rows}
        if file == RECORD:
            assert "idle add 0.5" not in shown and file in collect([lab.folder]).skipped[0]
        elif file == PREDICTIONS:
            assert shown["idle add 0.5"].standing.rank is None
            assert f"{PREDICTIONS} has changed since" in shown["idle add 0.5"].standing.missing["rank"]


def test_predictions_of_another_arm_are_no_predictions_of_this_one(lab: Any, arms: Arms) -> None:
    file = home(lab, arms["idle"]) / PREDICTIONS
    write_predictions(file, lab.test, lab._scores(3.0, 6, 0))
    (row,) = (row for row in lab.tables()[0].rows if "idle" in row.label)
    assert row.standing.rank is None and f"{PREDICTIONS} has changed" in row.standing.missing["rank"]
    (home(lab, arms["idle"]) / SEAL).unlink()
    assert lab.tables()[0].rows[-1].numbers["auroc"].value is None


def test_a_checkout_that_changed_the_ends_of_lines_is_read(lab: Any, arms: Arms) -> None:
    file = home(lab, arms["idle"]) / RECORD
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert load_record(file) == arms["idle"]


def test_what_a_record_says_of_a_digest_is_said_by_the_spec_as_it_stands(make_spec: Callable[..., Any]) -> None:
    spec = make_spec()
    assert digest(json.loads(json.dumps(spec.to_json()))) == spec.run_id


def test_a_csv_of_a_damaged_folder_holds_the_others(lab: Any, arms: Arms) -> None:
    rewrite(lab, arms["idle"], classes=[])
    assert guarded(main, ["--results", str(lab.folder), "--out", str(lab.folder.parent / "site")]) == 0
    assert len((lab.folder.parent / "site" / CSV).read_text().splitlines()) == 3
