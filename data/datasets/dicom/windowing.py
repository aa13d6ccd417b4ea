"""What a DICOM film looks like at 8 bits: stored values, modality transform, window, polarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from data.datasets.dicom.elements import is_given, number, word
from data.datasets.dicom.stored import values_of
from data.datasets.dicom.voi import brightness, depth, to_real
from data.films.remarks import remark
from data.films.windowing import LONGEST_TABLE, PERCENTILES, WHOLE, ramp

if TYPE_CHECKING:
    from pydicom import Dataset

Window = Literal["header", "percentile", "full"]
GREY = ("MONOCHROME1", "MONOCHROME2")
SHAPES = {"IDENTITY": "MONOCHROME2", "INVERSE": "MONOCHROME1"}  # PresentationLUTShape, PS3.3 C.8.11.3.1.2


@dataclass(frozen=True)
class Windowing:
    """Which stored values become black and white.

    Parameters
    ----------
    window : header, percentile or full
        Header takes the film's own window (see `data.datasets.dicom.voi`), percentile the one between two percentiles
        of its values, full the one from its smallest to its largest value.
    percentiles
        Of the film's values, for percentile and where header finds no window.
    """

    window: Window = "header"
    percentiles: tuple[float, float] = PERCENTILES


def to_uint8(
    pixels: np.ndarray, header: Dataset, windowing: Windowing
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
    stored = values_of(pixels, header)
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
    if _is_inverted(header):
        shown = 1 - shown
    table = np.round(255 * shown).astype(np.uint8)
    looked_up: np.ndarray = table[shifted].reshape(stored.shape)
    return looked_up


def _is_inverted(header: Dataset) -> bool:
    """Whether small values are bright: by PhotometricInterpretation, also where the presentation LUT says otherwise."""
    photometric, shape = word(header, "PhotometricInterpretation"), word(header, "PresentationLUTShape")
    if is_given(header, "PresentationLUTSequence"):
        remark("the header has a presentation LUT as a table, which is not applied")
    if SHAPES.get(shape, photometric) != photometric:
        remark(f"the header contradicts itself: {photometric} with PresentationLUTShape {shape}; {photometric} counts")
    return photometric == "MONOCHROME1"


def _without_padding(counts: np.ndarray, values: np.ndarray, header: Dataset) -> np.ndarray:
    """Pixels by value, int (V,), without padding.

    Left out is what lies between PixelPaddingValue and PixelPaddingRangeLimit, unless nothing else is in the film.
    """
    padding = number(header, "PixelPaddingValue")
    if padding is None:
        return counts
    limit = number(header, "PixelPaddingRangeLimit")
    first, last = sorted(_as_signed(end, values) for end in (padding, padding if limit is None else limit))
    kept = np.where((values >= first) & (values <= last), 0, counts)
    return kept if kept.any() else counts


def _as_signed(end: float, values: np.ndarray) -> float:
    """A negative number that was written as an unsigned one."""
    return end - (1 << 16) if end >= 1 << 15 and values[0] < 0 else end


def _table(values: np.ndarray, seen: np.ndarray, header: Dataset, windowing: Windowing) -> np.ndarray:
    """Brightness of every stored value before polarity, float64 (V,), 0..1."""
    real, is_real = to_real(values, header)
    if windowing.window == "header" and is_real:
        shown = brightness(real, header)
        if shown is not None and np.ptp(shown[seen > 0]) != 0:
            return shown
        if shown is not None and np.ptp(real[seen > 0]) > 0:
            remark("the VOI LUT or window of the header shows nothing of the film and was left out")
    return ramp(real, seen, WHOLE if windowing.window == "full" else windowing.percentiles)


def to_colour(
    pixels: np.ndarray, header: Dataset
) -> np.ndarray:  # (H, W, 3), or (H, W) of a palette -> uint8 (H, W, 3)
    """A colour film at 8 bits. `pixels` are RGB already (YBR is converted when the film is decoded).

    Raises
    ------
    ValueError
        When they are not; the message is the reason.
    """
    if word(header, "PhotometricInterpretation") == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        if pixels.ndim != 2:
            raise ValueError(f"its pixels have shape {pixels.shape}, and a palette colours one sample a pixel")
        colours = apply_color_lut(values_of(pixels, header), header)[..., :3]
        bits, what = 8 * colours.dtype.itemsize, "palette"
    else:
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"its pixels have shape {pixels.shape}, and colour has three samples a pixel")
        colours, bits, what = values_of(pixels, header), int(header.BitsStored), "header"
    if int(colours.min()) < 0:
        raise ValueError("its colours are negative (PixelRepresentation 1)")
    top = int(colours.max())
    if bits > 8 and top:
        bits = max(8, depth(top, bits, what=what))
    if bits < 8:
        return np.round(colours * (255 / ((1 << max(bits, top.bit_length())) - 1))).astype(np.uint8)
    shifted: np.ndarray = (colours >> (bits - 8)).astype(np.uint8)
    return shifted
