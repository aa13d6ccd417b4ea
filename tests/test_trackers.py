"""Trackers are sent records and curves, each record once; they change nothing, and one that fails costs nothing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from benchmarks.job.carry_out import Outcome, carry_out
from benchmarks.records.store import Records
from benchmarks.request.options import parse
from benchmarks.run import main as run_main
from benchmarks.sweep.__main__ import main as sweep_main
from benchmarks.trackers import send
from benchmarks.trackers.entry import Entry, entry_of, metrics_of, plain_name
from synthworth.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = """
preset: smoke
device: cpu
seeds: 2
generator: vae
controls: [none]
train: {steps: 3}
fit: {steps: 3}
extractors: []
data: {n_train: 120, n_val: 40, n_test: 40}
"""
NAMES = {"none", "vae add 0.5"}


def installed(package: str) -> Any:
    found = importlib.util.find_spec(package)
    return pytest.mark.skipif(found is None, reason=f"{package} is not installed (extra {package})")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a sweep in processes of its own made, its records sent to TensorBoard."""
    place = tmp_path_factory.mktemp("sweep")
    (place / "one.yaml").write_text(TEXT + "sweep:\n  product: {ratio: [0.5]}\n")
    (place / "run.yaml").write_text(TEXT)
    words = ["--config", str(place / "one.yaml"), "--jobs", "1", "--logger", "tensorboard"]
    assert sweep_main([*words, *folders(place), "--out", str(place / "out")]) == 0
    return place


def folders(place: Path) -> list[str]:
    return ["--home", str(place / "home"), "--results", str(place / "runs")]


@pytest.fixture
def place(swept: Path, tmp_path: Path) -> Path:
    """The same without what was sent."""
    shutil.copytree(swept, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/home/logs")
    return tmp_path / "copy"


def again(place: Path, logger: str) -> int:
    """The same run, which is complete."""
    return run_main(["--config", str(place / "run.yaml"), "--workers", "1", "--logger", logger, *folders(place)])


def records(place: Path) -> dict[str, dict[str, Any]]:
    return {record["name"]: record for record in Records(place / "runs")}


def bytes_of(place: Path) -> dict[Path, bytes]:
    kept = [place / "runs", place / "home/artifacts"]
    return {file: file.read_bytes() for folder in kept for file in folder.rglob("*") if file.is_file()}


def history(place: Path, kind: str, **wanted: Any) -> list[dict[str, float]]:
    """Of the one stored training whose identity has these entries."""
    for manifest in (place / "home/artifacts" / kind).glob("*/manifest.json"):
        identity = json.loads(manifest.read_text())["identity"]
        if wanted.items() <= identity.items():
            return json.loads((manifest.parent / "fit.json").read_text())["history"]
    raise AssertionError(wanted)


def entry(place: Path, name: str = "vae add 0.5") -> Entry:
    request = parse(["--config", str(place / "run.yaml"), "--workers", "2", *folders(place)], prog="test")
    outcome: Outcome = carry_out(request)
    (arm,) = [arm for arm in outcome.arms if arm.spec.name == name]
    shelf = Records(place / "runs")
    record = shelf.find(arm.spec.run_id)
    assert record is not None
    return entry_of(record, shelf.path(arm.spec.run_id), arm, Store(place / "home"))


# -- what is sent -------------------------------------------------------------------------------------------------


def test_an_entry_has_spec_numbers_curves_and_pictures_of_its_record(swept: Path) -> None:
    made, record = entry(swept), records(swept)["vae add 0.5"]
    assert made.params["generator"] == "vae" and made.params["ratio"] == 0.5 and made.params["data.n_train"] == 120
    assert made.params["controls"] == "none"
    auroc, against = record["utility"]["auroc"], record["comparisons"]["none"]
    assert made.metrics["utility/auroc"] == auroc["value"] and made.metrics["utility/auroc_low"] == auroc["low"]
    assert made.metrics["comparisons/none"] == against["difference"]
    assert made.metrics["comparisons/none_high"] == against["high"]
    assert made.metrics["images/real"] == 120
    loss = [(row["step"], row["loss"]) for row in history(swept, "fit", generator="vae")]
    assert [(p.step, p.value) for p in made.curves if p.name == "generator/loss"] == loss and len(loss) == 3
    assert {"classifier/seed_0/val_auroc", "classifier/seed_1/loss"} <= {p.name for p in made.curves}
    assert not any("learning_rate" in p.name for p in made.curves if p.name.startswith("classifier"))
    assert {"grid", "reliability"} <= {file.stem for file in made.figures}


def test_distances_and_worth_of_a_committed_record_are_among_its_metrics() -> None:
    kept = [r for r in Records(ROOT / "results/reference") if r["status"] == "ok" and r["worth"]]
    (record,) = [r for r in kept if r["worth"]["worth"] is not None and not r["is_control"]][:1]
    made = metrics_of(record)
    distances = {name: v for name, v in record["fidelity"].items() if v["metric"] == "fd" and v["value"] is not None}
    assert distances and {plain_name(f"fidelity/{name}") for name in distances} <= made.keys()
    assert made["worth/real_images"] == record["worth"]["worth"]
    assert not any(value != value for value in made.values())


def test_numbers_that_are_null_are_left_out_and_a_curve_that_is_gone(place: Path) -> None:
    shutil.rmtree(place / "home/artifacts/fit")
    shelf, record = Records(place / "runs"), records(place)["vae add 0.5"]
    record["utility"]["auroc"] |= {"value": None, "low": None, "high": None}
    from benchmarks.job.opened import open_request

    opened = open_request(parse(["--config", str(place / "run.yaml"), *folders(place)], prog="test"))
    (arm,) = [arm for arm in opened.arms if arm.spec.run_id == record["run_id"]]
    made = entry_of(record, shelf.path(record["run_id"]), arm, opened.bench.store)
    assert not {"utility/auroc", "utility/auroc_low", "utility/auroc_high"} & made.metrics.keys()
    assert made.curves and not any(point.name.startswith("generator") for point in made.curves)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("auprc[pleural effusion]", "auprc_pleural_effusion"),
        ("coverage@60/vgg16@128-fp32", "coverage_60/vgg16_128-fp32"),
        ("auroc[../../x]", "auroc/_/x"),
        ("//", "_/_/_"),
    ],
)
def test_names_are_such_as_every_tracker_takes(name: str, plain: str) -> None:
    assert plain_name(name) == plain


# -- TensorBoard --------------------------------------------------------------------------------------------------


def board(place: Path, name: str = "vae") -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (place / "home/logs").glob(f"{name}-add-0.5-*")
    made = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    made.Reload()
    return made


def scalars(made: Any, name: str) -> list[tuple[int, float]]:
    from tensorboard.util.tensor_util import make_ndarray

    if name in made.Tags()["scalars"]:
        return [(event.step, event.value) for event in made.Scalars(name)]
    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in made.Tensors(name)]


def test_tensorboard_reads_back_what_a_sweep_sent(swept: Path) -> None:
    made, record = board(swept), records(swept)["vae add 0.5"]
    loss = [(row["step"], pytest.approx(row["loss"])) for row in history(swept, "fit", generator="vae")]
    assert scalars(made, "generator/loss") == loss
    assert scalars(made, "utility/auroc") == [(0, pytest.approx(record["utility"]["auroc"]["value"]))]
    assert "figures/grid" in made.Tags()["images"] and "record/text_summary" in made.Tags()["tensors"]
    assert "_hparams_/session_start_info" in made.summary_metadata
    assert len(list((swept / "home/logs").glob("*/sent.json"))) == 2  # and the training as it went, beside them
    assert list((swept / "home/logs").glob("vae-????????????/events*"))


def test_a_complete_run_sends_nothing_twice_and_trackers_change_nothing(place: Path) -> None:
    before = bytes_of(place)
    assert again(place, "tensorboard") == 0
    first = {file: file.stat().st_mtime_ns for file in (place / "home/logs").rglob("*")}
    assert len([file for file in first if file.name == "sent.json"]) == 2
    assert again(place, "tensorboard") == 0
    assert {file: file.stat().st_mtime_ns for file in (place / "home/logs").rglob("*")} == first
    assert bytes_of(place) == before


def test_a_run_that_was_half_sent_or_whose_record_is_another_is_sent_anew(place: Path) -> None:
    assert again(place, "tensorboard") == 0
    (sent,) = (place / "home/logs").glob("vae-add-0.5-*/sent.json")
    events = set(sent.parent.glob("events*"))
    sent.write_text('{"record": "another"}')
    assert again(place, "tensorboard") == 0
    anew = set(sent.parent.glob("events*"))
    assert anew and not anew & events
    assert len(scalars(board(place), "generator/loss")) == 3


# -- MLflow -------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server and no mode of whoever runs the tests."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "WANDB_MODE",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_DISABLE_TELEMETRY",
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
    ):
        monkeypatch.setenv(name, "")  # so that it is put back, whatever the code under test sets
        monkeypatch.delenv(name)


@installed("mlflow")
def test_mlflow_reads_back_what_a_run_sent(place: Path, alone: None) -> None:
    from mlflow import MlflowClient

    before = bytes_of(place)
    assert again(place, "mlflow") == 0 and again(place, "mlflow") == 0
    assert bytes_of(place) == before
    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'home/logs/mlflow.db'}")
    experiment = client.get_experiment_by_name("synthworth")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == NAMES and len(client.search_runs([experiment.experiment_id])) == 2
    made, record = runs["vae add 0.5"], records(place)["vae add 0.5"]
    assert made.info.status == "FINISHED" and made.data.tags["synthworth.run_id"] == record["run_id"][:16]
    assert made.data.params["generator"] == "vae" and made.data.params["ratio"] == "0.5"
    assert made.data.metrics["utility/auroc"] == record["utility"]["auroc"]["value"]
    assert made.data.metrics["comparisons/none_low"] == record["comparisons"]["none"]["low"]
    told = client.get_metric_history(made.info.run_id, "generator/loss")
    assert [(m.step, m.value) for m in told] == [(r["step"], r["loss"]) for r in history(place, "fit", generator="vae")]
    files = {file.path for where in ("", "figures") for file in client.list_artifacts(made.info.run_id, where)}
    assert {"record.json", "figures/grid.png"} <= files and not any("predictions" in file for file in files)


@installed("mlflow")
def test_mlflow_keeps_one_run_where_a_record_is_another(place: Path, alone: None) -> None:
    from benchmarks.trackers.to_mlflow import MLflow

    tracker, made = MLflow(place / "home/logs"), entry(place)
    tracker.send(made)
    other = Entry(**{**vars(made), "digest": "0" * 64, "metrics": {"utility/auroc": 0.25}})
    assert tracker.holds(made) and not tracker.holds(other)
    tracker.send(other)
    (run,) = tracker._runs(other)
    assert run.data.metrics["utility/auroc"] == 0.25 and tracker.holds(other) and not tracker.holds(made)


@installed("mlflow")
def test_a_server_that_is_gone_costs_the_run_nothing(
    place: Path, alone: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert again(place, "mlflow") == 0
    (said,) = [r.getMessage() for r in caplog.records if r.name == "benchmarks.trackers.send"]
    assert said.startswith("--logger mlflow failed; records not sent: 2.") and "127.0.0.1" in said


# -- Weights & Biases ---------------------------------------------------------------------------------------------


def read_wandb(file: Path) -> list[Any]:
    """The records of a run: W&B's own messages in a log of LevelDB's format, whose header of 7 bytes is W&B's."""
    from wandb.proto import wandb_internal_pb2

    raw, at, part, found = file.read_bytes(), 7, b"", []
    assert raw[:4] == b":W&B"
    while at < len(raw):
        if (rest := 32768 - at % 32768) < 7:  # a block's end that holds no header
            at += rest
            continue
        n, kind = int.from_bytes(raw[at + 4 : at + 6], "little"), raw[at + 6]
        part += raw[at + 7 : at + 7 + n]
        at += 7 + n
        if kind in (1, 4):  # whole, or its last part
            found.append(wandb_internal_pb2.Record.FromString(part))
            part = b""
    return found


@installed("wandb")
def test_wandb_reads_back_what_a_run_wrote_offline(place: Path, alone: None) -> None:
    before = bytes_of(place)
    assert again(place, "wandb") == 0 and again(place, "wandb") == 0
    assert bytes_of(place) == before
    record = records(place)["vae add 0.5"]
    runs = list((place / "home/logs/wandb").glob("offline-run-*"))
    assert len(runs) == 2
    (folder,) = [run for run in runs if run.name.endswith(record["run_id"][:16])]
    told = read_wandb(next(folder.glob("*.wandb")))
    (run,) = [one.run for one in told if one.HasField("run")]
    assert run.display_name == "vae add 0.5" and run.run_id == record["run_id"][:16] and run.project == "synthworth"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["generator"] == "vae" and config["ratio"] == 0.5
    rows = [
        {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in one.history.item}
        for one in told if one.HasField("history")
    ]  # fmt: skip
    loss = [row["generator/loss"] for row in rows if "generator/loss" in row]
    assert loss == [row["loss"] for row in history(place, "fit", generator="vae")]
    summary = {
        (item.key or "/".join(item.nested_key)): json.loads(item.value_json)
        for one in told if one.HasField("summary") for item in one.summary.update
    }  # fmt: skip
    assert summary["utility/auroc"] == record["utility"]["auroc"]["value"]
    assert (folder / "files/record.json").read_bytes() == (
        place / "runs" / record["run_id"][:16] / "record.json"
    ).read_bytes()
    assert list((folder / "files/media/images/figures").glob("grid*.png"))


# -- what fails ---------------------------------------------------------------------------------------------------


class Breaks:
    """A tracker whose server goes after one record."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed = False

    def holds(self, entry: Entry) -> bool:
        return entry.name in self.sent

    def send(self, entry: Entry) -> None:
        if self.sent:
            raise ConnectionError("the server\nis gone")
        self.sent.append(entry.name)

    def close(self) -> None:
        self.closed = True


def test_a_tracker_that_fails_midway_is_told_in_one_line_and_the_run_ends_as_it_would(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Breaks()
    monkeypatch.setitem(send.OPEN, "mlflow", lambda folder: tracker)
    monkeypatch.setattr("benchmarks.job.opened.check_logger", lambda name: None)
    assert again(place, "mlflow") == 0
    (said,) = [r.getMessage() for r in caplog.records if r.name == "benchmarks.trackers.send"]
    assert "records not sent: 1." in said and "ConnectionError: the server" in said and "\n" not in said
    assert tracker.sent == ["none"] and tracker.closed


def test_a_curve_that_cannot_be_shown_does_not_end_the_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from benchmarks.stages.loggers import live_log

    (tmp_path / "logs").write_text("a file where the folder should be")
    with live_log("tensorboard", folder=tmp_path / "logs", run="r") as log:
        log(1, loss=0.5)
        log(2, loss=0.25)
    assert len([r for r in caplog.records if "takes no more of the loss curve" in r.getMessage()]) == 1
