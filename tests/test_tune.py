"""A search: on val alone, resumable, shared by workers, refused in one line, and its best run on test once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import tune_worker
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
from benchmarks.tune.storage import open_storage, said, url_of
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
    values, reported, real = [], [], Images.test.func
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
        study = studies.open_study(open_storage(f"sqlite:///{tmp_path / name}"), side, {})
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


# -- several workers ----------------------------------------------------------------------------------------------


def begin(url: str, folder: Path, *, trials: int, seconds: float, **more: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, str(Path(tune_worker.__file__)), url, str(folder), str(trials), str(seconds)]
    return subprocess.Popen(line, env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(worker: subprocess.Popen[bytes]) -> None:
    _, err = worker.communicate(timeout=120)
    assert worker.returncode == 0, err.decode()


def lines(folder: Path) -> list[str]:
    file = folder / "tried"
    return file.read_text().splitlines() if file.exists() else []


def wait_for(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to it within a minute")


def share_a_study(url: str, folder: Path) -> None:
    """Two workers, of which one is killed at work: N trials in all, its own made again with the same values."""
    waits = {"SYNTHWORTH_LEASE_SECONDS": "3"}
    victim = begin(url, folder, trials=6, seconds=60, **waits)
    wait_for(lambda: len(lines(folder)) == 1)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    workers = [begin(url, folder, trials=6, seconds=0.3, **waits) for _ in range(2)]
    for worker in workers:
        ended(worker)
    study = optuna.load_study(study_name="s", storage=url_of(url, folder))
    slots = by_slot(study.trials)
    assert len(slots) == 6 and {t.state for t in slots.values()} == {TrialState.COMPLETE}
    tried = Counter(lines(folder))
    assert sum(tried.values()) == 7 and tried[lines(folder)[0]] == 2  # what was killed, again; no other twice


def test_workers_share_a_study_and_take_over_what_a_killed_one_left(tmp_path: Path) -> None:
    share_a_study(f"sqlite:///{tmp_path / 'studies.db'}", tmp_path)


# -- what is refused ----------------------------------------------------------------------------------------------


def refused(args: list[str], place: Path) -> str:
    """What the command says and leaves with code 2; nothing is written."""
    from conftest import ROOT

    place.mkdir(exist_ok=True)
    line = [sys.executable, "-m", "benchmarks.tune", *args]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(line, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stdout + done.stderr
    assert not list(place.rglob("*"))
    return done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--trials", "0"], "--trials 0 was asked for; it is 1 to 100,000"),
        (["--generator", "vae", "--only", "gen.lrr"], "no searched option named 'gen.lrr'. Did you mean 'gen.lr'"),
        (["--generator", "noise"], "generator 'noise' declares no search space. Write beside an option of its Config"),
        (["--generator", "vae", "--ratio", "0", "1"], "--ratio 0 is real images alone"),
        (["--generator", "vae", "--tune", "ratio", "--ratio", "1"], "every option of it is given a value"),
        (["--generator", "vae", "--storage", "here"], "--storage is no URL of a database"),
        (["--generator", "vae", "--storage", "sqlite://"], "in memory ends with the process"),
        (["--generator", "vae", "--study", "../x"], "--study ../x: a name without /"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_searched_is_refused_in_one_line(
    args: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthworth.commands import guarded

    monkeypatch.chdir(tmp_path)
    assert guarded(main, [*args, *FLAGS]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not list(tmp_path.rglob("*"))


def test_an_unknown_part_names_those_there_are(tmp_path: Path) -> None:
    said = refused(["--generator", "vae", "--tune", "gan"], tmp_path / "empty")
    assert "gen" in said and "clf" in said and "ratio" in said


def test_a_storage_that_cannot_be_reached_is_told_without_its_password() -> None:
    from synthworth.errors import UserError

    for url in ("postgresql://me:s3cret@127.0.0.1:9/none", "sqlite:////proc/nowhere/x.db"):
        with pytest.raises((UserError, OSError)) as caught:
            open_storage(url_of(url, Path()))
        assert "s3cret" not in str(caught.value)
    assert said("postgresql+psycopg://me:s3cret@host:5/db?password=s3cret") == "postgresql+psycopg://host:5/db"


def test_a_dry_run_prints_the_space_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--generator", "latent_ddpm", "--dry-run", "--fair", "--tune", "gen", "clf", "ratio", *FLAGS]) == 0
    shown = capsys.readouterr().out
    for option in ("gen.guidance", "gen.first_stage.beta", "clf.learning_rate", "clf.blend_alpha", "remedy"):
        assert option in shown
    assert "gen.mlp_width" not in shown  # its latent is spatial: it could change nothing
    assert not list(tmp_path.rglob("*"))


# -- spaces -------------------------------------------------------------------------------------------------------


def test_an_option_that_is_given_a_value_is_not_searched() -> None:
    assert "gen.beta" not in side_of("--gen.beta", "0.01").space
    assert side_of("--ratio", "0.25", "1").space["ratio"].space.values == (0.25, 1.0)
    assert "ratio" not in side_of("--ratio", "1").space


def test_an_option_that_would_change_nothing_is_not_drawn() -> None:
    side = side_of("--tune", "clf")
    assert list(side.space).index("clf.blend") < list(side.space).index("clf.blend_alpha")
    seen = set()
    for k in range(12):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=k))
        values = side.draw(study.ask())
        assert ("clf.blend_alpha" in values) == (values["clf.blend"] != "none")
        assert side.asked(values, trials=1).clf.blend == values["clf.blend"]
        seen.add(values["clf.blend"])
    assert len(seen) > 1


def test_a_tuned_remedy_trains_with_what_was_found_for_it() -> None:
    from benchmarks.job.plan import specs_of
    from data.mixing import Demand

    o, rest = read_options(["--study", "s", "--fair"])
    _, side = sides_of(o, parse(["--generator", "vae", *FLAGS, *rest], prog="tune"))
    request = side.asked({"remedy": "cutmix", "clf.blend_alpha": 0.25, "clf.dropout": 0.1}, trials=5)
    (spec,) = [s for s in specs_of(request, fingerprint="f", precision="fp32") if s.tuned]
    assert spec.name == "cutmix (tuned)" and spec.is_real_only
    config = spec.classify_identity(Demand({}, 9), 0)["config"]
    assert (config["blend"], config["blend_alpha"], config["dropout"]) == ("cutmix", 0.25, 0.1)
    assert spec.clf["dropout"] == 0  # its setting is that of the arms it is compared with
