"""What a trained classifier predicted on val and test, as it lies in the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthworth.artifacts import read_array, read_json


@dataclass(frozen=True)
class Scores:
    """Predictions of one trained classifier: float32 (N, K) probabilities on val and test, and how it was trained."""

    val: np.ndarray
    test: np.ndarray
    report: dict[str, Any]
    folder: Path


def read_scores(folder: Path) -> Scores:
    """Predictions kept by `train_classifier`."""
    return Scores(
        read_array(folder / "val.npy"),
        read_array(folder / "test.npy"),
        read_json(folder / "fit.json"),
        folder,
    )
