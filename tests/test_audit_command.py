"""`python -m data.audit` as a user meets it, and what it finds in real films."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.audit.__main__ import main
from synthworth.commands import guarded

DATA = Path(os.environ.get("SYNTHWORTH_DATA", "absent"))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """36 pictures of 18 patients with a split, sex, and two findings; number 35 is number 0 brightened."""
    root: Path = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(36):
        coarse = Image.fromarray(rng.integers(30, 200, (20, 20), dtype=np.uint8))
        film = np.asarray(coarse.resize((48, 48), Image.Resampling.BICUBIC))
        if i == 0:
            first = film
        if i == 35:
            film = (first.astype(int) + 20).clip(0, 255).astype(np.uint8)
        Image.fromarray(film).save(root / f"{i:02d}.png")
        label, part = ("No Finding", "a", "b", "a|b")[i % 4], ("train", "val", "test")[i // 12]
        row = {
            "image": f"{i:02d}.png",
            "label": label,
            "patient_id": f"p{i // 2}",
            "part": part,
            "sex": "FM"[i // 2 % 2],
        }
        rows.append(row)
    with (root / "metadata.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    made: Path = tmp_path_factory.mktemp("home")
    return made


def flags(folder: Path, home: Path, *more: str) -> list[str]:
    return ["--data.path", str(folder), "--data.split-column", "part", "--data.attributes", "sex",
            "--home", str(home), *more]  # fmt: skip


def report(capsys, *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert guarded(main, [*args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_tables_say_what_was_found_and_the_figure_is_drawn(folder, home, tmp_path, capsys) -> None:
    assert guarded(main, flags(folder, home, "--figure", str(tmp_path / "new" / "audit.png"))) == 0
    said = capsys.readouterr().out
    for words in ("films by split", "none of these", "sex F", "near duplicates across splits, nearest first",
                  "train:00.png", "test:35.png", "AUROC of attributes alone", "FOUND  near duplicates"):  # fmt: skip
        assert words in said
    with Image.open(tmp_path / "new" / "audit.png") as picture:
        width, height = picture.size
        assert width > 1500 and height > 1000
        assert len(picture.convert("L").getcolors()) > 100


def test_the_json_holds_every_number_of_the_tables(folder, home, capsys) -> None:
    found = report(capsys, *flags(folder, home))
    assert found["n_images"] == {"train": 12, "val": 12, "test": 12}
    assert found["co_occurrence"]["train"] == [[6, 3], [3, 6]]
    assert found["near_duplicates"]["n_pairs"] == 1
    assert found["near_duplicates"]["pairs"][0]["label_conflict"] is True
    assert found["attributes"]["sex"]["train"] == {"F": 6, "M": 6}
    assert {row["class"] for row in found["shortcuts"]} == {"a", "b"}
    again = report(capsys, *flags(folder, home, "--threshold", "0.05"))
    assert again["near_duplicates"]["n_pairs"] > 1


def test_a_film_that_was_skipped_is_in_the_report(folder, home, tmp_path, capsys) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(b"" if file.name == "04.png" else file.read_bytes())
    found = report(capsys, *flags(tmp_path, home, "--data.on-bad", "skip"))
    assert [skip["id"] for skip in found["skipped"]] == ["04.png"]
    assert any("left out at preparation: 1" in line for line in found["warnings"])


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--dataset", "foldr"], "no dataset named 'foldr'. Did you mean 'folder'"),
        (["--threshold", "1.5"], "--threshold 1.5"),
        (["--replicates", "3"], "--replicates 3"),
        (["--figure", "audit.txt"], "must end in .png"),
        (["--data.path", "/nowhere"], "/nowhere"),
        (["--plugin", "/nowhere.py"], "/nowhere.py"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(more: list[str], match: str, tmp_path, capsys) -> None:
    assert guarded(main, ["--home", str(tmp_path / "home"), *more]) == 2
    said = capsys.readouterr().err
    assert match in said
    assert said.startswith("error: ") and said.count("\n") == 1


def test_help_needs_nothing_heavy(run_python) -> None:
    code = (
        "import sys, runpy; sys.argv = ['audit', '--help']\n"
        "try: runpy.run_module('data.audit', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'seaborn'} & set(sys.modules)\n"
        "print(code, heavy, file=sys.stderr)"
    )
    done = run_python("-c", code)
    assert "--figure" in done.stdout
    assert done.stderr.strip() == "0 set()"


# -- real films ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "kermany").is_dir(), reason="SYNTHWORTH_DATA holds no kermany")
def test_kermany_holds_30_groups_of_equal_films_and_no_copy_across_splits(tmp_path, capsys) -> None:
    path = str(DATA / "kermany")
    found = report(
        capsys, "--data.path", path, "--data.split-column", "original_split", "--data.size", "32",
        "--home", str(tmp_path),
    )  # fmt: skip
    assert sum(found["n_images"].values()) == 5856
    assert found["n_duplicate_groups"] == 30
    assert found["n_duplicate_groups_of_several_patients"] == 1
    assert found["n_duplicate_groups_across_splits"] == 0
    assert found["near_duplicates"]["n_pairs"] == 0
    assert found["near_duplicates"]["closest"][0]["similarity"] < 0.85


@pytest.mark.skipif(not (DATA / "nih14").is_dir(), reason="SYNTHWORTH_DATA holds no nih14")
def test_the_view_tells_pneumonia_in_the_nih_films(tmp_path, capsys) -> None:
    found = report(
        capsys, "--dataset", "nih", "--data.path", str(DATA / "nih14"), "--data.task", "single", "--data.findings",
        "Pneumonia", "--data.others", "allow", "--data.size", "32", "--home", str(tmp_path),
    )  # fmt: skip
    assert sum(found["n_images"].values()) == 1000
    view = next(row for row in found["shortcuts"] if row["attribute"] == "view")
    assert view["auroc"] == pytest.approx(0.62, abs=0.02)
    assert view["low"] > 0.55
    assert found["near_duplicates"]["n_pairs"] == 0
    assert found["n_duplicate_groups"] == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_all_patients_that_splits_share_are_listed_by_pair(home, tmp_path, capsys, as_json: bool) -> None:
    for i, (split, who) in enumerate([(s, p) for s in ("train", "val", "test") for p in range(12)]):
        file = tmp_path / split / "ab"[who % 2] / f"p{who + 7 * (split == 'val') + 20 * (split == 'test')}_{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(file)
    flags = ["--data.path", str(tmp_path), "--data.patient-pattern", r"/(p\d+)_", "--home", str(home)]
    assert guarded(main, [*flags, *(["--json"] if as_json else [])]) == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith("error: patient 'p")
    shared = {f"p{i}" for i in range(7, 12)}
    if as_json:
        (pairs,) = json.loads(printed.out).values()
        assert set(pairs) == {"train and val"} and set(pairs["train and val"]) == shared
    else:
        head, *listed = printed.out.splitlines()
        assert head == "patients in train and val, 5:"
        assert set(map(str.strip, listed)) == shared
