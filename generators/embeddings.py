"""Embeddings of images that were extracted elsewhere, read from a file by image id."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthworth.errors import UserError
from synthworth.training.weight_files import require_file


def read_embeddings(file: Path, ids: Sequence[str], *, shape: tuple[int, int]) -> np.ndarray:
    """Read one embedding for each id, in order.

    Parameters
    ----------
    file : .npz with an array for each id, or with `ids` (B,) and `embeddings` (B, ...); .parquet with columns `id` and
        `embedding` (a list, or a list of lists).
    shape : (T, W); flat vectors of T * W numbers are folded.

    Returns
    -------
    float32 (N, T, W).

    Raises
    ------
    UserError
        When the file is missing, of another kind or damaged, lacks an id, or holds an embedding of another shape.
    """
    there, read = open_embeddings(file)
    lacking = [name for name in ids if name not in there]
    if lacking:
        raise UserError(
            f"{file} lacks the embeddings of {len(lacking)} of {len(ids)} training images, {lacking[0]!r} for one"
        )
    found = np.empty((len(ids), *shape), dtype=np.float32)
    for row, name in enumerate(ids):
        one = _read_one(read, name, file)
        if one.shape not in (shape, (shape[0] * shape[1],)):
            raise UserError(
                f"the embedding of {name!r} in {file} has shape {one.shape}, and {shape} was asked for; set "
                "--gen.condition.embedding-shape to what the file holds"
            )
        found[row] = one.reshape(shape)
    return found


def open_embeddings(file: Path) -> tuple[set[str], Callable[[str], Any]]:
    """The ids of a file of embeddings, and what reads the one of an id; see `read_embeddings`.

    Raises
    ------
    UserError
        When the file is missing, a folder, of another kind or damaged.
    """
    found = require_file(file, what="--gen.condition.embeddings")
    readers: dict[str, Callable[[Path], tuple[set[str], Callable[[str], Any]]]] = {
        ".npz": _open_npz,
        ".parquet": _open_parquet,
    }
    if found.suffix.lower() not in readers:
        raise UserError(f"{file} is neither .npz nor .parquet")
    return readers[found.suffix.lower()](found)


def _read_one(read: Callable[[str], Any], name: str, file: Path) -> np.ndarray:
    try:
        return np.asarray(read(name), dtype=np.float32)
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"the embedding of {name!r} in {file} cannot be read ({reason}). Write the file again"
        ) from error


def _open_npz(file: Path) -> tuple[set[str], Callable[[str], Any]]:
    try:
        if not zipfile.is_zipfile(file):
            raise UserError(f"{file} is not an .npz, or cut short")
        arrays = np.load(file, allow_pickle=False)
        if set(arrays.files) != {"ids", "embeddings"}:
            return set(arrays.files), arrays.__getitem__
        at = {str(name): row for row, name in enumerate(arrays["ids"])}
        values = arrays["embeddings"]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{file} cannot be read ({reason}). Write it again, as plain arrays") from error
    if len(values) != len(at):
        raise UserError(f"{file} holds {len(values)} embeddings of {len(at)} ids")
    return set(at), lambda name: values[at[name]]


def _open_parquet(file: Path) -> tuple[set[str], Callable[[str], Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, columns=["id", "embedding"])
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file} cannot be read ({str(error).splitlines()[0]})") from error
    missing = {"id", "embedding"} - set(table.column_names)
    if missing:
        raise UserError(f"{file} has no column {min(missing)!r}; it needs `id` and `embedding`")
    at = {str(name): row for row, name in enumerate(table["id"].to_pylist())}
    values = table["embedding"]
    return set(at), lambda name: _stacked(values[at[name]].as_py())


def _stacked(value: Any) -> np.ndarray:
    """Nested lists as one array; rows of several lengths keep the first's, so that the shape is seen to be wrong."""
    try:
        return np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError):
        return np.empty(0, dtype=np.float32)
