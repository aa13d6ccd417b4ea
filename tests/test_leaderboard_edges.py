"""What a leaderboard says at its edges: of records that lie, lie twice, were carried out again, or saw the films."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.reproduced import KEY, Note, content_of, read_notes, write_note
from leaderboard.build import CSV, main
from leaderboard.contamination import contamination_of
from leaderboard.flat import flat_rows
from leaderboard.gather import collect
from leaderboard.numbers import NUMBERS, not_doubted
from leaderboard.tables import Row, Table, make_tables
from synthworth.commands import guarded
from synthworth.keys import sha256_of


def row_of(tables: list[Table], generator: str) -> Row:
    (row,) = (r for t in tables for r in t.rows if r.standing.entry.spec["generator"] == generator)
    return row


def folder_of(lab: Any, record: dict[str, Any]) -> Path:
    return Path(lab.folder) / str(record["run_id"])[:16]


def lied(record: dict[str, Any], control: str) -> dict[str, Any]:
    """The comparisons of a record with one that says more than was measured."""
    row = record["comparisons"][control]
    return {**record["comparisons"], control: {**row, "difference": row["difference"] + 0.1, "high": 0.9}}


# -- contradicted ---------------------------------------------------------------------------------------------------


def test_of_a_contradicted_record_no_number_is_shown_anywhere(lab: Any) -> None:
    lab.run("none", 1.0)
    liar = lab.run("liar", 1.5, fid=12.25)
    auroc = {**liar["utility"]["auroc"], "value": 0.99, "low": 0.98, "high": 1.0}
    value = {"value": 0.3125, "low": 0.25, "high": 0.375, "n": 9, "note": None}
    gap = {"value": 0.4375, "low": 0.1, "high": 0.5, "best": "F", "worst": "M", "note": None, "against_none": None}
    group = {"n_images": 4, "n_patients": 4, "low": None, "high": None, "note": "few", "against_none": None}
    lab.change(
        liar,
        utility={**liar["utility"], "auroc": auroc},
        privacy={
            f"{name}@pixels": {"metric": name, "extractor": None, "features": "pixels", "label": None,
                               "literature": False, "direction": "lower", "alias": None, "extra": {}, **value}
            for name in ("copy_rate", "membership_auroc")
        },
        cost={"fit_seconds": 77.5, "draw_seconds_per_1000": 2.5},
        subgroups={"sex": {"note": None, "gap": gap, "groups": {n: {**group, "auroc": 0.5625} for n in "MF"}}},
    )  # fmt: skip
    assert collect([lab.folder]).skipped == ()
    tables = lab.tables()
    row = row_of(tables, "liar")
    assert row.status.word == "contradicted"
    assert set(NUMBERS) <= set(row.numbers) and all(n.value is None and n.note for n in row.numbers.values())
    (flat,) = (one for one in flat_rows(tables) if one["generator"] == "liar")
    asked = {"real_fraction", "steps", "seeds", "seed", "ratio", "is_control"}
    assert {name for name, value in flat.items() if isinstance(value, (int, float))} == asked


@pytest.mark.parametrize("control", ["none", "duplicate", "noise"])
def test_a_comparison_that_the_predictions_do_not_bear_out_contradicts_the_record(lab: Any, control: str) -> None:
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("noise", 0.9, jitter=3)
    arm = lab.run("liar", 1.5, controls=("none", "duplicate", "noise"))
    assert row_of(lab.tables(), "liar").status.word == "recomputed"
    lab.change(arm, comparisons=lied(arm, control))
    tables = lab.tables()
    row = row_of(tables, "liar")
    assert row.status.word == "contradicted" and str(row.status.why).startswith(f"against {control}: the record says")
    assert row.standing.rank is None and tables[0].rows[-1] is row and row.numbers["auroc"].value is None
    assert {r.status.word for r in tables[0].rows[:-1]} == {"recomputed"}


def test_a_control_that_cannot_be_believed_is_named_and_does_not_make_an_honest_arm_a_claim(lab: Any) -> None:
    lab.run("none", 1.0)
    noise = lab.run("noise", 0.9)
    lab.run("honest", 1.5, controls=("none", "noise"))
    auroc = {**noise["utility"]["auroc"], "value": 0.1, "low": 0.05, "high": 0.2}
    lab.change(noise, utility={**noise["utility"], "auroc": auroc})
    tables = lab.tables()
    assert row_of(tables, "noise").status.word == "contradicted"
    status = row_of(tables, "honest").status
    assert (status.word, status.why) == ("recomputed", "not made again: noise")


def test_calibrated_error_is_null_where_the_error_it_is_made_from_is(lab: Any) -> None:
    arm = lab.run("none", 1.0)
    made = {
        name: {**arm["utility"]["f1"], "metric": name, "value": 0.0123, "direction": "lower"}
        for name in ("ece", "ece_calibrated")
    }
    lab.change(arm, utility={**arm["utility"], **made})
    standing = row_of(lab.tables(), "none").standing
    assert not_doubted(standing)["ece_calibrated"]["value"] == 0.0123
    found = not_doubted(replace(standing, doubted={"ece": "the predictions give another"}))
    assert found["ece"]["value"] is None and found["ece_calibrated"]["value"] is None
    assert found["ece_calibrated"]["note"].startswith("ece, which it is made from")


# -- one run twice --------------------------------------------------------------------------------------------------


def test_two_records_of_one_run_are_told_with_both_files_and_a_copy_is_none(
    lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.run("none", 1.0)
    arm = lab.run("twice", 1.5)
    here, there = folder_of(lab, arm), tmp_path / "there" / folder_of(lab, arm).name
    shutil.copytree(here, there)
    assert collect([lab.folder, tmp_path / "there"]).skipped == ()
    lab.change(arm, cost={"fit_seconds": 9.5, "draw_seconds_per_1000": 2.5})
    words = ["--results", str(lab.folder), str(tmp_path / "there"), "--out", str(tmp_path / "site"), "--figures", "0"]
    assert guarded(main, words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{there / 'record.json'} is another record of the run of {here / 'record.json'}" in said
    with (tmp_path / "site" / CSV).open() as file:
        (row,) = (row for row in csv.DictReader(file) if row["generator"] == "twice")
    assert row["status_beside"] == "one of 2 records" and str(there) in row["status_why"]


def test_a_copy_with_other_predictions_is_another_record(lab: Any, tmp_path: Path) -> None:
    arm = lab.run("none", 1.0)
    there = tmp_path / "there" / folder_of(lab, arm).name
    shutil.copytree(folder_of(lab, arm), there)
    (there / PREDICTIONS).write_bytes(b"others")
    assert len(collect([lab.folder, tmp_path / "there"]).skipped) == 1


# -- carried out again ----------------------------------------------------------------------------------------------


def note_of(folder: Path, **change: Any) -> Note:
    sha256 = sha256_of([(folder / "record.json").read_bytes()])
    told: dict[str, Any] = {
        "run_id": "a" * 64, "name": "vae add 0.5", "record_sha256": sha256, "content": content_of(folder, sha256),
        "agreed": True, "n_fields": 10, "n_same": 9, "n_within": 1, "n_added": 0, "commit": "c" * 40,
        "synthworth": "0.1", "machine": "a processor", "when": "2026-12-01T10:00:00+00:00",
    }  # fmt: skip
    return Note(**{**told, **change})


def test_a_reproduction_counts_of_committed_code_alone_and_one_that_disagrees_is_seen(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, str(tmp_path / "notes.key"))
    folder = folder_of(lab, lab.run("vae", 1.5))

    def status(*places: Path) -> Any:
        found = collect([lab.folder])
        return row_of(make_tables(found.entries, (), None, read_notes(places).counted), "vae").status

    dirty, good, against = (tmp_path / name for name in ("dirty", "good", "against"))
    write_note(dirty, note_of(folder, commit="c" * 40 + "+", when="2026-12-03T10:00:00+00:00"))
    write_note(good, note_of(folder))
    write_note(against, note_of(folder, agreed=False, when="2026-12-02T10:00:00+00:00"))
    assert status(dirty).shown == "recomputed" and "uncommitted changes" in status(dirty).why
    assert status(good, dirty).shown == "reproduced"
    assert status(good, against).shown == "recomputed, not reproduced"


# -- may have seen the films ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("generator", "tower_id somebody/clip"), "generator: tower_id somebody/clip"),
        (("generator", "encoder resnet18, ImageNet weights"), None),
        (("generator", "AlexNet of torchvision, for LPIPS"), None),
        (("classifier", "resnet18.a1_in1k"), None),
        (("classifier", "vit_base.somebodys_films"), "classifier: vit_base.somebodys_films"),
        (("extractor", "inception"), None),
    ],
)
def test_what_a_record_discloses_counts_as_what_its_options_name(row: tuple[str, str], said: str | None) -> None:
    spec = {"generator": "vae", "gen": {}, "clf": {}}
    found = contamination_of(spec, [{"part": row[0], "name": row[1], "sha256": None}])
    assert found is None if said is None else str(found).startswith(f"{said}: trained elsewhere")


def test_an_option_that_holds_an_id_of_a_hub_counts_whatever_it_is_called() -> None:
    spec = {"generator": "plugin", "gen": {"tower": {"name": "hub:some/thing"}}, "clf": {}}
    assert "name (hub:some/thing): trained elsewhere" in str(contamination_of(spec))
    disclosed = [{"part": "generator", "name": "tower.name some/thing", "sha256": None}]
    assert str(contamination_of(spec, disclosed)).count("some/thing") == 1
