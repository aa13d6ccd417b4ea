"""Weights files of other people's making: which tensors they hold by name. Nothing in them is executed."""

from __future__ import annotations

import logging
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

PICKLE = b"\x80"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
"""What weights files are usually called; what a file is, is told by its first bytes."""
TORCH_BEFORE_ZIP = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number that a file of torch before 1.6 begins with, two bytes of the protocol before it."""
MAX_DEPTH, MAX_NAME = 100, 1000
"""Mappings in mappings, and letters of a tensor's name: no network has so many."""
MAX_INFLATION = 4
"""Torch stores its numbers unpacked: a zip that unpacks to more than so many times itself is none of its own."""
NEEDS = re.compile(r"GLOBAL ([\w.]+)")
"""Where torch says which type it will not unpickle."""


def require_file(file: Path, *, what: str) -> Path:
    """The file of that path, `~` expanded.

    Parameters
    ----------
    what : what it was asked for with, "--clf.weights" for one.

    Raises
    ------
    UserError
        When there is no such file, or it is a folder; the message names the files that could be meant.
    """
    try:
        found = Path(file).expanduser()
    except RuntimeError as error:  # there is no such user
        raise UserError(f"{what} {file}: no such file") from error
    if found.is_dir():
        inside = sorted(f.name for f in found.iterdir() if f.suffix in SUFFIXES)
        held = f"it holds {', '.join(inside[:3])}" if inside else "it holds no weights file"
        raise UserError(f"{what} {file} is a folder, and one file is needed: {held}")
    if not found.is_file():
        raise UserError(f"{what} {file}: no such file")
    return found


def read_weights(file: Path, *, what: str, advice: str = "Fetch it again, or name another") -> dict[str, Tensor]:
    """The tensors of a weights file, in safetensors or torch's format, whatever the file is called.

    What is nested is named by its path: `{"model": {"conv1.weight": t}, "epoch": 3}` holds `model.conv1.weight`.

    Parameters
    ----------
    what : what it was asked for with, for the error.
    advice : what to do about a file that cannot be read.

    Returns
    -------
    Tensors on the CPU, by name.

    Raises
    ------
    UserError
        When there is no such file, it is cut short or something else than weights, or holds more than plain tensors:
        that would have to be unpickled.
    """
    found = require_file(file, what=what)
    with warnings.catch_warnings(record=True) as said:
        content, why = _open(found)
        try:
            named = {} if why else _flat(content)
        except _Senseless as error:
            named, why = {}, str(error)
    if not named:
        raise UserError(f"{what} {file} {why or 'holds no named tensors'}. {advice}")
    for warning in said:  # of a file that is refused the refusal says what is wrong with it, in its one line
        logger.warning("%s %s: %s", what, file, " ".join(str(warning.message).split()))
    return named


class _Senseless(Exception):
    """What a file holds is no network's; the message is the reason."""


def _open(file: Path) -> tuple[Any, str]:
    """What the file holds, and "" or why it cannot be read."""
    with file.open("rb") as handle:
        head = handle.read(64)
    if not head:
        return {}, "cannot be read: it is empty"
    text = head.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return {}, "cannot be read: it is a pointer of Git LFS, not the file itself (git lfs pull fetches it)"
    if text.startswith(b"<"):
        return {}, "cannot be read: it is a web page (HTML or XML)"
    if text.startswith((b"{", b"[")):
        return {}, "cannot be read: it is JSON, no weights"
    try:
        is_zip = zipfile.is_zipfile(file)
    except zipfile.BadZipFile as error:  # it looks like one, and says that it goes on in another file
        return {}, f"cannot be read: it is a damaged zip ({error})"
    if head[8:9] == b"{" and not is_zip:
        return _open_safetensors(file)
    if is_zip and _unpacked(file) > MAX_INFLATION * file.stat().st_size:
        return {}, "cannot be read: it unpacks to many times its size, as no weights file of torch does"
    if not is_zip and head[2 : 2 + len(TORCH_BEFORE_ZIP)] != TORCH_BEFORE_ZIP and head[:1] == PICKLE:
        return (
            {},
            "cannot be read: it is a pickle, and no weights file of torch or safetensors; it is not unpickled here",
        )
    return _open_torch(file)


def _unpacked(file: Path) -> int:
    """Bytes that a zip announces; 0 where its directory cannot be read, which torch then says."""
    try:
        with zipfile.ZipFile(file) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return 0


def _open_safetensors(file: Path) -> tuple[Any, str]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file), ""
    except (SafetensorError, OSError, ValueError) as error:
        return {}, f"cannot be read as safetensors: it is cut short or damaged ({_first_line(error)})"


def _open_torch(file: Path) -> tuple[Any, str]:
    import torch

    try:
        with file.open("rb") as handle:  # of a path, torch would go by the suffix
            return torch.load(handle, map_location="cpu", weights_only=True), ""
    except pickle.UnpicklingError as error:
        needs = NEEDS.search(str(error))
        if needs is None or not _may_exist(needs[1]):
            return {}, "cannot be read: it is no weights file of torch or safetensors, or damaged"
        return {}, (
            f"holds {needs[1]} beside tensors, which is not unpickled here: where you trust the file, keep its state "
            "dict alone with torch.save(model.state_dict(), FILE)"
        )
    except Exception as error:  # which error torch makes of foreign bytes depends on the bytes
        return {}, f"cannot be read by torch: it is cut short, damaged or another format ({_first_line(error)})"


def _may_exist(name: str) -> bool:
    """Whether there can be a type of that name: half a name is what a file that was cut short ends with."""
    module, _, own = name.rpartition(".")
    return module not in sys.modules or hasattr(sys.modules[module], own)


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0].strip()
    return line[:160] or type(error).__name__


def _flat(content: Any, path: str = "", above: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """Every tensor in nested mappings by its path; a mapping that holds itself is looked into once."""
    from torch import Tensor

    if isinstance(content, Tensor):
        return {path: content.detach()} if path else {}
    if not isinstance(content, Mapping) or id(content) in above:
        return {}
    if len(above) > MAX_DEPTH:
        raise _Senseless(f"nests mappings deeper than {MAX_DEPTH} levels, and no network's weights do")
    named: dict[str, Tensor] = {}
    for key, value in content.items():
        if len(path) + len(str(key)) > MAX_NAME:
            raise _Senseless(f"holds a name of more than {MAX_NAME:,} letters, and no tensor is called so")
        named |= _flat(value, f"{path}.{key}" if path else str(key), (*above, id(content)))
    return named
