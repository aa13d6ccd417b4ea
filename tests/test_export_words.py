"""The words of an export: which dataset it was, numbers as they are, and whether a pool is all of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.export.claim import claim
from benchmarks.export.crate import write_crate
from benchmarks.export.model_card import model_card
from benchmarks.export.smd_card import smd_card
from benchmarks.export.whole_pool import refuse_other_pool
from benchmarks.records.load import RECORD, load_record
from generators.pool_folder import Picture
from synthworth.errors import UserError

HELD = Path(__file__).resolve().parent.parent / "results/reference/063de177f1f2d18c"
"""A committed record of a generator on PneumoniaMNIST."""


@pytest.fixture
def record() -> dict[str, Any]:
    return load_record(HELD / RECORD)


def test_a_pool_of_findings_is_whole_by_what_its_labels_name(record: dict[str, Any]) -> None:
    made = {**record, "classes": ["A", "B|C", "D"], "counts": {"synthetic": {"A": 2, "B|C": 1, "D": 1}}}
    labels = ("A|D", "No Finding", "B|C", "A")
    rows = [Picture("x", "0", label, "vae", record["run_id"], 0, 0, k) for k, label in enumerate(labels)]
    refuse_other_pool(made, Path("pool"), rows)
    for some in (rows[:3], [*rows[:1], *rows[2:]]):
        with pytest.raises(UserError, match="is not the whole pool"):
            refuse_other_pool(made, Path("pool"), some)


def test_every_export_says_which_dataset_of_several_it_is(record: dict[str, Any], tmp_path: Path) -> None:
    from rocrate.rocrate import ROCrate

    for text in (model_card(record), claim(record), smd_card(record)):
        assert "medmnist pneumoniamnist" in text.replace("\\", "")
    assert yaml.safe_load(model_card(record).split("---\n")[1])["model-index"][0]["results"][0]["dataset"] == {
        "type": "medmnist", "name": "medmnist pneumoniamnist", "split": "test",
        "revision": record["spec"]["fingerprint"],
    }  # fmt: skip
    write_crate(record, HELD, tmp_path / "crate", authors=())
    assert ROCrate(tmp_path / "crate").dereference("#dataset")["name"] == "medmnist pneumoniamnist"


def test_numbers_in_tables_and_lists_are_no_entities(record: dict[str, Any]) -> None:
    for text in (model_card(record), claim(record), smd_card(record)):
        assert not re.search(r"&#(4[358]|5\d);\d*\.\d", text)
    auroc = record["utility"]["auroc"]
    assert f"| {auroc['value']:.4f} [{auroc['low']:.4f}, {auroc['high']:.4f}] |" in model_card(record)
