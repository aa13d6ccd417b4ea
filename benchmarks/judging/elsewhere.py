"""What is measured of an arm on films that are not its own test split: other datasets, corrupted test images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.judging.utility import sample_on, utility_on
from benchmarks.metrics.registry import Value
from benchmarks.stages.arm import Arm
from benchmarks.stages.elsewhere import corrupted_scores, external_scores
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.external import External, Films
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from benchmarks.statistics.resamples import Resamples
    from benchmarks.statistics.sampled import Sampled


def resample_seed(seed: int, name: str) -> int:
    """What the resamples of an external set's patients are derived from: others than those of the own test split.

    Parameters
    ----------
    seed : of the spec.
    name : of the set.
    """
    return seed_from(seed, "bootstrap", "elsewhere", name)


class OnExternal:
    """The arms of a request on one external set."""

    def __init__(self, experiment: Experiment, external: External) -> None:
        self.experiment, self.external = experiment, external
        self._scores: dict[str, np.ndarray] = {}
        self._sampled: dict[str, dict[str, Sampled]] = {}

    @property
    def films(self) -> Films:
        """Its films."""
        return self.external.films(self.experiment.images)

    @cached_property
    def resamples(self) -> Resamples:
        """Of its patients, drawn once for all arms."""
        from benchmarks.statistics.resamples import Resamples

        spec = self.experiment.spec
        seed = resample_seed(spec.seed, self.external.name)
        return Resamples.draw(self.films.groups, seed=seed, n_replicates=spec.n_bootstrap)

    def scores(self, arm: Arm) -> np.ndarray:
        """float32 (S, N, K): predictions there; made where they are missing."""
        if arm.spec.run_id not in self._scores:
            self._scores[arm.spec.run_id] = external_scores(self.experiment, arm, self.external)
        return self._scores[arm.spec.run_id]

    def sampled(self, arm: Arm) -> dict[str, Sampled]:
        """Its metrics there, by seed and resample; thresholds and temperatures are those of its own val."""
        if arm.spec.run_id not in self._sampled:
            found = sample_on(self.experiment, arm, self.films, self.scores(arm), self.resamples)
            self._sampled[arm.spec.run_id] = found
        return self._sampled[arm.spec.run_id]

    def utility(self, arm: Arm) -> dict[str, Value]:
        """The same as a record holds them."""
        return utility_on(self.experiment, arm, self.films, self.scores(arm), self.sampled(arm))


class OnCorrupted:
    """The arms of a request on corrupted test images."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._scores: dict[str, dict[tuple[str, int], np.ndarray]] = {}
        self._auroc: dict[str, dict[tuple[str, int], Sampled]] = {}

    def scores(self, arm: Arm) -> Mapping[tuple[str, int], np.ndarray]:
        """float32 (S, N, K) by corruption and strength; made where they are missing."""
        if arm.spec.run_id not in self._scores:
            self._scores[arm.spec.run_id] = corrupted_scores(self.experiment, arm)
        return self._scores[arm.spec.run_id]

    def auroc(self, arm: Arm) -> dict[tuple[str, int], Sampled]:
        """Macro AUROC by corruption and strength, on the resamples of the test patients; empty where there is none."""
        if arm.spec.run_id not in self._auroc:
            test = self.experiment.images.test
            self._auroc[arm.spec.run_id] = auroc_of(
                self.scores(arm), test.labels.numpy(), self.experiment.resamples, classes=test.classes
            )
        return self._auroc[arm.spec.run_id]


def auroc_of(
    scores: Mapping[tuple[str, int], np.ndarray], truth: np.ndarray, resamples: Resamples, *, classes: tuple[str, ...]
) -> dict[tuple[str, int], Sampled]:
    """Macro AUROC by corruption and strength; empty where no class can be judged."""
    from benchmarks.statistics.auroc import sample_auroc

    try:
        return {one: sample_auroc(stack, truth, resamples, classes=classes)["auroc"] for one, stack in scores.items()}
    except Unavailable:
        return {}  # the record's part says so of every number
