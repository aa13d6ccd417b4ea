"""One arm: what it is, what it needs, what was drawn for it, and what its classifiers predicted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.request.spec import RunSpec
from benchmarks.stages.images import Images
from data.mixing import SyntheticSet, mix, mix_counts
from synthworth.keys import digest_of_plain

if TYPE_CHECKING:
    from benchmarks.stages.scores import Scores
    from data.images import ImageSet
    from data.mixing import Demand, TrainingMix


class Arm:
    """An arm of an experiment: its spec, its keys, its synthetic images and, once trained, its predictions."""

    def __init__(self, spec: RunSpec, images: Images) -> None:
        self.spec, self.images = spec, images
        self.pool: SyntheticSet | None = None
        """What was drawn for it; None before, and for real images alone."""
        self.scores: Sequence[Scores] = ()
        """Predictions of each classifier seed; none before they are trained."""

    @cached_property
    def demanded(self) -> Demand:
        """Synthetic images it needs, by stream, and real ones that it keeps."""
        return self.images.demand(self.spec)

    @cached_property
    def train(self) -> ImageSet:
        """The real images it learns from: all of them, or its point of the learning curve."""
        return self.images.train if self.spec.portion == 1 else self.images.portion(self.spec.portion)

    @property
    def keep_real(self) -> int:
        """How many of `train` stay in the mixture."""
        return self.demanded.keep_real if self.spec.portion == 1 else len(self.train)

    @property
    def draws(self) -> bool:
        """Whether it needs synthetic images at all."""
        return not self.spec.is_real_only and self.demanded.total > 0

    @property
    def fit_key(self) -> str:
        """Digest of the training of its generator."""
        return self.spec.fit_key

    @cached_property
    def _pool(self) -> dict[str, Any] | None:
        return self.spec.pool_identity(self.demanded)

    @cached_property
    def shard_keys(self) -> tuple[str, ...]:
        """Digest of each shard that its demand is a prefix of; without filters these are the shards it uses."""
        pool = self._pool
        return () if pool is None else tuple(key for keys in pool["shards"].values() for key in keys)

    @cached_property
    def classify_keys(self) -> tuple[str, ...]:
        """Digest of the training of each classifier seed."""
        asked = self.spec.classify_identities(self.demanded, range(self.spec.seeds), pool=self._pool)
        return tuple(map(digest_of_plain, asked))

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images of the mixture by class, `real` and `synthetic`."""
        return mix_counts(self.train, self.pool, keep_real=self.keep_real, seed=self.spec.mix_seed)

    @cached_property
    def mixture(self) -> TrainingMix:
        """What the classifiers of every seed train on, gathered once."""
        return mix(
            self.train, self.pool, keep_real=self.keep_real, seed=self.spec.mix_seed,
            pretraining=self.demanded.pretraining,
        )  # fmt: skip

    @cached_property
    def test_scores(self) -> np.ndarray:
        """float32 (S, N, K): probabilities on the test images, by seed."""
        return np.stack([s.test for s in self.scores])

    @cached_property
    def val_scores(self) -> np.ndarray:
        """float32 (S, N, K): probabilities on the val images, by seed."""
        return np.stack([s.val for s in self.scores])
