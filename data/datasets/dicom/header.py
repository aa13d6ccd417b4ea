"""What is read of a DICOM file, its header's facts and its pixels, and in which words it is refused."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.attributes import AGE_BANDS, UNKNOWN
from data.datasets.dicom.elements import is_given, number, numbers, word
from data.datasets.dicom.opening import open_film, open_header
from data.datasets.dicom.windowing import GREY, Windowing, to_colour, to_uint8
from data.films.looks import Look
from data.films.opening import MAX_PIXELS, Damaged, TooLarge, most_bytes, refuse_sizes
from synthworth.errors import UserError
from synthworth.files import Unfit, read_file
from synthworth.keys import file_sha256

if TYPE_CHECKING:
    from pydicom import Dataset

COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
FACTS = (
    "SOPInstanceUID", "StudyInstanceUID", "PatientID", "PatientSex", "PatientAge", "PatientBirthDate", "StudyDate",
    "ViewPosition", "Rows", "Columns", "PhotometricInterpretation", "BitsStored",
)  # fmt: skip
WHOLE_NUMBERS = "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation"
SEXES = ("F", "M", "O")
AGE = re.compile(r"(\d{3})([DWMY])")  # PS3.5, value representation AS
A_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
OLDEST = 120  # years
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"  # item (FFFE,E0DD), in little endian as all compressed films are (PS3.5 A.4)
DAMAGED = OSError, EOFError, ValueError, RuntimeError, zlib.error, Unfit  # in words that were meant for a reader
SENSELESS = TypeError, AttributeError, LookupError, ArithmeticError, struct.error  # in Python's own


@dataclass(frozen=True)
class Facts:
    """What a header says; `patient` never leaves this process.

    Parameters
    ----------
    film
        SOPInstanceUID, or where there is none the sha256 of the file.
    patient
        Patient's number, else the study's UID; None where there is neither.
    known
        Whether `patient` is a patient's number.
    sex, age_band, view
        For subgroup rows; "unknown" where the header does not say.
    look
        What can be seen of the file: its transfer syntax, its photometric interpretation and bits, and its size.
    """

    film: str
    patient: str | None
    known: bool
    sex: str
    age_band: str
    view: str
    look: Look


def require_pydicom() -> None:
    """Refuse early where pydicom is missing.

    Raises
    ------
    UserError
        Saying what to install.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise UserError('dataset dicom needs pydicom: pip install "synthworth[dicom]"') from error


def read_facts(path: Path) -> Facts:
    """The header's facts; no pixel is read.

    Raises
    ------
    UserError
        When it is not a DICOM file, or holds no image; the message names the file.
    """
    with _naming(path):
        if not path.stat().st_size:
            raise _unreadable(path, "the file is empty")
        return _facts(path, open_header(path, only=FACTS))


def _facts(path: Path, header: Dataset) -> Facts:
    height, width = (number(header, name) or 0 for name in ("Rows", "Columns"))
    if min(height, width) < 1:
        raise _unreadable(path, "it holds no image")
    patient = " ".join(str(header.get("PatientID") or "").split()).casefold()
    study = str(header.get("StudyInstanceUID") or "")
    film = str(header.get("SOPInstanceUID") or "")
    return Facts(
        film=film or file_sha256(path),
        patient=f"number {patient}" if patient else f"study {study}" if study else None,
        known=bool(patient),
        sex=_one_of(header.get("PatientSex"), SEXES),
        age_band=_age_band(header),
        view=str(header.get("ViewPosition") or UNKNOWN).strip() or UNKNOWN,
        look=_look(header, round(width), round(height)),
    )


def _look(header: Dataset, width: int, height: int) -> Look:
    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    bits = number(header, "BitsStored")
    mode = " ".join([word(header, "PhotometricInterpretation"), *([f"of {bits:g} bits"] if bits else [])])
    return Look(f"DICOM {getattr(syntax, 'name', '')}".strip(), mode, width, height)


def read_film(
    path: Path, windowing: Windowing, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:  # file -> uint8 (H, W), or (H, W, 3) for colour
    """The pixels of a film at 8 bits; see `data.datasets.dicom.windowing` for what becomes black and white.

    A file with several frames is refused: which of them is the film, and whose, is nobody's to guess.

    Raises
    ------
    UserError
        When the file is not DICOM, cut short, no image, has several frames or more than `max_pixels`, or is compressed
        in a way for which no decoder is installed; the message names the file, and what to install.
    """
    with _naming(path):
        header = _read(path, max_pixels)
        for name in WHOLE_NUMBERS:
            _whole_number(path, header, name)
        frames = _whole_number(path, header, "NumberOfFrames") if is_given(header, "NumberOfFrames") else 1
        if frames > 1:
            raise _unreadable(path, f"it holds {frames} frames, and a film has one")
        try:
            refuse_sizes(int(header.Columns), int(header.Rows), max_pixels=max_pixels)
        except (Damaged, TooLarge) as error:
            more = ". Scale it down, or allow more by --data.max-pixels" if isinstance(error, TooLarge) else ""
            raise _unreadable(path, f"{error}{more}") from error
        photometric = word(header, "PhotometricInterpretation")
        if photometric not in (*GREY, *COLOUR):
            raise _unreadable(path, f"PhotometricInterpretation {photometric!r} is not known here")
        _require_decoder(path, header)
        return _decode(header, windowing, grey=photometric in GREY)


def _whole_number(path: Path, header: Dataset, name: str) -> int:
    if not is_given(header, name):
        raise _unreadable(path, f"its header has no {name}")
    found = numbers(header, name)
    if len(found) != 1 or found[0] is None or not float(found[0]).is_integer():
        raise _unreadable(path, f"its {name} is no whole number")
    return int(found[0])


def _decode(header: Dataset, windowing: Windowing, *, grey: bool) -> np.ndarray:
    from pydicom.pixels import pixel_array

    pixels = pixel_array(header, correct_unused_bits=False)  # which bits count is said in `stored`
    if pixels.ndim == (3 if number(header, "SamplesPerPixel") == 1 else 4):
        raise ValueError(f"it holds the pixels of {len(pixels)} frames, and a film has one")
    if not grey:
        return to_colour(pixels, header)
    if pixels.ndim != 2:
        raise ValueError(f"its pixels have shape {pixels.shape}, and a grey film has one sample a pixel")
    return to_uint8(pixels, header, windowing)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let what pydicom and its decoders raise name the file.

    They raise on files that are cut short or make no sense. Elements are parsed only when they are looked at, so that
    this can happen anywhere. (NotImplementedError is a RuntimeError.)
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        yield
    except InvalidDicomError as error:
        raise _unreadable(path, "it is not a DICOM file") from error
    except (*DAMAGED, BytesLengthException) as error:
        raise _unreadable(path, str(error) or type(error).__name__) from error
    except SENSELESS as error:
        raise _unreadable(path, f"it is damaged, or its header makes no sense ({error})") from error


def _read(path: Path, max_pixels: int) -> Dataset:
    content = read_file(path, at_most=most_bytes(max_pixels))
    if not content:
        raise _unreadable(path, "the file is empty")
    header = open_film(content)
    if "PixelData" not in header:
        is_real = "FloatPixelData" in header or "DoubleFloatPixelData" in header
        what = "its pixels are floating-point numbers" if is_real else "it holds no pixels, or is cut short"
        raise _unreadable(path, what)
    if not is_given(header, "PixelData"):
        raise _unreadable(path, "its pixel data is empty")
    if _is_cut_short(header, content):
        raise _unreadable(path, "it is cut short")
    return header


def _is_cut_short(header: Dataset, content: bytes) -> bool:
    """Whether compressed pixels lack their end mark.

    Pydicom warns of that and goes on, and a JPEG decoder would make up the rest of the film.
    """
    if not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return False
    return content.rfind(SEQUENCE_END) < int(header["PixelData"].file_tell or 0)


def _require_decoder(path: Path, header: Dataset) -> None:
    from pydicom.pixels import get_decoder

    syntax = header.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise _unreadable(path, f"no decoder is known for transfer syntax {syntax.name}") from error
    if not decoder.is_available:
        needs = "; or ".join(decoder.missing_dependencies)
        raise _unreadable(
            path,
            f'transfer syntax {syntax.name} needs a decoder that is not installed: pip install "synthworth[dicom]" '
            f"({needs})",
        )


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(f"cannot read film {path}: {' '.join(reason.split())}")


def _one_of(value: Any, known: Sequence[str]) -> str:
    found = str(value or "").strip().upper()
    return found if found in known else UNKNOWN


def _age_band(header: Dataset) -> str:
    """Age at the study, by PatientAge or else by the two dates, in the bands that `nih` has."""
    given = AGE.fullmatch(str(header.get("PatientAge") or "").strip())
    born, taken = _day(header.get("PatientBirthDate")), _day(header.get("StudyDate"))
    if given:
        years = int(given[1]) / A_YEAR[given[2]]
    elif born and taken:
        years = (taken - born).days / 365.25
    else:
        return UNKNOWN
    if not 0 <= years <= OLDEST:
        return UNKNOWN
    return next((name for below, name in AGE_BANDS if years < below), AGE_BANDS[-1][1])


def _day(value: Any) -> date | None:
    """A DICOM date, YYYYMMDD; None where it is missing or no day."""
    text = str(value or "").strip()
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if len(text) == 8 else None
    except ValueError:
        return None
