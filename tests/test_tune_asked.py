"""What a search is asked for: its spaces, what is refused in one line, and workers that share a study."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages._rdb.models import TrialModel
from optuna.trial import TrialState
from tune_worker import begin_at_once, share_a_study

from benchmarks.request.options import parse
from benchmarks.tune.__main__ import main
from benchmarks.tune.options import read_options
from benchmarks.tune.space import Side, sides_of
from benchmarks.tune.storage import open_storage, said, url_of

FLAGS = ["--preset", "smoke", "--device", "cpu", "--extractors"]
pytestmark = pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning")


def side_of(*flags: str) -> Side:
    o, rest = read_options(["--study", "s", *flags])
    return sides_of(o, parse(["--generator", "vae", *FLAGS, *rest], prog="tune"))[0]


def test_workers_share_a_study_and_take_over_what_a_killed_one_left(tmp_path: Path) -> None:
    share_a_study(f"sqlite:///{tmp_path / 'studies.db'}", tmp_path)


def test_workers_may_begin_at_once(tmp_path: Path) -> None:
    begin_at_once(f"sqlite:///{tmp_path / 'studies.db'}", tmp_path, n=4)


def test_a_waiting_trial_is_taken_by_one_of_two_workers_that_look_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = optuna.create_study(storage=open_storage(url), study_name="s")
    study.enqueue_trial({})
    (waiting,) = study.trials
    find = TrialModel.find_or_raise_by_id

    def slowly(*args: Any, **kwargs: Any) -> Any:
        found = find(*args, **kwargs)
        time.sleep(0.5)  # the other one has looked too by now, where it may
        return found

    monkeypatch.setattr(TrialModel, "find_or_raise_by_id", slowly)
    took: list[bool] = []

    def take() -> None:
        took.append(open_storage(url).set_trial_state_values(waiting._trial_id, TrialState.RUNNING))

    workers = [threading.Thread(target=take) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(took) == [False, True]


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


def test_each_remedy_is_tried_as_it_stands_first() -> None:
    o, rest = read_options(["--study", "s", "--fair"])
    side, remedies = sides_of(o, parse(["--generator", "vae", *FLAGS, *rest], prog="tune"))
    (first,) = side.as_asked()
    assert first["gen.lr"] == 2e-3 and first["ratio"] == 0.5
    asked = remedies.as_asked()
    assert [values["remedy"] for values in asked] == list(remedies.space["remedy"].space.values)
    for values in asked:
        assert values["clf.dropout"] == values["clf.label_smoothing"] == 0
        assert ("ratio" in values) == (values["remedy"] == "longer")
        assert ("clf.blend_alpha" in values) == (values["remedy"] in ("mixup", "cutmix"))


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
