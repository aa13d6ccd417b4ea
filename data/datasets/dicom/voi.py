"""The brightness that a film's own header asks for: its VOI LUT or its window (PS3.3 C.11.2), where it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from data.datasets.dicom.elements import is_given, number, numbers, word
from data.films.remarks import remark

if TYPE_CHECKING:
    from pydicom import Dataset

FAR = 20  # widths beside a window's centre, where every window function has reached its ends
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
SPARE = 2  # bits of a descriptor that a table leaves empty, from which on the descriptor is not believed
UNUSABLE = (ValueError, TypeError, AttributeError, LookupError, NotImplementedError, ArithmeticError)


def to_real(values: np.ndarray, header: Dataset) -> tuple[np.ndarray, bool]:
    """Values after the modality transform (PS3.3 C.11.1), as pydicom computes it; and whether the header has one.

    Returns
    -------
    (float64 (V,), whether it could be used)
        The values as they are where there is no transform, or none that can be used: a LUT without entries, a slope
        that is 0 or no number. Then no window of the header can be meant for them.
    """
    from pydicom.pixels import apply_modality_lut

    plain = values.astype(np.float64)
    if is_given(header, "ModalityLUTSequence"):
        try:
            item = header.ModalityLUTSequence[0]
            if 8 < item.LUTDescriptor[2] < 16:  # pydicom knows 8 and 16, and a table of 12 bits fits 16
                item.LUTDescriptor = [*item.LUTDescriptor[:2], 16]
            return np.asarray(apply_modality_lut(values, header), dtype=np.float64), True
        except UNUSABLE:
            remark("the modality LUT cannot be read; it was left out, and so was any window of the header")
            return plain, False
    there = [name for name in ("RescaleSlope", "RescaleIntercept") if name in header]
    if not there:
        return plain, True
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if len(there) == 2 and slope and intercept is not None:
        return plain * slope + intercept, True
    if len(there) == 1 and (slope == 1 or intercept == 0):
        return plain, True
    remark("the rescale slope or intercept is missing, empty, 0 or no number; both were left out, and so was a window "
           "of the header")  # fmt: skip
    return plain, False


def brightness(real: np.ndarray, header: Dataset) -> np.ndarray | None:
    """Brightness by the film's own VOI: its first VOI LUT, else its first window that can be used.

    Parameters
    ----------
    real
        Values after the modality transform.

    Returns
    -------
    Brightness, 0..1
        None where there is neither LUT nor window. Where there is one that cannot be used, a remark says so.
    """
    if is_given(header, "VOILUTSequence"):
        shown = _by_table(real, header)
        if shown is not None:
            return shown
    return _by_window(real, header)


def _by_table(real: np.ndarray, header: Dataset) -> np.ndarray | None:
    """What a VOI LUT shows, 0..1 (PS3.3 C.11.2.1.1).

    Pydicom's own look-up is not asked: it counts entries in the type of the table, so that 4096 entries of 8 bits come
    out as noise.
    """
    try:
        item = header.VOILUTSequence[0]
        n, first, bits = (int(value) for value in item.LUTDescriptor)
        table = _entries(item, n or 1 << 16, big_endian=header.original_encoding[1] is False)
    except UNUSABLE:
        remark("the VOI LUT cannot be read and was left out")
        return None
    if first >= 1 << 15 and float(real.min()) < 0:  # a negative number in an unsigned element
        first -= 1 << 16
    at = np.clip(np.round(real) - first, 0, len(table) - 1).astype(np.int64)
    filled = depth(int(table.max()), bits, what="VOI LUT")
    return np.clip(table[at] / ((1 << filled) - 1), 0, 1)


def _entries(item: Dataset, n: int, *, big_endian: bool) -> np.ndarray:
    """The `n` entries of a LUT, int64; 8-bit ones may be packed two to a word.

    Raises
    ------
    ValueError
        When there are fewer.
    """
    data: Any = item.LUTData
    if isinstance(data, bytes):
        is_packed = len(data) < 2 * n
        data = np.frombuffer(data, np.uint8 if is_packed else np.dtype(">u2" if big_endian else "<u2"))
    table = np.atleast_1d(np.asarray(data, dtype=np.int64))[:n]
    if len(table) < n:
        raise ValueError(f"{len(table)} entries of {n}")
    return table


def depth(top: int, bits: int, *, what: str) -> int:
    """How many bits the values of a table fill, where its descriptor says `bits`.

    The descriptor is believed unless a value does not fit it, or all of them leave two bits or more of it empty: 4095
    as the largest of 16 bits is white, not a sixteenth of it.
    """
    filled = max(top.bit_length(), 1)
    if filled > bits or filled <= bits - SPARE:
        remark(f"the {what} says more or fewer bits than its largest value fills; it was taken as one of so many")
        return filled
    return bits


def _by_window(real: np.ndarray, header: Dataset) -> np.ndarray | None:
    """What the first window that can be used shows; one narrower than 1 (LINEAR), or than anything, cannot."""
    function = word(header, "VOILUTFunction") or "LINEAR"
    centres, widths = numbers(header, "WindowCenter"), numbers(header, "WindowWidth")
    for centre, width in zip(centres, widths, strict=False):
        if centre is None or width is None or not np.isfinite([centre, width]).all() or function not in FUNCTIONS:
            continue
        if width > 0 and not (function == "LINEAR" and width < 1):
            return _apply_window(real, function, centre, width)
    if "WindowCenter" in header or "WindowWidth" in header:
        remark("the window of the header makes no sense (empty, no number, too narrow, or of an unknown function) and "
               "was left out")  # fmt: skip
    return None


def _apply_window(real: np.ndarray, function: str, centre: float, width: float) -> np.ndarray:
    """Brightness 0..1 by a window, as pydicom computes it.

    Pydicom maps to the range of the stored values; the two ends, found by asking far outside the window, take that to
    0..1.
    """
    from pydicom import Dataset
    from pydicom.pixels import apply_windowing

    window = Dataset()
    window.PhotometricInterpretation, window.BitsStored, window.PixelRepresentation = "MONOCHROME2", 16, 0
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = repr(centre), repr(width), function
    far = np.array([centre - FAR * width, centre + FAR * width])
    low, high = (float(end) for end in apply_windowing(far, window))
    shown = np.asarray(apply_windowing(np.clip(real, *far), window), dtype=np.float64)
    return np.clip((shown - low) / (high - low), 0, 1)
