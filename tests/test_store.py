"""What is stored is checked when it is read: what is damaged is named, moved aside and made again."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthworth import manifest as manifests
from synthworth.artifacts import write_array, write_json
from synthworth.commands import guarded
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.manifest import MANIFEST
from synthworth.sealed import read_sealed
from synthworth.store import Store

IDENTITY = {"generator": "g", "steps": 3}
KEY = digest(IDENTITY)
FILES = ["answer.json", "inner/weights.npy", "notes.csv", MANIFEST]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def make(out: Path, scratch: Path) -> None:
    write_json(out / "answer.json", {"auroc": 0.75})
    (out / "inner").mkdir()
    write_array(out / "inner" / "weights.npy", np.arange(500, dtype=np.float32))
    (out / "notes.csv").write_text("step,loss\n1,0.5\n")


def made(store: Store) -> Path:
    """A finished artifact, as a new process meets it: nothing of it was compared yet."""
    folder = store.get_or_make("fit", IDENTITY, make).folder
    manifests._verified.clear()
    return folder


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def is_as_made(folder: Path) -> bool:
    answer = json.loads((folder / "answer.json").read_text())
    return answer == {"auroc": 0.75} and bool((np.load(folder / "inner" / "weights.npy") == np.arange(500)).all())


@pytest.mark.parametrize("at", [0.1, 0.35, 0.6, 0.99])
@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_named_and_the_artifact_made_again(
    store: Store, caplog: pytest.LogCaptureFixture, name: str, at: float
) -> None:
    folder = made(store)
    flip(folder / name, int(at * (folder / name).stat().st_size) - 1)
    again = store.get_or_make("fit", IDENTITY, make)
    assert again.fresh and is_as_made(again.folder)
    (aside,) = (store.home / "damaged" / "fit").iterdir()
    assert f"the stored fit {KEY[:12]} is damaged ({name}" in caplog.text and str(aside) in caplog.text


HARMS: dict[str, Callable[[Path], object]] = {
    "a byte more": lambda f: f.write_bytes(f.read_bytes() + b"0"),
    "cut short": lambda f: f.write_bytes(f.read_bytes()[:-2]),
    "empty": lambda f: f.write_bytes(b""),
    "missing": lambda f: f.unlink(),
    "a folder": lambda f: (f.unlink(), f.mkdir()),
    "a link to nowhere": lambda f: (f.unlink(), f.symlink_to("nowhere")),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", FILES)
def test_files_of_another_size_are_seen_at_every_look(store: Store, name: str, harm: str) -> None:
    folder = store.get_or_make("fit", IDENTITY, make).folder
    assert store.has("fit", KEY) and store.has("fit", KEY, deep=True)
    HARMS[harm](folder / name)
    assert not store.has("fit", KEY)
    with pytest.raises(UserError, match=rf"{name}.*The same command makes it again"):
        store.read("fit", KEY)
    again = store.get_or_make("fit", IDENTITY, make)
    assert again.fresh and is_as_made(again.folder)
    assert store.read("fit", KEY) == folder


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        "3",
        '{"seconds": 1}',
        "[" * 100_000,
        '{"seconds": NaN}',
        "\0",
        '{"a": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_a_folder_without_a_readable_manifest_is_moved_aside_and_made_again(store: Store, content: str) -> None:
    folder = made(store)
    (folder / MANIFEST).write_text(content)
    assert not store.has("fit", KEY)
    assert store.get_or_make("fit", IDENTITY, make).fresh
    assert len(list((store.home / "damaged" / "fit").iterdir())) == 1


@pytest.mark.parametrize("there", ["empty folder", "file", "link"])
def test_what_lies_where_an_artifact_belongs_is_moved_aside(store: Store, there: str) -> None:
    place = store.path("fit", KEY)
    place.parent.mkdir(parents=True)
    {"empty folder": place.mkdir, "file": place.touch, "link": lambda: place.symlink_to("nowhere")}[there]()
    again = store.get_or_make("fit", IDENTITY, make)
    assert again.fresh and is_as_made(again.folder)


def test_an_artifact_under_another_key_or_kind_is_not_taken(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    folder = made(store)
    other = {"generator": "other", "steps": 3}
    for kind, identity in (("fit", other), ("pool", IDENTITY)):
        place = store.path(kind, digest(identity))
        shutil.copytree(folder, place)
        assert not store.has(kind, digest(identity))
        assert store.get_or_make(kind, identity, lambda out, _: write_json(out / "mine.json", 1)).fresh
        assert (place / "mine.json").is_file()
        assert f"{MANIFEST} is that of fit {KEY[:12]}" in caplog.text


def test_a_file_that_was_not_published_is_a_question(store: Store) -> None:
    folder = made(store)
    (folder / ".DS_Store").write_text("of a file manager")
    assert store.has("fit", KEY, deep=True)
    write_array(folder / "logits.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"logits\.npy is no part of the stored fit it lies in\. Move it elsewhere"):
        store.get_or_make("fit", IDENTITY, make)


def test_digests_are_compared_once_a_process_and_sizes_always(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made(store)
    read: list[str] = []
    whole = manifests._sha256
    monkeypatch.setattr(manifests, "_sha256", lambda file: (read.append(file.name), whole(file))[1])
    for _ in range(3):
        assert not store.get_or_make("fit", IDENTITY, make).fresh
    assert sorted(read) == ["answer.json", "notes.csv", "weights.npy"]


def test_an_artifact_of_an_earlier_version_is_taken_and_gets_its_digests(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_told", set())
    folder = made(store)
    old = {k: v for k, v in json.loads((folder / MANIFEST).read_text()).items() if k not in ("files", "sha256")}
    write_json(folder / MANIFEST, old)
    assert not store.get_or_make("fit", IDENTITY, make).fresh
    assert "stored by an earlier version, without digests" in caplog.text
    assert set(json.loads((folder / MANIFEST).read_text())["files"]) == {*FILES} - {MANIFEST}
    flip(folder / "notes.csv", 3)
    assert store.get_or_make("fit", IDENTITY, make).fresh


def test_an_old_manifest_of_other_settings_is_not_taken(store: Store) -> None:
    folder = made(store)
    old = {k: v for k, v in json.loads((folder / MANIFEST).read_text()).items() if k not in ("files", "sha256")}
    write_json(folder / MANIFEST, {**old, "identity": {**old["identity"], "steps": 4}})
    assert not store.has("fit", KEY)


def test_a_finished_store_is_read_where_nothing_can_be_written(
    store: Store, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    made(store)
    code = f"""
import os, sys
def refuse(event, args):
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR) and "home" in str(args[0]):
        raise PermissionError(30, "Read-only file system", args[0])
    if event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") and "home" in str(args[0]):
        raise PermissionError(30, "Read-only file system", args[0])
from pathlib import Path
from typing import Any
from synthworth.sealed import read_sealed
from synthworth.store import Store
store = Store(Path({str(store.home)!r}))
sys.addaudithook(refuse)
made = store.get_or_make("fit", {IDENTITY!r}, None)
print(made.fresh, made.folder)
"""
    done = run_python("-c", code)
    assert done.stdout == f"False {store.path('fit', KEY)}\n", done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_damaged_artifact_that_cannot_be_moved_is_named(store: Store) -> None:
    folder = made(store)
    flip(folder / "answer.json", 5)
    folder.parent.chmod(0o500)
    with pytest.raises(UserError, match=r"is damaged \(answer\.json .*cannot be moved aside"):
        store.get_or_make("fit", IDENTITY, make)
    folder.parent.chmod(0o700)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Opening a published file of that name fails."""

    def refusing(opener: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, *args: Any, **more: Any) -> Any:
            if str(file).endswith(name) and "artifacts" in str(file):
                raise OSError(number, os.strerror(number), str(file))
            return opener(file, *args, **more)

        return opened

    monkeypatch.setattr(os, "open", refusing(os.open))
    monkeypatch.setattr(io, "open", refusing(io.open))


@pytest.mark.parametrize("name", [MANIFEST, "answer.json"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ESTALE, errno.ETIMEDOUT, errno.ENOLCK])
def test_a_file_that_cannot_be_read_just_now_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    made(store)
    with monkeypatch.context() as patched:
        refuse(patched, name, number)
        with pytest.raises(UserError, match=rf"{name} cannot be read: .*It is left as it is"):
            store.get_or_make("fit", IDENTITY, make)
    assert not (store.home / "damaged").exists()
    assert not store.get_or_make("fit", IDENTITY, make).fresh


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE])
def test_a_store_that_cannot_be_looked_into_is_not_empty(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    made(store)
    look = os.lstat

    def refused(path: Any, **more: Any) -> os.stat_result:
        if KEY in str(path):
            raise OSError(number, os.strerror(number), str(path))
        return look(path, **more)

    monkeypatch.setattr(os, "lstat", refused)
    with pytest.raises(UserError, match=r"cannot be read: "):
        store.has("fit", KEY)


@pytest.mark.parametrize("name", [MANIFEST, "answer.json"])
def test_a_file_that_the_disk_lost_is_made_again(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = made(store)
    with monkeypatch.context() as patched:
        refuse(patched, name, errno.EIO)
        assert store.fault("fit", KEY, deep=True) == f"{name} cannot be read ({os.strerror(errno.EIO)})"
        store.get_or_make("fit", IDENTITY, lambda out, _: write_json(out / "mine.json", 1))
    assert len(list((store.home / "damaged" / "fit").iterdir())) == 1 and not (folder / "answer.json").exists()


@pytest.mark.parametrize(
    "files",
    [[], "abc", None, {"x": 3}, {"x": None}, {"x": {"size": "a", "sha256": "b"}}, {"x": {"size": 1}},
     {"../x": {"size": 1, "sha256": "b"}}, {"/x": {"size": 1, "sha256": "b"}}, {"a\0": {"size": 1, "sha256": "b"}},
     {"n" * 300: {"size": 1, "sha256": "b"}}],
)  # fmt: skip
def test_a_manifest_that_was_edited_with_its_digest_is_no_traceback(store: Store, files: Any) -> None:
    folder = made(store)
    said = {k: v for k, v in json.loads((folder / MANIFEST).read_text()).items() if k != "sha256"} | {"files": files}
    write_json(folder / MANIFEST, {**said, "sha256": digest(said)})
    again = store.get_or_make("fit", IDENTITY, make)
    assert again.fresh and is_as_made(again.folder)


def fail(out: Path, scratch: Path) -> None:
    (scratch / "kept").write_text("1")
    time.sleep(0.1)
    raise RuntimeError("half way")


@pytest.mark.parametrize("content", ['{"seconds": 5000.0}', '{"seconds": -3}', "{}", "[]", "null", "", "\0"])
def test_the_time_of_an_attempt_is_believed_as_it_was_written_or_not_at_all(
    store: Store, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError):
            store.get_or_make("fit", IDENTITY, fail)
    (file,) = store.home.glob("work/fit/*/*/*/seconds.json")
    assert read_sealed(file) is not None
    file.write_text(content)
    assert 0 <= store.get_or_make("fit", IDENTITY, make).seconds < 60
    assert "seconds.json is damaged" in caplog.text


def test_the_time_of_earlier_attempts_is_counted(store: Store) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError):
            store.get_or_make("fit", IDENTITY, fail)
    assert store.get_or_make("fit", IDENTITY, make).seconds >= 0.2


def test_a_damaged_artifact_is_moved_to_another_disk_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rename = made(store), os.rename
    flip(folder / "answer.json", 5)

    def across(a: Any, b: Any, **more: Any) -> None:
        if str(b).startswith(str(store.home / "damaged")):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(a))
        rename(a, b, **more)

    monkeypatch.setattr(os, "rename", across)
    assert store.get_or_make("fit", IDENTITY, make).fresh
    (aside,) = (store.home / "damaged" / "fit").iterdir()
    assert sorted(p.relative_to(aside).as_posix() for p in aside.rglob("*") if p.is_file()) == sorted(FILES)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOLCK, errno.EOPNOTSUPP, errno.EMFILE, errno.EXDEV])
def test_a_disk_that_fails_is_one_line(capsys: pytest.CaptureFixture[str], number: int) -> None:
    def command(args: Any) -> int:
        raise OSError(number, os.strerror(number), "/home/work")

    assert guarded(command, []) == 2
    assert capsys.readouterr().err == f"error: cannot use '/home/work': {os.strerror(number)}\n"
