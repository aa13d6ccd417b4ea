"""Which values of a film that has more than 8 bits become black and white: between two shares of its pixels."""

from __future__ import annotations

import numpy as np

from synthworth.errors import UserError

Shares = tuple[float, float]  # percent of the pixels, from 0 to 100
PERCENTILES: Shares = (0.5, 99.5)
WHOLE: Shares = (0.0, 100.0)
LONGEST_TABLE = 1 << 16  # values: 16 bits a pixel


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


def ramp(values: np.ndarray, counts: np.ndarray, shares: Shares) -> np.ndarray:  # (V,), (V,) -> float64 (V,), 0..1
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
    rising: np.ndarray = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    return rising


def window_picture(
    pixels: np.ndarray, shares: Shares
) -> np.ndarray:  # any numbers (H, W) or (H, W, 3) -> uint8 of that shape, black is 0
    """A picture at 8 bits, by `ramp` over all its pixels, and over all its colours alike.

    Raises
    ------
    ValueError
        When a pixel is NaN or infinite.
    """
    if not np.isfinite(pixels).all():
        raise ValueError("its pixels hold NaN or infinity")
    if pixels.dtype.kind in "iu" and int(pixels.max()) - int(pixels.min()) < LONGEST_TABLE:
        low = int(pixels.min())
        at = (pixels.astype(np.int64) - low).ravel()
        counts = np.bincount(at)
        values = np.arange(low, low + len(counts))
    else:
        values, at, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    table = np.round(255 * ramp(values.astype(np.float64), counts, shares)).astype(np.uint8)
    shown: np.ndarray = table[at].reshape(pixels.shape)
    return shown


def _percentiles(values: np.ndarray, counts: np.ndarray, shares: Shares) -> tuple[float, float]:
    low, high = np.percentile(values, shares, weights=counts, method="inverted_cdf")
    return float(low), float(high)
