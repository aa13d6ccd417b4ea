"""Tables say what the records hold: comparable arms together, ranks that the data can tell apart, no blank."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.records.predictions import PREDICTIONS, Entry, read_auroc
from benchmarks.records.store import RECORD, SCHEMA
from benchmarks.request.spec import NOT_THE_ARM, RunSpec
from leaderboard.build import CSV, MARKDOWN, collect, main
from leaderboard.quality import correlate
from leaderboard.rank import holm
from leaderboard.tables import ARM_FIELDS, make_tables, setting_of
from leaderboard.text import markdown
from synthworth.commands import guarded
from synthworth.errors import Unavailable, UserError


@pytest.fixture
def full(lab: Any) -> Any:
    """Real images alone, their duplicates, one generator that helps and one that hurts."""
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("good", 2.0, fid=90.0)
    lab.run("bad", 0.3, fid=5.0)
    return lab


def build(*args: Any) -> int:
    return guarded(main, [str(a) for a in args])


def cells_of(text: str) -> list[list[str]]:
    """Cells of every table row of a Markdown page (header rows included)."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| ")]


# -- Holm ---------------------------------------------------------------------------------------------------------


def test_holm_gives_the_known_answer() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_p_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert min(adjusted) == pytest.approx(min(1, len(p_values) * min(p_values)))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


# -- ranks --------------------------------------------------------------------------------------------------------


def test_arms_that_cannot_be_told_apart_share_a_rank(full: Any) -> None:
    (table,) = full.tables()
    ranks = {row.label: row.standing.rank for row in table.rows}
    assert ranks == {"good add 0.5": 1, "none": 2, "duplicate add 0.5": 2, "bad add 0.5": 4}


def test_the_best_fid_does_not_help_the_rank(full: Any) -> None:
    (table,) = full.tables()
    assert table.rows[-1].numbers["fid"].value == min(r.numbers["fid"].value or 99 for r in table.rows)
    assert table.rows[-1].standing.rank == 4


def test_from_one_seed_nothing_is_told_apart(lab: Any) -> None:
    lab.run("none", 1.0, seeds=1)
    lab.run("good", 3.0, seeds=1)
    (table,) = lab.tables()
    assert [row.standing.rank for row in table.rows] == [1, 1]
    assert "one seed gives no p" in markdown([table])


def test_verdict_words_follow_the_intervals(full: Any) -> None:
    (table,) = full.tables()
    words = {row.standing.entry.spec["generator"]: row.verdict for row in table.rows}
    assert words == {"good": "helps", "none": "the zero line", "duplicate": "no difference shown", "bad": "hurts"}


def test_holm_covers_every_comparison_with_none(full: Any) -> None:
    (table,) = full.tables()
    by_name = {row.standing.entry.spec["generator"]: row.numbers for row in table.rows}
    against = {row.standing.entry.spec["generator"]: row.standing.against for row in table.rows}
    raw = [against[g]["none"]["p_interval"] for g in ("duplicate", "good", "bad")]
    assert [by_name[g]["holm_none"].value for g in ("duplicate", "good", "bad")] == pytest.approx(holm(raw))


def test_a_comparison_that_no_record_holds_comes_out_as_the_record_would_have_it(full: Any) -> None:
    (before,) = full.tables()
    for file in full.folder.glob(f"*/{RECORD}"):
        record = json.loads(file.read_text())
        full.change(record, comparisons={})
    (after,) = full.tables()
    for old, new in zip(before.rows, after.rows, strict=True):
        for name in ("vs_none", "p_none", "holm_none", "vs_duplicate", "p_duplicate"):
            a, b = old.numbers[name], new.numbers[name]
            assert (a.value is None) == (b.value is None)
            if a.value is not None:
                assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), nan_ok=False)


def test_an_arm_without_predictions_is_listed_without_a_rank(full: Any) -> None:
    record = full.run("bad", 0.3)
    (full.folder / record["run_id"][:16] / PREDICTIONS).unlink()
    (table,) = full.tables()
    assert [row.standing.rank for row in table.rows] == [1, 2, 2, None]
    assert "| null (" in markdown([table]) and "predictions.parquet is missing" in markdown([table])


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"])
def test_an_arm_with_broken_predictions_is_listed_without_a_rank(full: Any, content: bytes) -> None:
    record = full.run("bad", 0.3)
    (full.folder / record["run_id"][:16] / PREDICTIONS).write_bytes(content)
    (table,) = full.tables()
    assert table.rows[-1].standing.rank is None
    assert "cannot be used" in table.rows[-1].standing.missing["rank"]


def test_a_record_that_its_predictions_do_not_bear_out_is_not_ranked(lab: Any) -> None:
    record = lab.run("none", 1.0)
    folder = lab.folder / record["run_id"][:16]
    record["utility"]["auroc"]["value"] = 0.99
    with pytest.raises(Unavailable, match=r"the record says 6 seeds with 0\.9900"):
        read_auroc(Entry(record, folder))


# -- which records share a table ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "e" * 64},
        {"real_fraction": 0.5},
        {"classifier": "densenet121"},
        {"clf": {"arch": "other"}},
        {"seed": 1},
        {"precision": "bf16"},
        {"seeds": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_arms_of_another_setting_stand_in_another_table(lab: Any, change: dict[str, Any]) -> None:
    lab.run("none", 1.0)
    lab.run("none", 1.0, **change)
    tables = lab.tables()
    assert len(tables) == 2
    assert tables[0].heading != tables[1].heading


def test_every_field_of_a_spec_is_the_arms_or_the_settings(make_spec: Callable[..., RunSpec]) -> None:
    fields = {f.name for f in dataclasses.fields(RunSpec)}
    assert set(ARM_FIELDS) <= fields
    assert set(NOT_THE_ARM) <= set(ARM_FIELDS)
    assert set(setting_of(make_spec().to_json())) == {
        "dataset", "data", "data_version", "fingerprint", "classifier", "clf", "classifier_version", "train",
        "real_fraction", "patients_per_class", "seed", "seeds", "precision", "n_bootstrap", "analysis",
    }  # fmt: skip


def test_arms_of_one_name_are_told_apart_by_their_settings(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("good", 2.0, gen={"components": 10})
    lab.run("good", 1.9, gen={"components": 20})
    (table,) = lab.tables()
    labels = [row.label for row in table.rows]
    assert labels == ["good add 0.5 (gen.components=10)", "good add 0.5 (gen.components=20)", "none"]


def test_one_arm_measured_twice_with_other_extractors_counts_once(lab: Any) -> None:
    lab.run("none", 1.0)
    other = lab.run("none", 1.0, extractors=())
    (table,) = lab.tables()
    assert len(table.rows) == 1
    assert len(table.repeated) == 1
    assert table.repeated[0][:12] in markdown([table])
    assert other["run_id"] in {table.repeated[0], table.rows[0].standing.entry.run_id}


def test_a_run_in_two_folders_counts_once(full: Any, tmp_path: Path) -> None:
    copy = type(full)(tmp_path / "copy", full.test, full.spec)
    copy.run("none", 1.0)
    found = collect([full.folder, copy.folder, full.folder])
    assert len(found.entries) == 4


def test_a_run_that_failed_here_and_finished_there_has_finished(lab: Any, tmp_path: Path) -> None:
    lab.run("good", 1.0)
    elsewhere = type(lab)(tmp_path / "elsewhere", lab.test, lab.spec)
    elsewhere.fail("Diverged: at step 3", generator="good")
    found = collect([elsewhere.folder, lab.folder])
    assert len(found.entries) == 1
    assert not found.failed


def test_what_a_killed_run_left_half_written_is_not_read(lab: Any) -> None:
    record = lab.run("none", 1.0)
    half = lab.folder / ".0123456789abcdef.00000000"
    half.mkdir()
    (half / RECORD).write_text(json.dumps({**record, "run_id": "1" * 64}))
    assert len(collect([lab.folder]).entries) == 1


# -- the pages ----------------------------------------------------------------------------------------------------


def test_pages_hold_every_arm_and_no_blank_cell(full: Any, tmp_path: Path) -> None:
    assert build("--results", full.folder, "--out", tmp_path / "site") == 0
    page = (tmp_path / "site" / MARKDOWN).read_text()
    rows = cells_of(page)
    assert len(rows) == 2 + 4
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(cell.strip() for row in rows for cell in row)
    flat = list(csv.DictReader(io.StringIO((tmp_path / "site" / CSV).read_text())))
    assert len(flat) == 4
    assert all(value != "" for row in flat for value in row.values())
    assert sum(name.endswith("(control)") for name in (row[1].strip() for row in rows)) == 2


def test_fidelity_stands_beside_its_n_and_its_floor(full: Any) -> None:
    (table,) = full.tables()
    page = markdown([table])
    assert "| 90 @9 (floor 20 @9) |" in page
    assert "| 0.5 @9 (floor null) (" in page
    assert "the real-real floor could not be measured" in page


def test_every_null_has_its_footnote(full: Any) -> None:
    full.run("good", 2.0, fid=None)
    (table,) = full.tables()
    page = markdown([table])
    marks = set(re.findall(r"null \((\w+)\)", page))
    assert marks
    assert all(f"\n- ({mark}) " in page for mark in marks)
    assert not re.search(r"null(?! \(\w+\))(?!\) \(\w+\))", page.split("\n## ", 2)[2])
    assert "Inception's weights are not there" in page


def test_numbers_in_the_csv_are_numbers(full: Any, tmp_path: Path) -> None:
    import pandas as pd

    build("--results", full.folder, "--out", tmp_path / "site")
    frame = pd.read_csv(tmp_path / "site" / CSV)
    for name in ("rank", "auroc", "auroc_low", "vs_none", "holm_none", "fid", "fid_floor", "fit_seconds", "ratio"):
        assert pd.api.types.is_numeric_dtype(frame[name]), name
    record = json.loads(next(full.folder.glob(f"*/{RECORD}")).read_text())
    mine = frame[frame.run_id == record["run_id"]]
    assert mine.auroc.item() == pytest.approx(record["utility"]["auroc"]["value"], rel=1e-12)


def test_a_bar_in_a_name_opens_no_column(lab: Any, tmp_path: Path) -> None:
    lab.run("none", 1.0)
    lab.run("a|b", 2.0)
    lab.fail("RuntimeError: x | y\nand <b>more</b>", generator="broken")
    build("--results", lab.folder, "--out", tmp_path / "site")
    page = (tmp_path / "site" / MARKDOWN).read_text()
    rows = cells_of(page)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert "a\\|b add 0.5" in page
    assert "RuntimeError: x \\| y and &lt;b>more" in page


def test_a_failed_run_is_listed_below_its_table_with_its_error(full: Any, capsys: pytest.CaptureFixture[str]) -> None:
    full.fail("Diverged: the loss is nan at step 7", generator="broken")
    (table,) = full.tables()
    page = markdown([table])
    assert page.index("Not finished:") > page.index("Verdicts:")
    assert "broken add 0.5" in page and "the loss is nan at step 7" in page
    assert build("--results", full.folder, "--out", full.folder.parent / "site") == 0
    assert "the loss is nan at step 7" in capsys.readouterr().out


def test_a_setting_in_which_nothing_finished_says_so(lab: Any, tmp_path: Path) -> None:
    lab.fail("Diverged: at step 3")
    assert build("--results", lab.folder, "--out", tmp_path / "site") == 0
    assert "No arm of this setting has finished." in (tmp_path / "site" / MARKDOWN).read_text()


def test_a_record_of_another_schema_is_named_and_left_out(full: Any) -> None:
    for name, content in (("old", '{"schema": 99}'), ("list", "[]")):
        (full.folder / name).mkdir()
        (full.folder / name / RECORD).write_text(content)
    found = collect([full.folder])
    assert len(found.entries) == 4
    assert [line.partition("record.json ")[2] for line in found.skipped] == [
        "is no record but a list", f"schema 99, this version reads {SCHEMA}",
    ]  # fmt: skip
    assert "## Not read" in markdown(make_tables(found.entries), found.skipped)


def test_an_empty_or_missing_folder_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(UserError, match=name):
            collect([tmp_path / name])
        assert build("--results", tmp_path / name, "--out", tmp_path / "site") == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "site").exists()


def test_building_twice_writes_the_same_bytes(full: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build("--results", full.folder, "--out", tmp_path / name)
    for page in (MARKDOWN, CSV):
        assert (tmp_path / "one" / page).read_bytes() == (tmp_path / "two" / page).read_bytes()


def test_tables_are_made_from_records_without_torch(full: Any, tmp_path: Path, run_python: Callable[..., Any]) -> None:
    code = (
        "import sys; from leaderboard.build import main; "
        f"main(['--results', {str(full.folder)!r}, '--out', {str(tmp_path / 'site')!r}]); "
        "print(sorted({'torch', 'timm', 'diffusers', 'torchvision'} & set(sys.modules)))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")


# -- quality against usefulness, and worth ------------------------------------------------------------------------


def test_a_number_that_ranks_as_usefulness_does_agrees_fully_and_one_that_ranks_backwards_not_at_all() -> None:
    gains = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    up, down = correlate(list(zip(gains, gains, strict=True))), correlate([(-g, g) for g in gains])
    assert up is not None and down is not None
    assert (up.rho, down.rho) == (pytest.approx(1), pytest.approx(-1))
    assert up.low > 0.9 and up.n == 6
    mixed = correlate([(g, gains[(3 * i) % 6 - i % 2]) for i, g in enumerate(gains)])
    assert mixed is not None and mixed.low < 0 < mixed.high
    assert correlate([(1.0, g) for g in gains]) is None
    assert correlate(list(zip(gains[:4], gains, strict=False))) is None


def test_every_table_says_how_fidelity_ranks_what_images_are_worth(lab: Any) -> None:
    lab.run("none", 1.0)
    for k, quality in enumerate((1.2, 1.4, 1.6, 1.8, 2.0)):
        lab.run(f"g{k}", quality, fid=100.0 - 10 * k)
    (table,) = lab.tables()
    (fid,) = (a for a in table.quality if a.name == "fid@9")
    assert fid.every is not None and fid.every.rho == pytest.approx(1.0)
    assert fid.generators == fid.every
    text = markdown([table])
    assert "### Quality and usefulness" in text
    assert re.search(r"\| fid@9 \| 5 \| \+1\.00 \[", text)
