"""Files and folders: written whole or not at all, read without unpickling."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from synthworth.errors import UserError
from synthworth.files import damaged, read_file, readable

MAX_JSON = 1 << 30  # bytes
T = TypeVar("T")


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


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A folder beside its place, which does not exist yet; it takes its place when the block ends, else it is gone.

    Raises
    ------
    UserError
        Where its place is taken meanwhile by what is no empty folder.
    """
    made = ensure_folder(final.parent) / f".{final.name}.{uuid.uuid4().hex[:8]}"
    try:
        yield made
        if final.is_dir() and not any(final.iterdir()):
            final.rmdir()
        if not publish(made, final):
            raise UserError(f"{final} was made by somebody else meanwhile. Name another folder")
    finally:
        shutil.rmtree(made, ignore_errors=True)


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
    nearest = nearest_folder(folder)
    if not nearest.is_dir():
        raise UserError(f"cannot write to {folder}: {nearest} is not a folder. Choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {folder}: permission denied at {nearest}. Choose another folder")
    try:  # root may write anywhere, says access, and yet no file system that is read-only takes a file
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror} at {nearest}. Choose another folder") from error


def nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest path above it that exists."""
    found = folder.absolute()
    while not found.exists() and found != found.parent:
        found = found.parent
    return found


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


def write_bytes(file: Path, *content: bytes | memoryview, sync: bool = True) -> None:
    """Write a file whole: to a neighbour first, then renamed over.

    Parameters
    ----------
    content : one piece after another.
    sync : wait until the bytes are on disk, so that they outlive a power cut; without it they outlive only a kill.
    """
    with whole_file(file, sync=sync) as handle:
        for piece in content:
            handle.write(piece)


@contextmanager
def whole_file(file: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place when the block ends, and is gone where it does not end well.

    Parameters
    ----------
    sync : as for `write_bytes`.
    """
    neighbour = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        with neighbour.open("wb") as handle:
            yield handle
            if sync:
                handle.flush()
                os.fsync(handle.fileno())
        os.replace(neighbour, file)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise


def write_parts(file: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON with a line for each of its parts: three quarters of the size of indented JSON.

    Raises
    ------
    ValueError
        For NaN or infinity.
    """
    lines = (
        f"{json.dumps(name)}: {json.dumps(value[name], sort_keys=True, allow_nan=False, separators=(',', ':'))}"
        for name in sorted(value)
    )
    write_bytes(file, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def write_json(file: Path, value: Any, *, sync: bool = True) -> None:
    """Write indented JSON with a final newline.

    Parameters
    ----------
    sync : as for `write_bytes`.

    Raises
    ------
    ValueError
        For NaN or infinity.
    """
    write_bytes(file, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode(), sync=sync)


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


def write_table(file: Path, columns: Mapping[str, Any], *, level: int | None = None) -> None:
    """Write named columns as parquet, whole or not at all.

    Parameters
    ----------
    level : how hard zstd tries, 1 to 22; where it is given, real numbers are split by bytes, which packs them better.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, sink, how = pa.table(dict(columns)), pa.BufferOutputStream(), dict[str, Any]()
    if level is not None:
        real = [field.name for field in table.schema if pa.types.is_floating(field.type)]
        others = [name for name in table.column_names if name not in real]
        split = dict.fromkeys(real, "BYTE_STREAM_SPLIT") or None
        how = {"compression_level": level, "use_dictionary": others, "column_encoding": split}
    pq.write_table(table, sink, compression="zstd", **how)
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
