"""A search by what a generator draws: nearest to the training films, at equal operations, test never looked at."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.job.plan import specs_of
from benchmarks.request.again import request_again
from benchmarks.request.options import Request, parse
from benchmarks.request.tuned import Tuned
from benchmarks.stages.images import Images
from benchmarks.tune import study as studies
from benchmarks.tune.__main__ import main
from benchmarks.tune.by import FIDELITY
from benchmarks.tune.drawn import Drawn, measure_drawn
from benchmarks.tune.equal import Held, planned
from benchmarks.tune.options import read_options
from benchmarks.tune.space import Side, sides_of
from benchmarks.tune.storage import open_storage
from benchmarks.verdicts.sentences import tuned_sentence
from generators.registry import generators
from synthworth.artifacts import read_array
from synthworth.commands import guarded
from synthworth.errors import UserError
from synthworth.search_space import changed, declared

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning"),
]

FEATURES = "efficientnet_lite0"
FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--workers", "1", "--ratio", "1", "--shard", "16"),
    *("--fit.steps", "6", "--train.steps", "1", "--extractors", FEATURES),
    *("--data.n-train", "60", "--data.n-val", "40", "--data.n-test", "40"),
]
BY = ["--by", "fidelity"]
ONLY = ["--only", "gen.lr", "gen.widths"]
SHAPE = {"channels": 1, "size": 16, "n_classes": 2, "multilabel": False}


def words(place: Path) -> list[str]:
    folders = {"home": "home", "results": "runs", "out": "out"}
    return [word for name, folder in folders.items() for word in (f"--{name}", str(place / folder))]


def side_of(*flags: str, request: Sequence[str] = FLAGS, generator: str = "vae") -> Side:
    o, rest = read_options(["--study", "s", *BY, *flags])
    return sides_of(o, parse(["--generator", generator, *request, *rest], prog="tune"))[0]


def asked_for(generator: str, place: Path) -> Request:
    """The request of a trial, of any generator."""
    request = parse(["--generator", generator, *FLAGS, "--home", str(place)], prog="tune")
    return replace(request, tuned=Tuned(generator, "s", 1, "space", by="fidelity"))


def stored(place: Path, kind: str) -> int:
    folder = place / "artifacts" / kind
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A search of three trials at equal operations, from end to end."""
    place = tmp_path_factory.mktemp("searched")
    args = ["--generator", "vae", "--trials", "3", "--study", "small", *BY, *ONLY, *FLAGS, *words(place)]
    assert main([*args, "--search-only", "--equal-operations"]) == 0
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{place / 'home' / 'studies.db'}")
    rows = list(csv.DictReader((place / "out" / "trials.csv").open()))
    best = json.loads((place / "out" / "tuned.json").read_text())["best"]
    return SimpleNamespace(place=place, args=args, study=study, rows=rows, best=best)


# -- from end to end ----------------------------------------------------------------------------------------------


def test_the_trial_that_draws_nearest_is_best_and_written_with_its_options(searched: SimpleNamespace) -> None:
    trials = searched.study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    nearest = min(trials, key=lambda trial: trial.value)
    (best,) = searched.best
    assert best["fd"] == nearest.value and best["trial"] == nearest.number + 1 and best["trials"] == 3
    assert best["options"]["gen.lr"] == nearest.params["gen.lr"]
    assert best["options"]["gen.widths"] == [int(width) for width in nearest.params["gen.widths"].split("-")]
    assert (best["by"], best["features"], best["fit"]["steps"]) == ("fidelity", FEATURES, best["fit_steps"])


def test_trials_keep_what_is_told_beside_the_distance(searched: SimpleNamespace) -> None:
    assert [row["trial"] for row in searched.rows] == ["1", "2", "3"]
    for row, trial in zip(searched.rows, searched.study.trials, strict=True):
        assert float(row["fd"]) == trial.value > 0 and row["n_drawn"] == "60"
        for name in FIDELITY.facts:
            assert float(row[name]) == trial.user_attrs[name] >= 0
        assert all(float(row[name]) <= 1 for name in ("consistency_auroc", "consistency", "precision", "recall"))


def test_no_classifier_is_trained_for_a_trial_and_nothing_is_run_on_test(searched: SimpleNamespace) -> None:
    home = searched.place / "home"
    assert stored(home, "fit") == 3 and stored(home, "classify") == 1  # of the real films, for the label asked for
    assert not (searched.place / "runs").exists()
    assert {file.name for file in (searched.place / "out").iterdir()} >= {"trials.csv", "tuned.json", "history.png"}
    assert not (searched.place / "out" / "intermediate.png").exists()


def test_trials_of_other_widths_compute_as_much(searched: SimpleNamespace) -> None:
    facts = [trial.user_attrs for trial in searched.study.trials]
    assert facts[0]["fit_steps"] == 6  # what was asked for
    assert len({trial.params["gen.widths"] for trial in searched.study.trials}) > 1
    for one in facts:
        a_step = one["gflop_fit"] / one["fit_steps"]
        assert abs(one["gflop_fit"] - facts[0]["gflop_fit"]) <= 0.51 * a_step


def test_the_same_command_again_makes_nothing_and_another_value_is_refused(searched: SimpleNamespace) -> None:
    before = [stored(searched.place / "home", kind) for kind in ("fit", "pool", "classify", "features")]
    same = [*searched.args, "--search-only", "--equal-operations"]
    assert main(same) == 0
    for change, said in (
        ([*searched.args, "--search-only"], r"equal operations \(True, now none\)"),
        ([*(a for a in same if a not in BY), "--tune", "gen"], r"by \(fidelity, now none\)"),
    ):
        with pytest.raises(UserError, match=rf"study 'small' was begun with another .*{said}"):
            main(change)
    assert [stored(searched.place / "home", kind) for kind in ("fit", "pool", "classify", "features")] == before


# -- what a trial is worth ----------------------------------------------------------------------------------------


def test_copies_are_nearer_than_noise(tmp_path: Path) -> None:
    images: dict[str, Images] = {}
    copies, noise = (measure_drawn(asked_for(name, tmp_path), FEATURES, images=images)
                     for name in ("duplicate", "noise"))  # fmt: skip
    assert copies.fd < 0.2 * noise.fd
    assert copies.facts["recall"] > noise.facts["recall"] and copies.facts["precision"] > noise.facts["precision"]
    assert copies.facts["gflop_fit"] is None and copies.notes["gflop_fit"]  # null has its reason
    assert stored(tmp_path, "classify") == 1  # one judge for both


class NoTest:
    """The test split of another world: its labels cannot be asked for, and its images are noise."""

    def __init__(self, images: Any) -> None:
        self.images = images.flip(0).bitwise_not()


def test_a_trial_never_looks_at_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, real = [], Images.test.fget
    for k in range(2):
        if k:
            monkeypatch.setattr(Images, "test", property(lambda self: NoTest(real(self).images)))
        request = side_of(*ONLY, request=[*FLAGS, "--home", str(tmp_path / str(k))]).asked({"gen.lr": 1e-3}, trials=3)
        found.append(measure_drawn(request, FEATURES, images={}))
    assert found[0] == found[1] and found[0].facts["consistency"] is not None
    tests = [sorted(read_array(f)[:, 0].sum() for f in (tmp_path / str(k)).rglob("test.npy")) for k in range(2)]
    assert tests[0] != tests[1]  # the judge's artifact holds predictions of test, and nobody read them


def test_the_lowest_distance_is_best_and_no_trial_is_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def value(request: Request, extractor: str, images: Any) -> Drawn:
        assert extractor == FEATURES
        return Drawn(1000 * request.gen.lr, dict.fromkeys(FIDELITY.facts, 0.5), {})

    monkeypatch.setattr(studies, "measure_drawn", value)
    side = replace(side_of("--only", "gen.lr"), extractor=FEATURES)
    study = studies.open_study(open_storage(f"sqlite:///{tmp_path / 'db'}"), side, {}, trials=9)
    studies.work_at(study, side, trials=9, told=lambda trial: None, images={})
    rates = [trial.params["gen.lr"] for trial in study.trials]
    assert studies.best_of(study).params["gen.lr"] == min(rates) < max(rates)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}


# -- equal operations ---------------------------------------------------------------------------------------------


def test_a_costlier_network_gets_fewer_steps_and_the_same_one_as_many() -> None:
    for name in ("vae", "latent_flow"):
        config = generators.get(name).tiny_config()
        held = Held(name, SHAPE, planned(name, config, SHAPE, n_steps=400))
        assert held.steps(config, n_steps=400) == 400
        other = changed(config, {"batch": 3 * config.batch})
        steps = held.steps(other, n_steps=400)
        assert steps < 400
        a_step = planned(name, other, SHAPE, n_steps=400) / 400
        assert abs(planned(name, other, SHAPE, n_steps=steps) - held.operations) < 2 * a_step


def test_of_few_steps_in_two_stages_the_nearest_number_is_taken() -> None:
    """The stages round their shares, so that the count may go to and fro between two numbers."""
    base = generators.get("latent_flow").tiny_config()
    held = Held("latent_flow", SHAPE, planned("latent_flow", base, SHAPE, n_steps=300))
    for widths in ((64, 128), (96, 192), (128, 256), (256, 256)):
        config = changed(base, {"unet_widths": widths})
        steps = held.steps(config, n_steps=300)

        def away(n: int, config: Any = config) -> float:
            return abs(planned("latent_flow", config, SHAPE, n_steps=n) - held.operations)

        assert all(away(steps) <= away(n) for n in range(max(2, steps - 2), steps + 3)), widths


def test_operations_that_cannot_be_held_are_refused() -> None:
    config = generators.get("vae").tiny_config()
    with pytest.raises(UserError, match="--equal-operations: what noise computes is not known"):
        planned("noise", generators.get("noise").Config(), SHAPE, n_steps=5)
    held = Held("vae", SHAPE, planned("vae", config, SHAPE, n_steps=1))
    with pytest.raises(UserError, match="a step of vae with these options computes more than the 1 steps"):
        held.steps(changed(config, {"batch": 4 * config.batch}), n_steps=1)


def test_a_trial_s_request_has_the_scaled_steps() -> None:
    side = side_of(*ONLY)
    held = Held("vae", SHAPE, planned("vae", side.request.gen, SHAPE, n_steps=6))
    wide = {"gen.widths": (96, 192)}
    assert side.asked(wide, trials=1).options.fit.steps == 6
    assert replace(side, held=held).asked(wide, trials=1).options.fit.steps < 6


# -- what is asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--tune", "gen", "ratio"], "--tune ratio beside --by fidelity: a Frechet distance falls with the number"),
        (["--tune", "clf"], "--tune clf beside --by fidelity: no classifier takes part"),
        (["--fair"], "--fair beside --by fidelity: the classical remedies draw nothing"),
        (["--ratio", "0.5", "1"], "--ratio 0.5 1 beside --by fidelity"),
        (["--ratio", "0"], "--ratio 0 beside --by fidelity"),
        (["--extractors"], "--by fidelity needs a feature network: --extractors efficientnet_lite0"),
        (["--equal-operations", "--fit.seconds", "9"], "--fit.seconds 9 beside --equal-operations"),
        (["--only", "ratio"], "no searched option named 'ratio'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused_in_one_line(
    args: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert guarded(main, ["--generator", "vae", "--preset", "smoke", "--device", "cpu", *BY, *args]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not list(tmp_path.rglob("*"))


def test_too_few_films_are_refused_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--ratio" if a == "--ratio" else "0.5" if a == "1" and b == "--ratio" else a
           for b, a in zip(["", *FLAGS], FLAGS, strict=False)]  # fmt: skip
    assert guarded(main, ["--generator", "vae", *BY, *few, *words(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "30 films are drawn at --ratio 0.5 (--mode add), and a Frechet distance needs 50" in err
    assert stored(tmp_path / "home", "fit") == 0 and not (tmp_path / "home" / "studies.db").exists()


def test_the_ratio_is_not_searched_and_the_study_has_a_name_of_its_own() -> None:
    assert "ratio" not in side_of().space and side_of().by is FIDELITY
    request = parse(["--generator", "vae", *FLAGS], prog="tune")
    names = [sides_of(read_options(flags)[0], request)[0].study for flags in (BY, [])]
    assert names == ["vae-phantom-fidelity", "vae-phantom"]


def test_the_mark_says_what_chose_the_arm_and_asks_for_itself_again() -> None:
    request = side_of(*ONLY).asked({"gen.lr": 1e-3}, trials=3)
    (spec,) = [s for s in specs_of(request, fingerprint="f", precision="fp32") if s.tuned]
    assert spec.tuned is not None and spec.tuned["by"] == "fidelity"
    assert "by the distance of its films to the training films among 3 trials" in tuned_sentence(spec.tuned)
    again = request_again(spec.to_json(), ["--device", "cpu"], prog="reproduce")
    assert spec.run_id in {one.run_id for one in specs_of(again, fingerprint="f", precision="fp32")}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("flow", {"lr", "ema", "batch", "guidance", "times", "times_mean", "times_spread", "widths"}),
        ("latent_flow", {"lr", "ema", "batch", "guidance", "times", "first_stage_share", "unet_widths"}),
        ("edm", {"lr", "ema", "batch", "guidance", "noise_mean", "noise_spread", "widths", "rho", "churn"}),
        ("consistency", {"lr", "tuning_lr", "ema", "batch", "noise_mean", "noise_spread", "stages", "widths"}),
        ("r3gan", {"lr", "half_life", "burn_in", "batch", "gamma", "augment", "width"}),
    ],
)
def test_the_newer_generators_declare_what_a_search_may_try(name: str, options: set[str]) -> None:
    found = declared(generators.get(name).Config())
    assert options <= set(found)
    quick = parse(["--preset", "quick", "--generator", name], prog="tune").gen
    for option in options:
        assert found[option].space.holds(getattr(quick, option)), option
