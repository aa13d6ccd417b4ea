"""One call with several classifiers: what it asks for, what it refuses in a line, and what it makes once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm

from benchmarks.report.families import one_plan, one_time
from benchmarks.report.plan import Expected, Row
from benchmarks.request.families import parse_each
from benchmarks.request.options import parse
from benchmarks.run import main
from synthworth.commands import guarded
from synthworth.errors import UserError

BASE = ["--preset", "smoke"]
PLUGIN = '''
from dataclasses import dataclass
from classifiers.registry import register

@dataclass(frozen=True)
class Config:
    """Options of mine."""
    depth: int = 3
    """How deep mine goes."""

@register("mine")
class Mine:
    """A stranger's classifier."""
    Config = Config
    version = 1
'''
TINY = [
    *BASE, "--dataset", "phantom", "--data.n-val", "40", "--data.n-test", "60", "--extractors", "--generator",
    "pixel_ddpm", "--gen.widths", "8", "--gen.blocks", "1", "--gen.attention", "--gen.batch", "8",
    "--gen.sampling-steps", "2", "--controls", "none", "--train.steps", "2", "--fit.steps", "2", "--workers", "1",
    "--classifier", "resnet10t", "resnet18",
]  # fmt: skip


def names(*args: str) -> list[str]:
    return [request.options.classifier for request in parse_each([*BASE, *args], prog="test")]


# -- what is asked for ----------------------------------------------------------------------------------------------


def test_a_request_for_each_classifier_with_the_options_of_all() -> None:
    made = parse_each(
        [*BASE, "--classifier", "resnet18", "densenet121", "--seeds", "3", "--clf.dropout", "0.1"], prog="test"
    )
    assert [(r.options.classifier, r.clf.arch) for r in made] == [("resnet18", "resnet18"), ("densenet121",) * 2]
    assert all((r.options.seeds, r.clf.dropout) == (3, 0.1) for r in made)
    alone = parse([*BASE, "--classifier", "densenet121", "--seeds", "3", "--clf.dropout", "0.1"], prog="test")
    assert (made[1].options, made[1].clf, made[1].data, made[1].gen) == (
        alone.options,
        alone.clf,
        alone.data,
        alone.gen,
    )


@pytest.mark.parametrize("args", [[], ["--classifier", "resnet34"], ["--classifier=resnet34"]])
def test_one_classifier_or_none_is_one_request(args: list[str]) -> None:
    assert names(*args) == [parse([*BASE, *args], prog="test").options.classifier]


def test_a_file_lists_classifiers_and_flags_beat_it(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("classifier: [resnet18, resnet34, densenet121]\nclf: {dropout: 0.2}\n")
    assert names("--config", str(file)) == ["resnet18", "resnet34", "densenet121"]
    assert names("--config", str(file), "--classifier", "resnet50") == ["resnet50"]
    file.write_text("classifier: [resnet34]\n")
    assert names("--config", str(file)) == ["resnet34"]


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["resnet18", "resnet19"], "no classifier named 'resnet19'"),
        (["resnet18", "resnet34", "resnet18"], "resnet18 is named twice"),
        (["resnet18", "resnet34", "--clf.arch", "resnet50"], "resnet18 and resnet34 come to the same classifier"),
        (["timm", "resnet34", "--clf.arch", "resnet34"], "timm and resnet34 come to the same classifier"),
        (["resnet18", "resnet34", "--clf.depht", "3"], "--clf.depht: neither resnet18 nor resnet34 has such an option"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(
    args: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert guarded(main, [*BASE, "--classifier", *args]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("in_the_file", [False, True])
def test_an_option_that_one_of_several_lacks_is_refused_with_its_name(tmp_path: Path, in_the_file: bool) -> None:
    (tmp_path / "plugin_mine.py").write_text(PLUGIN)
    (tmp_path / "run.yaml").write_text("clf: {dropout: 0.2}\n" if in_the_file else "seeds: 2\n")
    args = ["--plugin", str(tmp_path / "plugin_mine.py"), "--classifier", "resnet18", "mine"]
    args += ["--config", str(tmp_path / "run.yaml")] + ([] if in_the_file else ["--clf.dropout", "0.1"])
    with pytest.raises(UserError, match=r"--clf\.dropout: mine has no such option, resnet18 has"):
        names(*args)
    assert names(*args[:-2]) == ["resnet18", "mine"]


def test_lists_that_are_none_and_places_that_take_one_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("classifier: [resnet18, 3]\n")
    with pytest.raises(UserError, match="classifier is a name or a list of names"):
        names("--config", str(file))
    with pytest.raises(UserError, match=r"--classifier resnet18 resnet34: python -m benchmarks\.tune takes one"):
        parse([*BASE, "--classifier", "resnet18", "resnet34"], prog="python -m benchmarks.tune")


def test_a_list_of_classifiers_in_a_cell_of_a_sweep_is_refused_with_the_way_to_vary_it(tmp_path: Path) -> None:
    from benchmarks.request.cells import read_sweep

    file = tmp_path / "sweep.yaml"
    file.write_text("sweep:\n  list:\n    - classifier: [resnet18, resnet34]\n")
    with pytest.raises(UserError, match=r"classifier is one name, not .*; a sweep varies it under sweep: product:"):
        read_sweep(file, BASE, prog="sweep")
    file.write_text("sweep:\n  product:\n    classifier: [resnet18, resnet34]\n")
    sweep = read_sweep(file, BASE, prog="sweep")
    assert [request.options.classifier for request in sweep.requests] == ["resnet18", "resnet34"]


# -- one plan -------------------------------------------------------------------------------------------------------


def test_one_plan_has_what_is_shared_once_and_every_training() -> None:
    def plan(mine: str) -> list[Row]:
        fit, shards = (("f", False),), (("a", True), ("b", False))
        return [
            Row("vae add 1", "fit", 0, 1, keys=fit), Row("vae add 1", "pool", 1, 1, keys=shards),
            Row("vae add 1", "classify", 0, 6, keys=((mine, False),)),
        ]  # fmt: skip

    made = one_plan([("resnet18", plan("x")), ("resnet34", plan("y"))])
    assert [(row.arm, row.stage) for row in made] == [
        ("vae add 1", "fit"), ("vae add 1", "pool"), ("vae add 1, resnet18", "classify"),
        ("vae add 1, resnet34", "classify"),
    ]  # fmt: skip


def test_expected_times_add_up_but_for_what_is_shared() -> None:
    each = [[Expected("fit", 9.0, ""), Expected("classify", 2.0, ""), Expected("judge", None, "")]] * 3
    assert [(line.stage, line.seconds) for line in one_time(each)] == [("fit", 9.0), ("classify", 6.0), ("judge", None)]


# -- a run ----------------------------------------------------------------------------------------------------------


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYNTHWORTH_HOME": str(folder / "home")}
    return warm.run(["-m", "benchmarks.run", *TINY, *args], folder=folder, environment=environment, seconds=600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("families")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("results/runs/*/record.json"))]


Finished = tuple[Path, subprocess.CompletedProcess[str]]


def test_the_generator_is_fitted_and_drawn_from_once_for_all_classifiers(finished: Finished) -> None:
    folder, _ = finished
    arms = sorted((r["spec"]["generator"], r["spec"]["classifier"]) for r in records(folder))
    assert arms == [(g, c) for g in ("none", "pixel_ddpm") for c in ("resnet10t", "resnet18")]
    (fit,) = (json.loads(p.read_text()) for p in folder.glob("home/artifacts/fit/*/manifest.json"))
    assert fit["identity"]["generator"] == "pixel_ddpm"
    shards = [json.loads(p.read_text())["identity"] for p in folder.glob("home/artifacts/pool/*/manifest.json")]
    assert len({(one["stream"], one["number"]) for one in shards}) == len(shards)
    trained = [json.loads(p.read_text())["identity"] for p in folder.glob("home/artifacts/classify/*/manifest.json")]
    assert sorted(one["classifier"] for one in trained) == ["resnet10t"] * 4 + ["resnet18"] * 4


def test_without_a_prevalence_no_record_has_a_net_benefit_or_a_null_in_its_place(finished: Finished) -> None:
    for record in records(finished[0]):
        assert "decision" not in record and "prevalence" not in record["spec"]
        assert not any(value["metric"] == "net_benefit" for value in record["utility"].values())


def test_each_classifier_has_its_lines_and_the_last_is_over_all(finished: Finished) -> None:
    _, done = finished
    assert done.stdout.count("utility on test") == 2
    table, _, verdict = done.stdout.partition("paired differences over classifiers")[2].partition("VERDICT")
    assert "all 2" in table and "resnet10t" in table and "resnet18" in table
    assert verdict.split(".")[0].strip() == "SCREENING ONLY, 2 seeds cannot reach p < 0"
    assert "pixel_ddpm add 0.5, 2 classifiers: AUROC" in verdict
    last = verdict.partition("each classifier:")[2]
    assert "resnet10t" in last and "resnet18" in last


def test_a_dry_run_has_one_plan(finished: Finished, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    folder, _ = finished
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(folder / "home"))
    assert guarded(main, [*TINY, "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert said.count("fit generator") == 2  # a line of the plan, and one of the expected time
    assert "none, resnet10t" in said and "none, resnet18" in said


def test_a_call_with_one_of_them_finds_its_records(
    finished: Finished, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    folder, _ = finished
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(folder / "home"))
    before = {file: file.stat().st_mtime_ns for file in folder.glob("results/runs/*/record.json")}
    assert guarded(main, [*TINY[:-2], "resnet18"]) == 0
    assert {file: file.stat().st_mtime_ns for file in folder.glob("results/runs/*/record.json")} == before
    assert "over classifiers" not in capfd.readouterr().out


def test_when_an_arm_of_one_classifier_fails_the_others_go_on_and_the_exit_code_is_1(
    finished: Finished, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    from benchmarks.job import carry_out as job

    folder, _ = finished
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(folder / "home"))
    before: Callable[..., Any] = job.train_arms

    def breaks(experiment: Any, arms: Any, **more: Any) -> Any:
        arms = list(arms)
        lost = [arm for arm in arms if (arm.spec.classifier, arm.spec.generator) == ("resnet10t", "pixel_ddpm")]
        yield from before(experiment, [arm for arm in arms if arm not in lost], **more)
        yield from ((arm, "it diverged") for arm in lost)

    monkeypatch.setattr(job, "train_arms", breaks)
    args = [*TINY, "--results", str(folder / "elsewhere"), "--ratio", "0.5"]
    assert guarded(main, args) == 1
    said = capfd.readouterr().out
    assert "FAILED pixel_ddpm add 0.5: it diverged" in said
    assert "no verdict over classifiers" in said
    kept = {json.loads(f.read_text())["spec"]["classifier"] for f in (folder / "elsewhere").glob("*/record.json")}
    assert kept == {"resnet10t", "resnet18"}
