"""Where and with what a record was made: versions, commit, hardware, command."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import Any

from benchmarks.request.elsewhere import FLAG as TEST_ON
from benchmarks.request.named import PRESET_VARIABLE
from synthworth import __version__

LIBRARIES = (
    "torch", "torchvision", "timm", "diffusers", "lightning-fabric", "numpy", "scikit-learn", "torch-fidelity",
)  # fmt: skip


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Where and with what: recorded beside the numbers, never part of identity."""
    import importlib.metadata

    import torch

    return {
        "synthworth": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "n_cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([*_preset(), "python -m", *_command()]),
    }


def machine(device: str) -> str:
    """What computes on a device of this machine, in words: times are compared between equal ones alone."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return f"{_processor()}, {os.cpu_count()} cores"


PRIVATE = ("--data.path", "--data.table", "--data.file", "--data.key", "--home", "--results")
"""Flags whose values are places on somebody's disk: a folder may be named after a patient."""


def _preset() -> list[str]:
    """The preset that the environment gave, in the form in which a shell takes it."""
    name = os.environ.get(PRESET_VARIABLE)
    return [f"{PRESET_VARIABLE}={name}"] if name else []


def _command() -> list[str]:
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = module.name if module is not None else _module_of(Path(sys.argv[0]))
    words = [name, *sys.argv[1:]]
    for k, word in enumerate(words):
        flag, equals, _ = word.partition("=")
        if flag in PRIVATE and equals:
            words[k] = f"{flag}=PATH"
        elif k and words[k - 1] in PRIVATE:
            words[k] = "PATH"
        elif k and _is_place(word.partition("=")[2] if flag.startswith("--") else word):
            words[k] = f"{flag}=PATH" if flag.startswith("--") else "PATH"
    return _without_places(words)


def _module_of(script: Path) -> str:
    """What follows `python -m`, of a process that a sweep began: it knows the file alone."""
    return f"{script.parent.parent.name}.{script.parent.name}" if script.name == "__main__.py" else script.name


def _is_place(value: str) -> bool:
    """Whether a word leads to a place on this disk: by its form, or because something lies there.

    A name alone is none, nor is the name of a hub's repository.
    """
    if value.startswith(("/", "~", "./", "../")) or PureWindowsPath(value).drive:
        return True
    return "/" in value and os.path.lexists(value)


def _without_places(words: list[str]) -> list[str]:
    """The words, with PATH for every place that `--test-on` names; datasets and the names they are given stay."""
    found, follows = list(words), False
    for k, word in enumerate(words):
        if word.startswith(f"{TEST_ON}="):
            found[k] = f"{TEST_ON}={_without_place(word.partition('=')[2])}"
        elif word.startswith("--"):
            follows = word == TEST_ON
        elif follows:
            found[k] = _without_place(word)
    return found


def _without_place(word: str) -> str:
    what, colon, _ = word.partition(":")
    if word.startswith("{") or word.endswith((".yaml", ".yml")):
        return "PATH"
    return f"{what}:PATH" if colon else word


def _commit() -> str | None:
    """Commit of the source tree, with "+" for uncommitted changes.

    Outside a checkout the one that was written at build time; None where there is neither.
    """
    here = Path(__file__).resolve().parent.parent.parent
    git = shutil.which("git")
    if git is None or not (here / ".git").exists():
        built = here / "synthworth" / "COMMIT"  # written by hatch_build.py
        return built.read_text(encoding="utf-8").strip() if built.is_file() else None
    head = subprocess.run([git, "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return None
    changed = subprocess.run([git, "-C", here, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
