"""How a DICOM file is opened: which files are films, also without the preamble that PS3.10 asks for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthworth.files import Unfit, open_file

if TYPE_CHECKING:
    from pydicom import Dataset

EXTENSIONS = (".dcm", ".dicom")
MARK = b"DICM"  # at byte 128 of every DICOM file (PS3.10)
HEAD = 132
FIRST_GROUPS = (b"\x02\0", b"\x08\0")  # what a file without preamble begins with: file meta, or the data set itself
MEASURED = {"UL", "UI", "CS", "DA", "TM", "DT", "LO", "SH"}  # representations of what stands first in these groups
LONGEST = 1024  # bytes of such a first element


def is_film(path: Path) -> bool:
    """Whether a file is called .dcm or .dicom, or begins as a DICOM file does. DICOMDIR and hidden files are none."""
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    if path.suffix.lower() in EXTENSIONS:
        return True
    try:
        with open_file(path) as handle:
            head = handle.read(HEAD)
    except Unfit:
        return False
    return head[128:] == MARK or begins_as_data_set(head)


def begins_as_data_set(head: bytes) -> bool:
    """Whether bytes begin with an element of group 2 or 8, in a little-endian encoding, as no text or picture does."""
    if head[:2] not in FIRST_GROUPS or len(head) < 12:
        return False
    if head[4:6].isalpha():
        return head[4:6].decode("latin-1") in MEASURED and 0 < int.from_bytes(head[6:8], "little") <= LONGEST
    return 0 < int.from_bytes(head[4:8], "little") <= LONGEST


def open_header(path: Path, *, only: Sequence[str]) -> Dataset:
    """Some elements of a file, without its pixels; `open_film` says what is raised."""
    from pydicom import dcmread

    with open_file(path) as handle:
        bare = _is_bare(handle.read(HEAD))
        handle.seek(0)
        return dcmread(handle, stop_before_pixels=True, specific_tags=list(only), force=bare)


def open_film(content: bytes) -> Dataset:
    """A file's elements, all of them; where it does not name its transfer syntax, the plain one that it was read in.

    Raises
    ------
    InvalidDicomError
        When it does not begin as a DICOM file does.
    ValueError
        When its pixels are compressed and it does not say how.
    """
    from pydicom import dcmread

    header = dcmread(io.BytesIO(content), force=_is_bare(content[:HEAD]))
    if not header.file_meta.get("TransferSyntaxUID"):
        _name_syntax(header)
    return header


def _is_bare(head: bytes) -> bool:
    return head[128:] != MARK and begins_as_data_set(head)


def _name_syntax(header: Dataset) -> None:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    pixels = header.get_item("PixelData")
    if pixels is not None and getattr(pixels, "length", 0) == 0xFFFFFFFF:
        raise ValueError(
            "it has no file meta header (no transfer syntax), and its pixels are compressed: nobody knows how"
        )
    is_implicit, is_little = header.original_encoding
    plain = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    header.file_meta.TransferSyntaxUID = plain
