"""What is odd about films is said once, with how many there are and a file; files without DICOM's marks are read."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicom_files import RAMP, film, shown, with_bytes
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from data.datasets.dicom.dataset import Dicom, DicomConfig
from data.datasets.dicom.header import read_facts
from data.films.remarks import Remark, Remarks, libraries_heard, listening
from data.prepared import read_index
from synthworth.artifacts import ensure_folder
from synthworth.errors import UserError

N = 40


def hospital(root: Path, **elements: Any) -> Path:
    """Films of as many patients in two class folders, all with the same header."""
    for i in range(N):
        film(root / "ab"[i % 2] / f"{i:02d}.dcm", patient=f"{i:02d}", **elements)
    return root


def lines(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


@pytest.mark.filterwarnings("default::UserWarning")
def test_one_line_says_how_many_films_a_warning_is_about(tmp_path, caplog, recwarn) -> None:
    root = hospital(tmp_path / "films", NumberOfFrames=0)
    made = Dicom(DicomConfig(path=root, size=8))
    with caplog.at_level(logging.WARNING):
        made.prepare(tmp_path / "out")
    said = lines(caplog, "Number of Frames")
    assert len(said) == 1
    assert f"{N} films, first {root}" in said[0] and said[0].endswith(".dcm")
    assert not [w for w in recwarn if "Number of Frames" in str(w.message)]


@pytest.mark.filterwarnings("default::UserWarning")
def test_warnings_of_headers_are_one_line_whatever_stands_in_them(tmp_path, caplog, recwarn) -> None:
    root = hospital(tmp_path / "films")
    for i, path in enumerate(sorted(root.rglob("*.dcm"))):
        with_bytes(path, representation="CS", SpecificCharacterSet=f"SET {i:02d}".encode())
    recwarn.clear()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Dicom(DicomConfig(path=root, size=8)).films()
    said = lines(caplog, "Unknown encoding")
    assert len(said) == 1 and f"{N} films, first {root}" in said[0]
    assert not list(recwarn)


def test_what_we_say_of_films_is_in_the_notes_and_names_no_file(tmp_path, caplog) -> None:
    root = hospital(tmp_path / "films", PresentationLUTShape="INVERSE")
    made = Dicom(DicomConfig(path=root, size=8))
    with caplog.at_level(logging.WARNING):
        made.prepare(tmp_path / "out")
    said = lines(caplog, "contradicts itself")
    assert len(said) == 1 and f"{N} films, first {root}" in said[0]
    notes = read_index(tmp_path / "out")["notes"]
    (note,) = [value for name, value in notes.items() if "contradicts itself" in name]
    assert note.startswith(f"{N} films, first ") and note.split()[-1] in made.table.ids


def test_films_counted_before_a_kill_are_counted_after_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("data.films.cache.CHECKPOINT_SECONDS", 0.0)
    root = hospital(tmp_path / "films", PresentationLUTShape="INVERSE")
    scratch = ensure_folder(tmp_path / "scratch")
    killed = Dicom(DicomConfig(path=root, size=8))
    read, taken = killed.read, []

    def read_some(path: Path) -> np.ndarray:
        taken.append(path)
        if len(taken) > N // 2:
            raise KeyboardInterrupt
        pixels: np.ndarray = read(path)
        return pixels

    monkeypatch.setattr(killed, "read", read_some)
    with pytest.raises(KeyboardInterrupt):
        killed.prepare(tmp_path / "out", scratch=scratch)
    Dicom(DicomConfig(path=root, size=8)).prepare(tmp_path / "out", scratch=scratch)
    notes = read_index(tmp_path / "out")["notes"]
    assert next(value for name, value in notes.items() if "contradicts" in name).startswith(f"{N} films")


def test_colour_of_three_frames_is_left_out_by_on_bad_skip(tmp_path) -> None:
    root = hospital(tmp_path / "films")
    film(root / "a" / "cine.dcm", np.zeros((48, 16, 3), np.uint8), Rows=16, patient="x")
    with pytest.raises(UserError, match=r"cine\.dcm: it holds the pixels of 3 frames.*--data\.on-bad skip"):
        Dicom(DicomConfig(path=root, size=8)).prepare(tmp_path / "out")
    Dicom(DicomConfig(path=root, size=8, on_bad="skip")).prepare(tmp_path / "skipped")
    assert len(read_index(tmp_path / "skipped")["notes"]["skipped"]) == 1


def test_a_library_is_heard_only_about_a_film_and_other_warnings_pass(caplog, recwarn) -> None:
    source = logging.getLogger("chatty")
    with caplog.at_level(logging.WARNING), libraries_heard("chatty"):
        source.warning("on its own")
        with listening() as said:
            source.warning("of film %d", 7)
            warnings.warn("of film 7", UserWarning, stacklevel=1)
            warnings.warn("of something else", UserWarning, stacklevel=1)
    source.warning("afterwards")
    assert said == [Remark("of film 7", private=True)]
    assert [record.getMessage() for record in caplog.records] == ["on its own", "afterwards"]
    assert [str(w.message) for w in recwarn] == ["of something else"]


def test_remarks_of_a_library_are_one_kind_whatever_numbers_they_hold(caplog) -> None:
    remarks = Remarks()
    for i in range(3):
        remarks.add([Remark(f"value '{i}' at {i}", private=True), Remark("ours", private=False)], name=f"{i}.dcm")
    with caplog.at_level(logging.WARNING):
        remarks.log()
    assert [r.getMessage() for r in caplog.records] == [
        "value '0' at 0: 3 films, first 0.dcm", "ours: 3 films, first 0.dcm",
    ]  # fmt: skip


# -- files without the marks of a DICOM file ----------------------------------------------------------------------


def bare(path: Path, syntax: str, *, meta: bool) -> Path:
    """A film without preamble, with or without the file meta header."""
    if meta:
        film(path, RAMP, syntax=syntax)
        path.write_bytes(path.read_bytes()[132:])
        return path
    ds = dcmread(film(path, RAMP, syntax=syntax))
    alone = Dataset()
    alone.update(ds)
    dcmwrite(path, alone, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian)
    return path


@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_film_without_preamble_is_read(tmp_path, syntax: str, meta: bool) -> None:
    path = bare(tmp_path / "a.dcm", syntax, meta=meta)
    assert path.read_bytes()[128:132] != b"DICM"
    whole = film(tmp_path / "b.dcm", RAMP, syntax=syntax)
    assert np.array_equal(shown(path), shown(whole))
    assert read_facts(path).patient == read_facts(whole).patient


def test_films_without_preamble_and_extension_are_found(tmp_path) -> None:
    root = hospital(tmp_path / "films")
    bare(root / "a" / "IM001", ImplicitVRLittleEndian, meta=False)
    bare(root / "b" / "IM002", ExplicitVRLittleEndian, meta=True)
    (root / "a" / "notes").write_text("\x08 a report" * 50)
    (root / "a" / "zeros").write_bytes(b"\x08\x00" + bytes(300))
    assert len(Dicom(DicomConfig(path=root, size=8)).films()) == N + 2


def test_a_film_that_does_not_name_its_transfer_syntax_is_read_where_it_is_plain(tmp_path) -> None:
    ds = dcmread(film(tmp_path / "a.dcm", RAMP))
    del ds.file_meta.TransferSyntaxUID
    ds.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True)
    assert np.array_equal(shown(tmp_path / "a.dcm"), shown(film(tmp_path / "b.dcm", RAMP)))


def test_a_compressed_film_without_file_meta_header_says_so(tmp_path) -> None:
    path = film(tmp_path / "a.dcm", RAMP, syntax=RLELossless)
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\x08\x00\x16\x00UI") :])
    with pytest.raises(UserError, match="no file meta header"):
        shown(path)
