"""Presets and published systems by name: which there are, where their files lie, and what they say of a plugin."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.request.yaml_file import read_yaml
from synthworth.errors import unknown_name

PRESETS = ("auto", "smoke", "quick", "standard", "full")
PRESET_VARIABLE = "SYNTHWORTH_PRESET"
"""Environment variable: the preset of commands that are given no `--preset`, as if it had been given."""
PRESET_FOLDER = Path(__file__).with_name("presets")
SYSTEM_FOLDER = Path(__file__).with_name("systems")
DRIVER_FILES = (Path("/proc/driver/nvidia/version"), Path(r"C:\Windows\System32\nvcuda.dll"))
"""One of these is there where the NVIDIA driver is loaded."""


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver is loaded; asks the system, not torch, which takes seconds to import."""
    return any(file.exists() for file in DRIVER_FILES)


def resolve_preset(name: str, *, device: str = "auto") -> str:
    """`auto` becomes `standard` where the request will run on an NVIDIA GPU, and `quick` elsewhere.

    Parameters
    ----------
    device : that was asked for.
    """
    if name != "auto":
        return name
    if device.startswith("cuda"):
        return "standard"
    return "standard" if device == "auto" and has_nvidia_gpu() and not _is_hidden() else "quick"


def _is_hidden() -> bool:
    """Whether torch will see no GPU though there is one: the environment hides all, or it is built for CPUs alone."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    return not first or first.startswith("-") or first == "NoDevFiles" or "+cpu" in importlib.metadata.version("torch")


def systems() -> dict[str, str]:
    """Published systems that `--config` knows by name, with a line on each."""
    files = sorted(SYSTEM_FOLDER.glob("*.yaml"))
    return {f.stem: f.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for f in files}


def find_config(config: Path) -> Path:
    """The file of that path, or that of the published system of that name, with its suffix or without.

    Raises
    ------
    UserError
        For a bare name that is neither.
    """
    if config.exists() or len(config.parts) > 1 or config.suffix not in ("", ".yaml"):
        return config
    if config.stem not in systems():
        if config.suffix:
            return config
        raise unknown_name("published system", config.name, systems())
    return SYSTEM_FOLDER / f"{config.stem}.yaml"


def is_system(config: Path | None) -> bool:
    """Whether a file is that of a published system."""
    return config is not None and find_config(config).parent == SYSTEM_FOLDER


@cache
def read_preset(name: str) -> dict[str, Any]:
    """What a preset says; it is only read."""
    return read_yaml(PRESET_FOLDER / f"{name}.yaml")


def by_name(preset: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    """What a preset says of a plugin: of all of its kind, and over that of this one."""
    rows: Mapping[str, Mapping[str, Any]] = preset.get(kind, {})
    return {**rows.get("*", {}), **rows.get(name, {})}


def known_fields(config: type, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a preset a stranger's Config has a field for: presets speak of every classifier alike."""
    fields = {f.name for f in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if name in fields}
