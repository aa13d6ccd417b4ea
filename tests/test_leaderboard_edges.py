"""What a leaderboard says at its edges: of records that lie, lie twice, were carried out again, or saw the films."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.load import RECORD
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.reproduced import KEY, Note, content_of, read_notes, write_note
from benchmarks.records.seal import write_seal
from benchmarks.verdicts.verdict import Kind
from leaderboard.build import CSV, main
from leaderboard.canvas import arm_name
from leaderboard.contamination import contamination_of
from leaderboard.flat import flat_rows
from leaderboard.gather import collect
from leaderboard.judge import Judge
from leaderboard.numbers import NUMBERS, not_doubted
from leaderboard.pages.charts import charts_of
from leaderboard.pages.columns import columns
from leaderboard.pages.details import Details
from leaderboard.pages.names import dataset_page
from leaderboard.pages.rows import table_data
from leaderboard.pages.sentences import sentences
from leaderboard.pages.site import Site, write_site
from leaderboard.pages.worth import front_chart
from leaderboard.suite import dataset_of, read_suite
from leaderboard.tables import SEEN, Row, Table, make_tables
from leaderboard.text import CLAIMS, markdown
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
    auroc = {**liar["utility"]["auroc"], "value": 0.99, "low": 0.98, "high": 1.0, "extra": {"per_seed": [0.99] * 6}}
    gap = {"value": 0.4375, "low": 0.1, "high": 0.5, "best": "F", "worst": "M", "note": None, "against_none": None}
    group = {"n_images": 4, "n_patients": 4, "low": None, "high": None, "note": "few", "against_none": None}
    lab.change(
        liar,
        utility={**liar["utility"], "auroc": auroc},
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
    auroc = {**noise["utility"]["auroc"], "value": 0.1, "low": 0.05, "high": 0.2, "extra": {"per_seed": [0.1] * 6}}
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


def test_an_arm_that_may_have_seen_the_films_is_marked_in_every_picture_and_counted_in_no_finding(lab: Any) -> None:
    lab.run("none", 1.0)
    for k, (name, gen) in enumerate((("clean", {}), ("seen", {"pretrained_id": "hub:some/thing"}))):
        worth = {"n_real": 9, "n_synthetic": 4, "where": "on the curve", "n_equivalent": 11.0, "worth": 0.5, "low": 0.1,
                 "high": 0.9, "note": "", "curve": []}  # fmt: skip
        lab.change(lab.run(name, 2.0, jitter=k, gen=gen), worth=worth)
    tables = lab.tables()
    chart = front_chart(tables)
    assert chart is not None and "Pale: a part of the arm was trained elsewhere" in chart.caption
    marked = {row[1]: row[chart.head.index("contaminated")] for row in chart.rows}
    assert marked["clean add 0.5"] is None and "hub:some/thing" in str(marked["seen add 0.5"])
    assert f"seen add 0.5 ({SEEN})" in chart.inline(900) and f"clean add 0.5 ({SEEN})" not in chart.inline(900)
    (drawn,) = (one for one in charts_of(tables[0], Details()) if one.name.endswith("-forest"))
    assert {row[0] for row in drawn.rows} == {"clean add 0.5", f"seen add 0.5 ({SEEN})"}
    assert {arm_name(row) for row in tables[0].rows} == {"none", "clean add 0.5", f"seen add 0.5 ({SEEN})"}
    assert "1 of 1 judged arm is said to help" in sentences(tables)[1]  # its worth is claimed
    assert f"1 arm more has a part that {SEEN}: not counted here." in sentences(tables)[1]


# -- the front page -------------------------------------------------------------------------------------------------


def test_the_sentences_name_what_was_judged_and_what_could_not_be_shown(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("holdout_real", 2.0, jitter=4)
    lab.run("vae", 1.0, jitter=1)
    lab.run("none", 1.0, fingerprint="e" * 64, dataset="folder")
    lab.run("none", 1.0, seeds=2)
    lab.run("vae", 2.0, seeds=2)
    what, helps, controls = sentences(lab.tables())
    assert what.startswith("1 generator on 1 dataset: 2 arms judged")
    assert helps == (
        "None of 1 judged arm is shown to help over real images alone; "
        "of 1 arm it could not have been shown with 2 seeds."
    )
    assert re.match(
        r"Further real images are shown to help over real images alone in 1 of 1 setting \(AUROC \+0\.\d+ \[.*\]\)\.$",
        controls,
    )


def test_an_arm_that_is_only_claimed_is_counted_apart_from_what_is_shown(lab: Any) -> None:
    """Without its predictions a record can say what it likes, and be sealed as it is."""
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("honest", 1.0, jitter=3)
    record = lab.run("liar", 1.0, jitter=4)
    rows = record["comparisons"]
    gain = {"difference": 0.2, "low": 0.15, "high": 0.25, "p_value": 0.001, "p_interval": 1e-9}
    lab.change(record, comparisons={name: {**row, **gain} for name, row in rows.items()})
    folder = lab.folder / record["run_id"][:16]
    (folder / PREDICTIONS).unlink()
    write_seal(folder, RECORD)
    tables = lab.tables()
    (liar,) = (row for row in tables[0].rows if row.label.startswith("liar"))
    assert liar.status.word == "claimed" and liar.word.kind is Kind.HELPS
    _, helps, controls = sentences(tables)
    apart = "not counted: 1 arm that is only claimed (by their own records alone 1 does)"
    assert helps == f"None of 1 judged arm is shown to help over real images alone; {apart}."
    assert controls.startswith(f"None of 1 is shown to beat real images drawn again (duplicates); {apart}; ")
    verdicts, _, claims = markdown(tables).partition(CLAIMS)
    assert "HELPS. liar" in claims and "HELPS. liar" not in verdicts and "honest add 0.5: AUROC" in verdicts


def test_where_nothing_was_made_again_the_sentences_tell_what_the_records_say(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("duplicate", 2.0, jitter=2)
    lab.run("good", 2.5)
    lab.run("bad", 0.2)
    judge = Judge()
    judge.claim()
    tables = make_tables(collect([lab.folder]).entries, (), judge)
    _, helps, controls = sentences(tables)
    assert helps == (
        "By their own records alone, 1 of 2 judged arms are said to help over real images alone (good, augmenting: 1); "
        "1 hurts."
    )
    assert controls.startswith(
        "By their own records alone, 1 of 2 are said to beat real images drawn again (duplicates); by their own "
        "records alone, duplicates are said to help over real images alone in 1 of 1 setting (AUROC +"
    )
    assert "\nVerdicts:" not in markdown(tables) and CLAIMS in markdown(tables)


def test_a_table_says_over_how_many_comparisons_p_is_corrected(lab: Any, tmp_path: Path) -> None:
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("good", 2.5)
    lab.run("bad", 0.2)
    tables = lab.tables()
    said = "p corrected (Holm) over 3 comparisons with real images alone and over 2 comparisons with duplicates"
    assert f"- {said}\n" in markdown(tables).replace("\\", "")
    assert table_data(tables)["settings"][0]["corrected"] == said
    write_site(Site(tables), tmp_path, n_figures=0)
    assert said in (tmp_path / dataset_page("phantom")).read_text()


def test_judged_arms_are_numbered_among_themselves(lab: Any) -> None:
    lab.run("none", 2.0)
    lab.run("duplicate", 2.5, jitter=2)
    lab.run("good", 1.0)
    lab.run("same", 1.0, jitter=3)
    lab.run("bad", 0.2)
    (table,) = lab.tables()
    assert {row.label.partition(" ")[0]: (row.place, row.tied) for row in table.rows} == {
        "none": (None, False), "duplicate": (None, False), "good": (1, True), "same": (1, True), "bad": (3, False),
    }  # fmt: skip


def test_folders_are_told_apart_by_suite_path_or_fingerprint() -> None:
    films = next(one for one in read_suite("synthworth-2026-12").datasets if one.dataset == "folder")
    setting = {"dataset": "folder", "data": {}, "fingerprint": "ab12cd" + "0" * 58}
    assert dataset_of(setting) == "folder ab12cd"
    assert dataset_of({**setting, "data": {"path": "/films/of/ward"}}) == "ward (folder ab12cd)"
    assert dataset_of({**setting, "fingerprint": films.fingerprint}) == films.name
    assert dataset_of({**setting, "dataset": "phantom"}) == "phantom"


def test_a_suite_fixes_options_of_its_classifier_and_says_what_has_no_record_yet() -> None:
    suite = read_suite("synthworth-2026-12")
    films = suite.datasets[0]
    spec = {
        "fingerprint": films.fingerprint, "dataset": films.dataset, "real_fraction": films.real_fraction,
        "patients_per_class": 0, "classifier": suite.classifier, "train": {"steps": suite.train_steps}, "seeds": 6,
        "generator": "vae", "mode": "add", "learn_from": "", "ratio": 1.0, "clf": dict(suite.clf), "precision": "fp32",
        "seed": 7,
    }  # fmt: skip
    assert suite.why_not(spec) is None
    for name, value in (("pretrained", True), ("learning_rate", 0.1), ("blend", "mixup"), ("augment", "none")):
        said = suite.why_not({**spec, "clf": {**suite.clf, name: value}})
        assert said == f"another classifier: --clf.{name} {value}, the suite has {suite.clf[name]}"
    assert suite.not_begun([spec]) == tuple(one.name for one in suite.datasets[1:])


def test_columns_say_which_of_them_no_predictions_give() -> None:
    claimed = {column["id"] for column in columns() if column["claimed"]}
    assert {"copy_rate", "fid", "fit_seconds", "ece_calibrated", "f1", "best_ratio"} <= claimed
    assert claimed.isdisjoint({"auroc", "vs_none", "vs_duplicate", "worth", "auprc", "ece", "brier"})
    assert all("The record's word" in column["help"] for column in columns() if column["claimed"])
