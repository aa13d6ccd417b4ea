"""What a dataset is called, in cards, pages and tables: its name, and which one of several it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

OF_FILMS = "folder"
"""The dataset that is whatever films lie in a folder."""
NO_NAMES: Mapping[str, str] = MappingProxyType({})


def called(setting: Mapping[str, Any], names: Mapping[str, str] = NO_NAMES) -> str:
    """The name of the dataset of a spec, or of a part of one.

    A folder of films has the name that somebody gave to its fingerprint, else the last part of its path where the
    record holds that, else the first digits of its fingerprint: two folders never share a name.

    Parameters
    ----------
    names : by fingerprint, those that folders of films are known by.
    """
    which = setting["data"].get("name")
    if which or setting["dataset"] != OF_FILMS:
        return f"{setting['dataset']} {which}" if which else str(setting["dataset"])
    known = names.get(setting["fingerprint"])
    last = PurePath(str(setting["data"].get("path") or "")).name
    digits = str(setting["fingerprint"])[:6]
    return known or (f"{last} ({OF_FILMS} {digits})" if last else f"{OF_FILMS} {digits}")
