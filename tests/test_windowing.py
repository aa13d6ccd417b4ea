"""A DICOM film looks as a reader sees it; a file that is not a whole film is named, never taken for one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

import pydicom.pixels
from dicom_files import BAD, RAMP, film, lut, shown
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from synthworth.errors import UserError

# what a film looks like -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_every_encoding_shows_the_same_film(tmp_path, syntax: str) -> None:
    plain = shown(film(tmp_path / "a.dcm", RAMP))
    assert plain.dtype == np.uint8 and plain.shape == (64, 64)
    assert np.array_equal(shown(film(tmp_path / "b.dcm", RAMP, syntax=syntax)), plain)


def test_monochrome1_is_inverted(tmp_path) -> None:
    normal = shown(film(tmp_path / "a.dcm", RAMP), "full")
    inverse = shown(film(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1"), "full")
    assert normal[0, 0] == 0 and normal[-1, -1] == 255
    assert np.array_equal(inverse, 255 - normal)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [(1, 0), (2, -1024), (0.5, 10)])
def test_a_window_is_applied_as_pydicom_applies_it(tmp_path, function, rescale) -> None:
    slope, intercept = rescale
    more = {"VOILUTFunction": function} if function else {}
    path = film(
        tmp_path / "a.dcm", RAMP, WindowCenter=1800, WindowWidth=900, RescaleSlope=slope, RescaleIntercept=intercept,
        RescaleType="US", **more,
    )  # fmt: skip
    ds = dcmread(path)
    ends = np.array([0, 4095]) * slope + intercept
    wanted = (apply_voi_lut(apply_modality_lut(RAMP, ds), ds) - ends[0]) / np.ptp(ends)
    assert np.array_equal(shown(path), np.round(255 * np.clip(wanted, 0, 1)).astype(np.uint8))


def test_the_first_of_several_windows_counts(tmp_path) -> None:
    one = shown(film(tmp_path / "a.dcm", RAMP, WindowCenter=1000, WindowWidth=500))
    two = shown(film(tmp_path / "b.dcm", RAMP, WindowCenter=[1000, 3000], WindowWidth=[500, 100]))
    assert np.array_equal(one, two)
    assert one[0, 0] == 0 and one[-1, -1] == 255 and 120 < RAMP[(one > 126) & (one < 129)].mean() / 8 < 130


@pytest.mark.parametrize(
    "more", [{"RescaleSlope": "NaN"}, {"RescaleSlope": "1e308"}, {"RescaleSlope": 1, "RescaleIntercept": "Infinity"}]
)
def test_a_film_whose_header_makes_no_numbers_is_not_black(tmp_path, more) -> None:
    with (
        np.errstate(invalid="ignore", over="ignore"),
        pytest.raises(UserError, match=r"a.dcm: its header's numbers .* make no brightness of its pixels"),
    ):
        shown(film(tmp_path / "a.dcm", RAMP, **{"RescaleIntercept": 0, **more}))


def test_a_voi_lut_goes_before_a_window(tmp_path) -> None:
    table = [0, 100, 1023]
    path = film(
        tmp_path / "a.dcm", np.array([[0, 9, 10], [11, 12, 99]] * 4, np.uint16).repeat(3, 1),
        VOILUTSequence=[lut(table, first=10, bits=10)], WindowCenter=5, WindowWidth=2,
    )  # fmt: skip
    assert np.array_equal(shown(path)[:2, ::3], [[0, 0, 0], [25, 255, 255]])


def test_a_modality_lut_is_applied_first(tmp_path) -> None:
    pixels = np.arange(16, dtype=np.uint16).repeat(16).reshape(16, 16)
    item = lut([15 - i for i in range(16)], first=0, bits=16)
    item.ModalityLUTType = "US"
    path = film(tmp_path / "a.dcm", pixels, ModalityLUTSequence=[item])
    assert np.array_equal(shown(path, "full"), (255 - np.arange(16) * 17).repeat(16).reshape(16, 16))


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": "", "WindowWidth": 5},
        {"WindowCenter": 99999, "WindowWidth": 10},
    ],
)
def test_without_a_window_of_use_percentiles_are_taken(tmp_path, window: dict[str, Any]) -> None:
    path = film(tmp_path / "a.dcm", RAMP, **window)
    assert np.array_equal(shown(path), shown(path, "percentile"))


def test_percentiles_are_those_of_numpy(tmp_path) -> None:
    pixels = np.random.default_rng(0).gamma(2, 400, (80, 80)).clip(0, 4095).astype(np.uint16)
    low, high = np.percentile(pixels, [2, 98], method="inverted_cdf")
    wanted = np.round(255 * np.clip((pixels.astype(float) - low) / (float(high) - low), 0, 1))
    assert np.array_equal(shown(film(tmp_path / "a.dcm", pixels), "percentile", (2, 98)), wanted)


def test_padding_counts_in_no_percentile(tmp_path) -> None:
    padded = RAMP.copy()
    padded[:40] = 0
    with_padding = shown(film(tmp_path / "a.dcm", padded, PixelPaddingValue=0), "percentile", (0, 100))
    assert with_padding[40, 0] == 0
    assert shown(film(tmp_path / "b.dcm", padded), "percentile", (0, 100))[40, 0] > 100


@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.uint8, 8), (np.uint16, 10), (np.uint16, 16), (np.int16, 16), (np.int16, 12)]
)
def test_any_depth_signed_or_not_fills_the_range(tmp_path, dtype: Any, bits: int) -> None:
    signed = np.dtype(dtype).kind == "i"
    low = -(1 << (bits - 1)) if signed else 0
    pixels = np.linspace(low, low + (1 << bits) - 1, 256).round().astype(dtype).reshape(16, 16)
    found = shown(film(tmp_path / "a.dcm", pixels, bits=bits), "full").ravel()
    assert np.abs(found.astype(int) - np.arange(256)).max() <= 1


def test_overlays_in_the_high_bits_are_not_seen(tmp_path) -> None:
    marked = RAMP.copy()
    marked[::7] |= 0x8000
    path = film(tmp_path / "b.dcm", marked)
    assert np.array_equal(shown(path, "full"), shown(film(tmp_path / "a.dcm", RAMP), "full"))


def test_a_constant_film_is_black_and_no_error(tmp_path) -> None:
    assert not shown(film(tmp_path / "a.dcm", np.full((16, 16), 700, np.uint16))).any()


def test_colour_comes_as_rgb(tmp_path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(shown(film(tmp_path / "a.dcm", rgb)), rgb)
    grey = np.repeat(np.arange(0, 256, 1, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    grey[..., 1:] = 128
    ybr = shown(film(tmp_path / "b.dcm", grey, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(ybr.astype(int) - grey[..., :1]).max() <= 1


# what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_film_is_named_in_one_line(tmp_path, name: str) -> None:
    make, message = BAD[name]
    make(tmp_path / "bad.dcm")
    with pytest.raises(UserError, match=rf"(?s)^cannot read film .*bad\.dcm: .*({message})") as caught:
        shown(tmp_path / "bad.dcm")
    assert "\n" not in str(caught.value)


def test_a_missing_decoder_is_named_with_what_to_install(tmp_path, monkeypatch) -> None:
    path = film(tmp_path / "a.dcm", RAMP)
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds["PixelData"].VR = "OB"
    ds.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51"])
    ds.save_as(path)
    decoder = pydicom.pixels.get_decoder(JPEG2000Lossless)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(UserError, match=r'JPEG 2000 .* needs a decoder .*pip install "synthworth\[dicom\]"') as caught:
        shown(path)
    assert "\n" not in str(caught.value)


def jpeg(path: Path) -> tuple[Path, np.ndarray]:
    """A film in JPEG baseline, and what Pillow makes of it."""
    if not pydicom.pixels.get_decoder(JPEGBaseline8Bit).is_available:
        pytest.skip("no JPEG decoder is installed")
    smooth = np.add.outer(np.arange(128), np.arange(128)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(smooth).save(encoded, "JPEG", quality=95)
    ds = dcmread(film(path, smooth, bits=8))
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = pydicom.encaps.encapsulate([encoded.getvalue()])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.save_as(path)
    return path, np.asarray(Image.open(encoded))


def test_a_jpeg_film_is_decoded(tmp_path) -> None:
    path, wanted = jpeg(tmp_path / "a.dcm")
    low, high = int(wanted.min()), int(wanted.max())
    found = shown(path, "full").astype(float) * (high - low) / 255 + low
    assert np.abs(found - wanted).max() <= 2


@pytest.mark.parametrize("encoding", ["plain", "implicit", "rle", "jpeg"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_film_cut_anywhere_is_not_taken_for_whole(tmp_path, encoding: str) -> None:
    path = tmp_path / "a.dcm"
    if encoding == "jpeg":
        jpeg(path)
    else:
        syntax = {"plain": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian, "rle": RLELossless}[encoding]
        film(path, RAMP[:16, :16].copy(), syntax=syntax)
    content = path.read_bytes()
    for n in [*range(1, len(content), 1 + len(content) // 150), *range(len(content) - 12, len(content))]:
        path.write_bytes(content[:n])
        with pytest.raises(UserError, match="cannot read film"):
            shown(path)


def test_a_compressed_film_that_is_damaged_is_named(tmp_path) -> None:
    if not pydicom.pixels.get_decoder(JPEG2000Lossless).is_available:
        pytest.skip("no JPEG 2000 decoder is installed")
    path = film(tmp_path / "a.dcm", RAMP)
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds["PixelData"].VR = "OB"
    ds.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51"])
    ds.save_as(path)
    with pytest.raises(UserError, match="cannot read film"):
        shown(path)
