"""What is said of damage, of what is missing and of what is not used: one line, with the folder or the flag to use."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.request.limits import check_size
from benchmarks.request.options import Options
from benchmarks.run import main
from data.datasets.folder.dataset import Folder, FolderConfig
from data.datasets.folder.given_splits import note_unused_splits
from data.datasets.folder.other_files import note_other_files
from data.mixing import check_ratio, demand
from synthworth.artifacts import read_array, read_json, read_rows, read_tensors, write_array, write_table
from synthworth.commands import OK, WRONG, guarded
from synthworth.errors import LONGEST, UserError
from synthworth.printable import one_line
from synthworth.registry import Registry, load_plugin_file, no_exit
from synthworth.store import Store
from synthworth.work import Budget


def films(folder: Path, *, column: str = "") -> Path:
    """Thirty films with a table, and in it perhaps a column of that name that says train, val and test."""
    rows = [f"image,label,patient_id{',' * bool(column)}{column}"]
    for k in range(30):
        (folder / "x").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"x/{k:02}.png")
        rows.append(f"x/{k:02}.png,{'ab'[k % 2]},p{k}" + (f",{('train', 'val', 'test')[k % 3]}" if column else ""))
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


# -- damage ----------------------------------------------------------------------------------------------------------

READERS: dict[str, Callable[[Path], object]] = {
    "a.npy": read_array,
    "mapped.npy": lambda file: read_array(file, mapped=True),
    "a.json": read_json,
    "a.safetensors": read_tensors,
    "a.parquet": read_rows,
}
DAMAGE: dict[str, Callable[[Path], None]] = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b"") and None,
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-9]) and None,
    "its beginning": lambda file: file.write_bytes(file.read_bytes()[:5]) and None,
    "garbage": lambda file: file.write_bytes(b"\x00\xffgarbage" * 40) and None,
}


@pytest.mark.parametrize("name", list(READERS))
@pytest.mark.parametrize("damage", list(DAMAGE))
@pytest.mark.parametrize("below", ["", "first_stage/deep"])
def test_a_damaged_file_of_an_artifact_names_the_folder_of_the_artifact(
    name: str, damage: str, below: str, tmp_path: Path
) -> None:
    import torch

    from synthworth.artifacts import write_json, write_tensors

    def make(out: Path, _: Path) -> None:
        place = out / below
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "a.json", {"a": list(range(9))})
        write_tensors(place / "a.safetensors", {"a": torch.zeros(9)})
        write_table(place / "a.parquet", {"id": list("abcdef")})
        for file in ("a.npy", "mapped.npy"):
            write_array(place / file, np.arange(9))

    folder = Store(tmp_path).get_or_make("fit", {"a": 1}, make).folder
    file = folder / below / name
    READERS[name](file)
    DAMAGE[damage](file)
    with pytest.raises(UserError) as refused:
        READERS[name](file)
    assert str(file) in str(refused.value)
    assert f"Delete the folder {folder} to have it made again" in str(refused.value)


@pytest.mark.parametrize("name", list(READERS))
def test_an_artifact_that_is_pruned_while_it_is_in_use_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"its folder was taken away while it was in use.* same command makes it again"):
        READERS[name](tmp_path / "pruned" / name)


def test_an_array_that_announces_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 45,)})
    with pytest.raises(UserError, match="is not a whole array"):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a": 1' + "0" * 5000 + "}", '{"a": \xff}'])
def test_json_that_python_gives_up_on_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match="is not JSON"):
        read_json(tmp_path / "a.json")


# -- one line --------------------------------------------------------------------------------------------------------


def test_a_message_is_one_line_of_bounded_length_that_no_terminal_obeys() -> None:
    assert str(UserError("a\nb\x1b[31m\udcff é 北")) == r"a b\x1b[31m\udcff é 北"
    said = str(UserError("asked " + "x" * 10**6 + " advice"))
    assert len(said) <= LONGEST
    assert said.startswith("asked x") and said.endswith("x advice") and "characters left out" in said
    assert one_line(said) == said


def test_a_name_that_is_too_long_for_any_folder_is_one_line(capsys) -> None:
    def command(args: object) -> int:
        return len(Path("a" * 5000).read_bytes())

    assert guarded(command, []) == WRONG
    said = capsys.readouterr().err
    assert "File name too long" in said and said.count("\n") == 1 and len(said) < 2 * LONGEST


# -- requests that no run could be made of ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seeds": 10**9}, r"--seeds 1000000000 .* 1,000 at most"),
        ({"shard": 10**12}, "--shard"),
        ({"workers": 10**6}, "--workers"),
        ({"ratio": tuple(range(1001))}, r"--ratio has 1,001 entries"),
        ({"snapshot_epochs": float("nan")}, "--snapshot-epochs nan"),
        ({"checkpoint_seconds": -1.0}, "--checkpoint-seconds -1"),
        ({"max_train": -1}, "--max-train -1"),
    ],
)
def test_a_request_beyond_all_bounds_is_refused_by_its_flag(options: dict[str, object], match: str) -> None:
    with pytest.raises(UserError, match=match):
        check_size(Options(**options))  # type: ignore[arg-type]
    check_size(Options(seeds=1000))


@pytest.mark.parametrize("args", [("--seeds", "1000000000"), ("--ratio", "1e6"), ("--fit.steps", "1" + "0" * 12)])
def test_a_dry_run_of_it_ends_at_once(args: tuple[str, ...], tmp_path: Path, capsys) -> None:
    flags = ["--preset", "smoke", "--generator", "noise", "--dry-run", "--home", str(tmp_path), *args]
    assert guarded(main, flags) == WRONG
    assert "most" in capsys.readouterr().err


def test_no_arm_takes_more_synthetic_images_than_can_be_held(make_images, monkeypatch) -> None:
    train = make_images((8, 6, 4))
    with pytest.raises(UserError, match=r"--ratio 1e\+06 .* 1,000 at most"):
        check_ratio(1_000_001.0, "add")
    monkeypatch.setattr("data.mixing.MAX_SYNTHETIC", 35)
    with pytest.raises(UserError, match=r"--ratio 2 of 18 training images comes to 36 synthetic images, and 35"):
        demand(train, ratio=2, mode="add")
    assert demand(train, ratio=1.9, mode="add").total == 34


def test_a_budget_has_a_bound() -> None:
    with pytest.raises(UserError, match="1,000,000,000 are the most"):
        Budget(10**9 + 1)


# -- plugins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["0", "'bye'", ""])
def test_a_plugin_file_that_calls_sys_exit_is_named(code: str, tmp_path: Path) -> None:
    file = tmp_path / "ends.py"
    file.write_text(f"import sys\nsys.exit({code})\n")
    with pytest.raises(UserError, match=r"ends\.py, line 2 ended the program by sys\.exit"):
        load_plugin_file(file)


def test_a_call_into_a_plugin_that_exits_is_no_success() -> None:
    with pytest.raises(UserError, match=r"test_advice\.py, line \d+ ended the program by sys\.exit\(0\)"), no_exit():
        sys.exit(0)


@pytest.mark.parametrize("thing", [3, None, sys, "a", [1]], ids=repr)
def test_what_can_be_no_plugin_is_refused_by_its_entry_point(thing: object) -> None:
    registry = Registry("generator", "synthworth.nothing", {})
    registry._add(
        type("Entry", (), {"name": "odd", "source": "package p", "load": lambda self: thing, "lazy": False})()
    )
    with pytest.raises(UserError, match=r"generator 'odd' \(package p\) .*must be a class or a function"):
        registry.get("odd")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("def odd(): pass", "odd is of type function, and a class with a Config"),
        ("class Odd: pass", "odd has no Config"),
        ("class Odd:\n    Config = dict", "odd has no Config"),
        ("class Odd:\n    Config = dataclasses.make_dataclass('C', [])", "odd has no version, fit, sample, save, load"),
        ("class Odd:\n    Config = dataclasses.make_dataclass('C', [('a', int)])", "gen cannot be made: .*'a'"),
    ],
)
def test_a_generator_of_the_wrong_kind_is_one_line(body: str, match: str, tmp_path: Path, capsys) -> None:
    import re

    file = tmp_path / "plug.py"
    file.write_text(f"import dataclasses\nfrom generators.registry import register\n\n\n@register('odd')\n{body}\n")
    flags = ["--plugin", str(file), "--generator", "odd", "--dry-run", "--home", str(tmp_path)]
    assert guarded(main, flags) == WRONG
    assert re.search(match, capsys.readouterr().err)


# -- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_looked_for_below_synthworth_data_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films(tmp_path / "data" / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNTHWORTH_DATA", raising=False)
    with pytest.raises(UserError, match=r"--data\.path mine: no such folder here, and SYNTHWORTH_DATA is not set"):
        Folder(FolderConfig(path=Path("mine"))).source()
    monkeypatch.setenv("SYNTHWORTH_DATA", str(tmp_path / "data"))
    assert len(Folder(FolderConfig(path=Path("mine"))).table) == 30
    assert len(Folder(FolderConfig(table=Path("mine/metadata.csv"))).table) == 30
    with pytest.raises(UserError, match=r"--data\.path yours: no such folder here, nor in SYNTHWORTH_DATA"):
        Folder(FolderConfig(path=Path("yours"))).source()


def test_a_column_that_names_splits_and_is_not_used_is_said(tmp_path: Path, caplog) -> None:
    root = films(tmp_path / "films", column="fold_name")
    with caplog.at_level(logging.WARNING):
        Folder(FolderConfig(path=root)).prepare(tmp_path / "out")
    said = "columns that may hold splits and are not used (--data.split-column): fold_name"
    assert said in caplog.text
    assert not any(
        "may hold splits" in note for note in Folder(FolderConfig(path=root, split_column="fold_name")).table.notes
    )


def test_only_a_column_whose_every_word_is_a_split_is_one() -> None:
    columns = {
        "split": ["train", "val", ""], "Set": ["TRAIN", "Testing", "train"], "one": ["train"] * 3,
        "label": ["train", "bus", "test"], "id": ["1", "2", "3"],
    }  # fmt: skip
    assert list(note_unused_splits(columns).values()) == ["split, Set"]


def test_a_class_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = films(tmp_path / "films")
    (root / "metadata.csv").unlink()
    shutil.copytree(root / "x", root / "y")
    scan = os.scandir

    def refuse(path: object = ".") -> object:
        if str(path).endswith("films/y"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"films/y cannot be listed: Permission denied"):
        Folder(FolderConfig(path=root)).source()
    said = note_other_files(root, taken=[], is_film=lambda _: True)
    assert said == {"folders that cannot be listed, left alone": "1 (y)"}


def test_a_finished_home_that_cannot_be_written_to_is_read(tmp_path: Path, monkeypatch, capsys) -> None:
    flags = ["--preset", "smoke", "--generator", "noise", "--extractors", "--seeds", "1", "--train.steps", "1",
             "--workers", "1", "--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs")]  # fmt: skip
    assert guarded(main, flags) == OK
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    monkeypatch.setattr(os, "mkdir", lambda path, *_: (_ for _ in ()).throw(OSError(30, "Read-only", str(path))))
    assert guarded(main, flags) == OK
    assert guarded(main, [*flags, "--dry-run"]) == OK
    assert guarded(main, [*flags, "--ratio", "1", "--dry-run"]) == OK
    capsys.readouterr()
    assert guarded(main, [*flags, "--ratio", "1"]) == WRONG
    assert "permission denied" in capsys.readouterr().err
