"""A sweep on this machine: the records of `benchmarks.run`, each artifact once, failures told, kills survived."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.job.carry_out import carry_out
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.request.options import parse
from benchmarks.sweep import local
from benchmarks.sweep.__main__ import main
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = """
preset: smoke
device: cpu
seeds: 2
controls: [none, duplicate]
train: {steps: 2}
fit: {steps: 2}
clf: {arch: resnet10t}
extractors: []
data: {n_train: 120, n_val: 40, n_test: 40}
"""
FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "2", "--controls", "none", "duplicate"),
    *("--train.steps", "2", "--fit.steps", "2", "--clf.arch", "resnet10t", "--extractors"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40"),
]
LEAST = ["--controls", "none", "--seeds", "1"]
"""Of what a test does not look at, as little as there can be."""
SHORT = "sweep:\n  product: {generator: [vae, dcgan], ratio: [0.5]}\n"
VARIED = """sweep:
  - product: {generator: [vae], ratio: [0, 0.5, 1], generator_seed: [0, 1]}
  - product: {generator: [dcgan], ratio: [0.5]}
"""
BROKEN = """
import os, signal, time
from generators.vae import VAE
from synthworth.api import register

class Broken(VAE):
    def fit(self, train, *, seed, work):
        self.go_wrong()

@register.generator("breaks")
class Breaks(Broken):
    def go_wrong(self):
        raise ZeroDivisionError("the plugin divided by zero")

@register.generator("eats")
class Eats(Broken):
    def go_wrong(self):
        raise MemoryError("no more")

@register.generator("dies")
class Dies(Broken):
    def go_wrong(self):
        os.kill(os.getpid(), signal.SIGKILL)

@register.generator("sleeps")
class Sleeps(Broken):
    def go_wrong(self):
        time.sleep(600)
"""


def write(place: Path, text: str) -> list[str]:
    place.mkdir(parents=True, exist_ok=True)
    (place / "ablation.yaml").write_text(SMALL + text)
    folders = {"home": "home", "results": "runs", "out": "out"}
    flags = [word for name, folder in folders.items() for word in (f"--{name}", str(place / folder))]
    return ["--config", str(place / "ablation.yaml"), *flags]


def records(place: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted((place / "runs").glob("*/record.json")):
        record = json.loads(file.read_text())
        found[record["run_id"]] = record
    return found


def same(place: Path, other: Path, *, n: int) -> None:
    """So many arms, with the numbers of the other place, and the same predictions to the byte."""
    a, b = records(place), records(other)
    assert a.keys() <= b.keys() and len(a) == n
    for run_id in a:
        assert a[run_id]["status"] == b[run_id]["status"], a[run_id]["name"]
        if a[run_id]["status"] != "ok":
            continue
        for part in ("utility", "counts", "comparisons", "validation", "verdict"):
            assert a[run_id].get(part) == b[run_id].get(part), (a[run_id]["name"], part)
        files = [folder / "runs" / run_id[:16] / PREDICTIONS for folder in (place, other)]
        assert files[0].read_bytes() == files[1].read_bytes()


def artifacts(place: Path) -> dict[str, int]:
    return {kind.name: len(list(kind.iterdir())) for kind in sorted((place / "home" / "artifacts").iterdir())}


@pytest.fixture(scope="module")
def by_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `benchmarks.run` makes of the same cells, one request after the other."""
    place = tmp_path_factory.mktemp("runs")
    for words in (["vae", "--ratio", "0", "0.5", "1", "--generator-seed", "0", "1"], ["dcgan", "--ratio", "0.5"]):
        words = ["--generator", *words, "--workers", "2"]
        words += ["--home", str(place / "home"), "--results", str(place / "runs")]
        carry_out(parse([*FLAGS, *words], prog="test"))
    return place


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    place = tmp_path_factory.mktemp("sweep")
    args = write(place, VARIED)
    assert main([*args, "--jobs", "2"]) == 0
    return place, args


def test_a_sweep_makes_the_records_of_the_runs_it_stands_for(by_runs: Path, swept: tuple[Path, list[str]]) -> None:
    same(swept[0], by_runs, n=8)
    assert artifacts(swept[0]) == artifacts(by_runs)


def test_generators_are_trained_once_for_all_ratios(swept: tuple[Path, list[str]]) -> None:
    place, _ = swept
    of = [json.loads(file.read_text()) for file in (place / "home/artifacts/fit").glob("*/manifest.json")]
    names = [manifest["identity"]["generator"] for manifest in of]
    assert sorted(names) == ["dcgan", "duplicate", "vae", "vae"]


def test_a_second_call_makes_nothing(swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    place, args = swept
    before = {file: file.stat().st_mtime_ns for file in (place / "runs").rglob("*") if file.is_file()}
    assert main(args) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    said = capsys.readouterr().out
    assert "7 cells in 2 requests: 7 done" in said and "made:" not in said


def test_the_table_has_a_row_a_cell_with_the_numbers_of_its_record(swept: tuple[Path, list[str]]) -> None:
    import pandas as pd

    place, _ = swept
    table = pd.read_csv(place / "out" / "table.csv")
    assert len(table) == 7 and set(table["state"]) == {"done"}
    assert list(table["ratio"]) == [0, 0, 0.5, 0.5, 1, 1, 0.5]
    of = records(place)
    for row in table.to_dict("records"):
        record = of[row["run_id"]]
        assert row["auroc"] == pytest.approx(record["utility"]["auroc"]["value"])
        if row["ratio"]:
            assert record["spec"]["generator"] == row["generator"] and record["spec"]["ratio"] == row["ratio"]
            assert row["vs_none"] == pytest.approx(record["comparisons"]["none"]["difference"])
    page = (place / "out" / "table.md").read_text()
    assert "7 of 7 cells are done" in page and "figure.png" in page
    assert (place / "out" / "figure.png").stat().st_size > 10_000


def test_a_dry_run_writes_nothing_and_says_what_is_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = write(tmp_path, VARIED)
    assert main([*args, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "7 cells in 2 requests, at most: 8 arms, 3 trainings of a generator, 16 of a classifier" in said
    assert "To be prepared first: phantom" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.yaml"]


FAULTS = {
    "breaks": ("error", "ZeroDivisionError: the plugin divided by zero"),
    "eats": ("out of memory", "MemoryError: no more"),
    "dies": ("killed", "killed by SIGKILL"),
    "sleeps": ("timeout", "longer than 0.004 h"),
}


def test_what_fails_is_a_record_with_its_phase_and_the_others_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    names = ", ".join([*FAULTS, "vae"])
    args = write(tmp_path, f"plugin: {tmp_path / 'broken.py'}\nsweep:\n  product: {{generator: [{names}]}}\n")
    assert main([*args, "--jobs", "2", "--max-hours", "fit=0.004", "--seeds", "1"]) == 1
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


def test_machines_that_share_a_sweep_by_items_make_it_whole(by_runs: Path, tmp_path: Path) -> None:
    args = write(tmp_path, SHORT)
    for number in (1, 2):
        assert main([*args, "--jobs", "2", "--item", f"{number}/2"]) == 0
    assert main([*args, "--collect"]) == 0
    same(tmp_path, by_runs, n=4)


def begin(args: list[str], **more: Any) -> subprocess.Popen[str]:
    code = f"import sys; from benchmarks.sweep.__main__ import main; sys.exit(main({args!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_two_sweeps_at_once_share_the_work(by_runs: Path, tmp_path: Path) -> None:
    args = write(tmp_path, SHORT)
    both = [begin([*args, "--jobs", "2"]) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    same(tmp_path, by_runs, n=4)
    assert artifacts(tmp_path) == {"classify": 8, "data": 1, "fit": 3, "pool": 18}


def test_folders_that_differ_between_cells_are_refused(tmp_path: Path) -> None:
    args = write(tmp_path, "sweep:\n  list:\n    - {results: a}\n    - {results: b}\n")
    args = [word for word in args if word != "--results" and not word.endswith("runs")]
    with pytest.raises(UserError, match="results differs between cells"):
        main(args)


def test_options_of_drawing_share_one_training_and_draw_what_a_training_of_their_own_would(tmp_path: Path) -> None:
    options = "generator: latent_ddpm\ngen: {drop: 0.2}\n"
    least = [*LEAST, "--gen.sampling-steps", "2"]
    args = write(tmp_path / "shared", options + "sweep:\n  product: {gen.guidance: [1, 3]}\n")
    assert main([*args, "--jobs", "2", *least]) == 0
    fits = [json.loads(file.read_text()) for file in (tmp_path / "shared/home/artifacts/fit").glob("*/fit.json")]
    assert sum("trained_as" in report for report in fits) == 1
    (twin,) = [report for report in fits if "trained_as" in report]
    words = ["--generator", "latent_ddpm", "--gen.drop", "0.2", "--workers", "2"]
    words += ["--results", str(tmp_path / "own/runs")]
    for guidance in ("1", "3"):  # each in a home of its own, and so with a training of its own
        more = ["--gen.guidance", guidance, "--home", str(tmp_path / f"home {guidance}")]
        carry_out(parse([*FLAGS, *words, *more, *least], prog="test"))
    same(tmp_path / "shared", tmp_path / "own", n=3)
    costs = [record["cost"] for record in records(tmp_path / "shared").values() if "fit_seconds" in record["cost"]]
    trained = [cost for cost in costs if cost["fit"].get("steps") == twin["steps"] and cost["fit_seconds"] > 0.2]
    assert len(trained) == 2  # the training's seconds stand in both records, not those of a copy


def test_a_point_of_the_curve_is_that_of_its_own_seed(tmp_path: Path) -> None:
    args = write(tmp_path, "curve: [0.5]\nsweep:\n  product: {seed: [0, 1], generator: [duplicate], ratio: [0.5]}\n")
    assert main([*args, "--jobs", "2", *LEAST]) == 0
    for seed in ("0", "1"):
        words = ["--generator", "duplicate", "--ratio", "0.5", "--curve", "0.5", "--seed", seed, "--workers", "2"]
        words += ["--home", str(tmp_path / "own" / "home"), "--results", str(tmp_path / "own" / "runs")]
        carry_out(parse([*FLAGS, *words, *LEAST], prog="test"))
    same(tmp_path, tmp_path / "own", n=6)


def test_a_fit_that_would_be_refused_is_not_made_from_another(tmp_path: Path) -> None:
    options = "generator: pixel_ddpm\ngen: {drop: 0, sampling_steps: 2, widths: [8, 16], attention: []}\n"
    args = [*write(tmp_path, options + "sweep:\n  product: {gen.guidance: [1, 3]}\n"), *LEAST]
    assert main([*args, "--jobs", "1"]) == 1
    of = {record["spec"]["gen"]["guidance"]: record for record in records(tmp_path).values() if record["spec"]["gen"]}
    assert of[1]["status"] == "ok" and of[3]["status"] == "failed"
    assert "set drop above 0" in of[3]["error"]


def test_blocks_that_vary_other_options_and_arms_without_a_row_of_their_own(
    swept: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """Over what is stored: nothing is trained."""
    import pandas as pd

    place, _ = swept
    (tmp_path / "two.yaml").write_text(
        SMALL + "generator: vae\nsweep:\n  - product: {ratio: [0.5, 1]}\n  - product: {margin: [0.01]}\n"
    )
    folders = ["--home", str(place / "home"), "--results", str(place / "runs"), "--out", str(tmp_path / "out")]
    assert main(["--config", str(tmp_path / "two.yaml"), *folders, "--jobs", "2"]) == 0
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert list(table["state"]) == ["done"] * 3 and (tmp_path / "out" / "figure.png").is_file()
    assert table["note"].iloc[2] == "the same run as another cell"


def test_a_record_whose_predictions_have_changed_is_made_again(
    swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    place, args = swept
    before = records(place)
    victim = sorted((place / "runs").glob(f"*/{PREDICTIONS}"))[0]
    content = victim.read_bytes()
    victim.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    assert main([*args, "--jobs", "2"]) == 0
    assert "1 records" in capsys.readouterr().out.replace("\n", " ")
    assert victim.read_bytes() == content and records(place).keys() == before.keys()


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
