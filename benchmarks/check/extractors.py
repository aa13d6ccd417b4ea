"""The public contract test of feature extractors, check by check."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.check.candidate import make_images
from benchmarks.check.result import Check, Examination, Proof, expect, global_seeds, proofs, untouched

if TYPE_CHECKING:
    from torch import Tensor

N = 8
ROUNDING = 1e-3
"""How far features may lie apart that only batch size tells apart, as a share of the largest."""


class ExtractorExam(Examination):
    """One extractor class under test, on eight images."""

    def new(self) -> Any:
        """An instance for the CPU."""
        return self.plugin(device="cpu")

    @cached_property
    def extractor(self) -> Any:
        """The instance that most checks look at."""
        return self.new()

    @cached_property
    def images(self) -> Tensor:
        """uint8 (8, 1, 48, 48)."""
        return make_images(multilabel=False, channels=1, size=48, n=N).images

    @cached_property
    def features(self) -> np.ndarray:
        """Of the eight images at once."""
        found: np.ndarray = self.extractor.extract(self.images).features
        return found

    def apart(self, other: np.ndarray) -> float:
        """Largest difference to `features`, as a share of their largest."""
        return float(np.abs(self.features - other).max() / max(np.abs(self.features).max(), 1e-12))


def check_identity(exam: ExtractorExam) -> None:
    """name, size and weights_sha256 say which features these are: they are the key of every one."""
    extractor = exam.extractor
    expect(bool(getattr(extractor, "name", "")), "it has no name")
    size = getattr(extractor, "size", None)
    expect(isinstance(size, int) and size > 0, f"size is {size!r}")
    weights = getattr(extractor, "weights_sha256", None)
    expect(isinstance(weights, str) and bool(re.fullmatch(r"[0-9a-f]{64}", weights)), f"weights_sha256 is {weights!r}")
    expect(extractor.id == exam.new().id, "two instances have different ids")


def check_features(exam: ExtractorExam) -> None:
    """extract gives finite float32 features (N, D) and leaves the global random state alone."""
    with untouched("extract"):
        found = exam.features
    expect(found.dtype == np.float32, f"features are {found.dtype}, not float32")
    expect(found.ndim == 2 and len(found) == N, f"features of {N} images have shape {found.shape}")
    expect(bool(np.isfinite(found).all()), "features hold NaN or infinity")


def check_rows(exam: ExtractorExam) -> None:
    """An image has the same features, to the bit, wherever it stands; in batches of another size, to rounding."""
    turned = exam.apart(exam.extractor.extract(exam.images.flip(0)).features[::-1])
    expect(turned == 0, f"features of the same images in another order lie {turned:.2g} apart")
    few = exam.extractor.extract(exam.images[-3:]).features
    alone = float(np.abs(few - exam.features[-3:]).max())
    expect(alone == 0, f"features of 3 images and of the same 3 among {N} lie {alone:.2g} apart")
    apart = exam.apart(exam.extractor.extract(exam.images, batch=3).features)
    expect(apart <= ROUNDING, f"features in batches of 3 and of {N} lie {apart:.2g} apart")


def check_repeat(exam: ExtractorExam) -> None:
    """Another instance gives the same features, whatever the global random state."""
    with global_seeds(11):
        apart = exam.apart(exam.new().extract(exam.images).features)
    expect(apart == 0, f"a second instance gives other features, {apart:.2g} apart")


def check_difference(exam: ExtractorExam) -> None:
    """Two different images have different features."""
    expect(bool(np.ptp(exam.features, axis=0).max() > 0), "all images have the same features")


def check_grey(exam: ExtractorExam) -> None:
    """A grey image has the features of the same image in RGB."""
    apart = exam.apart(exam.extractor.extract(exam.images.repeat(1, 3, 1, 1)).features)
    expect(apart <= ROUNDING, f"features of grey and of RGB lie {apart:.2g} apart")


CHECKS: tuple[Check, ...] = (
    check_identity, check_features, check_rows, check_repeat, check_difference, check_grey,
)  # fmt: skip


def extractor_proofs(cls: type) -> list[Proof]:
    """Every check of an extractor class, ready to run, on eight images made here."""
    return proofs(CHECKS, ExtractorExam(cls))
