"""What is made is made once, published whole or not at all, and survives being killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthworth import artifacts
from synthworth.artifacts import (
    check_writable,
    ensure_folder,
    publish,
    read_array,
    read_json,
    write_array,
    write_bytes,
    write_json,
)
from synthworth.errors import CANNOT_WRITE, UserError
from synthworth.keys import digest
from synthworth.manifest import MANIFEST
from synthworth.store import Store

IDENTITY = {"generator": "g", "steps": 3}
KEY = digest(IDENTITY)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def write_answer(out: Path, scratch: Path) -> None:
    (out / "answer.txt").write_text("42")


def published(store: Store) -> list[Path]:
    """Everything below the folder of finished artifacts."""
    return sorted((store.home / "artifacts").rglob("*"))


def strays(folder: Path) -> list[Path]:
    """Half-written neighbours of files."""
    return [p for p in folder.rglob("*") if p.name.startswith(".")]


def test_an_artifact_is_made_once(store: Store) -> None:
    calls = []

    def make(out: Path, scratch: Path) -> None:
        calls.append(1)
        write_answer(out, scratch)

    first = store.get_or_make("fit", IDENTITY, make, info={"host": "here"})
    second = store.get_or_make("fit", {"steps": 3.0, "generator": "g"}, make)
    assert len(calls) == 1
    assert (first.fresh, second.fresh) == (True, False)
    assert first.folder == second.folder == store.path("fit", KEY)
    assert second.seconds == pytest.approx(first.seconds)
    assert (second.folder / "answer.txt").read_text() == "42"
    assert store.has("fit", KEY) and not store.has("pool", KEY)
    assert store.manifest("fit", KEY)["identity"] == IDENTITY
    assert store.manifest("fit", KEY)["host"] == "here"


def test_what_is_published_leaves_no_work_behind(store: Store) -> None:
    store.get_or_make("fit", IDENTITY, lambda out, scratch: (scratch / "ckpt").write_text("x") and None)
    assert not (store.home / "work" / "fit" / KEY).exists()
    assert not strays(store.home)


def test_a_failure_publishes_nothing_and_its_scratch_goes_on(store: Store) -> None:
    def fail(out: Path, scratch: Path) -> None:
        (out / "half.txt").write_text("half")
        (scratch / "step").write_text("7")
        raise RuntimeError("the loss is nan")

    with pytest.raises(RuntimeError, match="loss is nan"):
        store.get_or_make("fit", IDENTITY, fail)
    assert not store.has("fit", KEY)
    assert not published(store)

    def resume(out: Path, scratch: Path) -> None:
        assert (scratch / "step").read_text() == "7"
        assert not list(out.iterdir())
        write_answer(out, scratch)

    made = store.get_or_make("fit", IDENTITY, resume)
    assert sorted(p.name for p in made.folder.iterdir()) == ["answer.txt", MANIFEST]


def test_seconds_are_counted_over_all_attempts(store: Store) -> None:
    def slow(out: Path, scratch: Path) -> None:
        (scratch / "step").write_text("1")
        time.sleep(0.05)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        store.get_or_make("fit", IDENTITY, slow)
    made = store.get_or_make("fit", IDENTITY, write_answer)
    assert made.seconds >= 0.05
    assert store.manifest("fit", KEY)["seconds"] == made.seconds


def test_a_loser_of_a_race_keeps_the_winners_copy(tmp_path: Path) -> None:
    final = tmp_path / "final"
    for name in ("winner", "loser"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who.txt").write_text(name)
    assert publish(tmp_path / "winner", final) is True
    assert publish(tmp_path / "loser", final) is False
    assert (final / "who.txt").read_text() == "winner"
    assert not (tmp_path / "loser").exists()


def test_two_that_ask_at_once_make_it_once(store: Store) -> None:
    calls: list[int] = []
    found: list[Any] = []
    together = threading.Barrier(4)

    def make(out: Path, scratch: Path) -> None:
        calls.append(1)
        time.sleep(0.05)
        write_answer(out, scratch)

    def ask() -> None:
        together.wait()
        found.append(store.get_or_make("fit", IDENTITY, make))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert sum(made.fresh for made in found) == 1
    assert len({made.folder for made in found}) == 1


def test_a_maker_killed_by_the_system_leaves_nothing_and_the_next_goes_on(
    store: Store, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    code = f"""
import os, signal
from pathlib import Path
from synthworth.store import Store
def make(out, scratch):
    (out / "half.txt").write_text("half")
    (scratch / "step").write_text("7")
    os.kill(os.getpid(), signal.SIGKILL)
Store(Path({str(store.home)!r})).get_or_make("fit", {IDENTITY!r}, make)
"""
    assert run_python("-c", code).returncode == -signal.SIGKILL
    assert not published(store)
    seen = []

    def make(out: Path, scratch: Path) -> None:
        seen.append(((scratch / "step").read_text(), list(out.iterdir())))
        write_answer(out, scratch)

    assert store.get_or_make("fit", IDENTITY, make).fresh
    assert seen == [("7", [])]


def test_another_process_at_the_same_key_is_waited_for(store: Store) -> None:
    code = f"""
import sys, time
from pathlib import Path
from synthworth.store import Store
def make(out, scratch):
    print("begun", flush=True)
    sys.stdin.read()
    (out / "answer.txt").write_text("theirs")
Store(Path({str(store.home)!r})).get_or_make("fit", {IDENTITY!r}, make)
"""
    root = Path(__file__).resolve().parent.parent
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert other.stdout is not None and other.stdout.readline() == "begun\n"
    found: list[Any] = []
    mine = threading.Thread(target=lambda: found.append(store.get_or_make("fit", IDENTITY, write_answer)))
    mine.start()
    other.communicate("")
    mine.join(timeout=60)
    assert (found[0].folder / "answer.txt").read_text() == "theirs"
    assert not found[0].fresh


# -- folders and disks that refuse --------------------------------------------------------------------------------


def test_a_home_that_cannot_be_written_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    blocked = tmp_path / "file" / "home"
    with pytest.raises(UserError, match=r"cannot write to .*file/home"):
        Store(blocked).get_or_make("fit", IDENTITY, write_answer)
    with pytest.raises(UserError, match="Choose another folder"):
        ensure_folder(blocked)
    with pytest.raises(UserError, match="is not a folder"):
        check_writable(blocked)


def test_checking_a_folder_does_not_make_it(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_file_system_that_takes_no_file_is_refused_even_for_the_superuser() -> None:
    with pytest.raises(UserError, match=r"cannot write to /proc/x: .* at /proc\. Choose another folder"):
        check_writable(Path("/proc/x"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="permission denied"):
        check_writable(tmp_path / "home")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("write", ["write_array", "write_bytes", "write_table", "plain"])
def test_files_that_may_not_grow_publish_nothing(
    store: Store, run_python: Callable[..., subprocess.CompletedProcess[str]], write: str
) -> None:
    code = f"""
import resource
from pathlib import Path
import numpy as np
from synthworth.artifacts import write_array, write_bytes, write_table
from synthworth.store import Store
def make(out, scratch):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    if {write!r} == "write_array":
        write_array(out / "a.npy", np.zeros(100_000))
    elif {write!r} == "write_bytes":
        write_bytes(out / "a.bin", bytes(100_000))
    elif {write!r} == "write_table":
        write_table(out / "a.parquet", {{"a": np.random.default_rng(0).random(100_000)}})
    else:
        (out / "a.bin").write_bytes(bytes(100_000))
try:
    Store(Path({str(store.home)!r})).get_or_make("fit", {IDENTITY!r}, make)
except OSError as error:
    print("refused", error.errno)
"""
    done = run_python("-c", code)
    assert done.stdout == f"refused {errno.EFBIG}\n", done.stderr
    assert not published(store)
    assert not strays(store.home)
    assert store.get_or_make("fit", IDENTITY, write_answer).fresh


@pytest.mark.parametrize("function", ["fsync", "rename", "replace"])
def test_a_full_disk_publishes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    def make(out: Path, scratch: Path) -> None:
        write_json(out / "answer.json", 42)

    with monkeypatch.context() as patched:
        patched.setattr(artifacts.os, function, full)
        with pytest.raises(OSError) as caught:
            store.get_or_make("fit", IDENTITY, make)
    assert caught.value.errno in CANNOT_WRITE
    assert not store.has("fit", KEY)
    assert not (store.path("fit", KEY)).exists()
    assert not strays(store.home)
    assert store.get_or_make("fit", IDENTITY, make).fresh


# -- files --------------------------------------------------------------------------------------------------------


def test_a_write_that_breaks_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(artifacts.os, "replace", full)
        for write in (lambda: write_bytes(file, b"new"), lambda: write_array(file, np.zeros(3))):
            with pytest.raises(OSError, match="No space"):
                write()
    assert read_json(file) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_json_takes_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_broken_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"cut\.json is not JSON"):
        read_json(tmp_path / "cut.json")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1,), (5, 0), ()])
def test_arrays_come_back_as_they_were(tmp_path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 7).astype(dtype).reshape(shape).T
    write_array(tmp_path / "a.npy", array)
    for mapped in (False,) if 0 in shape else (False, True):  # nothing can be mapped of an empty file
        back = read_array(tmp_path / "a.npy", mapped=mapped)
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert np.array_equal(back, array)


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    with pytest.raises((TypeError, ValueError)):
        write_array(file, np.array([{"a": 1}], dtype=object))
    assert not list(tmp_path.iterdir())
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"not a whole array \(.*objects"):
        read_array(file)


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    import torch

    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor([1, 2])}
    artifacts.write_tensors(tmp_path / "a.safetensors", tensors)
    back = artifacts.read_tensors(tmp_path / "a.safetensors")
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in tensors.items()}


def test_the_home_is_the_argument_then_the_environment_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(tmp_path / "env"))
    assert Store.open(tmp_path / "arg").home == tmp_path / "arg"
    assert Store.open().home == tmp_path / "env"
    monkeypatch.delenv("SYNTHWORTH_HOME")
    assert Store.open().home == tmp_path / ".synthworth"
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_behind_after_publication_is_tidied_up(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    made = store.get_or_make("fit", {"a": 1}, lambda out, _: write_json(out / "x.json", 1))
    left = tmp_path / "work" / "fit" / made.folder.name
    (left / "scratch").mkdir(parents=True)
    again = store.get_or_make("fit", {"a": 1}, lambda out, _: pytest.fail("made again"))
    assert (again.folder, again.fresh) == (made.folder, False)
    assert not left.exists()
