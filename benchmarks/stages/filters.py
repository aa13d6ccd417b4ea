"""What synthetic images must pass before they are used: by the classifier, by distance to real, and no copies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.near_copies import are_copies, copy_bound
from benchmarks.metrics.privacy import outsider_rows, pixel_vectors
from benchmarks.request.filters import FILTERS
from benchmarks.request.spec import RunSpec, real_only
from benchmarks.stages.arm import Arm
from benchmarks.stages.classifier import train_classifier
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.features import extract_features
from synthworth.artifacts import read_array, write_array
from synthworth.errors import Unavailable, UserError
from synthworth.keys import digest

if TYPE_CHECKING:
    from torch import Tensor

EXTRACTOR = "efficientnet_lite0"
CONFIDENCE, FAR = 0.5, 0.95
MOST_SHARDS = 8
"""Shards drawn at most for each one that would do without filters."""
VERSION = 3


EVIDENCE = {
    "images": "uint8 (n, C, H, W): the synthetic images",
    "labels": "int64 (n,) or uint8 (n, K): what they were drawn for",
    "real": "data.images.ImageSet: the real training images",
    "probabilities": "float32 (n, K): what a classifier trained on real images alone says of the synthetic ones",
    "distance": "float64 (n,): from each to the nearest training image, in features",
    "real_distance": "float64 (m,): the same of the real val images that are not in train too",
    "pixel_distance": "float64 (n,): from each to the nearest training image, in pixels",
    "real_pixel_distance": "float64 (m,): the same of the real val images that are not in train too",
}
"""What a filter may ask for by naming it in its signature."""


class Starved(UserError):
    """Too few synthetic images pass the filters, or too few real ones say what passes: known once they are drawn."""


def confident(labels: Tensor, probabilities: np.ndarray) -> np.ndarray:
    """The label asked for is at least as likely as not, by a classifier trained on real images alone.

    Returns
    -------
    bool (n,)
    """
    known = labels.numpy()
    if known.ndim == 1:
        return np.asarray(probabilities[np.arange(len(known)), known] >= CONFIDENCE)
    return np.asarray(((probabilities >= CONFIDENCE) == known.astype(bool)).all(1))


def near(distance: np.ndarray, real_distance: np.ndarray) -> np.ndarray:
    """No farther from the nearest training image than 95 % of the real val images are.

    Returns
    -------
    bool (n,)
    """
    return np.asarray(distance <= np.quantile(real_distance, FAR))


def no_copies(distance: np.ndarray, real_distance: np.ndarray) -> np.ndarray:
    """Not nearer to a training image than 99 % of real val images are; where there are few, than any of them.

    See `benchmarks.metrics.near_copies.copy_bound`, which also says how few are too few.

    Returns
    -------
    bool (n,)
    """
    return ~are_copies(distance, copy_bound(real_distance))


def no_pixel_copies(pixel_distance: np.ndarray, real_pixel_distance: np.ndarray) -> np.ndarray:
    """`no_copies` in pixels (`benchmarks.metrics.privacy.pixel_vectors`).

    Returns
    -------
    bool (n,)
    """
    return ~are_copies(pixel_distance, copy_bound(real_pixel_distance))


def apply_filter(name: str, evidence: Mapping[str, Callable[[], Any]]) -> np.ndarray:  # -> bool (n,)
    """Which images pass the filter of that name, which is given the pieces of `evidence` that it names.

    Parameters
    ----------
    evidence : name -> function that makes it; only what is asked for is made.

    Returns
    -------
    bool (n,)

    Raises
    ------
    UserError
        When the filter asks for what there is not, or answers with anything but bool (n,).
    """
    judge = FILTERS.get(name)
    asked = named_by(judge)
    if unknown := [piece for piece in asked if piece not in evidence]:
        raise UserError(f"filter {name!r} asks for {', '.join(unknown)}; there are {', '.join(evidence)}")
    found = np.asarray(judge(**{piece: evidence[piece]() for piece in asked}))
    n = len(evidence["images"]())
    if found.dtype != np.bool_ or found.shape != (n,):
        raise UserError(f"filter {name!r} answered {found.dtype} {found.shape}; the contract asks for bool ({n},)")
    return found


def named_by(judge: Callable[..., Any]) -> tuple[str, ...]:
    """The pieces of evidence that a filter asks for."""
    return tuple(inspect.signature(judge).parameters)


class Sieve:
    """The filters of one arm; each shard's answer is kept under its own key.

    Distances are Euclidean, between features of `efficientnet_lite0` or between pixels; all bounds come from the
    distances of the real val images to their nearest training image (less those that are in train too), so that they
    mean the same in every dataset. Test is not touched. Where the images were learned from a donor's films, both are
    the donor's.
    """

    def __init__(self, experiment: Experiment, spec: RunSpec) -> None:
        self.experiment, self.spec = experiment, spec
        self.bench, self.images = experiment.bench, experiment.images.learned_from(spec)

    def passes(self, shard: Path, identity: Mapping[str, Any]) -> np.ndarray:  # -> bool (n,)
        """Which images of a shard pass every filter."""
        mask: np.ndarray | None = None
        for name in self.spec.filters:
            one = self._one(name, shard, identity)
            mask = one if mask is None else mask & one
        assert mask is not None
        return mask

    def _one(self, name: str, shard: Path, identity: Mapping[str, Any]) -> np.ndarray:
        def make(out: Path, _: Path) -> None:
            import torch

            pictures = torch.from_numpy(read_array(shard / "images.npy"))
            labels = torch.from_numpy(read_array(shard / "labels.npy"))
            try:
                passing = apply_filter(name, self._evidence(pictures, labels, digest(identity)))
            except Unavailable as reason:
                raise Starved(
                    f"--filters {name}: {reason} in val. Use a larger val split, or leave the filter out"
                ) from reason
            write_array(out / "passes.npy", passing)

        judged = "probabilities" in named_by(FILTERS.get(name))
        key = {
            "shard": digest(identity), "filter": name, "version": VERSION, "extractor": self._extractor.id,
            "weights": self._extractor.weights_sha256, "judge": self._judge_identity if judged else None,
            "data": self.spec.data_identity(),
        }  # fmt: skip
        if self.spec.learn_from:
            key["learn_from"] = self.spec.learn_from
        return read_array(self.bench.keep("filter", key, make).folder / "passes.npy")

    def _evidence(self, pictures: Tensor, labels: Tensor, key: str) -> dict[str, Callable[[], Any]]:
        """What a filter may ask for; see `EVIDENCE`."""

        def distance() -> np.ndarray:
            return self._to_train(extract_features(self.bench, self._extractor, key, lambda: pictures).features)

        return {
            "images": lambda: pictures,
            "labels": lambda: labels,
            "real": lambda: self.images.train,
            "probabilities": lambda: self._classifier.predict(pictures),
            "distance": distance,
            "real_distance": lambda: self._val_distances,
            "pixel_distance": lambda: _nearest(pixel_vectors(pictures), self._train_pixels),
            "real_pixel_distance": lambda: self._val_pixel_distances,
        }

    @cached_property
    def _extractor(self) -> Any:
        from benchmarks.metrics.registry import EXTRACTORS

        return EXTRACTORS.get(EXTRACTOR)(device=self.bench.device, precision=self.spec.extractor_precision)

    @cached_property
    def _train_features(self) -> np.ndarray:
        return self._features("train")

    @cached_property
    def _val_distances(self) -> np.ndarray:
        return self._to_train(self._features("val")[self._fresh])

    @cached_property
    def _fresh(self) -> np.ndarray:
        """Rows of val that are not in train too."""
        return outsider_rows(val=self.images.val.images, train=self.images.train.images)

    def _features(self, split: str) -> np.ndarray:
        images = getattr(self.images, split)
        return extract_features(self.bench, self._extractor, images.fingerprint(), lambda: images.images).features

    def _to_train(self, features: np.ndarray) -> np.ndarray:
        return _nearest(features, self._train_features)

    @cached_property
    def _train_pixels(self) -> np.ndarray:
        return pixel_vectors(self.images.train.images)

    @cached_property
    def _val_pixel_distances(self) -> np.ndarray:
        return _nearest(pixel_vectors(self.images.val.images)[self._fresh], self._train_pixels)

    @cached_property
    def _judge_arm(self) -> Arm:
        """Real images alone, whose first classifier is the judge."""
        return Arm(real_only(self.spec), self.experiment.images)

    @property
    def _judge_identity(self) -> dict[str, Any]:
        return self._judge_arm.spec.classify_identity(self._judge_arm.demanded, 0)

    @cached_property
    def _classifier(self) -> Any:
        """The judge, trained now if it is not there."""
        from classifiers.registry import classifiers

        made = train_classifier(self.experiment, self._judge_arm, 0)
        judge = classifiers.get(self._judge_arm.spec.classifier)
        return judge.load(made.folder / "model", device=self.bench.device)


def _nearest(vectors: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Distance of each row to the nearest of train, float64 (n,)."""
    import torch

    from benchmarks.metrics.frechet import check_features
    from benchmarks.metrics.neighbours import centre_of, nearest

    check_features(real=train, fake=vectors, minimum=0)
    centre = centre_of(train)
    points, members = (torch.from_numpy(f - centre) for f in (vectors, train))
    return nearest(points, members).squared[:, 0].sqrt().numpy()


def refuse_starved(spec: RunSpec, stream: str, *, passed: int, drawn: int, wanted: int) -> None:
    """Say that too few images pass.

    Raises
    ------
    Starved
        Always.
    """
    raise Starved(
        f"--filters {' '.join(spec.filters)}: {passed} of {drawn} images of {stream} that {spec.generator} drew pass, "
        f"and {wanted} are needed. Loosen the filters, or lower --ratio"
    )
