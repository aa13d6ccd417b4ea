"""A search: on val alone, resumable, shared by workers, refused in one line, and its best run on test once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.request.again import request_again
from benchmarks.request.options import parse
from benchmarks.show import main as show
from benchmarks.stages.images import Images
from benchmarks.tune import measure as measuring
from benchmarks.tune import study as studies
from benchmarks.tune.__main__ import main
from benchmarks.tune.measure import measure
from benchmarks.tune.options import read_options
from benchmarks.tune.slots import by_slot
from benchmarks.tune.space import Side, sides_of
from benchmarks.tune.storage import open_storage
from synthworth.artifacts import read_array
from synthworth.errors import Diverged

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning"),
]

FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "2", "--controls", "none", "--workers", "1"),
    *("--train.steps", "2", "--fit.steps", "2", "--extractors", "--shard", "8"),
    *("--data.n-train", "60", "--data.n-val", "40", "--data.n-test", "40"),
]
ONLY = ["--only", "gen.lr", "ratio"]
Call = Callable[..., int]


def words(place: Path) -> list[str]:
    folders = {"home": "home", "results": "runs", "out": "out"}
    return [word for name, folder in folders.items() for word in (f"--{name}", str(place / folder))]


def side_of(*flags: str, request: Sequence[str] = FLAGS) -> Side:
    o, rest = read_options(["--study", "s", *flags])
    return sides_of(o, parse(["--generator", "vae", *request, *rest], prog="tune"))[0]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A search of three trials a side, from end to end."""
    place = tmp_path_factory.mktemp("tuned")
    args = ["--generator", "vae", "--trials", "3", "--study", "small", "--fair", *ONLY, *FLAGS, *words(place)]
    assert main(args) == 0
    records = {r["name"]: r for r in (json.loads(f.read_text()) for f in (place / "runs").glob("*/record.json"))}
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{place / 'home' / 'studies.db'}")
    return SimpleNamespace(place=place, args=args, records=records, study=study)


def artifacts(place: Path) -> dict[str, int]:
    return {kind.name: len(list(kind.iterdir())) for kind in sorted((place / "home" / "artifacts").iterdir())}


# -- from end to end ----------------------------------------------------------------------------------------------


def test_the_best_trial_is_run_on_test_and_marked(tuned: SimpleNamespace) -> None:
    marked = {name: r for name, r in tuned.records.items() if r["spec"].get("tuned")}
    mine = next(r for name, r in marked.items() if name.startswith("vae "))
    assert mine["name"].endswith(" (tuned)") and mine["status"] == "ok"
    assert mine["spec"]["tuned"]["study"] == "small" and mine["spec"]["tuned"]["trials"] == 3
    best = studies.best_of(tuned.study)
    assert mine["validation"]["auroc"]["value"] == pytest.approx(best.value, abs=1e-12)
    assert (mine["spec"]["gen"]["lr"], mine["spec"]["ratio"]) == (best.params["gen.lr"], best.params["ratio"])
    remedy = next(r for name, r in marked.items() if not name.startswith("vae "))
    assert remedy["spec"]["tuned"]["study"] == "small-remedies" and remedy["spec"]["tuned"]["trials"] == 3
    assert remedy["is_control"] and remedy["counts"]["synthetic"] == dict.fromkeys(remedy["classes"], 0)
    untuned = tuned.records["vae add 0.5"]
    assert "tuned" not in untuned["spec"]


def test_the_tuned_arm_is_compared_with_the_untuned_and_the_best_remedy(tuned: SimpleNamespace) -> None:
    told = json.loads((tuned.place / "out" / "tuned.json").read_text())
    assert set(told["compared"]) == {"untuned", "remedy"}
    for name, row in told["compared"].items():
        assert row["run_a"] == told["runs"]["tuned"]["run_id"] and row["run_b"] == told["runs"][name]["run_id"]
        assert row["low"] <= row["difference"] <= row["high"]


def test_equal_artifacts_are_made_once(tuned: SimpleNamespace) -> None:
    trials = [trial for trial in tuned.study.trials if trial.state == TrialState.COMPLETE]
    assert len(trials) == 3
    assert artifacts(tuned.place)["fit"] == len({trial.params["gen.lr"] for trial in trials} | {0.002})
    before = artifacts(tuned.place)
    assert main(tuned.args) == 0  # the same command again: no trial, no training, no record
    assert artifacts(tuned.place) == before
    assert len(list((tuned.place / "runs").glob("*/record.json"))) == len(tuned.records)
    assert len(optuna.load_study(study_name="small", storage=tuned.study._storage).trials) == 3


def test_the_mark_has_the_trials_that_there_were_however_few_are_asked_for(tuned: SimpleNamespace) -> None:
    fewer = [*tuned.args]
    fewer[fewer.index("--trials") + 1] = "1"
    assert main(fewer) == 0
    assert len(list((tuned.place / "runs").glob("*/record.json"))) == len(tuned.records)
    told = json.loads((tuned.place / "out" / "tuned.json").read_text())["runs"]
    assert {told[name]["spec"]["tuned"]["trials"] for name in ("tuned", "remedy")} == {3}


def test_the_mark_is_shown_wherever_the_record_is(tuned: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    from leaderboard.build import main as build

    mine = next(r for name, r in tuned.records.items() if name.startswith("vae ") and r["spec"].get("tuned"))
    assert show([mine["run_id"][:12], "--results", str(tuned.place / "runs")]) == 0
    assert "TUNED    chosen on val among 3 trials of study small" in capsys.readouterr().out
    assert build(["--results", str(tuned.place / "runs"), "--out", str(tuned.place / "site")]) == 0
    pages = "".join(f.read_text() for f in (tuned.place / "site").rglob("*.md"))
    assert mine["name"] in pages and "3 trials of study small" in pages


def test_a_tuned_record_asks_for_its_own_request_again(tuned: SimpleNamespace) -> None:
    from benchmarks.job.plan import specs_of

    for record in tuned.records.values():
        spec = record["spec"]
        request = request_again(spec, ["--device", "cpu"], prog="reproduce")
        found = specs_of(request, fingerprint=spec["fingerprint"], precision=spec["precision"])
        assert record["run_id"] in {one.run_id for one in found}


def test_figures_and_trials_are_written(tuned: SimpleNamespace) -> None:
    from PIL import Image

    for folder in (tuned.place / "out", tuned.place / "out" / "remedies"):
        for name in ("history", "intermediate", "slice"):
            with Image.open(folder / f"{name}.png") as image:
                assert image.width > 600 and len(image.convert("L").getcolors(1 << 20) or []) > 20
        rows = (folder / "trials.csv").read_text().splitlines()
        assert len(rows) == 4 and rows[0].startswith("trial,state,val_auroc,seconds")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--only", "gen.lr", "gen.beta", "ratio"], r"gen\.beta \(none, now 0\.0001 to 0\.3\)"),
        (["--train.steps", "3"], r"request\.train\.steps \(2, now 3\)"),
    ],
    ids=["space", "request"],
)
def test_a_study_that_was_begun_otherwise_is_refused(tuned: SimpleNamespace, change: list[str], said: str) -> None:
    from synthworth.errors import UserError

    before = artifacts(tuned.place)
    with pytest.raises(UserError, match=rf"study 'small' was begun with another .*{said}.*--study NAME"):
        main([*tuned.args, *change])
    assert artifacts(tuned.place) == before and len(tuned.study.trials) == 3


# -- test is not looked at ----------------------------------------------------------------------------------------


class NoTest:
    """The test split of another world: its labels cannot be asked for, and its images are noise."""

    def __init__(self, images: Any) -> None:
        self.images = images.flip(0).bitwise_not()


def test_a_trial_never_looks_at_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = side_of(*ONLY)
    request = side.asked({"gen.lr": 1e-3, "ratio": 0.5}, trials=3)
    values, reported, real = [], [], Images.test.fget
    for k in range(2):
        of = replace(request, options=replace(request.options, home=tmp_path / str(k)))
        reports: list[tuple[int, float]] = []
        if k:
            monkeypatch.setattr(Images, "test", property(lambda self: NoTest(real(self).images)))
            monkeypatch.setattr(measuring, "read_array", _not_of_test)
        values.append(measure(of, lambda *row, into=reports: into.append(row), images={}))
        reported.append(reports)
    assert values[0] == values[1] and reported[0] == reported[1]
    tests = [sorted(read_array(f)[:, 0].sum() for f in (tmp_path / str(k)).rglob("test.npy")) for k in range(2)]
    assert tests[0] != tests[1]  # the artifact holds predictions of test, and nobody read them


def _not_of_test(file: Path) -> Any:
    assert "test" not in file.name
    return read_array(file)


# -- pruning and failures -----------------------------------------------------------------------------------------


def test_a_pruned_trial_stops_within_its_training(tmp_path: Path) -> None:
    request = side_of(*ONLY, request=[*FLAGS, "--train.steps", "8", "--clf.n-evaluations", "4"]).asked({}, trials=1)
    seen: list[int] = []

    def report(step: int, value: float) -> None:
        seen.append(step)
        if step >= 50:
            raise optuna.TrialPruned

    request = replace(request, options=replace(request.options, home=tmp_path, checkpoint_seconds=0.0))
    with pytest.raises(optuna.TrialPruned):
        measure(request, report, images={})
    assert seen == [25, 50] and artifacts_of(tmp_path, "classify") == 0

    whole: list[tuple[int, float]] = []
    value = measure(request, lambda *row: whole.append(row), images={})
    assert [step for step, _ in whole] == [50, 75, 100, 125, 150, 175, 200]  # it went on where it was ended
    assert whole[-1] == (200, value) and artifacts_of(tmp_path, "classify") == 2
    again: list[tuple[int, float]] = []
    assert measure(request, lambda *row: again.append(row), images={}) == value
    assert [step for step, _ in again] == [25, 50, 75, 100, 125, 150, 175, 200]  # from what is stored


def artifacts_of(home: Path, kind: str) -> int:
    folder = home / "artifacts" / kind
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@pytest.fixture
def worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., optuna.Study]:
    """A study whose trials take no training: `value(request, report)` is what one is worth."""

    def work(value: Callable[..., float], *, trials: int, name: str = "db") -> optuna.Study:
        monkeypatch.setattr(studies, "measure", lambda request, report, images: value(request, report))
        side = side_of(*ONLY)
        study = studies.open_study(open_storage(f"sqlite:///{tmp_path / name}"), side, {}, trials=trials)
        studies.work_at(study, side, trials=trials, told=lambda trial: None, images={})
        return study

    return work


def by_rate(request: Any, report: Any) -> float:
    return float(request.gen.lr)


def test_the_first_trial_is_what_was_asked_for(worked: Any) -> None:
    study = worked(by_rate, trials=2)
    assert study.trials[0].params == {"gen.lr": 2e-3, "ratio": 0.5}


def test_a_study_that_was_stopped_goes_on_as_if_it_had_not_been(worked: Any) -> None:
    whole = worked(by_rate, trials=14, name="whole")
    worked(by_rate, trials=4, name="parts")
    parts = worked(by_rate, trials=14, name="parts")
    assert [t.params for t in parts.trials] == [t.params for t in whole.trials]
    assert len({t.params["gen.lr"] for t in whole.trials}) == 14
    assert len(worked(by_rate, trials=14, name="parts").trials) == 14


def test_a_trial_below_the_median_is_pruned(worked: Any) -> None:
    def value(request: Any, report: Any) -> float:
        bad = len(seen) >= 6
        seen.append(bad)
        report(50, 0.1 if bad else 0.9)
        return 0.1 if bad else 0.9

    seen: list[bool] = []
    states = [t.state for t in worked(value, trials=8).trials]
    assert states == [TrialState.COMPLETE] * 6 + [TrialState.PRUNED] * 2


def test_a_failing_trial_is_told_and_the_others_go_on(worked: Any) -> None:
    def value(request: Any, report: Any) -> float:
        seen.append(1)
        if len(seen) == 2:
            raise Diverged("the loss is nan at step 3")
        return 0.5 if len(seen) < 3 else 1 / 0

    seen: list[int] = []
    trials = worked(value, trials=3).trials
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert trials[1].user_attrs["kind"] == "diverged" and trials[1].user_attrs["reason"] == "the loss is nan at step 3"
    assert trials[2].user_attrs["reason"].startswith("ZeroDivisionError")
    assert "1 / 0" in trials[2].user_attrs["traceback"]


def test_where_every_trial_fails_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **kwargs: Any) -> float:
        raise Diverged("the loss is nan")

    monkeypatch.setattr(studies, "measure", broken)
    assert main(["--generator", "vae", "--trials", "2", "--study", "x", *ONLY, *FLAGS, *words(tmp_path)]) == 1
    said = capsys.readouterr().out.replace("\n", " ")
    assert "none of its trials came to an end, so nothing is run on test. The last one: the loss is nan" in said
    assert not list((tmp_path / "runs").glob("*"))


def test_an_interrupted_trial_is_given_back_as_it_was(worked: Any) -> None:
    def value(request: Any, report: Any) -> float:
        seen.append(request.gen.lr)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return 0.5

    seen: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        worked(value, trials=3)
    slots = by_slot(worked(value, trials=3).trials)
    assert len(slots) == 3 and {t.state for t in slots.values()} == {TrialState.COMPLETE}
    assert seen[2] == seen[1] and len(set(seen)) == 3
