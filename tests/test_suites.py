"""A suite is a frozen list of what is comparable: what is not of it is left out with the reason."""

from __future__ import annotations

import csv
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.job.plan import specs_of
from benchmarks.request.cells import read_sweep
from benchmarks.request.situations import SITUATIONS, situation_of
from benchmarks.request.spec import is_real_only
from benchmarks.sweep.options import find_sweep
from data.mixing import MODES
from leaderboard.build import CSV, MARKDOWN, main
from leaderboard.suite import FOLDER, Suite, read_suite, suites
from synthworth.commands import guarded
from synthworth.errors import UserError

FINGERPRINT = "f" * 64
FILMS = {"name": "phantom", "dataset": "phantom", "size": 32, "fingerprint": FINGERPRINT, "real_fraction": 1.0}
SMALL = {
    "name": "small", "date": "2026-12-01", "about": "a suite of the tests", "classifier": "resnet18", "train_steps": 5,
    "seeds": 6, "ratios": [0.5], "situations": ["augmenting"], "controls": ["none", "duplicate", "noise"],
    "datasets": [FILMS],
}  # fmt: skip


def suite_of(place: Path, **change: Any) -> Path:
    file = place / "small.yaml"
    file.write_text(yaml.safe_dump({**SMALL, **change}))
    return file


def build(lab: Any, place: Path, *words: str) -> int:
    flags = ["--results", str(lab.folder), "--out", str(place / "site"), "--home", str(place / "home"), *words]
    return guarded(main, [*flags, "--figures", "0"])


@pytest.mark.parametrize("name", suites())
def test_a_shipped_suite_can_be_read_and_is_called_as_its_file(name: str) -> None:
    suite = read_suite(name)
    assert suite.name == name
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", suite.date) and suite.date[:7] in name
    assert suite.seeds >= 6 and {"none", "duplicate"} <= set(suite.controls)
    assert all(re.fullmatch(r"[0-9a-f]{64}", films.fingerprint) for films in suite.datasets)


@pytest.mark.parametrize(("dataset", "generators"), [
    ("phantom", {"latent_ddpm"}), ("medmnist", {"latent_ddpm", "flow", "dcgan", "vae"}),
])  # fmt: skip
def test_the_films_of_a_suite_are_those_of_the_committed_records(dataset: str, generators: set[str]) -> None:
    """They were prepared by this version; it is slow to do, so the records are asked."""
    import json

    from benchmarks.records.load import RECORD

    root = FOLDER.parents[1] / "results" / "reference"
    specs = [json.loads(file.read_text())["spec"] for file in root.glob(f"*/{RECORD}")]
    suite = read_suite("synthworth-2026-12")
    (films,) = (one for one in suite.datasets if one.dataset == dataset)
    of_suite = [spec for spec in specs if spec["dataset"] == dataset and suite.why_not(spec) is None]
    assert {spec["fingerprint"] for spec in of_suite} == {films.fingerprint}
    assert {spec["data"]["size"] for spec in of_suite} == {films.size}
    assert generators <= {spec["generator"] for spec in of_suite}


@pytest.mark.slow
def test_the_phantom_of_a_suite_comes_out_again(tmp_path: Path) -> None:
    from data.prepared import read_index
    from data.registry import datasets
    from synthworth.registry import config_of

    kind = datasets.get("phantom")
    made = kind(config_of(kind, "phantom")(size=32, n_train=400))
    made.prepare(tmp_path)
    (films,) = (one for one in read_suite("synthworth-2026-12").datasets if one.dataset == "phantom")
    assert read_index(tmp_path)["fingerprint"] == films.fingerprint


@pytest.mark.parametrize(
    ("dataset", "file", "options"),
    [
        ("medmnist", "pneumoniamnist.npz", lambda file: {"file": file}),
        ("folder", "kermany", lambda file: {"path": file, "size": 64, "fractions": (0.5, 0.1, 0.4)}),
    ],
)
def test_the_real_films_of_a_suite_come_out_again(tmp_path: Path, dataset: str, file: str, options: Any) -> None:
    from data.prepared import read_index
    from data.registry import datasets
    from synthworth.registry import config_of

    there = os.environ.get("SYNTHWORTH_DATA")
    if not there or not (Path(there) / file).exists():
        pytest.skip(f"SYNTHWORTH_DATA holds no {file}")
    kind = datasets.get(dataset)
    kind(config_of(kind, dataset)(**options(Path(there) / file))).prepare(tmp_path)
    (films,) = (one for one in read_suite("synthworth-2026-12").datasets if one.dataset == dataset)
    assert read_index(tmp_path)["fingerprint"] == films.fingerprint


def test_only_what_is_of_the_suite_is_in_its_tables_and_the_rest_is_told(
    lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("good", 2.0)
    lab.run("good", 2.0, fingerprint="e" * 64)
    lab.run("good", 2.0, ratio=3.0)
    lab.run("good", 2.0, ratio=8.0)
    lab.run("good", 2.0, mode="only")
    lab.run("good", 2.0, seeds=5)
    lab.run("good", 2.0, real_fraction=0.5)
    lab.run("good", 2.0, classifier="densenet121")
    assert build(lab, tmp_path, "--suite", str(suite_of(tmp_path))) == 0
    with (tmp_path / "site" / CSV).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["generator"] for row in rows} == {"none", "duplicate", "good"} and len(rows) == 3
    said = capsys.readouterr().out
    assert "not of small: 1 record: another fingerprint: phantom eeeeeeeeeeee is no dataset of the suite" in said
    for reason in ("ratio 3, the suite has 0.5", "ratio 8, the suite", "the situation only is not judged",
                   "5 classifier seeds, the suite has at least 6", "another share of the real patients",
                   "another classifier or budget: densenet121"):  # fmt: skip
        assert f"not of small: 1 record: {reason}" in said or reason in said
    page = (tmp_path / "site" / MARKDOWN).read_text()
    assert "suite small of 2026-12-01; not finished here, of its controls: noise" in page


def test_a_suite_that_no_record_is_of_is_refused_with_the_first_reason(
    lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.run("none", 1.0)
    assert build(lab, tmp_path, "--suite", "synthworth-2026-12") == 2
    assert "none of 1 records is of it; 1 record: another fingerprint" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 3}, "seed"),
        ({"seeds": "many"}, "seeds"),
        ({"situations": ["sometimes"]}, "no situation 'sometimes'. There are: augmenting"),
        ({"datasets": [{"name": "x"}]}, "fingerprint"),
        ({"seeds": -1}, "seeds -1: at least 1"),
        ({"seeds": 6.7}, r"seeds 6\.7 is no whole number"),
        ({"seeds": True}, "seeds True is no whole number"),
        ({"train_steps": 0}, "train_steps 0: at least 1"),
        ({"name": " "}, "name is empty"),
        ({"name": None}, "name None is no text"),
        ({"about": ""}, "about is empty"),
        ({"date": "yesterday"}, "date 'yesterday' is no day: write it as 2026-12-01"),
        ({"date": "20261201"}, "date '20261201' is no day"),
        ({"controls": ["nonsense"]}, "no control 'nonsense'. There are: duplicate, "),
        ({"controls": ["none", "none"]}, "controls: none is there twice"),
        ({"ratios": [math.inf]}, "ratio inf: a finite number above 0"),
        ({"ratios": [math.nan]}, "ratio nan: a finite number above 0"),
        ({"ratios": [0]}, "ratio 0: a finite number above 0"),
        ({"ratios": []}, "ratios: at least one is needed"),
        ({"ratios": [1, 1.0]}, "ratios: 1.0 is there twice"),
        ({"ratios": "12"}, "ratios '12' is no list"),
        ({"situations": ["augmenting", "augmenting"]}, "situations: augmenting is there twice"),
        ({"clf": {"dropout": math.inf}}, "clf.dropout is no finite number"),
        ({"datasets": []}, "names of datasets: at least one is needed"),
        ({"datasets": [FILMS, {**FILMS, "name": "again"}]}, f"fingerprints: {FINGERPRINT} is there twice"),
        ({"datasets": [{**FILMS, "fingerprint": "F" * 64}]}, "it has 64 digits, 0 to 9 and a to f"),
        ({"datasets": [{**FILMS, "size": 0}]}, "phantom has size 0 and real_fraction 1: a size is at least 1"),
        ({"datasets": [{**FILMS, "real_fraction": 1.5}]}, "real_fraction 1.5: .* a share above 0 and up to 1"),
        ({"datasets": [{**FILMS, "name": ""}]}, "name of dataset 1 is empty"),
    ],
)
def test_a_suite_with_what_it_does_not_know_is_refused_in_one_line(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said) as error:
        read_suite(str(suite_of(tmp_path, **change)))
    assert "\n" not in str(error.value) and "--suite" in str(error.value)


def test_a_name_that_is_no_suite_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"synthworth-2020-01: no such suite\. There are: synthworth-2026-12"):
        read_suite("synthworth-2020-01")


def test_a_suite_says_which_of_its_controls_are_not_there(tmp_path: Path) -> None:
    suite: Suite = read_suite(str(suite_of(tmp_path)))
    assert suite.lacks([{"generator": "none"}, {"generator": "noise"}]) == ("duplicate",)


def spec_of(generator: str, ratio: float = 0.5, mode: str = "add", **change: Any) -> dict[str, Any]:
    """An arm on the films of the small suite, as its record holds it."""
    return {
        "fingerprint": FINGERPRINT, "dataset": "phantom", "real_fraction": 1.0, "patients_per_class": 0,
        "classifier": "resnet18", "train": {"steps": 5}, "seeds": 6, "clf": {}, "generator": generator, "mode": mode,
        "ratio": ratio, "learn_from": "", "portion": 1.0, "filters": [], "generator_seed": 0, "shard": 0, **change,
    }  # fmt: skip


@pytest.mark.parametrize(("situation", "arm", "controls", "others"), [
    ("sharing", spec_of("vae", learn_from="donor"),
     [spec_of("duplicate"), spec_of("duplicate", mode="only"), spec_of("shared_real", learn_from="donor"),
      spec_of("shared_pretrained", mode="pretrain", learn_from="donor")],
     [spec_of("vae"), spec_of("jitter")]),
    ("only", spec_of("vae", mode="only"),
     [spec_of("duplicate", mode="only"), spec_of("shared_pretrained", mode="pretrain", learn_from="donor")],
     [spec_of("vae"), spec_of("duplicate"), spec_of("jitter")]),
])  # fmt: skip
def test_a_suite_takes_its_own_controls_wherever_they_stand_beside_what_it_judges(
    situation: str, arm: Any, controls: Any, others: Any, tmp_path: Path
) -> None:
    names = ["none", "duplicate", "shared_real", "shared_pretrained"]
    suite = read_suite(str(suite_of(tmp_path, situations=[situation], controls=names)))
    for spec in (arm, *controls, spec_of("none", 0.0)):
        assert suite.why_not(spec) is None, spec
    for spec in others:
        assert "is not judged in the suite" in str(suite.why_not(spec)), spec
    assert suite.why_not({**controls[0], "ratio": 4.0}) == "ratio 4, the suite has 0.5"


def test_a_table_says_beside_how_many_of_its_arms_a_control_of_the_suite_stands(tmp_path: Path) -> None:
    suite = read_suite(str(suite_of(tmp_path, ratios=[0.5, 1.0])))
    arms = [spec_of("none", 0.0), spec_of("vae"), spec_of("vae", 1.0), spec_of("duplicate"), spec_of("noise")]
    assert suite.beside(arms) == "; not beside each of 2 judged arms: duplicate (beside 1), noise (beside 1)"
    assert suite.beside(arms[:-1]) == (
        "; not finished here, of its controls: noise; not beside each of 2 judged arms: duplicate (beside 1)"
    )
    whole = [*arms, spec_of("duplicate", 1.0), spec_of("noise", 1.0)]
    assert suite.beside(whole) == ", with all of its controls beside every judged arm"
    assert suite.beside([*whole, spec_of("vae", 1.0, "only")]).endswith(
        "each of 3 judged arms: duplicate (beside 2), noise (beside 2)"
    )
    assert suite.beside([one for one in whole if one["generator"] != "vae"]) == ", with no judged arm yet"


# -- situations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_a_situation(mode: str) -> None:
    assert situation_of({"generator": "vae", "mode": mode}) in SITUATIONS


def test_a_situation_is_what_the_images_are_for() -> None:
    def of(generator: str, mode: str, learn_from: str = "") -> str:
        return situation_of({"generator": generator, "mode": mode, "learn_from": learn_from})

    assert of("vae", "add") == "augmenting"
    assert of("vae", "balance") == "balancing"
    assert of("vae", "pretrain") == "pretraining"
    assert of("vae", "only") == "only"
    assert of("vae", "pretrain", "donor") == "sharing"
    assert of("none", "add") == "real images alone"
    assert of("mixup", "add") == "classical remedy"


SWEEPS = {"phantom": (), "medmnist": ("--data.file", "films.npz"), "folder": ("--data.path", "kermany")}
"""Dataset -> what the sweep that makes its part of the suite is told on the command line."""


@pytest.mark.parametrize(("dataset", "config"), [
    ("phantom", "suite_phantom"), ("medmnist", "suite_pneumoniamnist"), ("folder", "suite_kermany"),
])  # fmt: skip
def test_the_shipped_sweeps_of_the_suite_ask_for_its_arms_and_all_its_controls(dataset: str, config: str) -> None:
    suite = read_suite("synthworth-2026-12")
    (films,) = (one for one in suite.datasets if one.dataset == dataset)
    flags = ("--preset", "quick", "--device", "cpu", *SWEEPS[dataset])
    sweep = read_sweep(find_sweep(Path(config)), flags, prog="test")
    specs = [
        {**spec.to_json(), "fingerprint": films.fingerprint}
        for request in sweep.requests
        for spec in specs_of(request, fingerprint=films.fingerprint, precision="bf16")
    ]
    assert {suite.why_not(spec) for spec in specs if not is_real_only(spec)} == {None}
    assert suite.lacks(specs) == ()
    assert {spec["data"]["size"] for spec in specs} <= {films.size}
