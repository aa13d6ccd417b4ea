"""Which values of a film that has more than 8 bits become black and white: between two shares of its pixels."""

from __future__ import annotations

import numpy as np

from synthworth.errors import UserError

PERCENTILES = 0.5, 99.5
WHOLE = 0.0, 100.0


def check_percentiles(percentiles: tuple[float, float]) -> None:
    """Refuse percentiles that are none.

    Raises
    ------
    UserError
        Naming the flag.
    """
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise UserError(f"--data.percentiles {low:g} {high:g}: two ascending numbers from 0 to 100 are needed")


def ramp(
    values: np.ndarray, counts: np.ndarray, shares: tuple[float, float]
) -> np.ndarray:  # (V,), (V,) -> float64 (V,), 0..1
    """Brightness that rises evenly from one percentile of the pixels to another, and is black and white outside.

    Where nearly all pixels have one value, what little there is beside it decides: then it rises from the smallest to
    the largest. A film of one value is black.

    Parameters
    ----------
    values
        Distinct values, in any order.
    counts
        Pixels of each value.
    shares : percent
        Of the pixels. A percentile is the smallest value that at least so many percent of them do not exceed.
    """
    low, high = _percentiles(values, counts, shares)
    if high <= low:
        low, high = _percentiles(values, counts, WHOLE)
    rising: np.ndarray = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return rising


def _percentiles(values: np.ndarray, counts: np.ndarray, shares: tuple[float, float]) -> tuple[float, float]:
    low, high = np.percentile(values, shares, weights=counts, method="inverted_cdf")
    return float(low), float(high)
