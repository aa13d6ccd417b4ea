"""What several test files share: tiny image sets, specs, and commands run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.spec import RunSpec
from data.base import ImageSet, Split
from synthworth.work import Budget

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def make_images() -> Callable[..., ImageSet]:
    """Tiny image sets: `counts` images a class, two images a patient, 8 px grey."""
    import torch

    def make(counts: Sequence[int] = (8, 6, 4), *, split: Split = Split.train, multi: bool = False) -> ImageSet:
        labels = np.repeat(np.arange(len(counts)), counts)
        n = len(labels)
        pixels = np.random.default_rng(n).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
        return ImageSet(
            images=torch.from_numpy(pixels),
            labels=torch.from_numpy(np.eye(len(counts), dtype=np.uint8)[labels] if multi else labels),
            ids=tuple(f"{split.value}-{i:03d}" for i in range(n)),
            groups=tuple(f"{split.value}-patient-{i // 2:03d}" for i in range(n)),
            split=split,
            classes=tuple("abcdefgh"[: len(counts)]),
        )

    return make


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    """A complete RunSpec; keyword arguments change its fields."""

    def make(**change: Any) -> RunSpec:
        values: dict[str, Any] = {
            "dataset": "phantom",
            "data": {"size": 32},
            "data_version": 1,
            "fingerprint": "f" * 64,
            "generator": "latent_ddpm",
            "gen": {"widths": [8, 16]},
            "generator_version": 1,
            "fit": Budget(steps=10),
            "classifier": "resnet18",
            "clf": {"arch": "resnet18"},
            "classifier_version": 1,
            "train": Budget(steps=5),
            "shard": 4,
            "n_bootstrap": 200,
        }
        return RunSpec(**{**values, **change})

    return make


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python ARGS` in an empty folder, with `PYTHONPATH` at the repository and what `path` adds."""

    def run(*args: str, path: Sequence[Path] = (), **env: str) -> subprocess.CompletedProcess[str]:
        folders = os.pathsep.join(str(p) for p in (*path, ROOT))
        return subprocess.run(
            [sys.executable, *args],
            cwd=tmp_path,
            env={**os.environ, "SYNTHWORTH_HOME": str(tmp_path / "home"), "PYTHONPATH": folders, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
