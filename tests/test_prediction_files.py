"""Predictions that are not those of their record: other rows, other images, none; no reader trips over them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chaos.records import make_shelf

from benchmarks import compare, reanalyse, show
from benchmarks.records.load import RECORD
from benchmarks.records.predictions import PREDICTIONS, Contradicted, Entry, read_auroc, read_predictions
from benchmarks.records.seal import SEAL, write_seal
from benchmarks.records.store import Records
from leaderboard.build import collect
from leaderboard.tables import make_tables
from synthworth.commands import guarded

ARM = "latent_ddpm add 1"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("predictions") / "runs"
    return folder, make_shelf(folder, arms=("none", ARM), every=30)


@pytest.fixture
def entry(written: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path) -> Entry:
    """An arm without its seal, beside real images alone."""
    folder = Path(shutil.copytree(written[0], tmp_path / "runs"))
    record = written[1][ARM]
    home = folder / record["run_id"][:16]
    (home / SEAL).unlink()
    return Entry(record, home)


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, [pa.array(values)])


Change = Callable[[pa.Table], pa.Table]
OTHERS: dict[str, tuple[Change, str]] = {
    "half of the rows": (lambda t: t.slice(0, len(t) // 2), "has 150 rows; the record says 6 seeds of 50 test images"),
    "all rows twice": (lambda t: pa.concat_tables([t, t]), "has 600 rows"),
    "one class": (lambda t: with_column(t, "truth", np.zeros(len(t), np.int64)), "give no AUROC"),
    "one patient": (lambda t: with_column(t, "group", ["x"] * len(t)), "give no AUROC"),
    "one seed": (lambda t: with_column(t, "seed", np.zeros(len(t), np.int32)), "an image is there twice"),
    "one image": (lambda t: with_column(t, "id", ["x"] * len(t)), "an image is there twice"),
    "labels elsewhere": (lambda t: with_column(t, "truth", np.full(len(t), 9)), "the labels are none of the classes"),
    "one label of one seed": (
        lambda t: with_column(t, "truth", [1 - t["truth"][0].as_py(), *t["truth"].to_pylist()[1:]]),
        "the labels are none of the classes, or differ between the seeds",
    ),
    "no last column": (lambda t: t.drop_columns([t.column_names[-1]]), "no column"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_predictions_of_other_images_are_named_by_every_reader(
    kind: str, entry: Entry, written: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = OTHERS[kind]
    file, about = entry.folder / PREDICTIONS, ["--results", str(entry.folder.parent)]
    pq.write_table(change(pq.read_table(file)), file)
    with pytest.raises(Contradicted) as refused:
        read_auroc(entry)
    assert said in str(refused.value)
    assert guarded(show.main, [entry.run_id, *about]) == 0
    printed = capsys.readouterr().out
    assert said in " ".join(printed.split()) and "NOT BORNE OUT" in printed
    assert guarded(compare.main, [entry.run_id, written[1]["none"]["run_id"], *about]) == 2
    assert guarded(reanalyse.main, [*about, "--out", str(entry.folder.parent.parent / "again")]) == 0
    assert f"left out: {ARM}" in capsys.readouterr().out or kind in ("one class", "one patient")
    found = collect([entry.folder.parent])
    row = next(row for row in make_tables(found.entries)[0].rows if row.label == ARM)
    assert row.standing.rank is None and said in row.standing.missing["rank"]
    assert row.status.word == "contradicted" and row.numbers["auroc"].value is None


@pytest.mark.parametrize("how", ["sealed as it is", "changed since", "without a seal"])
def test_a_file_that_is_no_parquet_contradicts_the_record_where_it_was_sealed_as_it_is(how: str, entry: Entry) -> None:
    """Else it may be damaged, and says as much about the record as one that is gone."""
    if how == "changed since":
        write_seal(entry.folder, RECORD)
    (entry.folder / PREDICTIONS).write_bytes(b"PAR1 and no more")
    if how == "sealed as it is":
        write_seal(entry.folder, RECORD)
    found = collect([entry.folder.parent])
    row = next(row for row in make_tables(found.entries)[0].rows if row.label == ARM)
    assert row.status.word == ("contradicted" if how == "sealed as it is" else "claimed")
    assert (row.numbers["vs_none"].value is None) is (how == "sealed as it is")
    assert row.standing.rank is None and row.status.why


@pytest.mark.parametrize("codec", ["none", "gzip", "brotli", "lz4", "zstd"])
def test_predictions_that_another_program_wrote_again_say_the_same(codec: str, entry: Entry) -> None:
    file = entry.folder / PREDICTIONS
    table, before = pq.read_table(file), read_predictions(entry)
    mixed = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    pq.write_table(mixed.append_column("more", table["seed"]), file, compression=codec, row_group_size=7)
    for mine, its in zip(read_predictions(entry), before, strict=True):
        assert np.array_equal(mine, its)


def test_no_more_rows_are_read_than_the_record_has(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    file = entry.folder / PREDICTIONS
    n = 3_000_000
    same = {name: pa.array(np.zeros(n), kind) for name, kind in (("seed", pa.int32()), ("truth", pa.int64()))}
    pq.write_table(pa.table(same), file)
    assert file.stat().st_size < 100_000
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(Contradicted, match="has 3000000 rows"):
        read_auroc(entry)


def test_a_difference_that_was_not_made_again_says_so(entry: Entry, written: Any) -> None:
    (entry.folder.parent / written[1]["none"]["run_id"][:16] / PREDICTIONS).unlink()
    found = collect([entry.folder.parent])
    row = next(row for row in make_tables(found.entries)[0].rows if row.label == ARM)
    assert row.standing.rank == 1
    assert "it could not be made again from the predictions of both arms" in str(row.numbers["vs_none"].note)
    assert len(list(Records(entry.folder.parent))) == 2
