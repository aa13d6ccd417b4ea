"""Who tells a fit that stops before copying how much of what it draws copies: the audit's own definition, on val."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from benchmarks.metrics.near_copies import chance
from benchmarks.metrics.privacy import Reference, outsider_rows, pixel_vectors, require_enough
from benchmarks.request.spec import RunSpec
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.features import extract_features
from benchmarks.stages.filters import EXTRACTOR
from benchmarks.stages.images import Images
from synthworth.errors import Unavailable, UserError
from synthworth.keys import seed_from
from synthworth.work import CopyLook

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmarks.metrics.extractors.base import Extractor

FLAG = "--gen.stop-at-copy-rate"
MANY = 0.05
"""A bound that is named where one is asked for that chance alone would reach."""


class NearCopies:
    """The copy rate of drawn images, as the privacy audit measures it (`Reference.copies`), as a `CopyJudge`.

    Members are the images that the generator learns from (a donor's, where it learns at one), outsiders those of val
    that are not among them. Distances are between features of `efficientnet_lite0` in fp32, whatever features the run
    is judged in, for a fit's key says which judge it had, and between pixels; the answer is that of the space in which
    more are near-copies. Nothing is extracted before the first use: of several processes that share a fit one looks.
    """

    def __init__(self, experiment: Experiment, spec: RunSpec) -> None:
        self.bench, self.images = experiment.bench, experiment.images.learned_from(spec)
        self.seed = seed_from(spec.seed, "copy looks")

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        return outsider_rows(val=self.images.val.images, train=self.images.train.images)

    @property
    def chance(self) -> float:
        """Share of fresh real images that are near-copies by chance: 0.01, and more with fewer than 99 val images."""
        return chance(len(self._rows))

    @cached_property
    def _extractor(self) -> Extractor:
        from benchmarks.metrics.registry import EXTRACTORS

        made: Extractor = EXTRACTORS.get(EXTRACTOR)(device=self.bench.device)
        return made

    @cached_property
    def _references(self) -> tuple[Reference, Reference]:
        """In features and in pixels; raises Unavailable where there are too few, or their distances tell no copies."""
        train, val = self.images.train, self.images.val
        features = (
            extract_features(self.bench, self._extractor, s.fingerprint(), lambda s=s: s.images).features  # type: ignore[misc]
            for s in (train, val)
        )
        return self._reference(*features), self._reference(*(pixel_vectors(s.images) for s in (train, val)))

    def _reference(self, members: NDArray[np.floating], held_out: NDArray[np.floating]) -> Reference:
        groups = [self.images.val.groups[row] for row in self._rows]
        made = Reference(members, held_out[self._rows], self.images.train.groups, groups, self.bench.device)
        assert made.bound >= 0  # Unavailable where there is none
        return made

    def prepare(self) -> None:
        """Extract the features of train and val, and refuse where they tell no copies.

        Raises
        ------
        UserError
            As `require_near_copies`, and where half of val lies on training images.
        """
        try:
            _ = self._references
        except Unavailable as reason:
            raise _cannot(reason) from reason

    def __call__(self, images: Tensor) -> CopyLook:
        """Judge uint8 (N, C, H, W), in the space in which more are near-copies; of equals in features."""
        vectors = self._extractor.extract(images).features, pixel_vectors(images)
        looks = []
        for reference, found in zip(self._references, vectors, strict=True):
            value = reference.copies(reference.nearest_member(found), seed=self.seed)
            assert value.value is not None and value.low is not None and value.high is not None
            looks.append(CopyLook(value.value, value.low, value.high))
        return max(looks, key=lambda look: look.rate)


def near_copies(experiment: Experiment, spec: RunSpec) -> NearCopies | None:
    """The judge of a fit that is to stop before it copies; None for every other."""
    return NearCopies(experiment, spec) if spec.copy_bound else None


def require_near_copies(spec: RunSpec, images: Images) -> None:
    """Refuse a fit that is to stop before it copies where val could not tell, or where chance alone would stop it.

    No features are looked at: it is asked before anything is trained.

    Raises
    ------
    UserError
        With fewer than 20 images or 10 patients in train or val, and for a bound at or below the share of fresh real
        images that count as near-copies.
    """
    bound = spec.copy_bound
    if not bound:
        return
    train, val, _ = images.learned_from(spec)
    rows = outsider_rows(val=val.images, train=train.images)
    try:
        require_enough(train.groups, [val.groups[row] for row in rows])
    except Unavailable as reason:
        raise _cannot(reason) from reason
    by_chance = chance(len(rows))
    if bound <= by_chance:
        raise UserError(
            f"{FLAG} {bound:g} was asked for, and {by_chance:.1%} of fresh real images are near-copies by chance with "
            f"{len(rows)} val images that are not in train too. Ask for {max(MANY, 3 * by_chance):.2g}, say"
            + ("" if len(rows) >= 99 else "; from 99 val images on it is 1 %")
        )


def _cannot(reason: Unavailable) -> UserError:
    return UserError(f"{FLAG}: {reason}. Use larger splits, or train without it")
