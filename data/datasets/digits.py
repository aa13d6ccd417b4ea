"""scikit-learn's handwritten digits as a dataset: real images, no download, seconds to learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.base import BaseDataset
from data.images import ImageSet, Split
from synthworth.errors import UserError

OWN_SIZE = 8
LARGEST = 256


@dataclass(frozen=True)
class DigitsConfig:
    """Options of `digits`."""

    size: int = 32
    """Pixels on a side, 8 to 256. The digits are 8 px; they are enlarged bilinearly, which adds no detail."""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Share of the images in train, val and test."""
    seed: int = 0
    """Draws the split."""


class Digits(BaseDataset):
    """1,797 handwritten digits of ten classes, grey.

    The data names no writers, so each image counts as a patient of its own: intervals treat digits of one
    hand as independent, and one hand may be on both sides of the split. Good for trying the machinery, not
    for claims.
    """

    Config = DigitsConfig
    version = 1
    licence = "CC BY 4.0"
    citation = "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI repository, 1998"

    def foretold(self) -> tuple[int, int]:
        """Digits are grey and square."""
        return 1, self.config.size

    def build(self) -> Mapping[Split, ImageSet]:
        """Scale 0..16 to 0..255, enlarge, and split.

        Raises
        ------
        UserError
            For a size outside 8 to 256.
        """
        import torch
        from sklearn.datasets import load_digits

        from data.splits.by_patient import split_by_patient
        from synthworth.images import resize

        size = self.config.size
        if not OWN_SIZE <= size <= LARGEST:
            raise UserError(f"--data.size {size}: digits come in {OWN_SIZE} to {LARGEST} px")
        digits = load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
        images = resize(torch.from_numpy(pixels), size)
        names = tuple(f"digit-{i:04d}" for i in range(len(pixels)))
        whole = ImageSet(
            images=images,
            labels=torch.from_numpy(digits.target.astype(np.int64)),
            ids=names,
            groups=names,
            split=Split.train,
            classes=tuple(str(digit) for digit in range(10)),
        )
        rows = split_by_patient(names, whole.labels, fractions=self.config.fractions, seed=self.config.seed)
        return {split: whole.subset(index, split=split) for split, index in rows.items()}
