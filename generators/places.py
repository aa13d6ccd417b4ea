"""Weights and files from elsewhere: where they lie, on this machine or the hub, and what stands for them in a key."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from synthworth.errors import UserError
from synthworth.keys import sha256_of, unchanged_sha256

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_offline() -> bool:
    """Whether `SYNTHWORTH_OFFLINE` or `HF_HUB_OFFLINE` forbids fetching."""
    return any(os.environ.get(name, "") not in ("", "0") for name in ("SYNTHWORTH_OFFLINE", "HF_HUB_OFFLINE"))


def identify(where: str | Path, *, what: str) -> str:
    """What stands for weights or a file in a key.

    Returns
    -------
    sha256 of a file, or of all JSON and safetensors of a folder with their names; "hub:" and the id for what lies on
    the hub.

    Raises
    ------
    UserError
        When there is none.
    """
    path = Path(where).expanduser()
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix in (".json", ".safetensors", ".txt") and f.is_file())
    elif isinstance(where, str) and HUB_ID.fullmatch(where):
        return f"hub:{where}"
    else:
        raise UserError(f"{what} {str(where)!r}: there is no such file or folder, nor can it be a hub id (owner/name)")
    return sha256_of(f"{file.relative_to(path).as_posix()}\0{unchanged_sha256(file)}\n" for file in files)


def require_identity(where: str | Path, wanted: str, *, what: str) -> None:
    """Refuse what is no longer what the key says.

    Raises
    ------
    UserError
        When `where` is not `wanted` (`identify`).
    """
    found = identify(where, what=what)
    if found != wanted:
        raise UserError(
            f"{what} {where} is {found}, and {wanted} was asked for: it has changed, or the id beside it is another's. "
            "Leave the id out to take what is there"
        )


def is_fetched(where: str | Path) -> bool:
    """Whether it lies on the hub, not on this machine under that path."""
    return not Path(where).expanduser().exists()


def locate(name: str, *, patterns: Sequence[str], what: str, revision: str | None = None) -> Path:
    """The folder that a path or hub id means.

    Parameters
    ----------
    name : path or hub id.
    patterns : the files of a hub id that are fetched, once.
    revision : commit, tag or branch of a hub id; None for its newest.

    Raises
    ------
    UserError
        When there is no such folder, or the hub cannot be reached or has no such id; at once where fetching is
        forbidden (`is_offline`).
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise UserError(f"{what} {name} is a file; give the folder that holds it and its config.json")
    if not HUB_ID.fullmatch(name):
        raise UserError(f"{what} {name!r}: there is no such folder, nor can it be a hub id (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    offline = is_offline()
    try:
        return Path(snapshot_download(
            name, revision=revision, allow_patterns=list(patterns), local_files_only=offline, etag_timeout=5
        ))  # fmt: skip
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        why = "fetching is forbidden (SYNTHWORTH_OFFLINE, HF_HUB_OFFLINE)" if offline else str(error).splitlines()[0]
        raise UserError(f"{what} {name} is not on this machine and cannot be fetched: {why}. Give a folder") from error
