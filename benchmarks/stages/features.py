"""Features of an image set as a stage, computed once an extractor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.stages.bench import Bench
from synthworth.artifacts import read_array, write_array
from synthworth.keys import digest

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 2
"""Of the features of one image: raised whenever their bits change."""

# -- features -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Features:
    """Features of one image set: float32 (N, D), and logits (N, 1008) where the extractor gives them."""

    features: np.ndarray
    logits: np.ndarray | None
    extractor: str

    def take(self, rows: np.ndarray) -> Features:
        """Those of some images."""
        return Features(self.features[rows], None if self.logits is None else self.logits[rows], self.extractor)


def extract_features(bench: Bench, extractor: Any, key: str, pictures: Callable[[], Tensor]) -> Features:
    """Features of the image set named by `key`, computed once a kind of device.

    A CPU and a GPU differ by float noise: features of the two are never beside each other, or a copy would lie off its
    original.
    """

    def make(out: Path, _: Path) -> None:
        found = extractor.extract(pictures())
        write_array(out / "features.npy", found.features)
        if found.logits is not None:
            write_array(out / "logits.npy", found.logits)

    folder = bench.keep("features", _identity(bench, extractor, key), make).folder
    logits = folder / "logits.npy"
    return Features(read_array(folder / "features.npy"), read_array(logits) if logits.is_file() else None, extractor.id)


def features_key(bench: Bench, extractor: Any, key: str) -> str:
    """The key under which `extract_features` keeps them."""
    return digest(_identity(bench, extractor, key))


def _identity(bench: Bench, extractor: Any, key: str) -> dict[str, Any]:
    return {
        "images": key, "extractor": extractor.id, "weights": extractor.weights_sha256, "version": VERSION,
        "device": bench.device.partition(":")[0],
    }  # fmt: skip
