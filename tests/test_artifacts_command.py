"""Housekeeping: what is stored is counted, hashed again, and deleted only where no record needs it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from benchmarks.artifacts import main
from benchmarks.job.carry_out import carry_out
from benchmarks.records.store import Records
from benchmarks.request.options import parse
from synthworth.errors import UserError
from synthworth.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "2", "--train.steps", "2", "--fit.steps", "2"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40", "--extractors", "vgg16_random"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a recorded run of `vae` and one of `dcgan` whose record is gone, all of it two days old."""
    place = tmp_path_factory.mktemp("home")
    for generator, controls in (("vae", ["none", "duplicate"]), ("dcgan", ["none"])):
        words = ["--generator", generator, "--controls", *controls, "--workers", "1"]
        words += ["--home", str(place / "home"), "--results", str(place / generator)]
        carry_out(parse([*SMALL, *words], prog="test"))
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    for file in (tmp_path / "copy" / "home").rglob("manifest.json"):
        os.utime(file, (time.time() - 48 * 3600,) * 2)
    return tmp_path / "copy"


def keys(place: Path, kind: str) -> set[str]:
    return {folder.name for folder in (place / "home" / "artifacts" / kind).iterdir()}


def generators_of(place: Path) -> set[str]:
    store = Store(place / "home")
    return {store.manifest("fit", key)["identity"]["generator"] for key in keys(place, "fit")}


def call(place: Path, *words: str, results: str = "vae") -> int:
    return main([words[0], "--home", str(place / "home"), "--results", str(place / results), *words[1:]])


def test_pruning_keeps_all_that_a_recorded_run_needs_and_nothing_of_another(place: Path) -> None:
    before = {kind: len(keys(place, kind)) for kind in ("data", "fit", "pool", "classify", "features")}
    assert generators_of(place) == {"vae", "duplicate", "dcgan"}
    assert call(place, "prune", "--keep-recorded") == 0
    assert generators_of(place) == {"vae", "duplicate"}
    after = {kind: len(keys(place, kind)) for kind in before}
    assert after == {"data": 1, "fit": 2, "pool": before["pool"] - 6, "classify": 6, "features": before["features"] - 1}
    words = ["--generator", "vae", "--controls", "none", "duplicate", "--workers", "1", "--home", str(place / "home")]
    again = carry_out(parse([*SMALL, *words, "--results", str(place / "again")], prog="test"))
    assert {stage: n for stage, n in again.made.items() if n} == {"judge": 3}


def test_a_run_of_what_was_pruned_makes_it_again_to_the_same_bits(place: Path) -> None:
    call(place, "prune", "--keep-recorded")
    words = ["--generator", "dcgan", "--controls", "none", "--workers", "1", "--home", str(place / "home")]
    carry_out(parse([*SMALL, *words, "--results", str(place / "again")], prog="test"))
    first, second = ({r["name"]: r["utility"] for r in Records(place / name)} for name in ("dcgan", "again"))
    assert first == second


def test_a_dry_run_deletes_nothing(place: Path) -> None:
    assert call(place, "prune", "--keep-recorded", "--dry-run") == 0
    assert generators_of(place) == {"vae", "duplicate", "dcgan"}


def test_what_was_used_lately_stays(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(place / "home")
    (used,) = [k for k in keys(place, "fit") if store.manifest("fit", k)["identity"]["generator"] == "dcgan"]
    store.read("fit", used)
    assert call(place, "prune", "--keep-recorded") == 0
    assert used in keys(place, "fit") and "1 more are of no record" in capsys.readouterr().out
    assert call(place, "prune", "--keep-recorded", "--older-than", "0") == 0
    assert used not in keys(place, "fit")


def test_a_folder_without_records_costs_nothing(place: Path) -> None:
    with pytest.raises(UserError, match="holds no finished record, so all would go"):
        call(place, "prune", "--keep-recorded", results="vea")
    (record,) = list((place / "vae").glob("*/record.json"))[:1]
    record.write_text("{")
    with pytest.raises(UserError, match="Nothing is deleted"):
        call(place, "prune", "--keep-recorded")
    assert generators_of(place) == {"vae", "duplicate", "dcgan"}


def test_pruning_without_saying_what_is_kept_is_refused(place: Path) -> None:
    with pytest.raises(UserError, match="--keep-recorded"):
        call(place, "prune")


def test_verify_names_a_changed_byte_and_du_and_ls_count(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(place, "verify") == 0
    victim = sorted((place / "home" / "artifacts" / "pool").glob("*/images.npy"))[0]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    from synthworth import manifest

    manifest._verified.clear()
    assert call(place, "verify") == 1
    said = capsys.readouterr().out
    assert f"DAMAGED {victim.parent}" in said and "images.npy holds other bytes" in said
    stray = next((place / "home" / "artifacts" / "fit").iterdir()) / "extra.bin"
    stray.touch()
    manifest._verified.clear()
    assert call(place, "verify") == 1  # each is named, whichever comes first
    said = capsys.readouterr().out
    assert "images.npy holds other bytes" in said and "extra.bin is no part of" in said and "2 damaged" in said
    stray.unlink()
    assert call(place, "du") == 0 and "together" in capsys.readouterr().out
    assert call(place, "ls", "--kind", "fit") == 0
    said = capsys.readouterr().out
    assert "dcgan" in said and "vae" in said


def test_a_home_or_a_kind_that_is_not_there_is_said(tmp_path: Path, place: Path) -> None:
    with pytest.raises(UserError, match="holds no artifacts"):
        main(["du", "--home", str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="--kind fti: there are none; there are classify"):
        call(place, "ls", "--kind", "fti")
