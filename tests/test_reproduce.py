"""A record's run is carried out again from the record alone, and what differs is told field by field."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.job.carry_out import carry_out
from benchmarks.records.load import RECORD
from benchmarks.records.reproduced import KEY, read_notes
from benchmarks.records.store import Records
from benchmarks.reproduce import beside, main, say
from benchmarks.request.again import request_again
from benchmarks.request.options import parse
from benchmarks.verdicts.agreement import disagreeing, fields_of
from synthworth.errors import UserError
from synthworth.keys import digest, file_sha256

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = [
    *("--preset", "smoke", "--device", "cpu", "--workers", "1", "--generator", "vae", "--ratio", "0.5", "--seeds", "2"),
    *(
        "--controls",
        "none",
        "mixup",
        "duplicate",
        "reconstruct",
        "--curve",
        "0.5",
        "--train.steps",
        "3",
        "--fit.steps",
        "3",
    ),
    *("--extractors", "--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40"),
]
HERE = ["--device", "cpu", "--workers", "1"]


@pytest.fixture(autouse=True)
def notes_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, str(tmp_path / "notes.key"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of a run of three arms and a remedy."""
    home = tmp_path_factory.mktemp("first")
    words = [*SMALL, "--home", str(home / "home"), "--results", str(home / "runs")]
    carry_out(parse(words, prog="test"))
    return home / "runs"


def record_of(folder: Path, name: str) -> Path:
    return next(folder / r["run_id"][:16] / RECORD for r in Records(folder) if r["name"] == name)


def again(file: Path, place: Path, *more: str) -> int:
    return main([str(file), *HERE, "--home", str(place / "home"), "--results", str(place / "runs"), *more])


@pytest.mark.parametrize("name", ["vae add 0.5", "mixup", "none x 0.5", "duplicate add 0.5"])
def test_a_run_comes_out_again_to_the_bit(
    name: str, finished: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path_factory.getbasetemp() / "again"  # one home: what an arm needs of another is made once
    assert again(record_of(finished, name), place) == 0
    assert "REPRODUCED to the bit" in capsys.readouterr().out
    made, was = (json.loads(record_of(folder, name).read_text()) for folder in (place / "runs", finished))
    assert made["run_id"] == was["run_id"]
    (note,) = read_notes([finished]).counted.values()  # those of the other names were signed with other keys
    assert note.agreed and note.name == name and note.n_fields == note.n_same
    assert note.record_sha256 == file_sha256(record_of(finished, name))


def test_the_request_of_every_arm_is_found_in_its_spec(finished: Path) -> None:
    every = list(Records(finished))
    assert len(every) == 6
    (shown,) = [record["spec"] for record in every if record["name"] == "reconstruct add 0.5"]
    for record in every:
        request = request_again(record["spec"], HERE, prog="test", beside=[shown])
        of = shown if record["name"] == "duplicate add 0.5" else record["spec"]
        assert request.precisions == (record["spec"]["precision"], of.get("generator_precision", ""))
        assert request.clf.batch_size == record["spec"]["clf"]["batch_size"]


def test_a_control_beside_one_that_shows_a_generator_needs_the_record_that_names_it(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(record_of(finished, "duplicate add 0.5").parent, tmp_path / "alone/runs" / "a")
    with pytest.raises(UserError, match="duplicate was run beside reconstruct, whose record says of which generator"):
        again(tmp_path / "alone/runs" / "a", tmp_path)


def changed(file: Path, place: Path, **change: Any) -> Path:
    """A copy of a record with another spec, and the run id of that."""
    record = json.loads(file.read_text())
    record["spec"] |= change
    record["run_id"] = digest(record["spec"])
    folder = place / record["run_id"][:16]
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps(record))
    return folder / RECORD


def test_what_cannot_be_made_here_is_named_before_anything_is_trained(finished: Path, tmp_path: Path) -> None:
    file = changed(record_of(finished, "vae add 0.5"), tmp_path, classifier_version=99)
    with pytest.raises(UserError, match=r"classifier_version is 2 here and 99 in the record"):
        again(file, tmp_path)
    assert not list((tmp_path / "home").rglob("classify/*"))


def test_flags_that_make_another_run_are_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seeds is 3 here and 2 in the record"):
        again(record_of(finished, "none"), tmp_path, "--seeds", "3")


@pytest.mark.parametrize("args", [["missing.json"], ["--every"]])
def test_what_is_no_record_is_said(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        main(args)


def test_a_number_that_has_moved_is_told_with_the_exit_code(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = record_of(finished, "none")
    record = json.loads(file.read_text())
    auprc = record["utility"]["auprc"]
    auprc["value"] = (auprc["value"] + auprc["high"]) / 2
    del auprc["extra"]["per_seed"]  # whose mean it is not any more
    record["training"]["images_seen"][0] += 1
    folder = tmp_path / file.parent.name
    folder.mkdir()
    (folder / RECORD).write_text(json.dumps(record))
    shutil.copy(file.parent / "predictions.parquet", folder)
    assert again(folder, tmp_path / "again") == 1
    said = capsys.readouterr().out
    assert "training.images_seen" in said and "REPRODUCED not to the bit" in said and "1 within" in said
    (note,) = read_notes([tmp_path]).counted.values()
    assert not note.agreed and note.n_within == 1 and f"noted in {tmp_path / 'reproduced'}" in said


def test_fields_are_the_same_within_the_interval_or_other() -> None:
    was = {
        "utility": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9, "extra": {"per_seed": [0.79, 0.81]}}},
        "fidelity": {"fd": {"value": 10.0, "low": None, "high": None}},
        "verdict": "HELPS", "cost": {"seconds": 1.0}, "gone": 1,
    }  # fmt: skip
    now = {
        "utility": {"auroc": {"value": 0.85, "low": 0.75, "high": 0.95, "extra": {"per_seed": [0.79, 0.91]}}},
        "fidelity": {"fd": {"value": 10.5, "low": None, "high": None}},
        "verdict": "HURTS", "cost": {"seconds": 9.0}, "new": 2,
    }  # fmt: skip
    words = {".".join(field.path): field.word for field in fields_of(was, now)}
    assert words == {
        "utility.auroc.value": "within", "utility.auroc.low": "within", "utility.auroc.high": "within",
        "utility.auroc.extra.per_seed.0": "same", "utility.auroc.extra.per_seed.1": "within",
        "fidelity.fd.value": "other", "fidelity.fd.low": "same", "fidelity.fd.high": "same",
        "verdict": "other", "gone": "other", "new": "other",
    }  # fmt: skip


def test_an_estimate_outside_of_the_interval_is_another_with_all_that_follows() -> None:
    was = {"comparisons": {"none": {"difference": 0.01, "low": 0.0, "high": 0.02, "p_interval": 0.04}}}
    now = {"comparisons": {"none": {"difference": 0.03, "low": 0.02, "high": 0.04, "p_interval": 0.01}}}
    assert {field.word for field in fields_of(was, now)} == {"other"}


def test_a_number_that_the_record_lacks_contradicts_nothing() -> None:
    was = {"utility": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}, "fid": None}}
    now = {"utility": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}, "fid": 3.0, "ece": {"value": 0.1}}}
    assert not disagreeing(fields_of(was, now))
    now["utility"]["auroc"] = {"value": 0.6, "low": 0.7, "high": 0.9}
    assert [field.path for field in disagreeing(fields_of(was, now))] == [("utility", "auroc", "value")]
    assert not disagreeing(fields_of({"kid": 0.003942822722393098}, {"kid": 0.003942822722393151}))
    assert disagreeing(fields_of({"kid": 0.00394282}, {"kid": 0.00394283}))
    assert disagreeing(fields_of(was, {"utility": {"fid": None}}))  # a number that is gone does


def test_what_the_record_lacks_is_told_and_is_no_failure(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = json.loads(record_of(finished, "none").read_text())
    old = {**made, "cost": made["cost"], "utility": {k: v for k, v in made["utility"].items() if k != "auprc"}}
    assert say(old, made, every=False) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "REPRODUCED not to the bit" in said and "1 other, of which 1 contradict nothing" in said
    assert say(made, old, every=False) == 1


def test_the_positive_control_is_run_beside_an_arm_for_its_verdict_names_it(finished: Path) -> None:
    file = record_of(finished, "duplicate add 0.5")
    record, mixup = json.loads(file.read_text()), json.loads(record_of(finished, "mixup").read_text())
    alone = {**record, "comparisons": {}, "positive_control": {"run_id": mixup["run_id"]}}
    assert [spec["generator"] for spec in beside(alone, file)] == ["mixup"]
    assert beside({**alone, "positive_control": None}, file) == []
