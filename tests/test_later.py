"""A metric that is registered after records were written: computed from their predictions, or missing with a reason."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from benchmarks.judging.later import complete, lacks_a_metric
from benchmarks.judging.utility import mean_over_seeds
from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.registry import METRICS
from benchmarks.metrics.value import Value
from benchmarks.records.predictions import PREDICTIONS, Entry, read_predictions, write_predictions
from benchmarks.records.seal import SEAL
from benchmarks.records.store import Records
from benchmarks.report.tables import print_arms, print_fidelity
from benchmarks.show import main as show
from leaderboard.flat import csv_text
from leaderboard.tables import make_tables
from leaderboard.text import markdown
from synthworth.errors import Unavailable

PLUGIN = '''
from sklearn.metrics import matthews_corrcoef

from benchmarks.metrics.registry import METRICS, Value


@METRICS.register("mcc")
def mcc(*, truth, scores):
    """Matthews' correlation of the first choice."""
    return {"mcc": Value("mcc", float(matthews_corrcoef(truth, scores.argmax(1))), len(truth), "higher")}


@METRICS.register("val_accuracy")
def val_accuracy(*, truth, scores, val_truth, val_scores):
    """Share of val images that are called right."""
    found = float((val_scores.argmax(1) == val_truth).mean())
    return {"val_accuracy": Value("val_accuracy", found, len(truth), "higher")}
'''


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))


def register_mcc() -> None:
    @METRICS.register("mcc")
    @metric(Quantity("mcc", "higher", title="MCC"))
    def mcc(*, truth: Any, scores: Any) -> dict[str, Value]:
        found = float(matthews_corrcoef(truth, scores.argmax(1)))
        return {"mcc": Value("mcc", found, len(truth), "higher")}


def register_others() -> None:
    """Metrics that need more than a record keeps: one asked with predictions, one on features, one on logits, one on
    pixels.
    """

    @METRICS.register("by_val")
    def by_val(*, truth: Any, scores: Any, val_scores: Any = None) -> dict[str, Value]:
        raise Unavailable("not asked")

    @METRICS.register("distance")
    @metric(Quantity("distance", "lower", title="DIST", alias="ours"))
    def distance(*, real: Any, fake: Any) -> dict[str, Value]:
        raise Unavailable("not asked")

    @METRICS.register("of_logits")
    def of_logits(*, logits: Any) -> dict[str, Value]:
        raise Unavailable("not asked")

    @METRICS.register("sharpness")
    def sharpness(*, fake_images: Any) -> dict[str, Value]:
        raise Unavailable("not asked")


def entry(lab: Any, record: dict[str, Any]) -> Entry:
    folder = Records(lab.folder).path(record["run_id"])
    return Entry(Records(lab.folder).match(record["run_id"]), folder)


def by_hand(one: Entry) -> list[float]:
    scores, truth, _ = read_predictions(one)
    return [float(matthews_corrcoef(truth, seed.argmax(1))) for seed in scores]


def test_without_added_metrics_a_record_is_complete_as_it_is(lab: Any) -> None:
    one = entry(lab, lab.run("vae", 1.0))
    assert complete(one) == one.record and not lacks_a_metric(one.record)


def test_a_metric_of_predictions_is_their_mean_over_the_seeds(lab: Any) -> None:
    one = entry(lab, lab.run("vae", 1.0))
    register_mcc()
    found = complete(one)["utility"]["mcc"]
    expected = by_hand(one)
    assert len(set(expected)) > 1
    assert found["value"] == pytest.approx(np.mean(expected)) and found["extra"]["per_seed"] == pytest.approx(expected)
    assert (found["metric"], found["n"], found["direction"], found["note"]) == ("mcc", 120, "higher", None)
    assert found["low"] < found["value"] < found["high"]
    assert "mcc" not in one.record["utility"], "what is stored is not changed"
    assert not lacks_a_metric(one.record), "no run is needed for it"


def test_a_metric_that_is_in_the_record_is_not_computed_again(lab: Any) -> None:
    record = lab.run("vae", 1.0)
    stored = Value("mcc", 0.125, 3, "higher").to_json()
    register_mcc()
    one = Entry({**record, "utility": {**record["utility"], "mcc": stored}}, Records(lab.folder).path(record["run_id"]))
    assert complete(one)["utility"]["mcc"] == stored


@pytest.mark.parametrize("what", ["missing", "of another arm", "no parquet"])
def test_predictions_that_cannot_be_used_are_named_as_the_reason(lab: Any, what: str) -> None:
    one = entry(lab, lab.run("vae", 1.0))
    register_mcc()
    file = one.folder / PREDICTIONS
    if what == "missing":
        file.unlink()
    elif what == "no parquet":
        file.write_bytes(b"x" * 100)
    else:
        write_predictions(file, lab.test, lab._scores(0.2, 6, 0))
    if what != "missing":
        (one.folder / SEAL).unlink()  # a record that was written before there were seals
    reason = {
        "missing": "predictions.parquet is missing beside the record",
        "of another arm": "predictions.parquet does not hold the predictions that the record was made from",
        "no parquet": "predictions.parquet cannot be used: ",
    }[what]
    found = complete(one)["utility"]["mcc"]
    assert found["value"] is None and found["note"].startswith(reason)


def test_what_needs_more_than_a_record_keeps_is_missing_with_the_command_that_computes_it(lab: Any) -> None:
    one = entry(lab, lab.run("vae", 1.0))
    register_others()
    found = complete(one, plugins=(Path("mine.py"),))
    command = "computed by: python -m benchmarks.run --generator vae --plugin mine.py"
    by_val = found["utility"]["by_val"]
    assert by_val["value"] is None and by_val["note"] == f"needs val_scores, which records do not keep; {command}"
    new = {name: found["fidelity"][name] for name in found["fidelity"].keys() - one.record["fidelity"].keys()}
    where = {name: (v["extractor"], v["alias"], v["n"]) for name, v in new.items()}
    assert where == {
        "ours@9": ("inception", "ours", 9),
        "distance@9/efficientnet_lite0@1": ("efficientnet_lite0", None, 9),
        "distance@9/vgg16_random@1": ("vgg16_random", None, 9),
        "of_logits@9": ("inception", None, 9),
        "sharpness": (None, None, 9),
    }
    assert new["ours@9"]["note"] == f"needs real, fake, which records do not keep; {command}"
    assert new["ours@9"]["direction"] == "lower"
    real = complete(entry(lab, lab.run("none", 1.0)))
    assert real["fidelity"] == {} and real["utility"]["by_val"]["value"] is None, "no image was drawn"


def test_the_command_names_no_plugin_twice(lab: Any) -> None:
    record = lab.run("vae", 1.0)
    record["provenance"] = {**record["provenance"], "command": "python -m benchmarks.run --plugin mine.py"}
    register_others()
    found = complete(Entry(record, lab.folder), plugins=(Path("mine.py"),))
    assert found["utility"]["by_val"]["note"].endswith("computed by: python -m benchmarks.run --plugin mine.py")


def test_a_run_completes_a_record_only_where_predictions_are_not_enough_and_the_metric_applies(lab: Any) -> None:
    drawn, real = lab.run("vae", 1.0), lab.run("none", 1.0)
    register_mcc()
    assert not lacks_a_metric(drawn) and not lacks_a_metric(real)

    @METRICS.register("of_logits")
    def of_logits(*, logits: Any) -> dict[str, Value]:
        return {}

    assert lacks_a_metric(drawn) and not lacks_a_metric(real)
    without = {name: v for name, v in drawn["fidelity"].items() if v["extractor"] != "inception"}
    assert not lacks_a_metric({**drawn, "fidelity": without})
    null = Value.missing("of_logits", "there are none", n=9, direction="higher").to_json()
    assert not lacks_a_metric({**drawn, "fidelity": {**drawn["fidelity"], "of_logits@9": null}})
    register_by_val = METRICS.register("by_val")
    register_by_val(lambda *, truth, scores, val_truth: {})
    assert lacks_a_metric(real)


def test_a_mean_over_seeds_below_0_is_not_cut() -> None:
    value = mean_over_seeds([Value("mcc", x, 9, "higher") for x in (-0.3, -0.2, -0.1)])
    assert value.low is not None and value.value == pytest.approx(-0.2) and -0.3 <= value.low < -0.2


# -- in the tables ------------------------------------------------------------------------------------------------


class Page:
    """Takes what the tables print."""

    def __init__(self) -> None:
        from rich.console import Console

        self.out = Console(file=io.StringIO(), width=200)

    def __str__(self) -> str:
        return self.out.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_added_metrics_have_columns_in_the_tables_of_a_run(lab: Any) -> None:
    one = entry(lab, lab.run("vae", 1.0))
    register_mcc()
    register_others()
    found, page = complete(one), Page()
    print_arms(page.out, [found])
    print_fidelity(page.out, [found])
    text = str(page)
    assert "MCC" in text and f"{np.mean(by_hand(one)):.3f} [" in text
    assert "by_val" in text and "null: needs val_scores, which records do not keep" in text
    assert "DIST" in text and "vae add 0.5: sharpness null" in text


def test_added_metrics_stand_in_the_leaderboard(lab: Any) -> None:
    lab.run("none", 1.0)
    entries = [entry(lab, record) for record in (lab.run("vae", 1.5), lab.run("none", 1.0))]
    register_mcc()
    tables = make_tables([Entry(complete(e), e.folder) for e in entries])
    rows = {row["generator"]: row for row in csv.DictReader(io.StringIO(csv_text(tables)))}
    page = markdown(tables)
    header, *others = (line for line in page.splitlines() if line.startswith("| rank"))
    assert others == [header]  # of what is judged, and of the controls
    assert header.count("MCC") == 1 and "| balanced accuracy |" in header
    for one in entries:
        row = rows[one.spec["generator"]]
        assert float(row["mcc"]) == pytest.approx(np.mean(by_hand(one)))
        assert float(row["mcc_low"]) < float(row["mcc"]) < float(row["mcc_high"])
        assert f"| {float(row['mcc']):.3f} |" in page


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "measures.py"
    file.write_text(PLUGIN)
    return file


def test_show_computes_what_it_can_and_says_what_it_cannot(lab: Any, run_here: Any, plugin: Path) -> None:
    one = entry(lab, lab.run("vae", 1.0))
    done = run_here("-m", "benchmarks.show", one.run_id[:8], "--results", str(lab.folder), "--plugin", str(plugin))
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if " mcc " in line)
    assert f"{np.mean(by_hand(one)):.4f}" in row
    (row,) = (line for line in done.stdout.splitlines() if " val_accuracy " in line)
    assert "null" in row and "(a)" in row
    assert "(a) needs val_truth, val_scores, which records do not keep; computed by: python -m" in done.stdout


def test_the_command_of_the_leaderboard_takes_the_plugin(lab: Any, run_here: Any, plugin: Path, tmp_path: Path) -> None:
    one = entry(lab, lab.run("vae", 1.0))
    folders = ("--results", str(lab.folder), "--out", str(tmp_path / "site"))
    done = run_here("-m", "leaderboard.build", *folders, "--plugin", str(plugin))
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(io.StringIO((tmp_path / "site" / "leaderboard.csv").read_text()))
    assert float(row["mcc"]) == pytest.approx(np.mean(by_hand(one)))
    assert row["val_accuracy"] == "null" and "val_accuracy: needs val_truth, val_scores, which" in row["notes"]


def test_show_without_the_plugin_says_nothing_of_it(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    record = lab.run("vae", 1.0)
    assert show([record["run_id"], "--results", str(lab.folder)]) == 0
    assert "mcc" not in capsys.readouterr().out


def test_the_same_command_with_the_plugin_completes_the_record_and_trains_nothing(
    run_here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, plugin: Path
) -> None:
    args = ("-m", "benchmarks.run", "--preset", "smoke", "--seeds", "1", "--extractors", "--controls", "none",
            "--generator", "none", "--workers", "1")  # fmt: skip
    assert run_here(*args).returncode == 0
    (file,) = tmp_path.glob("results/runs/*/record.json")
    before = json.loads(file.read_text())
    done = run_here(*args, "--plugin", str(plugin))
    assert done.returncode == 0, done.stderr
    after = json.loads(file.read_text())
    assert {"mcc", "val_accuracy"} <= after["utility"].keys() - before["utility"].keys()
    assert after["cost"] == before["cost"], "the classifiers are those of the first run"
    assert "val_accuracy" in done.stdout


def test_further_plugins_join_the_flag_that_the_command_has() -> None:
    from benchmarks.judging.later import _command

    def command(said: str, *plugins: str) -> str:
        return _command({"provenance": {"command": said}}, [Path(plugin) for plugin in plugins])

    assert command("run --plugin a.py b.py --ratio 1", "b.py", "c.py") == "run --plugin a.py b.py c.py --ratio 1"
    assert command("run --plugin kappa.py", "a.py") == "run --plugin kappa.py a.py"
    assert command("run --ratio 1", "a.py", "b.py") == "run --ratio 1 --plugin a.py b.py"


def test_a_plugins_metric_that_raises_is_named_with_its_place() -> None:
    from benchmarks.metrics.declare import declared
    from synthworth.errors import UserError

    def broken(*, truth: Any, scores: Any) -> dict[str, Any]:
        return {"broken": 1 / 0}

    with pytest.raises(UserError, match=r"metric broken raised ZeroDivisionError.*test_later\.py:\d+"):
        declared("broken", broken).measure(truth=[0], scores=[[0.5]])
