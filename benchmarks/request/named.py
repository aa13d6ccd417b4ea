"""Presets, published systems and their variants by name: which there are, and what their files say."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.request.yaml_file import read_yaml
from synthworth.errors import UserError, unknown_name

PRESETS = ("auto", "smoke", "quick", "standard", "full")
PRESET_VARIABLE = "SYNTHWORTH_PRESET"
"""Environment variable: the preset of commands that are given no `--preset`, as if it had been given."""
PRESET_FOLDER = Path(__file__).with_name("presets")
SYSTEM_FOLDER = Path(__file__).with_name("systems")
VARIANT_FOLDER = Path(__file__).with_name("variants")
WITH = "+"
"""Between the name of a system and those of its variants."""
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
    return _first_lines(SYSTEM_FOLDER)


def variants() -> dict[str, str]:
    """What `--config SYSTEM+VARIANT` may change of a published system, with a line on each."""
    return dict(sorted(_first_lines(VARIANT_FOLDER).items(), key=lambda row: _by_number(row[0])))


def _first_lines(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*.yaml"))
    return {f.stem: f.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for f in files}


def _by_number(name: str) -> tuple[int, str]:
    """Words first, then 2_findings before 14_findings."""
    first = name.partition("_")[0]
    return (int(first), name) if first.isdigit() else (0, name)


def find_config(config: Path) -> Path:
    """The file of that path, or that of the published system of that name, with its suffix or without.

    Raises
    ------
    UserError
        For a bare name that is neither.
    """
    if config.exists() or len(config.parts) > 1 or config.suffix not in ("", ".yaml"):
        return config
    name = config.stem.split(WITH)[0]
    if name not in systems():
        if config.suffix:
            return config
        raise unknown_name("published system", name, systems())
    return SYSTEM_FOLDER / f"{name}.yaml"


def read_config(config: Path) -> dict[str, Any]:
    """The options of a YAML file, or of a published system with its variants laid over it (`vae_vgg16+decoder1`).

    Raises
    ------
    UserError
        As `find_config` and `read_yaml`; for a variant that there is not, and for two that say the same option.
    """
    file = find_config(config)
    options = read_yaml(file)
    said: dict[str, str] = {}
    for name in config.stem.split(WITH)[1:] if file.parent == SYSTEM_FOLDER else ():
        if name not in variants():
            raise unknown_name("variant of a system", name, variants())
        for part, values in read_yaml(VARIANT_FOLDER / f"{name}.yaml").items():
            for option in values:
                other = said.setdefault(f"{part}.{option}", name)
                if other != name:
                    raise UserError(f"--config {config}: {other} and {name} both say {part}.{option}; take one of them")
            options[part] = {**options.get(part, {}), **values}
    return options


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
