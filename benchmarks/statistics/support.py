"""How many patients a number rests on: what bounds the trust in an interval where some patients weigh more than others.

Two things make a test set smaller than its number of patients says. A ranking has two sides, and the smaller one
limits it: five patients with a finding are five, however many are without. And a patient who brings half of the films
is half of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.metrics.utility import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FEW = 10
"""Patients on the smaller side of a class below which a number says how few they are."""
DOMINANT = 0.2
"""Share of the images from which a patient is said to dominate."""


@dataclass(frozen=True)
class Support:
    """The patients behind a number, and how evenly they bring its images."""

    n: int
    """Patients."""
    effective: float
    """Kish's (1965) effective number: (sum w)^2 / sum w^2 with w the images of each patient; `n` where all bring as
    many."""
    largest: float
    """Share of the images that the patient with most of them brings."""
    sides: tuple[tuple[int, ...], ...] = ()
    """For each class: its patients on each side of `kinds`. Empty for a number that does not tell sides apart."""
    names: tuple[str, ...] = ()
    """The classes of `sides`."""
    kinds: tuple[str, ...] = SIDES
    """Which sides the number is of: a ranking is of both, a recall of the positive one alone."""

    @classmethod
    def equal(cls, n: int) -> Support:
        """Patients who bring one image each."""
        return cls(n, float(n), 1 / n)

    @classmethod
    def of(
        cls,
        patient: NDArray[np.intp],
        yes: NDArray[np.bool_] | None = None,
        names: Sequence[str] = (),
        kinds: tuple[str, ...] = SIDES,
    ) -> Support:
        """The patients of some images.

        Parameters
        ----------
        patient : (N,) index of the patient of each image.
        yes : (N, Q), which images show a class; None for a number without two sides.
        names : Q of them.
        kinds : the sides that the number is of.
        """
        weights = np.bincount(patient).astype(np.float64)
        weights = weights[weights > 0]
        sides: tuple[tuple[int, ...], ...] = ()
        if yes is not None:
            sides = tuple(
                tuple(len(np.unique(patient[one if kind == "positive" else ~one])) for kind in kinds) for one in yes.T
            )
        effective = float(weights.sum() ** 2 / (weights**2).sum())
        return cls(len(weights), effective, float(weights.max() / weights.sum()), sides, tuple(names), kinds)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a variance that is estimated from these patients.

        At most `effective` - 1. With sides, a class with m patients on one and n on the other has a variance in
        proportion to 1 / m + 1 / n, estimated on m - 1 and n - 1 degrees of freedom; over all classes and sides
        (Satterthwaite 1946)

            d = (sum of 1 / k)^2 / sum of (1 / k)^2 / (k - 1)

        which is about m - 1 where m is the smaller side by far. A side of one patient cannot be judged at all and is
        left out before (`benchmarks.metrics.utility.too_few`).
        """
        counts = np.array([k for side in self.sides for k in side], dtype=np.float64)
        most = self.effective - 1
        if not len(counts) or counts.min() < 2:
            return most
        return float(min(most, (1 / counts).sum() ** 2 / (counts**-2 / (counts - 1)).sum()))

    @property
    def smallest_side(self) -> int | None:
        """Patients on the smallest side of any class; None where there are no sides."""
        return min((min(side) for side in self.sides), default=None)

    @property
    def note(self) -> str | None:
        """What a reader has to know: a class of few patients, a patient who dominates; None where there is neither."""
        said = []
        few = [
            _few(name, min(zip(side, self.kinds, strict=True)))
            for name, side in zip(self.names, self.sides, strict=False)
            if min(side) < FEW
        ]
        if few:
            said.append(f"few patients: {', '.join(few)}")
        if self.largest >= max(DOMINANT, 2 / self.n):
            said.append(
                f"one patient brings {100 * self.largest:.0f} % of the test images: the {self.n} patients count as "
                f"{self.effective:.1f}"
            )
        return "; ".join(said) or None

    def weaker(self, other: Support) -> Support:
        """The one with fewer degrees of freedom, which bounds what can be said of both."""
        return min(self, other, key=lambda one: (one.freedom, one.n))


def _few(name: str, smallest: tuple[int, str]) -> str:
    n, kind = smallest
    return f"{n} {'with' if kind == 'positive' else 'without'} {name}"
