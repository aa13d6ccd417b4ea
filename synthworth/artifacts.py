"""The artifact store: what has been made is kept under its key, and published whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from synthworth.errors import UserError
from synthworth.files import MANIFEST, damaged, read_file, readable
from synthworth.keys import digest, plain

MAX_JSON = 1 << 30  # bytes
T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    """An artifact in the store.

    Parameters
    ----------
    folder : where its files are; never written again.
    seconds : wall time it took to make, over all its attempts (from the manifest, so a cached one keeps it).
    fresh : whether this call made it.
    """

    folder: Path
    seconds: float
    fresh: bool


class Store:
    """Artifacts by kind and key under one folder (`SYNTHWORTH_HOME`).

    `artifacts/<kind>/<key>/` is finished and immutable; `work/<kind>/<key>/` is half-made and is resumed by the
    next call. A call that finds another process at the same key waits for it. Nothing is ever unpickled.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @classmethod
    def open(cls, home: str | Path | None = None) -> Store:
        """The store at `home`, or at `$SYNTHWORTH_HOME`, or at `.synthworth` in the current folder."""
        return cls(Path(home or os.environ.get("SYNTHWORTH_HOME") or ".synthworth").absolute())

    def path(self, kind: str, key: str) -> Path:
        """Where the artifact is, or would be."""
        return self.home / "artifacts" / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Whether the artifact is finished."""
        return (self.path(kind, key) / MANIFEST).is_file()

    def manifest(self, kind: str, key: str) -> dict[str, Any]:
        """What the artifact was made of, and how long it took."""
        manifest: dict[str, Any] = read_json(self.path(kind, key) / MANIFEST)
        return manifest

    def get_or_make(
        self,
        kind: str,
        identity: Any,
        make: Callable[[Path, Path], None],
        *,
        info: Mapping[str, Any] | None = None,
    ) -> Made:
        """Return the artifact made of `identity`, making it first if it is not there.

        Parameters
        ----------
        kind : the stage ("fit", "pool", ...).
        identity : a configuration whose `digest` is the key.
        make : called as `make(out, scratch)`. Files written to `out` become the artifact; `scratch` holds
            checkpoints, survives a kill, is handed to the next attempt, and is deleted after publication.
        info : facts about the making (versions, host) kept in the manifest, never part of the key.

        Raises
        ------
        Whatever `make` raises; then nothing is published and `scratch` stays for the next attempt.
        """
        key = digest(identity)
        final, work = self.path(kind, key), self.home / "work" / kind / key
        if self.has(kind, key) and not work.is_dir():
            return Made(final, float(self.manifest(kind, key)["seconds"]), fresh=False)
        from filelock import FileLock

        locks = ensure_folder(self.home / "locks")
        with FileLock(locks / f"{kind}-{key}.lock"):
            if self.has(kind, key):
                shutil.rmtree(work, ignore_errors=True)  # left by a kill between publication and tidying up
                return Made(final, float(self.manifest(kind, key)["seconds"]), fresh=False)
            out, scratch = work / "out", work / "scratch"
            shutil.rmtree(out, ignore_errors=True)
            ensure_folder(out)
            ensure_folder(scratch)
            spent = _Clock(work / "seconds.json")
            try:
                with spent:
                    make(out, scratch)
            except BaseException:
                shutil.rmtree(out, ignore_errors=True)
                if not any(scratch.iterdir()):
                    shutil.rmtree(work, ignore_errors=True)
                raise
            write_json(
                out / MANIFEST,
                {
                    "kind": kind,
                    "key": key,
                    "identity": plain(identity),
                    "seconds": spent.total,
                    **dict(info or {}),
                },
            )
            fresh = publish(out, final)
            shutil.rmtree(work, ignore_errors=True)
        return Made(final, spent.total, fresh=fresh)


class _Clock:
    """Wall seconds of one making over several attempts.

    An interrupted attempt's time is counted when it ends by an exception; time lost to `kill -9` since the last
    attempt is not known and not counted.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.total = float(read_json(file)["seconds"]) if file.is_file() else 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.total += time.perf_counter() - self.began
        if kind is not None and self.file.parent.is_dir() and not issubclass(kind, OSError):
            write_json(self.file, {"seconds": self.total})


def publish(made: Path, final: Path) -> bool:
    """Move a finished folder to its place by one rename, its bytes on disk first.

    Returns
    -------
    False when another process was first: its copy stays and ours is deleted.
    """
    sync(made)
    ensure_folder(final.parent)
    try:
        os.rename(made, final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(made)
        return False
    return True


def sync(folder: Path) -> None:
    """Wait until every file below `folder` is on disk."""
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def check_writable(folder: Path) -> None:
    """Refuse a folder that could not be made or written to, without making it.

    Raises
    ------
    UserError
        When the nearest ancestor that exists is no folder, or may not be written to; the message names it.
    """
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"cannot write to {folder}: {nearest} is not a folder. Choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {folder}: permission denied at {nearest}. Choose another folder")


def ensure_folder(folder: Path) -> Path:
    """Make a folder and its parents.

    Raises
    ------
    UserError
        When it cannot be made or written to; the message names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}. Choose another folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {folder}: permission denied. Choose another folder")
    return folder


def write_bytes(file: Path, content: bytes | memoryview, *, sync: bool = True) -> None:
    """Write a file whole: to a neighbour first, then renamed over.

    Parameters
    ----------
    sync : wait until the bytes are on disk, so that they outlive a power cut; without it they outlive only a kill.
    """
    neighbour = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        with neighbour.open("wb") as handle:
            handle.write(content)
            if sync:
                handle.flush()
                os.fsync(handle.fileno())
        os.replace(neighbour, file)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise


def write_json(file: Path, value: Any) -> None:
    """Write indented JSON with a final newline.

    Raises
    ------
    ValueError
        For NaN or infinity.
    """
    write_bytes(file, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(file: Path, *, advice: str | None = None) -> Any:
    """Read JSON.

    Parameters
    ----------
    advice : what to do about a file from elsewhere that is none; one of this suite's own is made again.

    Raises
    ------
    UserError
        When the file is not there, or not JSON; the message names it, and of this suite's own the folder to delete.
    """
    with readable(file, what="JSON", advice=advice):
        return json.loads(read_file(file, at_most=MAX_JSON).decode("utf-8"))


def from_json(kind: type[T], values: Any) -> T:
    """A dataclass from what JSON holds of it, each field as it is typed.

    Lists become tuples, text a path, a whole number a float, a mapping a dataclass. A field that `values` lacks keeps
    its default.

    Raises
    ------
    ValueError
        For a field that `kind` does not have, one that it needs, and a value that is none of its type; the message
        names the field.
    """
    import cattrs

    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(values, kind)
    except cattrs.BaseValidationError as error:
        raise ValueError(f"{kind.__name__}: {'; '.join(cattrs.transform_error(error))}") from error


def write_array(file: Path, array: np.ndarray) -> None:
    """Write one array as .npy, whole or not at all."""
    neighbour = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    ready = np.asarray(array, order="C")
    try:
        with neighbour.open("wb") as handle:
            # not numpy's own write: on a full disk it loses the system's reason
            np.lib.format.write_array_header_2_0(handle, np.lib.format.header_data_from_array_1_0(ready))
            handle.write(ready.reshape(-1).view(np.uint8).data if ready.size else b"")
        os.replace(neighbour, file)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise


def write_table(file: Path, columns: Mapping[str, Any]) -> None:
    """Write named columns as parquet, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink, compression="zstd")
    write_bytes(file, sink.getvalue().to_pybytes())


def read_array(file: Path, *, mapped: bool = False) -> np.ndarray:
    """Read one .npy array; `mapped` leaves the pixels on disk (copy-on-write memory map). Never unpickles.

    Raises
    ------
    UserError
        When the file is not there, empty, cut short, or no array; the message names the folder to delete.
    """
    with readable(file, what="a whole array"):
        # as a map first: numpy takes the memory that is announced before it finds the file too short
        array: np.ndarray = np.lib.format.open_memmap(file, mode="c")
        return array if mapped else np.array(array)


def read_rows(file: Path, *, columns: list[str] | None = None) -> Any:
    """A parquet table that `write_table` wrote, as one of Arrow's.

    Raises
    ------
    UserError
        When the file is not there, or damaged; the message names the folder to delete.
    """
    import pyarrow.parquet as pq

    with readable(file, what="a whole table"):
        return pq.read_table(file, columns=columns)


def write_tensors(file: Path, tensors: Mapping[str, Any]) -> None:
    """Write named tensors as safetensors, whole or not at all."""
    from safetensors.torch import save

    write_bytes(file, save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))


def read_tensors(file: Path) -> dict[str, Any]:
    """Read named tensors that `write_tensors` wrote; they live on the CPU.

    Raises
    ------
    UserError
        When the file is not there, or damaged; the message names the folder to delete.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with readable(file, what="a whole file of tensors"):
            return load_file(file)
    except SafetensorError as error:
        raise damaged(file, f"is damaged ({error})") from error
