"""An npz as MedMNIST publishes them: its six arrays, bounded before they are unpacked; nothing in it is unpickled."""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from synthworth.errors import UserError

KEYS = tuple(f"{split}_{what}" for split in ("train", "val", "test") for what in ("images", "labels"))
MAX_BYTES = 24 << 30  # unpacked; the largest published set has 16 GiB
MORE_THAN_ANY, MAX_RATIO = 256 << 20, 200  # so many bytes packed so tightly are no pictures
DAMAGED = (
    ValueError, OSError, EOFError, LookupError, TypeError, SyntaxError, TokenError, RecursionError, OverflowError,
    NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip
"""What zipfile and numpy raise of bytes that make no sense."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The six published arrays of an npz; pickled objects in it are refused.

    Raises
    ------
    UserError
        When the file is not an npz, lacks a key, or is damaged.
    """
    try:
        is_zip = zipfile.is_zipfile(path)
    except zipfile.BadZipFile as error:
        raise _unreadable(path, error) from error
    if not is_zip:
        raise UserError(f"{path} is not an npz file. Pass one with {', '.join(KEYS)}")
    _refuse_bombs(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive.files]
            if missing:
                there = ", ".join(archive.files) or "nothing"
                raise UserError(f"{path} lacks {', '.join(missing)}; it holds {there}")
            return {key: archive[key] for key in KEYS}
    except MemoryError as error:
        raise UserError(f"{path} does not fit into memory: {error}. Take a smaller set, or a larger machine") from error
    except DAMAGED as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read: {' '.join(str(error).split())}. Fetch it again")


def _refuse_bombs(path: Path) -> None:
    """Refuse what unpacks to more than any published set, or to far more than pictures can: before it is unpacked.

    What an array announces beyond what is packed is refused too: its memory would be taken first.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            wanted = [members[name] for key in KEYS if (name := f"{key}.npy") in members]
            unpacked, packed = sum(m.file_size for m in wanted), sum(m.compress_size for m in wanted)
            if unpacked > MAX_BYTES or (unpacked > MORE_THAN_ANY and unpacked > MAX_RATIO * max(packed, 1)):
                raise UserError(
                    f"{path} has {packed:,} bytes that unpack to {unpacked:,}, as no set of images does. Fetch it again"
                )
            for member in wanted:
                with archive.open(member) as handle:
                    _refuse_announced(handle, member.file_size)
    except DAMAGED as error:
        raise _unreadable(path, error) from error


def _refuse_announced(handle: IO[bytes], n_bytes: int) -> None:
    """Compare the header of a .npy with the bytes there are. Raises ValueError and what numpy does."""
    version = np.lib.format.read_magic(handle)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(handle)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > n_bytes:
        raise ValueError(f"an array of {shape} {dtype} is announced, and {n_bytes:,} bytes are there")
