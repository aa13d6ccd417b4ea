"""The harness stops a fit before it copies: its judge is the audit's own, and the record says where it stopped."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.job.carry_out import Outcome, carry_out
from benchmarks.job.opened import Opened, open_request
from benchmarks.records.kinds import Wrong
from benchmarks.records.shape import check_shape
from benchmarks.request.options import parse
from benchmarks.request.spec import RunSpec
from benchmarks.show import main as show
from benchmarks.stages.copies import NearCopies, near_copies
from benchmarks.stages.filters import apply_filter
from benchmarks.stages.twin import training_key
from benchmarks.verdicts.copying import copying_sentences
from synthworth.errors import UserError
from synthworth.work import Budget, CopyLook

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("--preset", "smoke", "--device", "cpu", "--workers", "1", "--generator", "dcgan", "--ratio", "0.5",
         "--seeds", "1", "--controls", "none", "--gen.width", "8", "--gen.noise", "8", "--gen.batch", "16",
         "--data.n-train", "60", "--data.n-val", "40", "--data.n-test", "40", "--fit.steps", "6")  # fmt: skip
ASKED = ("--gen.stop-at-copy-rate", "0.1", "--gen.copy-looks", "3", "--gen.copy-images", "20")


def words(place: Path, *more: str) -> list[str]:
    return [*SMALL, "--home", str(place / "home"), "--results", str(place / "runs"), *more]


def run(place: Path, *more: str) -> Outcome:
    return carry_out(parse(words(place, *more), prog="test"))


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the judge says at one look after the other; it is the real one but for its numbers."""
    told: list[float] = []

    def judged(self: NearCopies, images: torch.Tensor) -> CopyLook:
        assert 0 < self.chance < 0.1 and images.shape == (20, 1, 32, 32)
        rate = told.pop(0)
        return CopyLook(rate, rate / 2, min(1.0, rate * 2))

    monkeypatch.setattr(NearCopies, "__call__", judged)
    return told


def test_a_run_stops_says_so_where_privacy_stands_and_its_record_holds_it(
    rates: list[float], tmp_path: Path, run_here: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rates += [0.05, 0.3]
    done = run_here("-m", "benchmarks.run", *words(tmp_path, *ASKED, "--extractors", "efficientnet_lite0"))
    assert done.returncode == 0, done.stderr
    said = (
        "dcgan stopped at step 2 of 6: copy rate 0.050 there, 0.300 [0.150, 0.600] at the look after (step 4), above "
        "0.1; by chance 0.024"
    )
    after_privacy = done.stdout.partition("privacy of dcgan add 0.5")[2].splitlines()
    assert after_privacy[2] == f"  {said}"
    (record,) = (r for p in tmp_path.glob("runs/*/record.json") if (r := json.loads(p.read_text()))["cost"].get("fit"))
    assert record["cost"]["fit"]["steps"] == 4 and record["cost"]["fit"]["stopped"] == "copies"
    assert record["cost"]["fit"]["cost"]["images_seen"] == 4 * 16
    assert record["cost"]["fit"]["facts"]["copying"]["kept"] == 2
    assert record["spec"]["gen"]["stop_at_copy_rate"] == 0.1
    capsys.readouterr()
    assert show([record["run_id"][:12], "--results", str(tmp_path / "runs")]) == 0
    assert f"COPIES   {said}" in capsys.readouterr().out


def test_a_fit_that_copies_from_the_first_look_on_is_a_failed_arm_beside_finished_controls(
    rates: list[float], tmp_path: Path
) -> None:
    rates += [0.5]
    outcome = run(tmp_path, *ASKED, "--extractors")
    assert "0.500 are near-copies" in outcome.failed[0]["error"]
    assert [record["name"] for record in outcome.records if record["status"] == "ok"] == ["none"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--gen.stop-at-copy-rate", "0.02"), "2.4% of fresh real images are near-copies by chance with 40 val images"),
        (("--data.n-val", "110", "--gen.stop-at-copy-rate", "0.01"), "Ask for 0.05, say"),
        (("--data.n-val", "18"), "needs 20 training and held-out images; there are 60 and 18. Use larger splits"),
    ],
)
def test_what_chance_alone_would_stop_and_what_val_cannot_tell_is_refused_before_anything_is_trained(
    more: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    open_request(parse(words(tmp_path, *ASKED, "--extractors", *more), prog="test"))  # prepares the films
    for flags in (("--dry-run",), ()):
        with pytest.raises(UserError) as caught:
            run(tmp_path, *ASKED, "--extractors", *more, *flags)
        assert str(caught.value).startswith("--gen.stop-at-copy-rate") and says in str(caught.value)
    assert not list(tmp_path.glob("runs/*")) and not list(tmp_path.glob("home/artifacts/[cf]*"))


def test_a_control_has_no_such_option(run_here: Callable[..., Any], tmp_path: Path) -> None:
    done = run_here("-m", "benchmarks.run", "--preset", "smoke", "--generator", "duplicate", *ASKED)
    assert done.returncode == 2 and "stop-at-copy-rate" in done.stderr


# -- the judge -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    place = tmp_path_factory.mktemp("judge")
    more = ("--data.n-val", "120", "--extractors", "efficientnet_lite0", *ASKED)
    return open_request(parse(words(place, *more), prog="test"))


def spec_of(opened: Opened) -> RunSpec:
    return next(spec for spec in opened.specs if spec.generator == "dcgan")


def test_the_judge_tells_copies_from_fresh_films_as_the_audit_does(opened: Opened) -> None:
    from benchmarks.judging.extraction import measures_of
    from benchmarks.judging.privacy import Privacy
    from data.mixing import SyntheticSet

    judge = near_copies(opened.experiment, spec_of(opened))
    assert judge is not None and judge.chance == pytest.approx(0.01, abs=1e-9)
    images = opened.experiment.images
    assert judge(images.train.images).rate == 1
    assert judge(images.test.images).rate < 0.1
    mixed = torch.cat([images.train.images[:10], images.test.images[:30]])
    arm = next(arm for arm in opened.arms if arm.draws)
    arm.pool = SyntheticSet(mixed, images.test.labels, images.train.classes, "f" * 64, "t" * 64)
    audit = Privacy(measures_of(opened.bench, images, [arm])[""]).of(arm)
    value = max((v for v in audit.values() if v.metric == "copy_rate"), key=lambda v: v.value)
    look = judge(mixed)
    assert look.rate == value.value and look.rate >= 0.25
    assert (look.low, look.high) == pytest.approx((value.low, value.high), abs=0.03), "other draws of one interval"


def test_the_judge_leaves_out_val_films_that_are_in_train_as_the_filter_does(opened: Opened) -> None:
    experiment = copy.copy(opened.experiment)
    images = experiment.images = copy.copy(experiment.images)
    doubled = images.val.images.clone()
    doubled[:30] = images.train.images[:30]
    val = replace(images.val, images=doubled)
    images.__dict__["_val"] = (val, val)
    judge = NearCopies(experiment, spec_of(opened))
    assert judge.chance == 1 / 91
    assert judge(images.train.images[:40]).rate == 1
    distance = judge._references[0].outsider_to_member.distance
    assert len(distance) == 90
    tried = np.concatenate([np.zeros(5), distance])
    passing = apply_filter(
        "no_copies",
        {"distance": lambda: tried, "real_distance": lambda: distance, "images": lambda: list(tried)},
    )
    bound = judge._references[0].bound
    assert (~passing == ((tried < bound) | (tried == 0))).all() and (~passing)[:5].all()


def test_where_features_tell_no_copies_the_fit_is_refused_before_a_step(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = copy.copy(opened.experiment)
    images = experiment.images = copy.copy(experiment.images)
    val = replace(images.val, images=images.train.images.repeat(2, 1, 1, 1) // 2 * 2)
    images.__dict__["_val"] = (val, val)
    judge = NearCopies(experiment, spec_of(opened))
    features = {id(images.train): np.eye(60, 8), id(images.val): np.eye(60, 8).repeat(2, 0)}
    monkeypatch.setattr(
        "benchmarks.stages.copies.extract_features",
        lambda bench, extractor, key, pictures: type("F", (), {"features": features[id(
            images.train if key == images.train.fingerprint() else images.val)]}),
    )  # fmt: skip
    with pytest.raises(UserError, match="half of the held-out images lie exactly on a training image"):
        judge.prepare()


def test_at_a_donor_copies_are_those_of_its_own_films(tmp_path: Path) -> None:
    more = ("--data.n-train", "120", "--data.n-val", "120", "--learn-from", "donor", "--donor", "0.5", "--extractors")
    opened = open_request(parse(words(tmp_path, *ASKED, *more), prog="test"))
    spec, images = spec_of(opened), opened.experiment.images
    assert spec.learn_from == "donor"
    judge = near_copies(opened.experiment, spec)
    assert judge is not None
    assert judge(images.donor.images).rate == 1
    assert judge(images.train.images).rate < 0.2


# -- identity --------------------------------------------------------------------------------------------------------


def test_a_fit_that_stops_has_a_key_of_its_own_and_no_other_fit_has_another_one(
    make_spec: Callable[..., RunSpec],
) -> None:
    plain, stopping = make_spec(), make_spec(gen={"widths": [8, 16], "stop_at_copy_rate": 0.1})
    assert "copy_judge" not in plain.fit_identity() and stopping.fit_identity()["copy_judge"] == 2
    assert make_spec(gen={"x": 1}, fit=None).copy_bound == 0
    inner = {"of_generator": "vae", "version": 1, "config": {"stop_at_copy_rate": 0.2}}
    assert make_spec(generator="reconstruct", gen=inner).copy_bound == 0.2


def test_guidance_is_no_mere_option_of_drawing_for_a_fit_that_looks_at_what_is_drawn(
    make_spec: Callable[..., RunSpec],
) -> None:
    def keys(**more: Any) -> set[str]:
        return {
            training_key(make_spec(gen={"guidance": g, **more}, fit=Budget(10), generator="pixel_ddpm")) for g in (1, 2)
        }

    assert len(keys()) == 1
    assert len(keys(stop_at_copy_rate=0.1)) == 2


DEAF = """
from generators.vae import VAE
from synthworth.api import FitReport, register

@register.generator("deaf")
class Deaf(VAE):
    def fit(self, train, *, seed, work):
        report = super().fit(train, seed=seed, work=work)
        return FitReport(report.steps, report.images_seen, report.seconds, facts={})
"""


def test_a_plugin_that_has_the_option_and_does_not_look_is_refused(tmp_path: Path) -> None:
    plugin = tmp_path / "deaf.py"
    plugin.write_text(DEAF)
    bare = words(tmp_path, *ASKED, "--extractors")
    bare[bare.index("dcgan")] = "deaf"
    for flag in ("--gen.width", "--gen.noise", "--gen.batch"):
        del bare[bare.index(flag) : bare.index(flag) + 2]
    with pytest.raises(UserError, match="deaf has the option stop_at_copy_rate, and its fit does not look"):
        carry_out(parse([*bare, "--plugin", str(plugin)], prog="test"))


# -- what is told ----------------------------------------------------------------------------------------------------

LOOKS = [{"step": 5, "rate": 0.02, "low": 0.01, "high": 0.04}, {"step": 10, "rate": 0.2, "low": 0.1, "high": 0.3}]
SEEN = {"bound": 0.1, "chance": 0.01, "n_images": 200, "n_steps": 50, "looks": LOOKS, "kept": 5, "stopped": 10}


def told(**facts: Any) -> list[str]:
    record = {"spec": {"generator": "dcgan_per_class"}, "cost": {"fit": {"facts": facts}}}
    return list(copying_sentences(record))


def test_a_model_a_class_has_a_line_each_and_older_records_have_none() -> None:
    never = {**SEEN, "looks": LOOKS[:1], "stopped": None}
    assert told(**{"copying[a]": SEEN, "copying[b]": never, "copying_machine": 3}) == [
        "dcgan_per_class[a] stopped at step 5 of 50: copy rate 0.020 there, 0.200 [0.100, 0.300] at the look after "
        "(step 10), above 0.1; by chance 0.010",
        "dcgan_per_class[b] not stopped in 5 steps: of 1 looks none was above 0.1, the highest copy rate 0.020 "
        "[0.010, 0.040] at step 5; by chance 0.010",
    ]
    assert told() == []
    assert list(copying_sentences({"spec": {"generator": "vae"}, "cost": {"fit_seconds": 1.5}})) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kept": 7}, "a step at which nobody looked"),
        ({"stopped": "never"}, "not a whole number"),
        ({"looks": []}, "has 0 entries"),
        ({"looks": [{"step": 5, "rate": 2.0, "low": 0, "high": 1}]}, "it lies from 0 to 1"),
        ({"bound": None}, "not a number"),
    ],
)
def test_a_record_whose_looks_could_not_be_printed_is_not_read(lab: Any, change: dict[str, Any], says: str) -> None:
    record = lab.run("latent_ddpm", 1.0)
    fits = {"steps": 10, "facts": {"copying": SEEN, "latent": [4]}}
    check_shape({**record, "cost": {**record["cost"], "fit": fits}})
    broken = {**fits, "facts": {"copying": {**SEEN, **change}}}
    with pytest.raises(Wrong, match=says):
        check_shape({**record, "cost": {**record["cost"], "fit": broken}})
