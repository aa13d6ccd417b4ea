"""Records of schema 3 are read as the present one: what was packed into a name is in fields, and nothing is lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.metrics.calibration import BRIER
from benchmarks.records.seal import changed_files, read_seal
from benchmarks.records.store import RECORD, SCHEMA, Records
from benchmarks.records.upgrade import upgrade
from benchmarks.report.tables import fidelity_rows, privacy_sentence
from benchmarks.request.spec import RunSpec
from leaderboard.build import collect
from synthworth.artifacts import write_json

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
COMMITTED = sorted(REFERENCE.glob(f"*/{RECORD}"))
PARTS = ("utility", "validation", "fidelity", "privacy")
LITE = "efficientnet_lite0@128-fp32"
OLD = {"value": 1.5, "low": None, "high": None, "n": 400, "direction": "lower", "note": None, "extra": {}}


def one(part: str, name: str, **change: Any) -> dict[str, Any]:
    """A value of schema 3, read."""
    record = {"schema": 3, "status": "ok", part: {name: {**OLD, **change}}}
    return dict(upgrade(record)[part][name])


@pytest.mark.parametrize(
    ("part", "name", "metric", "label", "extractor", "features", "alias"),
    [
        ("utility", "auroc", "auroc", None, None, None, None),
        ("utility", "auroc[no finding]", "auroc", "no finding", None, None, None),
        ("utility", "f1[grade [2]]", "f1", "grade [2]", None, None, None),
        ("validation", "auroc", "auroc", None, None, None, None),
        ("fidelity", "fid@400", "fd", None, "inception", None, "fid"),
        ("fidelity", "kid@400", "kd", None, "inception", None, "kid"),
        ("fidelity", "fid_infinity@400", "fd_infinity", None, "inception", None, "fid_infinity"),
        ("fidelity", "density@400", "density", None, "inception", None, None),
        ("fidelity", f"fd@400/{LITE}", "fd", None, "efficientnet_lite0", LITE, None),
        ("fidelity", "fd@400/inception@299-bf16", "fd", None, "inception", "inception@299-bf16", None),
        ("fidelity", "kd@400/torchxrayvision@", "kd", None, "torchxrayvision", None, None),
        ("fidelity", "edge_density", "edge_density", None, None, None, None),
        ("fidelity", "class_consistency", "class_consistency", None, None, None, None),
        ("privacy", f"copy_rate/{LITE}", "copy_rate", None, "efficientnet_lite0", LITE, None),
        ("privacy", "copy_rate/pixels", "copy_rate", None, None, "pixels", None),
        ("privacy", "n_without_copies", "n_without_copies", None, None, None, None),
    ],
)
def test_what_was_packed_into_a_name_stands_in_fields(
    part: str, name: str, metric: str, label: str | None, extractor: str | None, features: str | None, alias: str | None
) -> None:
    found = one(part, name)
    assert {key: found.pop(key) for key in ("metric", "label", "extractor", "features", "alias")} == {
        "metric": metric, "label": label, "extractor": extractor, "features": features, "alias": alias,
    }  # fmt: skip
    assert found == OLD


def test_the_id_of_features_moves_from_extra_into_its_field() -> None:
    found = one("fidelity", "fid@400", extra={"extractor": "inception@299-fp32", "floor": 2.0})
    assert (found["features"], found["extra"]) == ("inception@299-fp32", {"floor": 2.0})


def test_values_have_the_fields_that_are_written_now() -> None:
    assert set(one("utility", "brier")) == set(BRIER.value(0.5, 3).to_json())


def test_the_present_schema_and_what_is_no_record_are_left_as_they_are() -> None:
    for thing in (
        {"schema": SCHEMA, "utility": {"a@b[c": {}}},
        {"schema": 2, "fidelity": {"fid@1": {}}},
        [],
        "x",
        None,
    ):
        before = copy.deepcopy(thing)
        assert upgrade(thing) == before


def test_a_failed_record_is_read_too(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec()
    folder = tmp_path / spec.run_id[:16]
    folder.mkdir()
    about = {"run_id": spec.run_id, "name": spec.name, "spec": spec.to_json()}
    write_json(folder / RECORD, {"schema": 3, "status": "failed", **about, "error": "Diverged"})
    (found,) = Records(tmp_path)
    assert (found["schema"], found["error"]) == (SCHEMA, "Diverged")
    assert [r["run_id"] for r in collect([tmp_path]).failed] == [spec.run_id]


# -- the committed records ----------------------------------------------------------------------------------------


def values(record: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for part in PARTS:
        for name, value in record[part].items():
            yield part, name, value


@pytest.mark.parametrize("file", COMMITTED, ids=lambda f: f.parent.name)
def test_every_committed_record_is_read_without_losing_a_number(file: Path) -> None:
    stored = json.loads(file.read_text(encoding="utf-8"))
    found = Records(REFERENCE).find(stored["run_id"])
    assert found is not None and found["schema"] == SCHEMA
    assert {k: v for k, v in found.items() if k not in (*PARTS, "schema")} == {
        k: v for k, v in stored.items() if k not in (*PARTS, "schema")
    }
    for part, name, old in values(stored):
        new = found[part][name]
        for key in ("value", "low", "high", "n", "direction", "note"):
            assert new[key] == old[key]
        in_features = part == "privacy" and new["features"]
        tail = f"/{new['features']}" if in_features else ""
        if part == "fidelity" and new["extractor"]:
            literature = new["extractor"] == "inception"
            tail = f"@{new['n']}" + ("" if literature else f"/{new['features']}")
        label = f"[{new['label']}]" if new["label"] else ""
        assert name == f"{new['alias'] or new['metric']}{label}{tail}"


@pytest.mark.parametrize("file", COMMITTED, ids=lambda f: f.parent.name)
def test_every_committed_record_lies_sealed_beside_the_files_that_were_written_with_it(file: Path) -> None:
    assert read_seal(file.parent) is not None
    assert changed_files(file.parent, record=RECORD) == []


def test_committed_records_are_found_by_the_leaderboard_and_none_is_left_out() -> None:
    found = collect([REFERENCE])
    assert len(COMMITTED) >= 32
    assert (len(found.entries), found.failed, found.skipped) == (len(COMMITTED), (), ())


def test_the_tables_of_a_committed_record_hold_the_numbers_that_are_stored() -> None:
    file = next(f for f in COMMITTED if json.loads(f.read_text())["fidelity"])
    stored = json.loads(file.read_text(encoding="utf-8"))
    record = Records(REFERENCE).match(stored["run_id"])
    rows = fidelity_rows(record)
    (n,) = {n for _, n in rows}
    assert set(rows) == {(LITE, n), ("inception (FID, KID)", n)}
    for metric in ("fd", "kd", "coverage"):
        assert rows[LITE, n][metric]["value"] == stored["fidelity"][f"{metric}@{n}/{LITE}"]["value"]
    rates = [stored["privacy"][f"copy_rate/{space}"] for space in (LITE, "pixels")]
    most = max(rates, key=lambda one: one["value"] - one["extra"]["floor"])
    assert f"copy rate {most['value']:.3f} [" in privacy_sentence(record)
    assert privacy_sentence(record).endswith(f"of {LITE} and pixels whichever tells more")
