"""DICOM files for tests: whole ones in any encoding, and bad ones of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from data.datasets.dicom.header import read_film
from data.datasets.dicom.windowing import Windowing

NUMBER, NAME = "MRN-0042", "Doe^Jane"


def film(
    path: Path,
    pixels: np.ndarray | None = None,
    *,
    uid: str = "",
    patient: str | None = NUMBER,
    syntax: str = ExplicitVRLittleEndian,
    bits: int = 12,
    **elements: Any,
) -> Path:
    """Write a film; `elements` are set last, and None takes one away."""
    if pixels is None:
        seed = np.frombuffer(path.as_posix().encode(), np.uint8)
        pixels = np.random.default_rng(seed).integers(0, 1 << bits, (16, 16)).astype(np.uint16)
    ds, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid or generate_uid(entropy_srcs=[path.as_posix()])
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    ds.PatientName = NAME
    if patient is not None:
        ds.PatientID = patient
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    ds.BitsAllocated, ds.BitsStored = 8 * pixels.itemsize, min(bits, 8 * pixels.itemsize)
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    big = syntax == ExplicitVRBigEndian
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    for name, value in elements.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    if syntax == RLELossless:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(RLELossless, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def shown(path: Path, window: str = "header", percentiles: tuple[float, float] = (0.5, 99.5)) -> np.ndarray:
    return read_film(path, Windowing(window, percentiles))  # type: ignore[arg-type]


def with_bytes(path: Path, *, representation: str = "DS", **elements: bytes) -> Path:
    """Write elements into a film as they are, whatever pydicom would say of them."""
    ds = dcmread(path)
    for name, value in elements.items():
        tag = Tag(name)
        ds._dict[tag] = RawDataElement(tag, representation, len(value), value, 0, False, True)
    ds.save_as(path)
    return path


def lut(data: list[int], *, first: int, bits: int) -> Dataset:
    """One item of a VOI or modality LUT sequence."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(data), first, bits], data
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def cut(path: Path, keep: float | int) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    return path


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "empty"),
    "text": (lambda p: p.write_text("a report, " * 100), "not a DICOM file"),
    "cut in the pixels": (lambda p: cut(film(p, RAMP), 0.6), "less than expected|bytes|unexpected end"),
    "cut in the header": (lambda p: cut(film(p, RAMP), 300), "."),
    "cut in the preamble": (lambda p: cut(film(p, RAMP), 100), "not a DICOM file"),
    "cut and compressed": (lambda p: cut(film(p, RAMP, syntax=RLELossless), 0.5), "."),
    "frames": (lambda p: film(p, np.zeros((32, 16), np.uint16), Rows=16, NumberOfFrames=2), "2 frames"),
    "no pixels": (lambda p: film(p, PixelData=None), "pixels"),
    "no image": (lambda p: film(p, PixelData=None, Rows=None, Columns=None), "no pixels"),
    "photometric": (lambda p: film(p, PhotometricInterpretation="CMYK"), "'CMYK' is not known"),
    "no photometric": (lambda p: film(p, PhotometricInterpretation=None), "PhotometricInterpretation"),
    "32 bits": (lambda p: film(p, np.array([[0, 1 << 20]] * 8, np.uint32).repeat(4, 1), bits=32), "more than 16 bits"),
}
