"""Inception score, in a form that does not depend on the order of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_N = 100
"""Fewest images for a number in a record: ten in each of the ten splits."""
SPLITS = 10


class InceptionScore(NamedTuple):
    """Mean and standard deviation over the splits."""

    mean: float
    std: float


def inception_score(*, logits: NDArray[np.floating], seed: int, splits: int = SPLITS) -> InceptionScore:
    """Inception score: exp of the mean KL divergence between p(y|x) and p(y), over `splits` parts of the set.

        IS = exp( E_x KL( p(y|x) || p(y) ) )

    (Salimans et al. 2016, section 4.) In float64. A part of a class-ordered set sees few classes, so the score
    would depend on the order (62 against 298 for one set of images). Rows are therefore put into an order made
    of their own values and shuffled by `seed`: any permutation of `logits` gives the same bits.

    Parameters
    ----------
    logits : float32 (N, K), without the bias (`logits_unbiased` of torch-fidelity).

    Raises
    ------
    Unavailable
        With fewer images than splits, or for logits that are not finite.
    ValueError
        For logits that are not (N, K).
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must be (N, K), not {logits.shape}")
    if broken := int((~np.isfinite(logits).all(axis=1)).sum()):
        raise Unavailable(f"logits of {broken} of {len(logits)} images hold NaN or infinity: the extractor is broken")
    if len(logits) < splits:
        raise Unavailable(f"needs an image in each of {splits} splits; there are {len(logits)}")
    from scipy.special import log_softmax, logsumexp

    n = len(logits)
    order = canonical_order(logits)[np.random.default_rng(seed_from(seed, "inception score")).permutation(n)]
    log_p = log_softmax(logits[order].astype(np.float64), axis=1)
    scores = []
    for part in range(splits):
        chunk = log_p[part * n // splits : (part + 1) * n // splits]
        log_mean = logsumexp(chunk, axis=0) - np.log(len(chunk))  # finite where every p is too small for a float
        divergence = (np.exp(chunk) * (chunk - log_mean)).sum(axis=1)
        scores.append(float(np.exp(divergence.mean())))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def canonical_order(rows: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices (N,) that sort the rows of a float matrix by value, first column first; ties are equal rows.

    Floats are mapped to big-endian integers of the same order, so that whole rows compare as bytes.
    """
    bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32)
    ordered = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31)).astype(">u4")
    return np.argsort(ordered.view(np.dtype((np.void, 4 * rows.shape[1]))).ravel(), kind="stable")


INCEPTION_SCORE = Quantity("inception_score", "higher", title="IS")


@metric(INCEPTION_SCORE, minimum_n=MIN_N)
def measure_inception_score(*, logits: NDArray[np.floating], seed: int) -> dict[str, Value]:
    """`inception_score` as a Value, its standard deviation over splits in `extra`; null below `MIN_N`."""
    mean, std = inception_score(logits=logits, seed=seed)
    extra = {"std": std, "splits": SPLITS}
    return {INCEPTION_SCORE.name: INCEPTION_SCORE.value(mean, len(logits), extra=extra)}
