"""The page of generators at equal operations holds what was measured."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def made() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs/equal_operations.py")))


def test_the_tables_are_those_of_the_rows(made: SimpleNamespace) -> None:
    found = {dataset: made.read(dataset) for dataset in made.DATASETS}
    page = made.PAGE.read_text(encoding="utf-8")
    assert made.filled(page, found) == page, "python docs/equal_operations.py"
    other = {dataset: {**kept, "rows": dict(list(kept["rows"].items())[:1])} for dataset, kept in found.items()}
    assert made.filled(page, other) != page


def test_every_row_computed_as_much_as_the_first(made: SimpleNamespace) -> None:
    for dataset in made.DATASETS:
        rows = made.read(dataset)["rows"]
        wanted = rows["pixel_ddpm"]["gflop"]
        assert all(abs(row["gflop"] / wanted - 1) < 0.01 for row in rows.values())
        assert set(rows) <= set(made.VARIANTS)
        assert all(made.strip_of(dataset, name).is_file() for name in ("real", *rows))


def test_the_table_of_all_generators_is_that_of_the_rows() -> None:
    made = SimpleNamespace(**runpy.run_path(str(ROOT / "docs/all_generators.py")))
    page, rows = made.PAGE.read_text(encoding="utf-8"), made.rows()
    assert made.filled(page, made.table_of(rows)) == page, "python docs/all_generators.py"
    assert made.filled(page, made.table_of(dict(list(rows.items())[:1]))) != page
