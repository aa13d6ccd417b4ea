"""Frechet distance between two sets of features (FID, when the features are Inception's)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_N = 50
"""Fewest images a side for a number in a record. Two halves of one set of chest films, EfficientNet-Lite0 at 128:
292 at n = 50, 197 at 100, 119 at 250, 73 at 500, where 0 is the truth. Read it against the floor of equal n."""


def frechet_distance(*, real: NDArray[np.floating], fake: NDArray[np.floating]) -> float:
    """Frechet distance of the Gaussians fitted to two feature sets, in float64.

        d^2 = ||mu_r - mu_f||^2 + tr(S_r) + tr(S_f) - 2 tr((S_r S_f)^(1/2))

    (Heusel et al. 2017, equation 6; covariances over n - 1.) With X and Y the centred features, scaled so that
    S_r = X'X and S_f = Y'Y, the last trace is the nuclear norm of X Y': no square root of a product that is
    singular whenever n < D, no complex numbers, no offset on the diagonal. Where n > D, X and Y are replaced by
    the D x D triangular factors of their QR decompositions, which have the same covariance.

    Parameters
    ----------
    real, fake : (N, D) and (M, D), any float type.

    Returns
    -------
    The squared distance, 0 or more (what the literature calls FID), in squared units of the features.

    Raises
    ------
    Unavailable
        With fewer than two images on a side, or a feature that is not finite.
    ValueError
        For different D.
    """
    check_features(real=real, fake=fake, minimum=2)
    mean_r, x = _centred_factor(real)
    mean_f, y = _centred_factor(fake)
    difference = mean_r - mean_f
    trace_root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    distance = difference @ difference + np.sum(x * x) + np.sum(y * y) - 2.0 * trace_root
    return max(float(distance), 0.0)


def _centred_factor(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and a matrix A of at most D rows with A'A = covariance."""
    wide = np.asarray(features, dtype=np.float64)
    mean = wide.mean(axis=0)
    centred = (wide - mean) / np.sqrt(len(wide) - 1)
    if len(wide) > wide.shape[1]:
        centred = np.linalg.qr(centred, mode="r")
    return mean, centred


def check_features(*, real: NDArray[np.floating], fake: NDArray[np.floating], minimum: int) -> None:
    """Raise unless both are finite (N, D) arrays of one D with at least `minimum` rows.

    Raises
    ------
    Unavailable
        With fewer rows than `minimum`, or a feature that is not finite.
    ValueError
        For other shapes.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features must be (N, D) and (M, D), not {real.shape} and {fake.shape}")
    broken = [int((~np.isfinite(side).all(axis=1)).sum()) for side in (real, fake)]
    if any(broken):
        raise Unavailable(
            f"features of {broken[0]} of {len(real)} real and {broken[1]} of {len(fake)} synthetic images hold NaN or "
            "infinity: the extractor is broken"
        )
    if min(len(real), len(fake)) < minimum:
        raise Unavailable(f"needs {minimum} images a side; there are {len(real)} real and {len(fake)} synthetic")


FD = Quantity("fd", "lower", title="FD", alias="fid")


@metric(FD, minimum_n=MIN_N, by_class=True)
def measure_frechet(*, real: NDArray[np.floating], fake: NDArray[np.floating]) -> dict[str, Value]:
    """`fd` as a Value; null with a note below `MIN_N`."""
    extra = {"n_real": len(real), "n_fake": len(fake)}
    return {FD.name: FD.value(frechet_distance(real=real, fake=fake), len(fake), extra=extra)}
