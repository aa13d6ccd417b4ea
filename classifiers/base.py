"""The contract of a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

from data.images import ImageSet
from data.mixing import TrainingMix
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@runtime_checkable
class Classifier(Protocol):
    """What the harness asks of a classifier.

    Attributes
    ----------
    Config : frozen dataclass of the options, every field documented; architecture and augmentation are in it.
    version : raised whenever the same Config would learn something else.

    Notes
    -----
    An optional method, `check_files(fetch=, channels=, size=)`: asked before any image is prepared, it raises
    `UserError` for weights that the options name and that cannot be used. Another, `operations(channels=, size=,
    n_classes=, multilabel=, n_steps=)`: what it computes, a `synthworth.cost.Operations`, for an estimate of the time.
    And a class method, `faster_in_bf16(config, unit=, channels=, size=)`: whether `--precision auto` is bf16 on a CPU
    that multiplies it by `unit` (`avx512` or `amx`); False must be the answer where `channels` and `size` are None and
    decide. Without it, fp32. And `start` with `end`, by which several trainings take their steps in turn on a GPU:
    `start` takes what `fit` takes and gives an object with `phase` (a `synthworth.training.loop.Phase`) and
    `prepare()`, which takes the memory that the training will need; `end(training, report)` ends what was stepped.
    `TimmClassifier` has them all.
    """

    Config: ClassVar[type]
    version: ClassVar[int]

    def fit(self, mix: TrainingMix, val: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for exactly `work.budget.steps` optimiser steps and keep the checkpoint that is best on `val`.

        `val` holds real images. A second call on the same `work.folder` goes on. Initial weights, batch order and
        augmentation depend on `seed` alone, so arms with one seed pair up.
        """
        ...

    def predict(self, images: Tensor) -> np.ndarray:
        """Probabilities: a softmax over classes, or a sigmoid for each finding.

        Parameters
        ----------
        images : uint8 (N, C, H, W).

        Returns
        -------
        float32 (N, K).
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted model: safetensors and JSON, never pickle."""
        ...

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote; predicts the same."""
        ...
