"""What `--test-on` may name: every form of it, and one line for every thing that cannot be tested on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from elsewhere_runs import films, words

from benchmarks.job.elsewhere import foretell
from benchmarks.records.provenance import _without_places
from benchmarks.request.again import request_again
from benchmarks.request.elsewhere import match_classes, read_elsewhere
from benchmarks.request.options import parse
from benchmarks.run import main
from data.images import Split
from data.prepared import read_split
from synthworth.commands import guarded
from synthworth.errors import UserError
from synthworth.store import Store

OURS = ("well", "sick")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home, the experiment's folder, and folders that it cannot be tested on."""
    home = tmp_path_factory.mktemp("asked")
    films(home / "own", classes=OURS, n=20, seed=1)
    films(home / "other", classes=("cat", "dog"), n=6, seed=2)
    films(home / "more", classes=("well", "sick", "third"), n=6, seed=2)
    films(home / "one", classes=("well", "grey"), n=6, seed=2)
    return home


def refused(place: Path, capsys: pytest.CaptureFixture[str], *asked: str) -> str:
    """The one line with which a run ends before anything is trained."""
    before = trained(place)
    assert guarded(main, words(place, place / "own", "--test-on", *asked)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and trained(place) == before
    assert not (place / "runs").exists()
    return lines[0]


def trained(place: Path) -> list[str]:
    root = Store.open(place / "home").home / "artifacts"
    return sorted(str(f) for kind in ("classify", "fit", "elsewhere") for f in (root / kind).glob("*"))


def written(place: Path, **content: Any) -> str:
    file = place / "asked.yaml"
    file.write_text(json.dumps(content))  # JSON is YAML
    return str(file)


def test_other_classes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(place, capsys, f"folder:{place / 'other'}")
    assert "of its classes cat, dog nothing says what cat, dog would be among sick, well" in line
    assert "Say it under classes: in a YAML file" in line


def test_a_further_class_of_which_nobody_says_what_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(place, capsys, f"folder:{place / 'more'}")
    assert "nothing says what third would be" in line and "null for films to leave out" in line


def test_a_class_of_ours_that_none_of_theirs_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = written(place, dataset="folder", data={"path": str(place / "one")}, classes={"grey": None})
    assert "none of its classes grey, well is the experiment's sick" in refused(place, capsys, asked)


def test_a_class_of_ours_that_no_film_there_shows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(place, capsys, f"folder:{place / 'other'}")  # prepares our own films first
    indices = (place / "home" / "artifacts" / "data").glob("*/dataset.json")
    (root,) = (file.parent for file in indices if json.loads(file.read_text())["classes"] == ["sick", "well"])
    learned = [name for name in read_split(root, Split.train).ids if name.startswith("sick/")]
    copied = films(place / "copied", classes=("well",), n=8, seed=7)
    (copied / "sick").mkdir()
    for name in learned[:8]:
        shutil.copy(place / "own" / name, copied / name)
    (copied / "metadata.csv").unlink()
    line = refused(place, capsys, f"copied=folder:{copied}")
    assert "--test-on copied: none of its 8 films that can be judged shows sick. Test on a dataset" in line


def test_other_channels(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = written(place, dataset="folder", data={"path": str(place / "own"), "channels": 3})
    assert "its films have 3 channels, and the experiment's have 1. Set channels" in refused(place, capsys, asked)


def test_another_size(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = written(place, dataset="folder", data={"path": str(place / "own"), "size": 32})
    line = refused(place, capsys, asked)
    assert "its films have 32 px on a side, and the experiment's have 16. Set size" in line


def test_labels_of_another_kind(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = films(place / "several", classes=OURS, n=10, seed=4)
    table = (several / "metadata.csv").read_text().replace("well/001.png,well", "well/001.png,well|sick")
    (several / "metadata.csv").write_text(table)
    line = refused(place, capsys, f"folder:{several}")
    assert "its labels are findings that co-occur, and the experiment's are one class a film" in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"data": {}}, "it names no dataset; write dataset: folder, say"),
        ({"dataset": "folder", "task": "x"}, "no field task; there are dataset, data, classes, name"),
        ({"dataset": "folder", "data": [1]}, "data is a mapping of the dataset's options, not [1]"),
        ({"dataset": "folder", "classes": {"a": 1}}, "classes is a mapping from its class to ours"),
        ({"dataset": "folder", "name": "a/b"}, "it would be called 'a/b'; a name has up to 40 letters"),
        ({"dataset": "folder", "data": {"sise": 1}}, "no option data.sise of folder. Did you mean data.size?"),
        ({"dataset": "folders"}, "no dataset named 'folders'. Did you mean 'folder'?"),
    ],
)
def test_a_file_that_says_what_cannot_be(
    place: Path, capsys: pytest.CaptureFixture[str], content: dict[str, Any], told: str
) -> None:
    assert told in refused(place, capsys, written(place, **content))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("nowhere.yaml",), "--test-on nowhere.yaml: No such file"),
        (("digits:somewhere",), "dataset digits has no option path"),
        (("folder:nowhere",), "--test-on folder:nowhere: --data.path nowhere: no such folder"),
        (("phantom",), "--test-on phantom: phantom films of 16 px were asked for; sizes run from 32 to 256 px"),
        (("chexpert",), "no dataset named 'chexpert'"),
        (("folder:a", "folder:b"), "there is a test set called folder already (folder:a)"),
        (("{dataset: folder}",), "it begins with a brace and is no JSON"),
    ],
)
def test_words_that_name_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], told: str
) -> None:
    assert told in refused(place, capsys, *asked)


def test_a_mapping_that_names_classes_which_are_not_there() -> None:
    with pytest.raises(UserError, match="classes names 'cat', which it has not; its classes are ill, healthy"):
        match_classes(OURS, ("ill", "healthy"), given={"cat": "sick"}, asked="far")
    with pytest.raises(UserError, match="classes makes 'ill' 'dead'; the experiment's classes are well, sick"):
        match_classes(OURS, ("ill", "healthy"), given={"ill": "dead"}, asked="far")


def test_names_agree_without_regard_to_case_and_several_may_be_one_of_ours() -> None:
    assert match_classes(OURS, ("SICK", "Well"), given={}, asked="far") == {"SICK": "sick", "Well": "well"}
    given = {"VIRUS": "sick", "bacteria": "Sick", "Other": None}
    assert match_classes(OURS, ("bacteria", "virus", "other", "WELL"), given=given, asked="far") == {
        "bacteria": "sick", "virus": "sick", "other": None, "WELL": "well",
    }  # fmt: skip


def test_the_forms_of_a_word(tmp_path: Path) -> None:
    file = tmp_path / "rsna.yaml"
    file.write_text("dataset: folder\ndata:\n  path: x\nclasses:\n  a: well\n  b: null\n")
    found = read_elsewhere(["digits", "mine=nih:/a=b", "folder:/x:y", str(file), '{"dataset": "nih", "name": "j"}'])
    assert [(one.name, one.dataset, dict(one.data)) for one in found] == [
        ("digits", "digits", {}), ("mine", "nih", {"path": "/a=b"}), ("folder", "folder", {"path": "/x:y"}),
        ("rsna", "folder", {"path": "x"}), ("j", "nih", {}),
    ]  # fmt: skip
    assert found[3].classes == {"a": "well", "b": None}


def test_size_and_channels_are_those_of_the_experiment_where_nobody_says_others() -> None:
    (one,) = read_elsewhere(['{"dataset": "nih"}'])
    assert (one.config(channels=3, size=48).size, one.config(channels=3, size=48).channels) == (48, 3)
    (said,) = read_elsewhere(['{"dataset": "nih", "data": {"size": 96}}'])
    assert said.config(channels=3, size=48).size == 96
    (plain,) = read_elsewhere(["digits"])
    assert plain.config(channels=1, size=None) == plain.config(channels=None, size=None)


def test_no_place_on_a_disk_is_in_a_record() -> None:
    told = ["run", "--test-on", "a=folder:/home/jones", "nih", "/x/jones.yaml", '{"data": {}}', "--seeds", "folder:x"]
    assert _without_places(told) == [
        "run", "--test-on", "a=folder:PATH", "nih", "PATH", "PATH", "--seeds", "folder:x",
    ]  # fmt: skip
    assert _without_places(["--test-on=folder:/home/jones"]) == ["--test-on=folder:PATH"]


def test_a_record_is_a_request_again(place: Path) -> None:
    request = parse(words(place, place / "own", "--test-on", "mine=nih", "--robustness"), prog="run")
    from benchmarks.job.opened import begin_request

    spec = begin_request(request).specs[-1]
    assert spec.robustness and spec.predicts_elsewhere
    told = json.loads(json.dumps({**spec.to_json(), "test_on": [{**spec.test_on[0], "classes": {"a": "well"}}]}))
    again = request_again(told, ["--data.path", str(place / "own")], prog="reproduce")
    assert again.options.robustness
    (one,) = foretell(again, channels=1, size=16)
    assert (one.asked.name, one.asked.dataset, one.asked.classes) == ("mine", "nih", {"a": "well"})
    assert one.told()["data"] == told["test_on"][0]["data"]
    other = request_again(told, ["--test-on", "digits"], prog="reproduce")
    assert other.options.test_on == ("digits",)
