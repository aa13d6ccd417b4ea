"""Half-made work on disk carries its own digest: what a kill or a bad disk made of it is never gone on with."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from synthworth.artifacts import write_bytes
from synthworth.keys import sha256_of

logger = logging.getLogger(__name__)

SEAL = b"\nsha256:"
LENGTH = len(SEAL) + 64


def write_sealed(file: Path, content: bytes | memoryview, *, sync: bool = False) -> None:
    """Write a file whole, its sha256 after it."""
    seal = SEAL + sha256_of([content]).encode()
    write_bytes(file, content, seal, sync=sync)


def read_sealed(file: Path) -> io.BytesIO | None:
    """What `write_sealed` wrote; None without a file, and for one that is not as it was written.

    The latter is named in the log and renamed to `<name>.damaged`.
    """
    try:
        found = io.BytesIO(file.read_bytes())
    except FileNotFoundError:
        return None
    with found.getbuffer() as whole:
        content, seal = whole[:-LENGTH], bytes(whole[-LENGTH:])
        is_whole = seal == SEAL + sha256_of([content]).encode()
        n = len(content)
        content.release()
    if not is_whole:
        set_aside(file, "it does not hold what was written")
        return None
    found.truncate(n)
    return found


def set_aside(file: Path, why: str) -> None:
    """Rename a damaged file of half-made work, and say so."""
    aside = file.with_name(f"{file.name}.damaged")
    with suppress(FileNotFoundError):  # another process that shares the work did
        os.replace(file, aside)
    logger.warning("%s is damaged (%s): it was renamed to %s, and its part begins again", file, why, aside.name)


def keep_tensors(file: Path, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Named tensors on the CPU that took long to compute: from `file` where it is whole, else made and written.

    The file is plain safetensors; its metadata has the sha256 of the same tensors without metadata.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file, save

    if file.is_file():
        try:
            with safe_open(file, framework="pt") as held:
                seal = (held.metadata() or {}).get("sha256")
            tensors = dict(load_file(file))
        except SafetensorError as error:
            set_aside(file, str(error))
        else:
            if seal == sha256_of([save(tensors)]):
                return tensors
            set_aside(file, "it does not hold what was written")
    made = {name: tensor.detach().cpu().contiguous() for name, tensor in make().items()}
    write_bytes(file, save(made, metadata={"sha256": sha256_of([save(made)])}))
    return made
