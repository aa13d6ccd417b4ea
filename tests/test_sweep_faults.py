"""What fails in a sweep: told with its phase, tried again alone, and no more lost than what needs it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_sweeps import BROKEN, FLAGS, LEAST, records, same, write

from benchmarks.job.carry_out import carry_out
from benchmarks.request.options import parse
from benchmarks.sweep import local
from benchmarks.sweep.__main__ import main

pytestmark = pytest.mark.usefixtures("one_thread")

FAULTS = {
    "breaks": ("error", "ZeroDivisionError: the plugin divided by zero"),
    "eats": ("out of memory", "MemoryError: no more"),
    "dies": ("killed", "killed by SIGKILL"),
    "sleeps": ("timeout", "longer than 0.008 h"),
}


def test_what_fails_is_a_record_with_its_phase_and_the_others_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    names = ", ".join([*FAULTS, "vae"])
    args = write(tmp_path, f"plugin: {tmp_path / 'broken.py'}\nsweep:\n  product: {{generator: [{names}]}}\n")
    assert main([*args, "--jobs", "2", "--max-hours", "fit=0.008", "--seeds", "1"]) == 1
    of = {record["name"]: record for record in records(tmp_path).values()}
    assert {arm: record["status"] for arm, record in of.items()} == {
        "none": "ok", "duplicate add 0.5": "ok", "vae add 0.5": "ok", **{f"{name} add 0.5": "failed" for name in FAULTS}
    }  # fmt: skip
    told = [json.loads(file.read_text()) for file in (tmp_path / "out" / "failed").glob("*.json")]
    said, table = capsys.readouterr().out, (tmp_path / "out" / "table.csv").read_text()
    assert table.count("failed") >= 4 and len(told) == 4
    for name, (kind, error) in FAULTS.items():
        failed = of[f"{name} add 0.5"]
        assert error in failed["error"] and failed["failure"]["phase"] == "fit" and failed["failure"]["seconds"] >= 0
        assert ("go_wrong" in failed["failure"]["traceback"]) is (kind in ("error", "out of memory"))
        assert any(one["kind"] == kind and name in one["name"] for one in told)
        assert f"FAILED fit {kind}" in said


def test_what_failed_is_tried_again_alone_and_forgotten_once_it_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = '        if not os.path.exists("MARK"):\n            raise OSError("not yet")\n        super().fit('
    plugin = "import os\nfrom generators.vae import VAE\nfrom synthworth.api import register\n\n"
    plugin += '@register.generator("later")\nclass Later(VAE):\n    def fit(self, train, *, seed, work):\n'
    plugin += code.replace("MARK", str(tmp_path / "mark")).replace("super().fit(", "return ") + (
        "super().fit(train, seed=seed, work=work)\n"
    )
    (tmp_path / "later.py").write_text(plugin)
    args = write(tmp_path, f"plugin: {tmp_path / 'later.py'}\nsweep:\n  product: {{generator: [later]}}\n") + LEAST
    assert main([*args, "--jobs", "1", "--retry", "2"]) == 1
    (file,) = (tmp_path / "out" / "failed").glob("*.json")
    assert json.loads(file.read_text())["tries"] == 3
    (tmp_path / "mark").touch()
    capsys.readouterr()
    assert main([*args, "--jobs", "1", "--only-failed"]) == 0
    assert "1 failed before" in capsys.readouterr().out
    assert not list((tmp_path / "out" / "failed").glob("*.json"))
    assert {record["status"] for record in records(tmp_path).values()} == {"ok"}


def test_a_control_that_fails_holds_its_request_back_and_says_so(tmp_path: Path) -> None:
    control = BROKEN.replace("from generators.vae import VAE", "from generators.controls import Noise as VAE")
    control = control.replace("class Broken(VAE):", "class Broken(VAE):\n    is_control = True\n")
    (tmp_path / "broken.py").write_text(control)
    text = (
        f"plugin: {tmp_path / 'broken.py'}\nsweep:\n  product: {{generator: [duplicate], controls: [[none, breaks]]}}\n"
    )
    assert main([*write(tmp_path, text), "--jobs", "1", "--seeds", "1"]) == 1
    of = {record["name"]: record for record in records(tmp_path).values()}
    assert {record["status"] for record in of.values()} == {"failed"} and len(of) == 3
    assert all("divided by zero" in record["error"] for record in of.values())
    assert "divided by zero" in (tmp_path / "out" / "table.csv").read_text()


def test_a_control_that_diverges_is_left_out_as_a_run_leaves_it_out(tmp_path: Path) -> None:
    control = BROKEN.replace("from generators.vae import VAE", "from generators.controls import Noise as VAE")
    control = control.replace("class Broken(VAE):", "class Broken(VAE):\n    is_control = True\n")
    control = control.replace("ZeroDivisionError(", "Diverged(").replace(
        "import os", "from synthworth.errors import Diverged\nimport os"
    )
    (tmp_path / "broken.py").write_text(control)
    text = (
        f"plugin: {tmp_path / 'broken.py'}\nsweep:\n  product: {{generator: [duplicate], controls: [[none, breaks]]}}\n"
    )
    args = [*write(tmp_path, text), "--seeds", "1"]
    for more in (["--jobs", "1", "--retry", "3"], ["--collect"]):
        assert main([*args, *more]) == 1
        found = {record["name"]: record["status"] for record in records(tmp_path).values()}
        assert found == {"none": "ok", "duplicate add 0.5": "ok", "breaks add 0.5": "failed"}
    (told,) = [json.loads(file.read_text()) for file in (tmp_path / "out" / "failed").glob("*.json")]
    assert told["kind"] == "diverged" and told["tries"] == 1  # it would diverge again
    words = ["--generator", "duplicate", "--plugin", str(tmp_path / "broken.py"), "--controls", "none", "breaks"]
    words += ["--home", str(tmp_path / "own/home"), "--results", str(tmp_path / "own/runs"), "--seeds", "1"]
    carry_out(parse([*FLAGS[:6], *FLAGS[FLAGS.index("--train.steps") :], *words], prog="test"))
    same(tmp_path, tmp_path / "own", n=3)


def test_an_evaluation_that_takes_too_long_is_a_record_of_every_arm(tmp_path: Path) -> None:
    args = [*write(tmp_path, "sweep:\n  product: {generator: [duplicate], ratio: [0.5]}\n"), *LEAST]
    assert main([*args, "--jobs", "1", "--max-hours", "evaluate=0.00001"]) == 1
    assert {record["failure"]["phase"] for record in records(tmp_path).values()} == {"evaluate"}
    assert main([*args, "--jobs", "1"]) == 0
    assert {record["status"] for record in records(tmp_path).values()} == {"ok"}
    assert main([*args, "--collect"]) == 0


def test_a_process_that_died_while_it_had_nothing_to_do_costs_no_item(tmp_path: Path) -> None:
    worker = local.Worker({}, threads=1)
    request = parse([*FLAGS, "--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs")], prog="test")
    strange: Any = SimpleNamespace(stage="strange", run_id="", id="x")
    worker.give(request, strange)
    assert worker.answer() is None and worker.spent() < 5  # the process has started
    first = worker.answer()
    assert first is not None and first.fault is not None and first.fault.kind == "error"
    assert worker.helper is not None
    worker.helper.process.kill()
    worker.helper.process.join()
    worker.give(request, strange)
    assert worker.answer() is None
    second = worker.answer()
    assert second is not None and second.fault is not None and second.fault.kind == "error"
    worker.end()
