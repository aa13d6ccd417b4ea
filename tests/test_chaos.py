"""Short plays of the scripts in `tests/chaos`: changed bytes, nodes whose locks lie."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from chaos import flips, nodes

from synthworth.keys import digest
from synthworth.lease import PATIENCE
from synthworth.store import Store


@pytest.mark.usefixtures("one_thread")
def test_a_changed_byte_in_every_artifact_of_a_run_is_named_and_no_number_changes(tmp_path: Path) -> None:
    rows = flips.play(tmp_path, rounds=1, seed=5)
    assert {kind.partition("/")[0] for kind, *_ in rows} == {"classify", "data", "features", "fit", "pool"}
    assert [row for row in rows if row[1] != row[2] or not row[3]] == []


JOB = """
import sys, time
from pathlib import Path
import numpy as np
from synthworth.artifacts import write_array, write_json, read_json
from synthworth.store import Store

def make(out, scratch):
    file = scratch / "step.json"
    for step in range(read_json(file) if file.is_file() else 0, 30):
        write_json(file, step, sync=False)
        time.sleep(0.02)
    for part in range(20):
        write_array(out / f"{part}.npy", np.full(1000, part))

made = Store(Path(sys.argv[1])).get_or_make("fit", {"generator": "g"}, make)
assert all((np.load(made.folder / f"{part}.npy") == part).all() for part in range(20))
print(made.fresh)
"""


def test_eight_processes_on_nodes_whose_locks_lie_publish_one_whole_artifact(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "sitecustomize.py").write_text(nodes.NODE)
    (tmp_path / "job.py").write_text(JOB)
    processes = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "job.py"), str(tmp_path / "home")],
            env={
                **os.environ, "PYTHONPATH": f"{tmp_path / 'node'}{os.pathsep}{nodes.ROOT}", PATIENCE: "1.5",
                "NODE": f"n{i}", "SHIFT": str(600 * (i - 4)),
            },
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(8)
    ]  # fmt: skip
    deadline, stopped = time.monotonic() + 60, None
    while stopped is None:
        assert time.monotonic() < deadline
        for owner in tmp_path.glob("home/work/fit/*/attempt-000001/*/scratch/step.json"):
            (stopped,) = [p for p in processes if f"-{p.pid}-" in owner.parent.parent.name]
        time.sleep(0.01)
    stopped.send_signal(signal.SIGSTOP)
    time.sleep(3)
    stopped.send_signal(signal.SIGCONT)
    said = [process.communicate(timeout=60) for process in processes]
    assert [p.returncode for p in processes] == [0] * 8, said
    assert sum(out == "True\n" for out, _ in said) == 1
    store, key = Store(tmp_path / "home"), digest({"generator": "g"})
    assert store.has("fit", key, deep=True)
    assert np.load(store.path("fit", key) / "7.npy")[0] == 7
    assert not list((tmp_path / "home" / "work").glob("*/*"))
