"""One command decodes a dataset into the cache that a run then finds, and says what is in it."""

from __future__ import annotations

import csv
import glob
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.job.plan import prepared
from benchmarks.request.options import parse as parse_run
from benchmarks.stages.bench import Bench
from benchmarks.stages.images import prepare_data
from data.base import BaseDataset
from data.images import ImageSet, Split
from data.prepare import main
from data.prepared import preparer, read_index
from data.registry import datasets
from synthworth.commands import WRONG, guarded
from synthworth.store import Store

KERMANY = Path(os.environ.get("SYNTHWORTH_DATA", "absent")) / "kermany"


def make_folder(root: Path, n: int = 24) -> Path:
    """n films of n / 2 patients with labels a and b, and metadata.csv."""
    root.mkdir(exist_ok=True)
    rows = []
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{i:02d}.png")
        rows.append(
            {"image": f"{i:02d}.png", "label": "ab"[i // 2 % 2], "patient_id": f"p{i // 2}", "sex": "FM"[i % 2]}
        )
    write_rows(root, rows)
    return root


def write_rows(root: Path, rows: list[dict[str, str]]) -> None:
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def bench(home: Path) -> Bench:
    return Bench(store=Store.open(home), device="cpu", workers=1, checkpoint_seconds=15, configs={}, info={})


def test_a_run_finds_what_the_command_prepared(tmp_path, capsys) -> None:
    root = make_folder(tmp_path / "films")
    flags = ["--dataset", "folder", "--data.path", str(root), "--data.size", "12", "--data.attributes", "sex"]
    home = ["--home", str(tmp_path / "home")]
    assert main([*flags, *home]) == 0
    said = capsys.readouterr().out
    request = parse_run(flags, prog="run")
    dataset = datasets.get("folder")(request.data)
    folder = prepared(bench(tmp_path / "home"), "folder", dataset)
    assert folder is not None
    assert str(folder) in said
    assert said.splitlines()[-1] == f"a run finds it by: python -m benchmarks.run {' '.join([*flags, *home])}"
    found, index = prepare_data(bench(tmp_path / "home"), "folder", dataset)
    assert found == folder
    assert sum(row["n"] for row in index["splits"].values()) == 24


def test_the_numbers_printed_are_those_of_the_cache(tmp_path, capsys) -> None:
    root = make_folder(tmp_path / "films")
    command = ["--data.path", str(root), "--data.size", "12", "--home", str(tmp_path / "home"), "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["fresh"]
    assert sum(said["images"].values()) == 24
    assert sum(said["patients"].values()) == 12
    assert said["counts"]["train"]["a"] + said["counts"]["train"]["b"] == said["images"]["train"]
    assert said["fingerprint"] == read_index(Path(said["folder"]))["fingerprint"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == {**said, "fresh": False}


def test_rows_without_a_file_and_files_without_a_row_are_refused_or_counted(tmp_path, capsys) -> None:
    root = make_folder(tmp_path / "films")
    (root / "05.png").unlink()
    (root / "deep").mkdir()
    for name in ("extra.png", "deep/other.jpg"):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(root / name)
    command = ["--data.path", str(root), "--data.size", "12", "--home", str(tmp_path / "home")]
    assert guarded(main, command) == WRONG
    assert "1 of 24 image files are missing: 05.png" in capsys.readouterr().err
    assert guarded(main, [*command, "--data.missing", "skip", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["notes"] == {"rows": 24, "without_file": 1, "not_in_table": 2, "skipped": []}
    assert sum(said["images"].values()) == 23
    (root / "05.png").mkdir()
    for path in root.glob("*.png"):
        path.rmdir() if path.is_dir() else path.unlink()
    assert guarded(main, [*command, "--data.missing", "skip"]) == WRONG
    assert "24 of 24 image files are missing" in capsys.readouterr().err


def test_labels_stay_with_their_films_when_rows_are_missing(tmp_path) -> None:
    root = make_folder(tmp_path / "films")
    rows = [dict(row, a=str(i % 2), b=str(i % 3 % 2)) for i, row in enumerate(read_rows(root / "metadata.csv"))]
    write_rows(root, rows)
    for i in (0, 7, 8):
        (root / f"{i:02d}.png").unlink()
    config = datasets.get("folder").Config
    made = datasets.get("folder")(
        config(path=root, size=12, missing="skip", label_columns=("a", "b"), attributes=("sex",))
    )
    for i, name in enumerate(made.table.ids):
        row = rows[int(name[:2])]
        assert made.table.labels[i].tolist() == [int(row["a"]), int(row["b"])]
        assert (made.table.groups[i], made.table.attributes["sex"][i]) == (row["patient_id"], row["sex"])


def test_skipped_films_are_named_on_the_screen(tmp_path, capsys) -> None:
    root = make_folder(tmp_path / "films")
    (root / "03.png").write_bytes(b"")
    command = ["--data.path", str(root), "--data.size", "12", "--home", str(tmp_path / "home")]
    assert guarded(main, command) == WRONG
    assert "03.png: the file is empty" in capsys.readouterr().err
    assert guarded(main, [*command, "--data.on-bad", "skip"]) == 0
    assert "skipped 03.png (" in capsys.readouterr().out


def test_export_copies_the_tables(tmp_path, capsys) -> None:
    root = make_folder(tmp_path / "films")
    target = tmp_path / "a" / "b"
    command = ["--data.path", str(root), "--data.size", "12", "--home", str(tmp_path / "home"), "--export", str(target)]
    assert main(command) == 0
    assert sorted(file.name for file in target.iterdir()) == ["metadata.parquet", "test.csv", "train.csv", "val.csv"]
    ids = [row["id"] for split in ("train", "val", "test") for row in read_rows(target / f"{split}.csv")]
    assert sorted(ids) == [f"{i:02d}.png" for i in range(24)]
    assert "--export" not in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (["--dataset", "foldre"], "no dataset named 'foldre'. Did you mean 'folder'"),
        (["--data.path", "nowhere"], "--data.path nowhere: no such folder"),
        (["--dataset", "digits", "--export", "out"], "dataset digits is not made of films"),
        (["--plugin", "nothing.py"], "no such file"),
        ([], "needs --data.path FOLDER or --data.table FILE"),
    ],
)
def test_a_wrong_request_is_one_line(tmp_path, capsys, monkeypatch, args: list[str], match: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert guarded(main, args) == WRONG
    said = capsys.readouterr().err
    assert match in said
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not list(tmp_path.rglob("artifacts"))


def test_help_shows_the_datasets_own_options_at_once(run_python) -> None:
    run_python("-c", "import data.prepare")
    began = time.perf_counter()
    done = run_python("-X", "importtime", "-m", "data.prepare", "--dataset", "folder", "--help")
    assert time.perf_counter() - began < 20
    assert done.returncode == 0
    for flag in ("--data.on-bad", "--data.resize", "--data.missing", "--export", "--home"):
        assert flag in done.stdout
    heavy = {"torch", "pandas", "scipy", "sklearn", "cv2", "PIL", "pyarrow"}
    assert not heavy & {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_a_dataset_that_knows_no_scratch_folder_is_prepared_too(tmp_path) -> None:
    class Old(BaseDataset):
        """A stranger's dataset with a `prepare` of its own."""

        def prepare(self, root: Path) -> None:  # type: ignore[override]
            (root / "made").touch()

    preparer(Old.__new__(Old))(tmp_path, tmp_path / "scratch")
    assert (tmp_path / "made").exists()


def test_any_dataset_is_prepared_by_the_same_command(tmp_path, capsys) -> None:
    assert main(["--dataset", "digits", "--data.size", "8", "--home", str(tmp_path), "--json"]) == 0
    assert sum(json.loads(capsys.readouterr().out)["images"].values()) == 1797


KILLED = """
import sys, time
from pathlib import Path
import data.films.cache
from data.datasets.folder.dataset import Folder
from data.prepare import main

data.films.cache.CHECKPOINT_SECONDS = 0
whole = Folder.read

def slow(self, path):
    time.sleep(0.02)
    return whole(self, path)

Folder.read = slow
raise SystemExit(main(["--data.path", sys.argv[1], "--data.size", "8"]))
"""


def test_a_kill_during_caching_costs_nothing_and_leaves_nothing_half_made(tmp_path, run_python) -> None:
    for i in range(60):
        (tmp_path / "films" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), dtype=np.uint8)).save(
            tmp_path / "films" / "ab"[i % 2] / f"{i}.png"
        )
    root = Path(__file__).resolve().parent.parent
    env = {**os.environ, "SYNTHWORTH_HOME": str(tmp_path / "home"), "PYTHONPATH": str(root)}
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "films")],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    journals = str(tmp_path / "home/work/data/*/*/*/scratch/journal.json")
    while sum(_done(Path(file)) for file in glob.glob(journals)) < 10:
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not list(tmp_path.glob("home/artifacts/data/*"))
    (journal,) = tmp_path.glob("home/work/data/*/*/*/scratch/journal.json")
    assert 10 <= _done(journal) < 60

    again = run_python("-m", "data.prepare", "--data.path", str(tmp_path / "films"), "--data.size", "8", "--json")
    assert again.returncode == 0, again.stderr
    command = ("--data.path", str(tmp_path / "films"), "--data.size", "8", "--json", "--home", str(tmp_path / "other"))
    alone = run_python("-m", "data.prepare", *command)
    assert json.loads(again.stdout)["fingerprint"] == json.loads(alone.stdout)["fingerprint"]
    assert not [p for p in tmp_path.glob("home/work/*/*") if p.is_dir()]


def _done(journal: Path) -> int:
    return int(json.loads(journal.read_text().partition("\nsha256:")[0])["done"])


@pytest.mark.skipif(not KERMANY.is_dir(), reason="SYNTHWORTH_DATA holds no kermany folder")
def test_real_films_are_cached_and_loaded_back(tmp_path, capsys) -> None:
    rows = read_rows(KERMANY / "metadata.csv")
    some = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:400]]
    write_rows(tmp_path, some)
    command = ["--data.path", str(KERMANY), "--data.table", str(tmp_path / "metadata.csv"), "--data.size", "32"]
    assert main([*command, "--home", str(tmp_path / "home"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["notes"]["not_in_table"] == 5856 - 400
    sets: dict[str, ImageSet] = {
        split: datasets.get("folder")().load(Path(said["folder"]), Split(split)) for split in said["images"]
    }
    assert sum(map(len, sets.values())) == 400
    patients = [set(images.groups) for images in sets.values()]
    assert sum(map(len, patients)) == len(set().union(*patients)) == len({row["patient_id"] for row in some})
    for images in sets.values():
        assert images.images.float().std() > 20
