"""Which bits of a DICOM pixel are its value (PS3.5 8.1.1), also where the header and the pixels do not agree on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.datasets.dicom.elements import number
from data.films.remarks import remark

if TYPE_CHECKING:
    from pydicom import Dataset

OVERLAYS = range(0x6000, 0x6020, 2)  # groups of the (retired) overlays that lie in unused bits of the pixels
N_ENDS = 16  # distinct values at either end of 16 bits, from which on they are no burned-in mark


def values_of(pixels: np.ndarray, header: Dataset) -> np.ndarray:  # int (H, W) or (H, W, 3) -> the same shape
    """The stored values of a film, less the bits that are no part of them.

    A value fills BitsStored bits up to HighBit. Bits below it (where HighBit is above BitsStored - 1) are shifted out,
    bits above it masked: they hold overlays, or nothing. A signed value that was not extended to the bits above it is.

    Where the values cannot be what the header says, the reading that gives the smoother film is taken: the header's
    own, the whole pixel unsigned, the whole pixel signed. Each deviation is remarked on.

    Parameters
    ----------
    pixels
        As pydicom decodes them: all bits that are allocated, with the sign of PixelRepresentation.
    """
    bits, width = int(header.BitsStored), 8 * pixels.dtype.itemsize
    if bits >= width:
        return _either_sign(pixels) if width == 16 else pixels
    pixels = _brought_down(pixels, header, bits)
    low, high = _range(bits, signed=pixels.dtype.kind == "i")
    if low <= int(pixels.min()) and int(pixels.max()) <= high:
        return pixels
    return _without_high_bits(pixels, header, bits)


def _range(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _unsigned(pixels: np.ndarray) -> np.ndarray:
    return pixels.view(f"u{pixels.dtype.itemsize}")


def _brought_down(pixels: np.ndarray, header: Dataset, bits: int) -> np.ndarray:
    """Values that end at HighBit, shifted to end at BitsStored - 1; as they are where HighBit cannot be right."""
    given = number(header, "HighBit")
    shift = 0 if given is None else round(given) - (bits - 1)
    if shift == 0:
        return pixels
    raw = _unsigned(pixels)
    if not 0 < shift <= 8 * raw.dtype.itemsize - bits:
        remark("HighBit is below BitsStored - 1 or outside the pixel; the values were taken as they stand")
        return pixels
    low_bits = raw.dtype.type((1 << shift) - 1)
    if int(raw.max()) < 1 << bits and (raw & low_bits).any():
        remark("HighBit says that values fill the high bits, and they fill the low ones; they were taken as they stand")
        return pixels
    return pixels >> shift


def _without_high_bits(pixels: np.ndarray, header: Dataset, bits: int) -> np.ndarray:
    """Values less what stands above BitsStored; the whole pixel where what stands there belongs to the value."""
    signed, raw = pixels.dtype.kind == "i", _unsigned(pixels)
    mask = (1 << bits) - 1
    declared = _overlay_bits(header) & ~mask
    by_header = _extended(raw & raw.dtype.type(mask), bits) if signed else raw & raw.dtype.type(mask)
    if not (raw & raw.dtype.type(~(mask | declared) & int(np.iinfo(raw.dtype).max))).any() and not signed:
        return by_header
    whole = raw & raw.dtype.type(~declared & int(np.iinfo(raw.dtype).max))
    found = _smoothest([by_header, whole, whole.view(f"i{whole.dtype.itemsize}")])
    if found == 0:
        if (raw & raw.dtype.type(~(mask | declared) & int(np.iinfo(raw.dtype).max))).any():
            remark("bits above BitsStored are set where no overlay is declared; they are no part of a value (PS3.5 "
                   "8.1.1) and were masked")  # fmt: skip
        return by_header
    sign = ("unsigned", "signed")[found - 1]
    remark(f"the values do not fit BitsStored and PixelRepresentation; the whole pixel was taken, {sign}")
    return (whole, whole.view(f"i{whole.dtype.itemsize}"))[found - 1]


def _overlay_bits(header: Dataset) -> int:
    """The bits that the header says overlays lie in."""
    bits = 0
    for group in OVERLAYS:
        place = header.get((group, 0x0102))
        if place is not None and (group, 0x3000) not in header and isinstance(place.value, int):
            bits |= 1 << place.value
    return bits


def _extended(raw: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement of `bits` bits as a signed integer of the same size."""
    spare = 8 * raw.dtype.itemsize - bits
    return (raw << spare).view(f"i{raw.dtype.itemsize}") >> spare


def _smoothest(readings: list[np.ndarray]) -> int:
    """Which reading has the smallest steps between neighbours; the first of those that have equal ones.

    Readings differ where a value is at the end of one range and the neighbour at the other: there a wrong one jumps.
    """
    return int(np.argmin([_steps(reading.astype(np.int64)) for reading in readings]))


def _steps(values: np.ndarray) -> int:
    return sum(int(np.abs(np.diff(values, axis=axis)).sum()) for axis in (0, 1))


def _either_sign(pixels: np.ndarray) -> np.ndarray:
    """16 bits that are all stored, read with the other sign where the header's cannot be meant.

    That is where many values lie at both ends of the range (for unsigned values: and none in the middle half), and the
    other reading is smoother.
    """
    signed = pixels.dtype.kind == "i"
    low, high = _range(16, signed=signed)
    quarter = 1 << 14
    if int(pixels.min()) >= low + quarter or int(pixels.max()) <= high - quarter:
        return pixels
    seen = np.bincount(_unsigned(pixels).ravel(), minlength=1 << 16) > 0
    if signed:
        seen = np.roll(seen, 1 << 15)
    first, middle, last = seen[:quarter], seen[quarter:-quarter], seen[-quarter:]
    other = _unsigned(pixels) if signed else pixels.view("i2")
    if min(first.sum(), last.sum()) < N_ENDS or (not signed and middle.any()) or not _smoothest([pixels, other]):
        return pixels
    remark(f"PixelRepresentation says that values are {('unsigned', 'signed')[signed]}, and they wrap round; they were "
           f"taken as {('signed', 'unsigned')[signed]}")  # fmt: skip
    return other
