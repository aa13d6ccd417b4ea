"""One arm: its spec, what it demands, what was drawn for it, and what its classifiers predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.request.spec import RunSpec
from benchmarks.stages.classifier import Scores
from data.mixing import Demand, SyntheticSet


@dataclass
class Arm:
    """A spec, what it demands, what was drawn for it, and (once trained) its classifiers' predictions."""

    spec: RunSpec
    demanded: Demand
    pool: SyntheticSet | None = None
    counts: Mapping[str, Mapping[str, int]] | None = None
    scores: Sequence[Scores] = ()

    def test_scores(self) -> np.ndarray:
        """float32 (S, N, K): probabilities on the test images, by seed."""
        return np.stack([s.test for s in self.scores])

    def val_scores(self) -> np.ndarray:
        """float32 (S, N, K): probabilities on the val images, by seed."""
        return np.stack([s.val for s in self.scores])
