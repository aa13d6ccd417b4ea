"""Two hospitals: whose films are whose, who learns from what, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.job.carry_out import carry_out
from benchmarks.judging.sharing import sharing_of
from benchmarks.records.shape import check_agreement, check_shape
from benchmarks.records.store import Records
from benchmarks.request.again import request_again
from benchmarks.request.controls import Controls, is_control_of
from benchmarks.request.options import parse
from benchmarks.request.spec import RunSpec
from benchmarks.verdicts.sentences import sharing_sentence
from data.images import ImageSet, Split, require_train
from data.mixing import mix
from data.splits.low_data import join_train
from data.splits.sharing import Donor, part_held_out, part_train, without_donors
from generators.controls import Duplicate
from generators.shared import SharedPretrained, SharedReal
from synthworth.artifacts import read_json
from synthworth.errors import UserError
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

N, PATIENTS = 120, 60


def films(*, split: Split = Split.train, site: Any = None) -> ImageSet:
    """Two classes, two films a patient; patients with odd numbers are of site B."""
    patient = np.arange(N) // 2
    sites = np.where(patient % 2, "B", "A") if site is None else site
    pixels = np.random.default_rng(0).integers(0, 256, (N, 1, 8, 8), dtype=np.uint8)
    return ImageSet(
        torch.from_numpy(pixels), torch.from_numpy((patient // 2) % 2),
        tuple(f"film-{k:03}" for k in range(N)), tuple(f"patient-{k:02}" for k in patient), split, ("no", "yes"),
        {"site": np.asarray(sites)},
    )  # fmt: skip


# -- whose films are whose -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0.25", "0.5", "0.8", "site=B"])
def test_no_patient_is_at_both_hospitals_and_no_film_is_lost(text: str) -> None:
    recipient, donor = part_train(films(), Donor.read(text), seed=1)
    assert (recipient.split, donor.split) == (Split.train, Split.donor)
    assert not set(recipient.groups) & set(donor.groups)
    assert set(recipient.ids) | set(donor.ids) == set(films().ids) and len(recipient) + len(donor) == N
    assert all(min(part.counts().values()) > 0 for part in (recipient, donor))


def test_a_share_is_that_of_the_films_and_a_smaller_donor_is_among_a_larger_one() -> None:
    small, large = (part_train(films(), Donor.read(text), seed=1)[1] for text in ("0.4", "0.8"))
    assert (len(small), len(large)) == (48, 96) and set(small.ids) < set(large.ids)
    assert set(part_train(films(), Donor.read("0.4"), seed=2)[1].ids) != set(small.ids)


def test_an_attribute_decides_alone() -> None:
    recipient, donor = part_train(films(), Donor.read(" site = B "), seed=1)
    assert set(donor.attributes["site"]) == {"B"} and set(recipient.attributes["site"]) == {"A"}
    assert part_train(films(), Donor.read("site=B"), seed=2)[1].ids == donor.ids


def test_by_attribute_the_recipient_is_judged_on_its_own_films_and_by_share_on_all() -> None:
    test = films(split=Split.test)
    mine, theirs = part_held_out(test, Donor.read("site=B"))
    assert set(mine.attributes["site"]) == {"A"} and set(theirs.attributes["site"]) == {"B"}
    assert part_held_out(test, Donor.read("0.5")) == (test, test)


@pytest.mark.parametrize(
    ("text", "site", "said"),
    [
        ("0", None, "between 0 and 1"),
        ("1", None, "between 0 and 1"),
        ("nan", None, "between 0 and 1"),
        ("site", None, "between 0 and 1"),
        ("=B", None, "between 0 and 1"),
        ("ward=B", None, "no attribute ward; there are site"),
        ("site=C", None, r"leaves the donor without a film.*has the values A, B"),
        ("site=B", ["B"] * N, "leaves the recipient without a film"),
        ("site=B", ["A", "B"] * (N // 2), "60 patients of train have films at both hospitals, patient-00 for one"),
    ],
)
def test_a_donor_that_cannot_be_is_refused_in_a_line(text: str, site: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        part_train(films(site=site), Donor.read(text), seed=0)
    assert "\n" not in str(refused.value)


def test_a_patient_at_both_hospitals_is_refused_in_val_and_test_too() -> None:
    with pytest.raises(UserError, match="60 patients of test have films at both hospitals"):
        part_held_out(films(split=Split.test, site=["A", "B"] * (N // 2)), Donor.read("site=B"))


def test_the_reserve_holds_no_film_of_the_donor() -> None:
    reserve = films(split=Split.reserve)
    assert set(without_donors(reserve, Donor.read("site=B")).attributes["site"]) == {"A"}
    assert without_donors(reserve, Donor.read("0.5")) is reserve


def test_a_hospital_without_a_film_to_be_judged_by_is_refused() -> None:
    for sites, said in ((["B"] * N, "the recipient has none to be judged on"), (["A"] * N, "no film of the donor's")):
        with pytest.raises(UserError, match=said):
            part_held_out(films(split=Split.val, site=sites), Donor.read("site=B"))


# -- who learns from what --------------------------------------------------------------------------------------------


def test_a_generator_may_learn_from_a_donor_and_nothing_that_is_mixed_may_be_a_donors() -> None:
    _, donor = part_train(films(), Donor.read("0.5"), seed=1)
    require_train(donor, what="a generator")
    with pytest.raises(UserError, match="was given 'donor'"):
        mix(donor, None, keep_real=5, seed=0)
    with pytest.raises(UserError, match="was given 'donor'"):
        join_train(donor, donor)
    held = films(split=Split.val)
    with pytest.raises(UserError, match="was given 'val'"):
        require_train(held, what="a generator")


def test_a_curve_goes_on_with_the_donors_films() -> None:
    recipient, donor = part_train(films(), Donor.read("0.5"), seed=1)
    assert len(join_train(recipient, donor)) == N


def test_the_donors_films_are_each_shared_once_before_one_is_shared_again(tmp_path: Path) -> None:
    _, donor = part_train(films(), Donor.read("0.5"), seed=1)
    model = SharedReal()
    model.fit(donor, seed=3, work=Work(tmp_path))
    asked = torch.zeros(10, dtype=torch.int64)
    n = donor.counts()["no"]
    drawn = [model.sample_next(asked, earlier=asked[:0].repeat(1))]
    for k in range(1, 4):
        drawn.append(model.sample_next(asked, earlier=torch.zeros(10 * k, dtype=torch.int64)))
    rows = [image.numpy().tobytes() for image in torch.cat(drawn)]
    assert n == 30 and len(set(rows[:n])) == n and rows[n:] == rows[: 40 - n]
    of_class = {image.numpy().tobytes() for image in donor.images[donor.labels == 0]}
    assert set(rows) == of_class
    model.save(tmp_path)
    again = SharedReal.load(tmp_path, device="cpu").sample_next(asked, earlier=asked[:0])
    assert torch.equal(again, drawn[0])


@pytest.mark.parametrize("cls", [SharedReal, SharedPretrained])
def test_the_controls_of_sharing_refuse_the_recipients_films(cls: type, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="draws the films of a donor, and was given those of train"):
        cls().fit(films(), seed=0, work=Work(tmp_path))
    assert Duplicate().fit(films(), seed=0, work=Work(tmp_path)).images_seen == N


# -- requests --------------------------------------------------------------------------------------------------------

FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "2", "--workers", "1", "--train.steps", "3"),
    *("--clf.arch", "resnet10t", "--extractors", "--data.n-train", "120", "--data.n-val", "60", "--data.n-test", "60"),
]


def run(place: Path, *words: str) -> dict[str, Any]:
    """The records of a run, by name."""
    folders = ["--home", str(place / "home"), "--results", str(place / "runs")]
    outcome = carry_out(parse([*FLAGS, *folders, *words], prog="test"))
    return {record["name"]: record for record in outcome.records}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A request of sharing with every arm, and the same with a generator that learns from the recipient."""
    place = tmp_path_factory.mktemp("shared")
    words = ["--generator", "vae", "--fit.steps", "2", "--donor", "0.75", "--ratio", "1"]
    found = run(place, *words, "--learn-from", "donor")
    return place, found | run(place, *words)


def fit_of(place: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The report of the fit that an arm's images were drawn from."""
    held = record["spec"]
    made = RunSpec(**{**held, "fit": Budget(**held["fit"]) if held["fit"] else None, "train": Budget(**held["train"])})
    found: dict[str, Any] = read_json(place / "home/artifacts/fit" / made.fit_key / "fit.json")
    return found


def test_the_arms_of_sharing_are_there_and_learn_from_whom_they_say(shared: tuple[Path, dict[str, Any]]) -> None:
    place, found = shared
    assert list(found) == [
        "none", "duplicate add 1", "shared_real add 1", "shared_pretrained pretrain 1", "vae from donor add 1",
        "vae add 1",
    ]  # fmt: skip
    learned = {name: fit_of(place, record)["train_fingerprint"] for name, record in found.items() if name != "none"}
    donors = {"shared_real add 1", "shared_pretrained pretrain 1", "vae from donor add 1"}
    assert len({learned[name] for name in donors}) == 1 == len({learned[name] for name in learned.keys() - donors})
    assert learned["vae add 1"] != learned["vae from donor add 1"]
    hospitals = found["none"]["sharing"]
    assert (hospitals["n_recipient"], hospitals["n_donor"]) == (29, 91)
    counts = {name: sum(record["counts"]["real"].values()) for name, record in found.items()}
    assert set(counts.values()) == {29}


def test_donors_films_stand_in_no_arm_but_those_that_share_them(shared: tuple[Path, dict[str, Any]]) -> None:
    _, found = shared
    exact = {name: record["privacy"]["exact_copy_rate"]["value"] for name, record in found.items() if name != "none"}
    assert exact["shared_real add 1"] == 1 == exact["duplicate add 1"] and exact["vae from donor add 1"] == 0
    assert found["shared_real add 1"]["added"] == "the donor's real"


def test_every_arm_of_the_donor_is_read_against_the_controls_of_sharing(shared: tuple[Path, dict[str, Any]]) -> None:
    _, found = shared
    arm = found["vae from donor add 1"]
    assert set(arm["comparisons"]) == {"none", "duplicate", "shared_real", "shared_pretrained"}
    kept = arm["sharing"]["kept"]
    assert kept["of"] == "shared_real add 1" and kept["of_run_id"] == found["shared_real add 1"]["run_id"]
    assert found["shared_pretrained pretrain 1"]["sharing"]["kept"] is None  # compared with none alone
    assert found["vae add 1"]["sharing"]["kept"] is None and found["none"]["sharing"]["kept"] is None
    assert "is not to be said" in sharing_sentence(arm) and sharing_sentence(found["vae add 1"]) == ""
    for record in found.values():
        check_shape(record)
        check_agreement(record)


def test_a_record_of_sharing_is_found_again_and_asks_for_the_same_arm(shared: tuple[Path, dict[str, Any]]) -> None:
    place, found = shared
    for name in ("vae from donor add 1", "shared_real add 1", "duplicate add 1"):
        request = request_again(found[name]["spec"], ["--device", "cpu"], prog="test")
        folders = {"home": place / "home", "results": place / "runs"}
        options = dataclasses.replace(request.options, **folders, workers=1)
        outcome = carry_out(dataclasses.replace(request, options=options))
        assert found[name]["run_id"] in {record["run_id"] for record in outcome.records}
        assert not outcome.made.get("classify")
    assert Records(place / "runs").find(found["none"]["run_id"]) is not None


def test_the_kept_share_is_of_arms_that_use_the_donors_films_alone(shared: tuple[Path, dict[str, Any]]) -> None:
    _, found = shared
    arm, real = found["vae from donor add 1"], found["shared_real add 1"]
    assert sharing_of(real["spec"], arm["comparisons"], {}, {}) is None
    rows = {k: v for k, v in arm["comparisons"].items() if k != "shared_real"}
    assert sharing_of(arm["spec"], rows, {}, {}) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--learn-from", "donor"], "needs a donor"),
        (["--controls", "none", "shared_real"], "shared_real draws the films of a donor"),
        (["--generator", "shared_pretrained"], "shared_pretrained draws the films of a donor"),
        (["--donor", "2"], "between 0 and 1"),
        (["--donor", "ward=B"], "no attribute ward"),
        (["--donor", "0.5", "--learn-from", "donor", "--generator", "jitter"], "a control of the recipient's own"),
        (["--donor", "0.5", "--learn-from", "donor", "--generator", "pool"], "learns from no film at all"),
        (["--donor", "0.5", "--learn-from", "donor", "--controls", "none", "reconstruct"], "autoencoder"),
        (["--donor", "0.5", "--learn-from", "donor", "--curve", "9"], "the largest point is"),
    ],
)
def test_bad_requests_are_refused_in_a_line_before_anything_is_trained(
    words: list[str], said: str, tmp_path: Path
) -> None:
    generator = [] if "--generator" in words else ["--generator", "vae"]
    with pytest.raises(UserError, match=said) as refused:
        run(tmp_path, *generator, *words)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "home/artifacts/fit").exists()


def test_a_share_has_one_form_and_the_controls_of_sharing_join_where_none_are_named() -> None:
    asked = parse(["--donor", "0.50", "--learn-from", "donor", "--preset", "smoke"], prog="test").options
    assert (asked.donor, asked.controls) == ("0.5", ("none", "duplicate", "shared_real", "shared_pretrained"))
    named = parse(["--donor", "0.5", "--learn-from", "donor", "--controls", "none"], prog="test").options
    assert named.controls == ("none",)
    assert parse(["--donor", "0.5"], prog="test").options.controls == ("none", "duplicate")


def test_the_pretrained_control_stands_beside_arms_of_every_mode(shared: tuple[Path, dict[str, Any]]) -> None:
    _, found = shared
    control, arm = found["shared_pretrained pretrain 1"]["spec"], found["vae from donor add 1"]["spec"]
    for mode in ("add", "replace", "only", "pretrain"):
        assert is_control_of(control, {**arm, "mode": mode})
        assert Controls([control], lambda spec: spec).of({**arm, "mode": mode}) is control
    assert not is_control_of(control, {**arm, "ratio": 0.5})
    assert not is_control_of(found["shared_real add 1"]["spec"], {**arm, "mode": "only"})
