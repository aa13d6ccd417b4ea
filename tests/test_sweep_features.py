"""Features as items of a sweep: made before the judging, which then extracts none; planned only where they lack."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.job.briefs import Briefs
from benchmarks.records.store import Records
from benchmarks.report.tables import console
from benchmarks.request.cells import read_sweep
from benchmarks.sweep.items import Work, work_of
from benchmarks.sweep.perform import perform
from benchmarks.sweep.plan import open_all
from benchmarks.sweep.rows import numbers_of

SWEEP = """
preset: smoke
device: cpu
seeds: 2
controls: [none]
train: {steps: 2}
extractors: [efficientnet_lite0]
data: {n_train: 60, n_val: 20, n_test: 30}
sweep:
  product: {generator: [duplicate, noise], ratio: [0.5, 1]}
"""


@pytest.mark.usefixtures("one_thread")
def test_judging_extracts_nothing_that_an_item_was_there_for(tmp_path: Path) -> None:
    (tmp_path / "ablation.yaml").write_text(SWEEP)
    flags = ["--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs")]
    asked = read_sweep(tmp_path / "ablation.yaml", flags, prog="test")

    def plan() -> Work:
        opened = open_all(asked, console(), dry_run=False)
        assert opened is not None
        return work_of(opened, records=Briefs(Records(tmp_path / "runs"), numbers_of))

    items = plan().items
    names = [item.name for item in items if item.stage == "features"]
    assert names.count("features of the real images") == 1 and len(names) == 1 + 4
    for item in items:
        answer = perform(asked.requests[item.request], item)
        assert answer.fault is None, answer.fault
        if item.stage == "features":
            assert answer.made["features"] == (1 if item.run_id else 3)
        if item.stage == "evaluate":
            assert answer.made == {"records": 3 if item.request == 0 else 2, "features": 0}
    assert plan().items == []
    shutil.rmtree(tmp_path / "runs")
    assert {item.stage for item in plan().items} == {"evaluate"}
