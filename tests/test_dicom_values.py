"""Where header and pixels do not agree a DICOM film comes out as it was taken, or is refused; and it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicom_files import RAMP, film, lut, shown, with_bytes
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from data.films.remarks import listening
from synthworth.errors import UserError


def heard(path: Path, window: str = "header") -> tuple[np.ndarray, list[str]]:
    """The film, and what is said about it."""
    with listening() as said:
        pixels = shown(path, window)
    return pixels, [remark.text for remark in said]


def level(value: float, bits: int = 12) -> int:
    return round(255 * value / ((1 << bits) - 1))


# which bits are the value ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_values_that_end_at_a_higher_bit_are_shifted_down(tmp_path, high_bit: int, syntax: str | None) -> None:
    more = {"syntax": syntax} if syntax else {}
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    plain = shown(film(tmp_path / "a.dcm", RAMP, **window))
    path = film(tmp_path / "b.dcm", RAMP << (high_bit - 11), HighBit=high_bit, **window, **more)
    assert np.array_equal(heard(path)[0], plain)
    assert heard(path)[1] == []


@pytest.mark.parametrize("high_bit", [15, 12, 7, 31])
def test_a_high_bit_that_cannot_be_right_is_said_and_the_values_are_kept(tmp_path, high_bit: int) -> None:
    pixels, said = heard(film(tmp_path / "a.dcm", RAMP, HighBit=high_bit))
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", RAMP)))
    assert len(said) == 1 and said[0].startswith("HighBit") and "as they stand" in said[0]


def test_signed_values_in_the_high_bits_keep_their_sign(tmp_path) -> None:
    values = RAMP.astype(np.int16) - 2048
    found = shown(film(tmp_path / "a.dcm", values << 4, HighBit=15, bits=12))
    assert np.array_equal(found, shown(film(tmp_path / "b.dcm", values)))


def test_bits_above_those_stored_are_masked_and_said(tmp_path) -> None:
    marked = RAMP.copy()
    marked[::7] |= 0x8000
    pixels, said = heard(film(tmp_path / "a.dcm", marked), "full")
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", RAMP), "full"))
    assert len(said) == 1 and "bits above BitsStored are set where no overlay is declared" in said[0]


def test_an_overlay_that_is_declared_is_masked_without_a_word(tmp_path) -> None:
    marked = RAMP.copy()
    marked[::7] |= 0x8000
    path = film(tmp_path / "a.dcm", marked)
    ds = dcmread(path)
    ds.add_new((0x6000, 0x0100), "US", 16)
    ds.add_new((0x6000, 0x0102), "US", 15)
    ds.save_as(path)
    pixels, said = heard(path, "full")
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", RAMP), "full"))
    assert said == []


@pytest.mark.parametrize("factor", [2, 5, 16])
def test_values_beyond_the_stored_bits_keep_their_high_bits(tmp_path, factor: int) -> None:
    """BitsStored says 12, and a smooth film goes on above it: masking would fold it into bands."""
    pixels, said = heard(film(tmp_path / "a.dcm", RAMP * factor))
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", RAMP)))
    assert len(said) == 1 and "the whole pixel was taken, unsigned" in said[0]


def test_a_signed_value_that_was_not_extended_is_negative(tmp_path) -> None:
    values = RAMP.astype(np.int16) - 2048
    pixels, said = heard(film(tmp_path / "a.dcm", values & 0x0FFF))
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", values)))
    assert said == []


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("said_signed", [True, False])
def test_a_pixel_representation_that_lies_is_seen_by_the_seam_it_leaves(tmp_path, bits: int, said_signed: bool) -> None:
    scale = 1 << (bits - 12)
    true = RAMP * np.uint16(scale) if said_signed else (RAMP.astype(np.int16) - 2048) * (min(scale, 4))
    wrong = true.astype(np.int16 if said_signed else np.uint16)
    pixels, said = heard(film(tmp_path / "a.dcm", wrong, bits=bits), "full")
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", true, bits=bits), "full"))
    assert len(said) == 1 and "PixelRepresentation" in said[0]


def test_a_black_and_white_film_of_16_bits_is_not_taken_for_signed(tmp_path) -> None:
    marks = np.zeros((32, 32), np.uint16)
    marks[8:12, 8:12] = 65535
    pixels, said = heard(film(tmp_path / "a.dcm", marks, bits=16), "full")
    assert pixels[9, 9] == 255 and pixels[0, 0] == 0 and said == []


# tables and windows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("top", "bits"), [(4095, 16), (4095, 14), (1023, 16), (255, 16), (255, 8), (16383, 16)])
def test_a_voi_table_fills_the_range_whatever_depth_its_descriptor_claims(tmp_path, top: int, bits: int) -> None:
    table = np.linspace(top * 0.1, top * 0.925, 4096).round().astype(int)
    table[-1] = top
    path = film(tmp_path / "a.dcm", RAMP, VOILUTSequence=[lut(table.tolist(), first=0, bits=bits)])
    pixels, said = heard(path)
    assert (pixels.ravel()[0], pixels.ravel()[-2], pixels.ravel()[-1]) == (
        level(table[0], top.bit_length()), level(table[-2], top.bit_length()), 255,
    )  # fmt: skip
    assert len(np.unique(pixels)) > 200
    assert len(said) == (top.bit_length() < bits)


def test_a_voi_table_that_is_merely_dim_stays_dim(tmp_path) -> None:
    path = film(tmp_path / "a.dcm", RAMP, VOILUTSequence=[lut((RAMP.ravel() // 2).tolist(), first=0, bits=12)])
    pixels, said = heard(path)
    assert pixels.max() == level(2047) and said == []


def test_a_voi_table_may_be_packed_in_bytes_and_begin_below_zero(tmp_path) -> None:
    values = RAMP.astype(np.int16) - 2048
    item = lut([0], first=0, bits=8)
    item.LUTDescriptor = [4096, 65536 - 2048, 8]
    item["LUTData"].VR = "OW"
    item.LUTData = (np.arange(4096) // 16).astype(np.uint8).tobytes()
    assert np.array_equal(shown(film(tmp_path / "a.dcm", values, VOILUTSequence=[item])).ravel(), np.arange(4096) // 16)


def _without(item: Any, name: str) -> Any:
    delattr(item, name)
    return item


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "textual window": (
        lambda p: with_bytes(film(p, RAMP), WindowCenter=b"auto", WindowWidth=b"auto"), "window of the header"),
    "comma window": (
        lambda p: with_bytes(film(p, RAMP), WindowCenter=b"40,400", WindowWidth=b"40,5"), "window of the header"),
    "empty window": (lambda p: with_bytes(film(p, RAMP), WindowCenter=b"", WindowWidth=b""), "window of the header"),
    "half a window": (lambda p: film(p, RAMP, WindowCenter=500), "window of the header"),
    "negative window": (lambda p: film(p, RAMP, WindowCenter=500, WindowWidth=-3), "window of the header"),
    "unknown function": (
        lambda p: film(p, RAMP, WindowCenter=100, WindowWidth=9, VOILUTFunction="CUBIC"), "window of the header"),
    "window beside the film": (lambda p: film(p, RAMP, WindowCenter=99999, WindowWidth=9), "shows nothing"),
    "empty slope": (
        lambda p: with_bytes(film(p, RAMP, RescaleIntercept=0), RescaleSlope=b""), "rescale slope or intercept"),
    "empty slope and intercept": (
        lambda p: with_bytes(film(p, RAMP), RescaleSlope=b"", RescaleIntercept=b""), "rescale slope or intercept"),
    "textual slope": (
        lambda p: with_bytes(film(p, RAMP, RescaleIntercept=0), RescaleSlope=b"one "), "rescale slope or intercept"),
    "slope of nothing": (
        lambda p: film(p, RAMP, RescaleSlope=0, RescaleIntercept=0, WindowCenter=9, WindowWidth=5),
        "rescale slope or intercept"),
    "slope alone": (lambda p: film(p, RAMP, RescaleSlope=3, WindowCenter=9, WindowWidth=5), "rescale slope"),
    "a table without descriptor": (
        lambda p: film(p, RAMP, VOILUTSequence=[_without(lut([0, 9], first=0, bits=12), "LUTDescriptor")]), "VOI LUT"),
    "a table shorter than it says": (
        lambda p: film(p, RAMP, VOILUTSequence=[_cut(lut([0, 9, 99], first=0, bits=12))]), "VOI LUT"),
    "a modality table cut short": (
        lambda p: film(p, RAMP, ModalityLUTSequence=[_cut(lut([0, 9, 99], first=0, bits=16))]), "modality LUT"),
}  # fmt: skip


def _cut(item: Any) -> Any:
    item.LUTDescriptor = [4096, 0, item.LUTDescriptor[2]]
    return item


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DS:UserWarning")
def test_what_cannot_be_used_of_a_header_is_left_out_and_said(tmp_path, name: str) -> None:
    make, words = BROKEN[name]
    pixels, said = heard(make(tmp_path / "a.dcm"))
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", RAMP), "percentile"))
    ours = [text for text in said if "Invalid value" not in text]
    assert len(ours) == 1 and words in ours[0]


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS:UserWarning")
def test_the_first_window_that_can_be_used_counts(tmp_path) -> None:
    path = with_bytes(film(tmp_path / "a.dcm", RAMP), WindowCenter=b"auto\\1000", WindowWidth=b"\\500")
    assert np.array_equal(shown(path), shown(film(tmp_path / "b.dcm", RAMP, WindowCenter=1000, WindowWidth=500)))


def test_a_negative_slope_turns_the_film_as_the_standard_has_it(tmp_path) -> None:
    path = film(tmp_path / "a.dcm", RAMP, RescaleSlope=-1, RescaleIntercept=4095)
    assert np.array_equal(shown(path, "full"), 255 - shown(film(tmp_path / "b.dcm", RAMP), "full"))


def test_a_modality_table_of_12_bits_is_read(tmp_path) -> None:
    item = lut([15 - i for i in range(16)], first=0, bits=12)
    item.ModalityLUTType = "US"
    pixels = np.arange(16, dtype=np.uint16).repeat(16).reshape(16, 16)
    found = shown(film(tmp_path / "a.dcm", pixels, ModalityLUTSequence=[item]), "full")
    assert np.array_equal(found, (255 - np.arange(16) * 17).repeat(16).reshape(16, 16))


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")])
def test_a_presentation_table_against_the_photometric_is_a_contradiction(
    tmp_path, photometric: str, shape: str
) -> None:
    agreed = {"INVERSE": "IDENTITY", "IDENTITY": "INVERSE"}[shape]
    made = {"PhotometricInterpretation": photometric}
    pixels, said = heard(film(tmp_path / "a.dcm", RAMP, PresentationLUTShape=shape, **made))
    same, nothing = heard(film(tmp_path / "b.dcm", RAMP, PresentationLUTShape=agreed, **made))
    assert np.array_equal(pixels, same) and nothing == []
    assert len(said) == 1 and "contradicts itself" in said[0] and shape in said[0]


def test_a_presentation_table_is_said_to_be_left_out(tmp_path) -> None:
    table = lut(list(range(4095, -1, -1)), first=0, bits=12)
    pixels, said = heard(film(tmp_path / "a.dcm", RAMP, PresentationLUTSequence=[table]))
    assert np.array_equal(pixels, shown(film(tmp_path / "b.dcm", RAMP)))
    assert len(said) == 1 and "presentation LUT as a table" in said[0]


def test_a_slope_of_any_size_shows_the_film(tmp_path) -> None:
    plain = shown(film(tmp_path / "a.dcm", RAMP))
    assert np.array_equal(shown(film(tmp_path / "b.dcm", RAMP, RescaleSlope="1e-30", RescaleIntercept=0)), plain)


def test_padding_written_unsigned_is_that_of_signed_values(tmp_path) -> None:
    values = RAMP.astype(np.int16).copy()
    values[:40] = -2000
    path = film(tmp_path / "a.dcm", values, bits=16)
    ds = dcmread(path)
    ds.add_new("PixelPaddingValue", "US", 65536 - 2000)
    ds.save_as(path)
    assert shown(path, "full")[40, 0] == 0


# colour ----------------------------------------------------------------------------------------------------------


def test_deep_colour_never_wraps_round(tmp_path) -> None:
    rgb = np.add.outer(np.add.outer(np.arange(16), np.arange(16)), np.arange(3)).astype(np.uint16)
    for i, (scale, bits) in enumerate([(1986, 16), (124, 12), (1986, 12), (124, 16), (7, 16)]):
        white = (1 << max(8, (32 * scale).bit_length())) - 1
        found = shown(film(tmp_path / f"{i}.dcm", rgb * np.uint16(scale), bits=bits)).astype(int)
        assert np.abs(found - rgb * (255 * scale / white)).max() <= 1, (scale, bits)


@pytest.mark.parametrize(("entry_bits", "scale"), [(8, 1), (16, 1), (16, 257)])
def test_a_palette_is_as_bright_as_it_says(tmp_path, entry_bits: int, scale: int) -> None:
    entries = (np.arange(256) * scale).astype(np.uint16 if entry_bits == 16 else np.uint8)
    colours = {}
    for name in ("Red", "Green", "Blue"):
        colours[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, entry_bits]
        colours[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = film(tmp_path / "a.dcm", pixels, bits=8, PhotometricInterpretation="PALETTE COLOR", **colours)
    assert np.array_equal(shown(path)[..., 1], pixels)


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "frames of colour that nobody counted": (
        lambda p: film(p, np.zeros((48, 16, 3), np.uint8), Rows=16), "pixels of 3 frames"),
    "frames of grey that nobody counted": (
        lambda p: film(p, np.zeros((48, 16), np.uint16), Rows=16), "pixels of 3 frames"),
    "frames of colour": (
        lambda p: film(p, np.zeros((48, 16, 3), np.uint8), Rows=16, NumberOfFrames=3), "3 frames"),
    "frames that are no number": (
        lambda p: with_bytes(film(p, RAMP), representation="IS", NumberOfFrames=b"ab"), "NumberOfFrames is no"),
    "grey of three samples": (
        lambda p: film(p, np.zeros((16, 16, 3), np.uint8), PhotometricInterpretation="MONOCHROME2"), "one sample"),
    "colour of one sample": (lambda p: film(p, RAMP, PhotometricInterpretation="RGB"), "three samples"),
    "a palette without tables": (
        lambda p: film(p, RAMP, PhotometricInterpretation="PALETTE COLOR"), "Palette"),
    "colour without planar configuration": (
        lambda p: film(p, np.zeros((16, 16, 3), np.uint8), PlanarConfiguration=None), "Planar Configuration"),
    "no pixel data": (lambda p: film(p, RAMP, PixelData=b""), "pixel data is empty"),
    "no photometric": (lambda p: film(p, RAMP, PhotometricInterpretation=None), "PhotometricInterpretation ''"),
    "no bits stored": (lambda p: film(p, RAMP, BitsStored=None), "no BitsStored"),
    "no bits": (lambda p: film(p, RAMP, BitsStored=0), "Bits Stored"),
    "no sign": (lambda p: film(p, RAMP, PixelRepresentation=None), "no PixelRepresentation"),
    "real numbers": (lambda p: film(p, RAMP, PixelData=None, FloatPixelData=RAMP.astype("<f4").tobytes()), "floating"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_what_is_no_single_film_is_refused_by_name(tmp_path, name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(UserError, match=rf"^cannot read film .*a\.dcm: .*{words}") as caught:
        shown(make(tmp_path / "a.dcm"))
    assert "\n" not in str(caught.value) and "object" not in str(caught.value)


@pytest.mark.parametrize("bits", [1, 8, 32])
def test_other_depths_are_read(tmp_path, bits: int) -> None:
    if bits == 1:
        eye = np.eye(16, dtype=np.uint8)
        packed = np.packbits(eye, bitorder="little").reshape(2, 16)
        path = film(tmp_path / "a.dcm", packed, bits=1, BitsAllocated=1, Rows=16, Columns=16)
        assert np.array_equal(shown(path), eye * 255)
        return
    values = (RAMP // 16).astype({8: np.uint8, 32: np.uint32}[bits])
    assert np.array_equal(shown(film(tmp_path / "a.dcm", values, bits=8), "full"), RAMP // 16)


ELEMENTS = (
    "BitsStored", "BitsAllocated", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation",
    "Rows", "Columns", "NumberOfFrames", "PlanarConfiguration", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "RescaleSlope", "RescaleIntercept", "PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape",
    "VOILUTSequence", "ModalityLUTSequence",
)  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_whatever_stands_in_an_element_gives_a_film_or_one_line(tmp_path, name: str) -> None:
    whole = film(tmp_path / "a.dcm", RAMP, WindowCenter=1800, WindowWidth=900, RescaleSlope=1, RescaleIntercept=0)
    content = whole.read_bytes()
    for value in (b"", b"auto", b"40,400", b"\\", b"\xff\xfe\xfd ", b"-1", b"\0\0", b"\xff\xff", b"1\\2", b"NaN "):
        for representation in ("DS", "US", "LO"):
            whole.write_bytes(content)
            with_bytes(whole, representation=representation, **{name: value})
            try:
                found = heard(whole)[0]
            except UserError as error:
                refusal = str(error)
                assert refusal.startswith("cannot read film") and "\n" not in refusal
            else:
                assert found.dtype == np.uint8 and found.any()
