"""Operating points that a clinic asks for: sensitivity where specificity is held at 90 or 95 %, and the reverse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.utility import NEEDED, macro, one_vs_rest, too_few
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class FixedPoint:
    """A rate on test at the threshold where the other rate was held on val.

    Parameters
    ----------
    gives : `sensitivity` or `specificity`: what is reported.
    level : where the other is held, in 0..1.
    """

    gives: str
    level: float

    @property
    def holds(self) -> str:
        """The rate that val holds."""
        return "specificity" if self.gives == "sensitivity" else "sensitivity"

    @property
    def name(self) -> str:
        """`sensitivity_at_95_specificity`."""
        return f"{self.gives}_at_{round(100 * self.level)}_{self.holds}"

    @property
    def sides(self) -> tuple[str, ...]:
        """The side of a class that the reported rate is of."""
        return NEEDED["recall" if self.gives == "sensitivity" else "specificity"]

    @property
    def least(self) -> int:
        """Images of val on the side that is held, below which its rate has no step so fine: 20 for 95 %."""
        return math.ceil(1 / (1 - self.level) - 1e-9)

    @property
    def quantity(self) -> Quantity:
        """As a record has it."""
        short = {"sensitivity": "sens.", "specificity": "spec."}
        title = f"{short[self.gives]} at {round(100 * self.level)} % {short[self.holds]} on val"
        return Quantity(self.name, "higher", title=title)


HELD = "held_on_test"
"""In `extra`: the rate on test that the threshold held on val."""
POINTS = tuple(FixedPoint(gives, level) for gives in ("sensitivity", "specificity") for level in (0.90, 0.95))
QUANTITIES = {point.name: point.quantity for point in POINTS}


def held_threshold(yes: NDArray[np.bool_], scores: NDArray[np.float64], point: FixedPoint) -> float:
    """The threshold t of the rule `score >= t` that holds a rate on val and gives up as little of the other as it can.

    Specificity held: the lowest t at which the share of negatives below t is `level` or more; it may lie above every
    score. Sensitivity held: the highest t at which the share of positives at or above t is.

    Parameters
    ----------
    yes, scores : (N,) of val.

    Raises
    ------
    Unavailable
        When val has fewer images on the side that is held than a step so fine needs.
    """
    side = "negative" if point.holds == "specificity" else "positive"
    of = np.sort(scores[~yes] if side == "negative" else scores[yes])
    n = len(of)
    if n < point.least:
        raise Unavailable(
            f"{n} {side} images in val: {point.least} are needed to hold a {point.holds} of {point.level:.0%}"
        )
    kept = math.ceil(point.level * n - 1e-9)  # images that must lie on the right side of t
    if side == "positive":
        return float(of[n - kept])
    return float(np.nextafter(of[kept - 1], np.inf))


@metric(*QUANTITIES.values())
def fixed_rates(
    *,
    truth: ArrayLike,
    scores: ArrayLike,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> dict[str, Value]:
    """Sensitivity at 90 and 95 % specificity, and the reverse: per class and macro, thresholds from val.

    Where the held rate lies on test is another thing than where val held it: it stands in `extra` as `held_on_test`, of
    the macro value as the mean over its classes, and of a class with the threshold. A rate of fewer than two patients
    is null, and so is one that val has too few images to hold.

    Parameters
    ----------
    truth, scores, classes, patients : as for `benchmarks.metrics.utility.one_vs_rest`.
    val_truth, val_scores : the same of val.

    Raises
    ------
    ValueError
        As `one_vs_rest`.
    """
    test = one_vs_rest(truth, scores, classes, patients)
    val = one_vs_rest(val_truth, val_scores, classes)
    found: dict[str, Value] = {}
    for point in POINTS:
        rows = []
        for q, name in enumerate(test.names):
            yes = test.truth[:, q]
            try:
                threshold = held_threshold(val.truth[:, q], val.scores[:, q], point)
            except Unavailable as reason:
                rows.append(point.quantity.missing(reason, len(yes), label=name))
                continue
            rates = _rates(yes, test.scores[:, q] >= threshold)
            note = too_few(yes, test.patient, point.sides)
            extra = {"threshold": threshold, HELD: rates[point.holds]}
            value = None if note else rates[point.gives]
            rows.append(point.quantity.value(value, len(yes), label=name, note=note, extra=extra))
        found[point.name] = _with_held(macro(point.quantity, rows), rows)
        found |= {row.name: row for row in rows}
    return found


def _with_held(value: Value, rows: Sequence[Value]) -> Value:
    """The macro value with the mean of what its classes hold on test; as it is where one of them has no number."""
    held = [row.extra[HELD] for row in rows if row.value is not None]
    if value.value is None or None in held:
        return value
    return replace(value, extra={**value.extra, HELD: float(np.mean(held))})


def _rates(yes: NDArray[np.bool_], called: NDArray[np.bool_]) -> Mapping[str, float | None]:
    """Of a decision; None without an image on the side."""
    return {
        "sensitivity": float(called[yes].mean()) if yes.any() else None,
        "specificity": float((~called[~yes]).mean()) if not yes.all() else None,
    }
