"""Drawn images as a folder: what `pool` reads back is the same to the byte, and no patient's film is given out."""

from __future__ import annotations

import copy
import csv
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.job.carry_out import carry_out
from benchmarks.pool.__main__ import main
from benchmarks.pool.allowed import refuse_exact_copies, refuse_real_films
from benchmarks.pool.write import card, refuse_target, refuse_what_reads_otherwise, write_pool
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.store import Records
from benchmarks.records.terms import licence_given_out
from benchmarks.request.again import request_again
from benchmarks.request.options import parse
from data.images import ImageSet, Split
from data.mixing import SyntheticSet
from generators.pool_folder import (
    CARD,
    COLUMNS,
    TABLE,
    WARNING,
    folder_names,
    licence_on_card,
    read_pictures,
    write_pictures,
)
from generators.registry import CONTROLS
from synthworth.errors import UserError
from synthworth.keys import file_sha256

pytestmark = pytest.mark.usefixtures("one_thread")

FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "1", "--workers", "1", "--ratio", "0.5"),
    *("--train.steps", "2", "--clf.arch", "resnet10t", "--extractors"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40"),
]
PHANTOM = "Apache-2.0 (rendered by this software; no patient was imaged)"


def run(place: Path, *words: str) -> dict[str, Any]:
    folders = ["--home", str(place / "home"), "--results", str(place / "runs")]
    outcome = carry_out(parse([*FLAGS, *folders, *words], prog="test"))
    return {record["name"]: record for record in outcome.records}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("drawn")
    run(place, "--generator", "vae", "--fit.steps", "2", "--controls", "none", "duplicate")
    return place


@pytest.fixture
def place(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(made / "home"))
    return made


def named(place: Path, name: str) -> dict[str, Any]:
    return next(record for record in Records(place / "runs") if record["name"] == name)


def export(place: Path, record: dict[str, Any], to: Path, *words: str) -> int:
    return main(["export", record["run_id"][:12], str(to), "--results", str(place / "runs"), *words])


def test_an_exported_pool_gives_the_predictions_of_its_generator_to_the_byte(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, folder = named(place, "vae add 0.5"), tmp_path / "pool"
    assert export(place, record, folder) == 0
    assert f"60 images of vae add 0.5, licence: {PHANTOM}" in capsys.readouterr().out
    rows = read_pictures(folder)
    assert [one.row for one in rows] == list(range(60)) and {one.run_id for one in rows} == {record["run_id"]}
    for name, n in record["counts"]["synthetic"].items():
        assert sum(one.label == name and one.image.startswith(f"{name}/") for one in rows) == n
    assert all(file_sha256(folder / one.image) == one.sha256 for one in rows)
    found = run(tmp_path / "again", "--generator", "pool", "--gen.path", str(folder), "--controls", "none")
    files = (
        where / "runs" / one["run_id"][:16] / PREDICTIONS
        for where, one in ((place, record), (tmp_path / "again", found["pool add 0.5"]))
    )
    assert len({file.read_bytes() for file in files}) == 1


def test_a_pool_is_written_into_an_empty_folder_alone_and_whole_or_not_at_all(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, there = named(place, "vae add 0.5"), tmp_path / "there"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="there is not empty; nothing in it is overwritten"):
        export(place, record, there)
    assert [file.name for file in there.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="is no folder"):
        refuse_target(there / "mine.txt")
    (tmp_path / "link").symlink_to(there)
    with pytest.raises(UserError, match="is no folder"):
        refuse_target(tmp_path / "link")
    monkeypatch.setattr("benchmarks.pool.write.card", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(place, record, tmp_path / "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "there"]


def test_films_of_patients_are_refused_in_one_line_whoever_is_asked_for_them(place: Path, tmp_path: Path) -> None:
    for name, why in (("duplicate add 0.5", "are copied images"), ("none", "adds no images")):
        with pytest.raises(UserError, match=why):
            export(place, named(place, name), tmp_path / "pool")
    with pytest.raises(UserError, match=r"films of vae add 0\.5 are not in"):
        export(place, named(place, "vae add 0.5"), tmp_path / "pool", "--home", str(tmp_path / "elsewhere"))
    assert not (tmp_path / "pool").exists()


@pytest.mark.parametrize("generator", sorted(CONTROLS - {"none", "noise"}))
def test_no_control_that_shows_real_films_may_be_exported(generator: str) -> None:
    record = {"name": generator, "spec": {"generator": generator}, "counts": {"synthetic": {"A": 3}}}
    with pytest.raises(UserError, match="not given out"):
        refuse_real_films(record)
    refuse_real_films({**record, "spec": {"generator": "noise"}})
    with pytest.raises(UserError, match="not given out"):  # a plugin that is not here, and said so when it ran
        refuse_real_films({**record, "spec": {"generator": "gone"}, "added": "copied"})
    with pytest.raises(UserError, match="made by somebody else"):
        refuse_real_films({**record, "spec": {"generator": "pool"}})


@pytest.mark.parametrize(
    ("of_dataset", "stated", "found"),
    [
        ("CC BY 4.0", "", "CC BY 4.0"),
        ("CC BY-NC 4.0", "CC BY-NC 4.0, by the lab", "CC BY-NC 4.0, by the lab"),
        ("yours", "CC0", "CC0"),
        (None, "CC0", "CC0"),
        ("yours", "", 'say under which: --licence "CC BY 4.0"'),
        ("", " ", "whose licence only you know"),
        ("CC BY-ND 4.0", "CC0", "'CC BY-ND 4.0' lets nothing"),
        ("Creative Commons Attribution-NoDerivatives", "", "lets nothing"),
        ("yours", "PhysioNet Credentialed Health Data License", "lets nothing"),
    ],
)
def test_the_licence_of_the_films_decides(of_dataset: str | None, stated: str, found: str) -> None:
    record = {"name": "vae add 0.5", "spec": {"dataset": "folder", "data": {}, "fingerprint": "f"}}
    if found in (of_dataset, stated):
        assert licence_given_out(record, dataset_licence=of_dataset, stated=stated) == found
        return
    with pytest.raises(UserError) as refused:
        licence_given_out(record, dataset_licence=of_dataset, stated=stated)
    assert found in str(refused.value)


def pool_of(classes: tuple[str, ...], *, multi: bool = False, channels: int = 1) -> tuple[SyntheticSet, ImageSet]:
    """Two images of each class, every one of another grey; and a training set with these classes."""
    k = len(classes)
    n = 2 * k
    images = torch.arange(n, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, channels, 8, 8).clone()
    images[:, :, :4] += 100
    labels = torch.arange(k).repeat_interleave(2)
    if multi:
        labels = torch.zeros((n, k), dtype=torch.uint8)
        labels[torch.arange(n), torch.arange(k).repeat_interleave(2)] = 1
        labels[0] = 0
        labels[1] = 1
    ids = tuple(map(str, range(n)))
    train = ImageSet(images + 50, labels, ids, ids, Split.train, classes)
    return SyntheticSet(images, labels, classes, "", ""), train


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("multi", [False, True])
def test_a_folder_is_read_back_as_the_images_and_labels_that_were_written(
    tmp_path: Path, multi: bool, channels: int
) -> None:
    pool, train = pool_of(("Effusion", "Mass"), multi=multi, channels=channels)
    rows = write_pictures(tmp_path, pool, generator="vae", run_id="0" * 64, seed=3, generator_seed=1)
    refuse_what_reads_otherwise(tmp_path, pool, train)
    assert read_pictures(tmp_path) == rows and {(one.seed, one.generator_seed) for one in rows} == {(3, 1)}
    if multi:
        assert [one.label for one in rows] == ["No Finding", "Effusion|Mass", "Mass", "Mass"]
    shown = np.asarray(Image.open(tmp_path / rows[2].image))
    assert shown.shape == ((8, 8) if channels == 1 else (8, 8, 3)) and shown.flat[0] == 102
    for other in ({"images": pool.images + 1}, {"labels": pool.labels.flip(0)}):
        with pytest.raises(UserError, match="cannot be written as a folder that is read back the same"):
            refuse_what_reads_otherwise(tmp_path, dataclasses.replace(pool, **other), train)


NASTY = ("<img src=x onerror=alert(1)>", "a/../../b", "=1+1", "A|B", "..", "CON", "ä ö", "x" * 300)


def test_names_of_classes_lead_nowhere_outside_the_folder_and_into_no_tag() -> None:
    found = folder_names([*NASTY, "con", "x" * 301])
    assert len({name.lower() for name in found.values()}) == len(NASTY) + 2
    assert all(name and not set(name) & set("/\\.<>|=") and len(name) < 70 for name in found.values())


@pytest.mark.parametrize("name", NASTY)
def test_a_class_of_any_name_is_read_back_or_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    pool, train = pool_of((name, "Mass"))
    record = told((name, "Mass"))
    try:
        write_pool(tmp_path / "out", pool, record, licence="CC0", dataset_licence=None, train=train)
    except UserError:
        assert not list(tmp_path.iterdir())
        return
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert [one.label for one in read_pictures(tmp_path / "out")] == [name, name, "Mass", "Mass"]
    assert "<img" not in (tmp_path / "out/README.md").read_text()


def told(classes: tuple[str, ...]) -> dict[str, Any]:
    """What of a record a card says."""
    return {
        "name": "<img src=x>|\n# vae", "run_id": "0" * 64, "counts": {"synthetic": dict.fromkeys(classes, 2)},
        "spec": {
            "generator": "<b>vae</b>", "dataset": "d|e", "data": {}, "fingerprint": "f", "seed": 0, "generator_seed": 0,
        },
        "provenance": {},
    }  # fmt: skip


def test_the_licence_is_read_back_from_the_card_as_it_was_given(tmp_path: Path) -> None:
    pool, train = pool_of(("A", "B"))
    assert licence_on_card(tmp_path) is None
    for k, licence in enumerate(("CC BY 4.0", r"a|b \ <c> & https://e.org/x_y *z* &lt; `d`", "- 1. x")):
        folder = tmp_path / str(k)
        write_pool(folder, pool, told(("A", "B")), licence=licence, dataset_licence=None, train=train)
        assert licence_on_card(folder) == licence
    (folder / CARD).write_text("# another card\n")
    assert licence_on_card(folder) is None
    (folder / CARD).write_bytes(b"\xff")
    with pytest.raises(UserError, match="cannot be read as the card"):
        licence_on_card(folder)


def test_a_run_of_a_plugin_that_is_not_loaded_says_how_it_is(place: Path, tmp_path: Path) -> None:
    record = copy.deepcopy(named(place, "vae add 0.5"))
    for part, name in (("generator", "mine"), ("dataset", "ours"), ("controls", ["none", "theirs"])):
        spec = {**record["spec"], part: name}
        with pytest.raises(UserError) as refused:
            request_again(spec, [], prog="test")
        word = name if isinstance(name, str) else name[-1]
        assert f"{word!r} is known" in str(refused.value) and "--plugin FILE" in str(refused.value)


def test_a_card_says_what_the_images_are_and_holds_no_tag_and_no_further_column() -> None:
    pool, _ = pool_of(("A", "<script>"))
    text = card(told(("A", "<script>")), pool, licence="CC | <b>", dataset_licence=None)
    assert WARNING in text and "Not for diagnosis" in text and "learned from | not stated" in text
    assert not {"<img", "<b>", "<script>"} & set(text.split("|")) and "<" not in text.replace("&lt;", "")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace(r"\|", "").count("|") for line in rows} == {3}
    assert "near-copies of training films | not measured" in text


def test_images_that_equal_a_film_are_refused_whatever_drew_them() -> None:
    pool, train = pool_of(("A", "B"))
    refuse_exact_copies(pool, train, name="vae")
    train.images[1] = pool.images[3]
    with pytest.raises(UserError, match="1 of 4 images of vae equal a real film"):
        refuse_exact_copies(pool, train, name="vae")


def test_a_folder_that_changed_since_it_was_exported_is_not_believed(tmp_path: Path) -> None:
    pool, _ = pool_of(("A", "B"))
    write_pictures(tmp_path / "out", pool, generator="vae", run_id="0" * 64, seed=0, generator_seed=0)
    for change, why in (
        (lambda to: (to / "A/000000.png").write_bytes(b"x"), "has changed since it was exported"),
        (lambda to: (to / "A/000000.png").unlink(), "is gone"),
        (lambda to: (to / TABLE).unlink(), f"holds no {TABLE}"),
        (lambda to: (to / TABLE).write_text("a,b\n1,2\n"), "has not the columns image, sha256"),
        (lambda to: rewrite(to / TABLE, "row", "first"), "cannot be read as a table"),
        (lambda to: rewrite(to / TABLE, "image", "../out/A/000000.png"), "has changed|outside"),
        (lambda to: rewrite(to / TABLE, "image", "../../etc/passwd"), "lies outside the folder"),
    ):
        shutil.copytree(tmp_path / "out", tmp_path / "copy")
        change(tmp_path / "copy")
        with pytest.raises(UserError, match=why):
            read_pictures(tmp_path / "copy")
        shutil.rmtree(tmp_path / "copy")


def rewrite(table: Path, column: str, value: str) -> None:
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0][column] = value
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
