"""A row says how far it is to be trusted, and what an earlier build found is looked up by what the files hold."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.reproduced import FOLDER, KEY, Note, content_of, key_file, read_notes, write_note
from leaderboard.build import CSV, MARKDOWN, main
from leaderboard.judge import apart_by_claims
from leaderboard.known import FILE
from synthworth.commands import guarded
from synthworth.keys import sha256_of

CELLS = ("rank", "auroc", "auroc_low", "vs_none", "vs_none_high", "holm_none", "vs_duplicate", "verdict")


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KEY, str(tmp_path / "keys" / "notes.key"))
    return key_file()


@pytest.fixture
def arms(lab: Any) -> Any:
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("good", 2.0)
    lab.run("bad", 0.3)
    return lab


def build(lab: Any, place: Path, *words: str) -> dict[str, dict[str, str]]:
    """The rows of a build, by generator."""
    flags = ["--results", str(lab.folder), "--out", str(place / "site"), "--home", str(place / "home"), *words]
    assert guarded(main, [*flags, "--figures", "0"]) == 0
    with (place / "site" / CSV).open() as file:
        return {row["generator"]: row for row in csv.DictReader(file)}


def statuses(rows: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: row["status"] for name, row in rows.items()}


def folder_of(lab: Any, rows: dict[str, dict[str, str]], generator: str) -> Path:
    found: Path = lab.folder / rows[generator]["run_id"][:16]
    return found


# -- claimed and recomputed ---------------------------------------------------------------------------------------


def test_what_was_made_again_once_is_looked_up_by_the_next_build(arms: Any, tmp_path: Path) -> None:
    first = build(arms, tmp_path)
    assert set(statuses(first).values()) == {"recomputed"}
    again = build(arms, tmp_path, "--recompute", "0")
    assert again == first


def test_a_build_that_may_make_nothing_again_shows_claims_and_says_so(
    arms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = build(arms, tmp_path, "--recompute", "3")
    assert set(statuses(rows).values()) == {"claimed"}
    assert "claimed: 4 of 4 records were not made again" in capsys.readouterr().out
    made = build(arms, tmp_path, "--recompute", "4")
    for name, row in rows.items():
        for cell in ("auroc", "auroc_low", "vs_none", "vs_none_high", "verdict"):
            assert row[cell] == pytest.approx(made[name][cell], abs=0) or row[cell] == made[name][cell]
        assert int(row["rank"]) <= int(made[name]["rank"])


def test_two_claims_are_told_apart_only_where_their_intervals_do_not_touch(arms: Any, tmp_path: Path) -> None:
    rows = build(arms, tmp_path, "--recompute", "0")
    ranks = {name: row["rank"] for name, row in rows.items()}
    assert ranks == {"good": "1", "duplicate": "2", "none": "2", "bad": "4"}
    from leaderboard.build import collect

    entries = {entry.spec["generator"]: entry for entry in collect([arms.folder]).entries}
    assert not apart_by_claims(entries["none"], entries["duplicate"])
    assert apart_by_claims(entries["good"], entries["bad"])
    entries["good"].spec["seeds"] = 2
    assert not apart_by_claims(entries["good"], entries["bad"])


def test_a_claim_that_its_predictions_contradict_is_found_when_they_are_read(arms: Any, tmp_path: Path) -> None:
    """A record edited and sealed anew is a claim like any other until its predictions are looked at."""
    rows = build(arms, tmp_path)
    record = json.loads((folder_of(arms, rows, "bad") / "record.json").read_text())
    auroc = record["utility"]["auroc"]
    auroc = {**auroc, "value": 0.99, "low": 0.98, "high": 1.0, "extra": {"per_seed": [0.99] * 6}}
    arms.change(record, utility={**record["utility"], "auroc": auroc})
    claimed = build(arms, tmp_path, "--recompute", "0")
    assert statuses(claimed) == {**dict.fromkeys(("good", "duplicate", "none"), "recomputed"), "bad": "claimed"}
    found = build(arms, tmp_path)["bad"]
    assert (found["status"], found["auroc"], found["rank"]) == ("contradicted", "null", "null")
    assert "the record says 6 seeds with 0.99" in found["status_why"]
    assert build(arms, tmp_path, "--recompute", "0")["bad"]["status"] == "contradicted"  # known from now on


def test_predictions_that_changed_are_looked_at_again(arms: Any, tmp_path: Path) -> None:
    rows = build(arms, tmp_path)
    folder = folder_of(arms, rows, "bad")
    (folder / PREDICTIONS).write_bytes((folder_of(arms, rows, "good") / PREDICTIONS).read_bytes())
    found = build(arms, tmp_path)["bad"]
    assert found["status"] == "claimed" and "has changed since it was written" in found["status_why"]
    assert found["rank"] == "null"


def test_a_comparison_with_an_arm_that_is_not_there_is_a_claim(arms: Any, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(folder_of(arms, build(arms, tmp_path), "duplicate"))
    rows = build(arms, tmp_path)
    assert statuses(rows) == {"good": "claimed", "none": "recomputed", "bad": "claimed"}
    assert rows["good"]["status_why"] == "not made again: duplicate"


def test_what_is_known_and_was_edited_counts_as_unknown(arms: Any, tmp_path: Path) -> None:
    build(arms, tmp_path)
    forged = "update known set value = replace(value, ?, ?)"
    with sqlite3.connect(tmp_path / "home" / FILE) as base:
        assert base.execute(forged, ('doubted":{}', 'doubted":{"auroc":"x"}')).rowcount
    base.close()
    rows = build(arms, tmp_path, "--recompute", "0")
    assert set(statuses(rows).values()) == {"claimed"}
    assert all(row["auroc"] != "null" for row in rows.values())


def test_what_is_no_table_of_what_is_known_is_put_aside(
    arms: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "home" / FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database at all" * 100)
    assert set(statuses(build(arms, tmp_path)).values()) == {"recomputed"}
    assert "is damaged" in caplog.text
    assert len(list(file.parent.glob("*.damaged.*"))) == 1


def test_what_other_code_found_is_not_looked_up(arms: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(arms, tmp_path)
    monkeypatch.setattr("leaderboard.known.digest_of_code", lambda *places: "another version")
    assert set(statuses(build(arms, tmp_path, "--recompute", "0")).values()) == {"claimed"}


# -- reproduced ---------------------------------------------------------------------------------------------------


def note_of(folder: Path, **change: Any) -> Note:
    sha256 = sha256_of([(folder / "record.json").read_bytes()])
    told: dict[str, Any] = {
        "run_id": "a" * 64, "name": "good add 0.5", "record_sha256": sha256, "content": content_of(folder, sha256),
        "agreed": True, "n_fields": 10, "n_same": 9, "n_within": 1, "n_added": 0, "commit": "c" * 40,
        "synthworth": "0.1", "machine": "a processor, 2 cores", "when": "2026-12-01T10:00:00+00:00",
    }  # fmt: skip
    return Note(**{**told, **change})


def test_a_run_that_was_carried_out_again_here_is_reproduced(arms: Any, tmp_path: Path, key: Path) -> None:
    folder = folder_of(arms, build(arms, tmp_path), "good")
    file = write_note(arms.folder, note_of(folder))
    assert file.parent.name == FOLDER and key.stat().st_mode & 0o077 == 0
    row = build(arms, tmp_path)["good"]
    assert row["status"] == "reproduced"
    assert row["status_why"].startswith("2026-12-01, a processor, 2 cores, commit cccc")
    assert "| reproduced (" in (tmp_path / "site" / MARKDOWN).read_text()
    assert set(statuses(build(arms, tmp_path)).values()) == {"reproduced", "recomputed"}


@pytest.mark.parametrize("how", ["edited", "other key", "no key", "no note"])
def test_a_note_that_was_not_made_here_does_not_count_and_is_named(
    how: str, arms: Any, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(arms, build(arms, tmp_path), "good")
    file = write_note(arms.folder, note_of(folder, agreed=how != "edited"))
    if how == "edited":
        file.write_text(file.read_text().replace("false", "true"))
    elif how == "other key":
        key.write_text(f"{'ab' * 32}\n")
    elif how == "no key":
        key.unlink()
    else:
        file.write_text("[]")
    assert build(arms, tmp_path)["good"]["status"] == "recomputed"
    said = capsys.readouterr().out
    assert "note: " in said and ("does not count" in said or "is no note" in said)


def test_a_note_is_of_the_record_and_the_predictions_that_were_reproduced(arms: Any, tmp_path: Path) -> None:
    rows = build(arms, tmp_path)
    folder = folder_of(arms, rows, "good")
    write_note(arms.folder, note_of(folder))
    (folder / PREDICTIONS).unlink()
    assert build(arms, tmp_path)["good"]["status"] == "claimed"


def test_a_reproduction_that_did_not_agree_is_told_and_the_last_one_counts(arms: Any, tmp_path: Path) -> None:
    folder = folder_of(arms, build(arms, tmp_path), "good")
    write_note(arms.folder, note_of(folder, agreed=False, n_same=3))
    row = build(arms, tmp_path)["good"]
    assert row["status"] == "recomputed"
    assert row["status_why"].startswith("carried out again it did not agree: ")
    other = tmp_path / "later"
    write_note(other, note_of(folder, when="2026-12-02T10:00:00+00:00"))
    assert read_notes([arms.folder, other]).counted[note_of(folder).record_sha256].agreed
