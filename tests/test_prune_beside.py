"""Pruning beside a sweep that goes on does it no harm, however often and however much it may delete."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT
from small_sweeps import FLAGS, records, same, write

from benchmarks.artifacts import main as artifacts_main
from benchmarks.job.carry_out import carry_out
from benchmarks.request.options import parse
from benchmarks.sweep.__main__ import main
from synthworth import in_use
from synthworth.in_use import marked, used_since
from synthworth.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
DAYS = 48 * 3600
REFERENCE = "12a228888cdeea81"


def of_nobody(home: Path) -> Path:
    """An artifact that no record and no sweep wants, two days old."""

    def make(out: Path, scratch: Path) -> None:
        (out / "a").write_text("a")

    made = Store(home).get_or_make("fit", {"generator": "nobody's"}, make)
    os.utime(made.folder / "manifest.json", (time.time() - DAYS,) * 2)
    return made.folder


def age(home: Path) -> None:
    for file in (home / "artifacts").rglob("manifest.json"):
        os.utime(file, (time.time() - DAYS,) * 2)


def test_a_sweep_ends_well_and_to_the_byte_while_all_that_is_of_no_record_is_pruned_again_and_again(
    tmp_path: Path,
) -> None:
    home, quiet = tmp_path / "home", tmp_path / "quiet"
    words = ["--generator", "vae", "--controls", "none", "--workers", "2", "--home", str(quiet / "home")]
    carry_out(parse([*FLAGS, *words, "--results", str(quiet / "runs")], prog="test"))
    shutil.copytree(quiet / "home", home)  # what the sweep finds there, and counts on
    for folder in sorted((home / "artifacts/classify").iterdir())[:2]:
        shutil.rmtree(folder)
    age(home)
    (found,) = (home / "artifacts/fit").glob("*/fit.json")
    before = found.stat().st_ino
    decoy, ended, calls, wrong = of_nobody(home), threading.Event(), [0], list[BaseException]()
    shutil.copytree(ROOT / "results/reference" / REFERENCE, tmp_path / "other" / REFERENCE)
    prune = ["prune", "--keep-recorded", "--home", str(home), "--results", str(tmp_path / "other"), "--older-than", "0"]

    def tidy() -> None:
        try:
            while not ended.is_set() and len(records(tmp_path)) < 2:  # both are there: the sweep's mark may go
                if used_since(home) < float("inf"):  # the sweep has begun; before that, all of this may go
                    calls[0] += artifacts_main(prune) == 0
                time.sleep(0.3)
        except BaseException as error:
            wrong.append(error)

    tidier = threading.Thread(target=tidy)
    tidier.start()
    try:
        args = write(tmp_path, "sweep:\n  product: {generator: [vae], ratio: [0.5], controls: [[none]]}\n")
        code = main([*args, "--jobs", "2"])
    finally:
        ended.set()
        tidier.join()
    assert code == 0 and not wrong and calls[0] >= 3
    assert not decoy.exists()
    same(tmp_path, quiet, n=2)
    (fit,) = (home / "artifacts/fit").glob("*/fit.json")
    assert fit.stat().st_ino == before  # it was there, and stayed
    assert not list((home / in_use.FOLDER).iterdir())


def test_a_mark_holds_from_its_first_moment_to_its_last_and_a_killed_one_is_swept_away(tmp_path: Path) -> None:
    assert used_since(tmp_path) == float("inf")
    with marked(tmp_path):
        first = used_since(tmp_path)
        assert time.time() - 60 < first <= time.time() + 60
        with marked(tmp_path):
            assert used_since(tmp_path) == first
    assert used_since(tmp_path) == float("inf")
    dead = tmp_path / in_use.FOLDER / "dead" / "attempt-000001"
    dead.mkdir(parents=True)
    (dead / "owner.json").write_text('{"machine": "another", "host": "x", "pid": 1}')
    assert used_since(tmp_path) < float("inf")  # of another machine: silence will tell
    os.utime(dead / "owner.json", (time.time() - in_use.SILENT - 60,) * 2)
    assert used_since(tmp_path) == float("inf")
    with marked(tmp_path):
        assert not dead.parent.exists()
