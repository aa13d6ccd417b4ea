"""What the rows are measured against: packages that are not needed for anything else, and how each is had."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from synthworth.errors import UserError

PEERS = {
    "prdc": "prdc",
    "denoising_diffusion_pytorch": "denoising-diffusion-pytorch",
    "pythae": "pythae",
}
"""Packages of the index by the name that is imported; the extra `speed` in pyproject.toml has all of them."""


class NoPeer(UserError):
    """A row's peer is not installed: the row is left out of a run that did not ask for it by name."""


def find_peer(module: str, *, row: str) -> Any:
    """The module of a peer, or of a part of it.

    Raises
    ------
    NoPeer
        When it, or something that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = PEERS[module.partition(".")[0]]
        raise NoPeer(f"the row {row} needs its peer ({error}): pip install {package}") from error
