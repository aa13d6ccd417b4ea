"""DeLong's test of two AUROCs on the same images: a cross-check that knows nothing of seeds or patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.utility import one_vs_rest
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NOTE = (
    "DeLong takes these classifiers as given and every film as independent: it knows nothing of seeds or of patients "
    "with several films, and is a cross-check alone"
)


@dataclass(frozen=True)
class DeLong:
    """Macro AUROC of a minus that of b, with DeLong's standard error and two-sided normal p."""

    difference: float
    se: float
    p_value: float
    note: str = NOTE

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"difference": self.difference, "se": self.se, "p_value": self.p_value, "note": self.note}


def components(scores: NDArray[np.float64], yes: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    """AUROC of one question, and each image's part in it.

    With m positives and n negatives, and midranks T of all scores together and within each kind (Sun & Xu 2014,
    IEEE Signal Processing Letters 21, eq. 6 to 8), the placement values are

        V10_i = (T_i - T_i among positives) / n,    V01_j = 1 - (T_j - T_j among negatives) / m

    and the parts are (V10_i - AUROC) / sqrt(m (m - 1)) for a positive, (V01_j - AUROC) / sqrt(n (n - 1)) for a
    negative: sums over images of products of parts are DeLong's (1988) S10 / m + S01 / n, of two score sets or, with
    other positives, of two questions.

    Parameters
    ----------
    scores, yes : (N,).

    Returns
    -------
    AUROC, and the parts (N,).

    Raises
    ------
    Unavailable
        With fewer than two positives or two negatives.
    """
    from scipy.stats import rankdata

    m, n = int(yes.sum()), int((~yes).sum())
    if min(m, n) < 2:
        raise Unavailable(f"DeLong's variance needs two positives and two negatives; there are {m} and {n}")
    together = rankdata(scores)
    placement = np.empty(len(yes))
    placement[yes] = (together[yes] - rankdata(scores[yes])) / n
    placement[~yes] = 1 - (together[~yes] - rankdata(scores[~yes])) / m
    auroc = float(placement[yes].mean())
    weight = np.where(yes, 1 / math.sqrt(m * (m - 1)), 1 / math.sqrt(n * (n - 1)))
    return auroc, (placement - auroc) * weight


def compare_delong(
    a: ArrayLike,
    b: ArrayLike,
    truth: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    patients: Sequence[Any] | None = None,
) -> DeLong:
    """Paired test of two arms' macro AUROC.

    The macro's parts are the mean over the classes of theirs, so the covariance between classes is in it. Over the
    seeds the *parts* are averaged, not the scores: the difference is then the mean difference over the seeds, the
    number that the verdict is about, where averaged scores would have the AUROC of an ensemble. Classes that the
    test set cannot judge are left out.

    Parameters
    ----------
    a, b : scores (S, N, K) of each arm.
    truth : (N,) or (N, K).
    patients : the patient of each image: they decide which classes are judged, and nothing else.

    Raises
    ------
    Unavailable
        When no class can be judged, or one that can has a single positive or negative.
    """
    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 3 or not len(one):
        raise ValueError(f"scores {one.shape} and {other.shape} cannot be paired: both are (S, N, K)")
    difference, parts, n_terms = 0.0, np.zeros(one.shape[1]), 0
    for mine, its in zip(one, other, strict=True):
        left, right = one_vs_rest(truth, mine, classes, patients), one_vs_rest(truth, its, classes)
        for q in range(len(left.names)):
            if left.too_few(q) is not None:
                continue
            yes = left.truth[:, q]
            (auroc_a, of_a), (auroc_b, of_b) = components(left.scores[:, q], yes), components(right.scores[:, q], yes)
            difference, n_terms = difference + auroc_a - auroc_b, n_terms + 1
            parts += of_a - of_b
    if not n_terms:
        raise Unavailable("no class can be judged on this test set")
    difference, se = difference / n_terms, math.sqrt(float((parts**2).sum())) / n_terms
    return DeLong(difference, se, _normal_p(difference, se))


def _normal_p(difference: float, se: float) -> float:
    from scipy.stats import norm

    if not se:
        return 1.0 if not difference else 0.0
    return float(2 * norm.sf(abs(difference) / se))
