"""What a DICOM film looks like at 8 bits: stored values, modality transform, window, polarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

Window = Literal["header", "percentile", "full"]
GREY = ("MONOCHROME1", "MONOCHROME2")
LONGEST_TABLE = 1 << 16  # values: 16 bits a pixel
FAR = 20  # widths beside a window's centre, where every window function has reached its ends


@dataclass(frozen=True)
class Windowing:
    """Which stored values become black and white.

    Parameters
    ----------
    window : header, percentile or full
        Header takes the film's own window (see `apply_header`), percentile the one between two percentiles of its
        values, full the one from its smallest to its largest value.
    percentiles
        Of the film's values, for percentile and where header finds no window.
    """

    window: Window = "header"
    percentiles: tuple[float, float] = (0.5, 99.5)


def to_uint8(
    stored: np.ndarray, header: Dataset, windowing: Windowing
) -> np.ndarray:  # int (H, W) -> uint8 (H, W), black is 0
    """A grey film as it is meant to be seen (DICOM PS3.4 N.2): modality transform, then window, then polarity.

    Every stored value is looked up in a table with one entry a value that occurs, so the transforms cost what 65,536
    numbers cost, and percentiles come from a histogram. MONOCHROME1 (small is bright) is inverted. Values that the
    header calls padding count in no percentile.

    Raises
    ------
    ValueError
        When there are more than 16 bits a pixel, or the header's numbers make no sense; the message is the reason.
    """
    stored = _without_overlays(stored, header)
    low = int(stored.min())
    if int(stored.max()) - low >= LONGEST_TABLE:
        raise ValueError("it has more than 16 bits a pixel")
    shifted = (stored.astype(np.int32) - low).ravel()
    counts = np.bincount(shifted)
    values = np.arange(low, low + len(counts), dtype=np.int32)
    seen = _without_padding(counts, values, header)
    shown = _table(values, seen, header, windowing)
    if not np.isfinite(shown).all():
        raise ValueError("its header's numbers (rescale, window) make no brightness of its pixels, but NaN or infinity")
    if header.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    table = np.round(255 * shown).astype(np.uint8)
    looked_up: np.ndarray = table[shifted].reshape(stored.shape)
    return looked_up


def _without_overlays(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Old films keep overlays in the bits above BitsStored; they are no part of the value."""
    bits = int(header.BitsStored)
    if stored.dtype.kind == "u" and bits < 8 * stored.dtype.itemsize and int(stored.max()) >= 1 << bits:
        masked: np.ndarray = stored & stored.dtype.type((1 << bits) - 1)
        return masked
    return stored


def _without_padding(counts: np.ndarray, values: np.ndarray, header: Dataset) -> np.ndarray:
    """Pixels by value, int (V,), without padding.

    Left out is what lies between PixelPaddingValue and PixelPaddingRangeLimit, unless nothing else is in the film.
    """
    padding = _number(header, "PixelPaddingValue")
    if padding is None:
        return counts
    limit = _number(header, "PixelPaddingRangeLimit")
    first, last = sorted((padding, padding if limit is None else limit))
    kept = np.where((values >= first) & (values <= last), 0, counts)
    return kept if kept.any() else counts


def _table(values: np.ndarray, seen: np.ndarray, header: Dataset, windowing: Windowing) -> np.ndarray:
    """Brightness of every stored value before polarity, float64 (V,), 0..1."""
    from pydicom.pixels import apply_modality_lut

    real = np.asarray(apply_modality_lut(values, header), dtype=np.float64)
    if windowing.window == "header":
        shown = apply_header(real, header)
        if shown is not None and np.ptp(shown[seen > 0]) > 0:
            return shown
    shares = (0.0, 100.0) if windowing.window == "full" else windowing.percentiles
    low, high = _percentiles(real, seen, shares)
    if high <= low:  # nearly all of the film is one value: what little there is beside it decides
        low, high = _percentiles(real, seen, (0.0, 100.0))
    ramp: np.ndarray = np.clip((real - low) / max(high - low, 1e-9), 0, 1)
    return ramp


def _percentiles(values: np.ndarray, counts: np.ndarray, shares: tuple[float, float]) -> tuple[float, float]:
    """For each share, the smallest value that at least so many percent of the pixels do not exceed."""
    low, high = np.percentile(values, shares, weights=counts, method="inverted_cdf")
    return float(low), float(high)


def apply_header(real: np.ndarray, header: Dataset) -> np.ndarray | None:
    """Brightness by the film's own VOI (PS3.3 C.11.2).

    Its first VOI LUT, else its first window (LINEAR, LINEAR_EXACT or SIGMOID), as `pydicom.pixels.apply_voi_lut`
    computes it. A window narrower than 1 (LINEAR) or than anything counts as none.

    Parameters
    ----------
    real
        Values after the modality transform.

    Returns
    -------
    Brightness, 0..1
        None where there is neither LUT nor window.
    """
    from pydicom.pixels import apply_voi

    luts = header.get("VOILUTSequence")
    if luts and luts[0].get("LUTData") is not None:
        bits = int(luts[0].LUTDescriptor[2])
        looked_up = apply_voi(np.round(real).astype(np.int64), header)
        return np.clip(np.asarray(looked_up, dtype=np.float64) / ((1 << bits) - 1), 0, 1)
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    linear = header.get("VOILUTFunction") in (None, "", "LINEAR")
    if centre is None or width is None or width <= 0 or (linear and width < 1):
        return None
    return _apply_window(real, header, centre, width)


def _apply_window(real: np.ndarray, header: Dataset, centre: float, width: float) -> np.ndarray:
    """Brightness 0..1 by a window, as pydicom computes it.

    Pydicom maps to the range of the stored values; the two ends, found by asking far outside the window, take that to
    0..1.
    """
    from pydicom import Dataset
    from pydicom.pixels import apply_windowing

    window = Dataset()
    window.PhotometricInterpretation, window.BitsStored, window.PixelRepresentation = "MONOCHROME2", 16, 0
    window.WindowCenter, window.WindowWidth = repr(centre), repr(width)
    window.VOILUTFunction = header.get("VOILUTFunction") or "LINEAR"
    far = np.array([centre - FAR * width, centre + FAR * width])
    low, high = (float(end) for end in apply_windowing(far, window))
    shown = np.asarray(apply_windowing(np.clip(real, *far), window), dtype=np.float64)
    return np.clip((shown - low) / (high - low), 0, 1)


def _number(header: Dataset, name: str) -> float | None:
    """The first value of an element, or None where it is missing or empty."""
    value: Any = header.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        value = value[0] if len(value) else None
    return None if value is None else float(value)


def to_colour(
    pixels: np.ndarray, header: Dataset
) -> np.ndarray:  # (H, W, 3), or (H, W) of a palette -> uint8 (H, W, 3)
    """A colour film at 8 bits. `pixels` are RGB already (YBR is converted when the film is decoded)."""
    bits = int(header.BitsStored)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        pixels = apply_color_lut(pixels, header)[..., :3]
        bits = 8 * pixels.dtype.itemsize
    shifted: np.ndarray = (pixels >> max(bits - 8, 0)).astype(np.uint8)
    return shifted
