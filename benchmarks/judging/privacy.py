"""Privacy of an arm: its synthetic images against train and val, in features and in pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.judging.fidelity import Fidelity
from benchmarks.metrics.declare import Quantity
from benchmarks.metrics.near_copies import are_copies
from benchmarks.metrics.privacy import QUANTITIES, Near, Reference, exact_copies, outsider_rows, pixel_vectors
from benchmarks.metrics.value import IN_PIXELS, Value
from benchmarks.request.filters import without_copies
from benchmarks.stages.arm import Arm
from benchmarks.stages.filters import EXTRACTOR
from generators.registry import added_by
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

N_PAIRS = 10
"""Nearest pairs that are shown."""
EXACT_COPY_RATE = Quantity("exact_copy_rate", "lower")
N_WITHOUT_COPIES = Quantity("n_without_copies", "higher")


class Pair(NamedTuple):
    """Two images (uint8 (C, H, W)), their distance, and what each is called."""

    left: Tensor
    right: Tensor
    distance: float
    left_name: str
    right_name: str


class Privacy:
    """Memorisation of training images, read against real images that nothing was trained on.

    Members are the train split; outsiders are val, less the images that are in train too, pixel for pixel (the audit
    counts them). Not test, which is read once: the bound of a near-copy is a threshold, and thresholds are chosen on
    val. Not the reserve: `holdout_real` draws from it, and its images would be outsiders and synthetic at once. Test
    stands in the place of the synthetic images, as the floor, where nothing is chosen by it.

    Two spaces: features (`efficientnet_lite0` where it is among the extractors, else the first that is) and pixels
    (`pixel_vectors`), which know nothing but place and shade.
    """

    def __init__(self, fidelity: Fidelity) -> None:
        self.fidelity, self.images, self.seed = fidelity, fidelity.images, fidelity.seed
        self.extractor = EXTRACTOR if EXTRACTOR in fidelity.extractors else next(iter(fidelity.extractors), None)
        self._reference, self._floor = cache(self._make_reference), cache(self._measure_floor)
        self._exact_floor = cache(lambda: float(exact_copies(self.images.test.images, self.images.train.images).mean()))
        self._near: dict[tuple[str, str], Near] = {}

    @property
    def spaces(self) -> tuple[str, ...]:
        """Where distances are taken: the extractor's id, and `pixels`."""
        if self.extractor is None:
            return (IN_PIXELS,)
        return (str(self.fidelity.extractors[self.extractor].id), IN_PIXELS)

    def of(self, arm: Arm) -> dict[str, Value]:
        """Every privacy number of one arm, `<metric>/<space>`; empty for real images alone.

        Beside those of `Reference.measure`: `exact_copy_rate`, and `n_without_copies`, how many images would be left
        where near-copies are left out; the run id of the arm that trains on as many others stands in `extra`.
        """
        if arm.pool is None:
            return {}
        found: dict[str, Value] = {}
        n = len(arm.pool)
        n_floor = min(n, len(self.images.test))
        for space in self.spaces:
            try:
                reference = self._reference(space)
            except Unavailable as reason:
                missing = [self._in_space(q.missing(reason, n), space) for q in QUANTITIES]
                found |= {value.name: value for value in missing}
                continue
            vectors = self._drawn(space, arm)
            near = reference.nearest_member(vectors)
            if np.isfinite(near.distance).all():
                self._near[arm.spec.run_id, space] = near
            floor = self._floor(space, n_floor)
            for key, value in reference.measure(vectors, seed=self._seed(space), near=near).items():
                placed = self._in_space(value, space)
                found[placed.name] = self._with_floor(placed, floor[key].value, n_floor)
        exact = EXACT_COPY_RATE.value(float(exact_copies(arm.pool.images, self.images.train.images).mean()), n)
        found[exact.name] = self._with_floor(exact, self._exact_floor(), len(self.images.test))
        found[N_WITHOUT_COPIES.name] = self._without_copies(arm)
        return found

    def _in_space(self, value: Value, space: str) -> Value:
        """A value as one of the numbers of a space, whose id is part of its name."""
        extractor = None if space == IN_PIXELS else self.extractor
        return replace(value, name=f"{value.name}/{space}", extractor=extractor, features=space)

    def pairs(self, arm: Arm) -> dict[str, list[Pair]]:
        """The nearest pairs in `nearest_space`, under a title each; empty where nothing was measured.

        They are of the arm's images with training images and, for scale, of real val images with training images.
        """
        space = self.nearest_space(arm)
        near = self._near.get((arm.spec.run_id, space))
        pool, train, val = arm.pool, self.images.train, self.images.val
        if pool is None or near is None:
            return {}
        rows = self._outsiders

        def closest_pairs(near: Near, image: Callable[[int], Tensor], name: Callable[[int], str]) -> list[Pair]:
            return [
                Pair(image(i), train.images[j], float(near.distance[i]), name(i), train.ids[j])
                for i, j in ((int(i), int(near.index[i])) for i in closest(near, N_PAIRS))
            ]

        held = self._reference(space).outsider_to_member
        return {
            f"{arm.spec.name}: {added_by(arm.spec.generator)} | nearest training image": closest_pairs(
                near, lambda i: pool.images[i], "#{}".format
            ),
            "for scale, real val | nearest training image": closest_pairs(
                held, lambda i: val.images[int(rows[i])], lambda i: val.ids[rows[i]]
            ),
        }

    def nearest_space(self, arm: Arm) -> str:
        """The space in which more of an arm's images are near-copies; of equals the first."""
        return max(self.spaces, key=lambda space: self._copies(arm, space))

    def _copies(self, arm: Arm, space: str) -> int:
        """Near-copies in a space; -1 where nothing was measured there."""
        near = self._near.get((arm.spec.run_id, space))
        try:
            return -1 if near is None else int(are_copies(near.distance, self._reference(space).bound).sum())
        except Unavailable:
            return -1

    def spread(self, arm: Arm) -> dict[str, NDArray[np.floating]]:
        """Features of what is drawn in two dimensions.

        Returns
        -------
        real, held_out, fake : floating (N, D)
            Of train, of val, and of the synthetic images, by these names; empty where there is no extractor or nothing
            was measured.
        """
        if self.extractor is None or (arm.spec.run_id, self.spaces[0]) not in self._near:
            return {}
        real, held = (self.fidelity.features(self.extractor, split).features for split in ("train", "val"))
        return {"real": real, "held_out": held, "fake": self.fidelity.drawn(self.extractor, arm).features}

    def _seed(self, space: str) -> int:
        return seed_from(self.seed, "privacy", space)

    def _make_reference(self, space: str) -> Reference:
        rows, groups = self._outsiders, self.images.val.groups
        members, outsiders = self._real(space, "train"), self._real(space, "val")[rows]
        outsider_groups = [groups[row] for row in rows]
        return Reference(members, outsiders, self.images.train.groups, outsider_groups, self.fidelity.bench.device)

    @cached_property
    def _outsiders(self) -> NDArray[np.int64]:
        """Rows of val."""
        return outsider_rows(val=self.images.val.images, train=self.images.train.images)

    def _real(self, space: str, split: str) -> NDArray[np.floating]:
        if space == IN_PIXELS:
            return pixel_vectors(getattr(self.images, split).images)
        assert self.extractor is not None
        return self.fidelity.features(self.extractor, split).features

    def _drawn(self, space: str, arm: Arm) -> NDArray[np.floating]:
        assert arm.pool is not None
        if space == IN_PIXELS:
            return pixel_vectors(arm.pool.images)
        assert self.extractor is not None
        return self.fidelity.drawn(self.extractor, arm).features

    def _measure_floor(self, space: str, n: int) -> dict[str, Value]:
        """The same numbers for n real test images in the place of the synthetic ones."""
        rows = self.fidelity.test_rows(n)
        return self._reference(space).measure(self._real(space, "test")[rows], seed=self._seed(space))

    def _with_floor(self, value: Value, floor: float | None, n: int) -> Value:
        extra = {**value.extra, "floor": floor, "floor_split": "test", "floor_n": n}
        return replace(value, extra=extra)

    def _without_copies(self, arm: Arm) -> Value:
        """Images that are near-copies in neither space."""
        n = len(arm.pool or ())
        if self.extractor != EXTRACTOR:
            reason = f"the filter looks at features of {EXTRACTOR}, which this run does not have"
            return N_WITHOUT_COPIES.missing(reason, n)
        copied = np.zeros(n, dtype=bool)
        for space in self.spaces:
            near = self._near.get((arm.spec.run_id, space))
            if near is None:
                return N_WITHOUT_COPIES.missing("there are no distances to training images: see copy_rate", n)
            try:
                copied |= are_copies(near.distance, self._reference(space).bound)
            except Unavailable as reason:
                return N_WITHOUT_COPIES.missing(reason, n)
        filtered = without_copies(arm.spec) or arm.spec
        extra = {"option": "--without-copies", "name": filtered.name, "run_id": filtered.run_id}
        return N_WITHOUT_COPIES.value(float(n - int(copied.sum())), n, extra=extra)


def closest(near: Near, n: int) -> NDArray[np.int64]:
    """The n rows nearest to another set, each to another point of it: nearest first."""
    order = np.argsort(near.distance, kind="stable")
    first = np.sort(np.unique(near.index[order], return_index=True)[1])
    return np.asarray(order[first][:n])
