"""Deep pictures are windowed where that is asked for; pages, transparency and odd colours are no surprise."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data.films.decode import decode_film
from data.films.remarks import listening
from data.films.windowing import WHOLE, window_picture
from synthworth.errors import UserError

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
COLOUR = np.dstack([RAMP, RAMP[::-1], RAMP.T])
TABLE = np.round(255 * np.arange(4096) / 4095).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, **options: object) -> Path:
    if pixels.ndim == 3 and pixels.dtype == np.uint16:
        cv2.imwrite(str(path), pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]])
    else:
        Image.fromarray(pixels).save(path, **options)
    return path


DEEP = {
    "a.png": RAMP, "a.tif": RAMP, "a.pgm": RAMP, "c.png": COLOUR, "c.tif": COLOUR, "c.ppm": COLOUR,
    "i.tif": RAMP.astype(np.int32), "f.tif": RAMP.astype(np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_picture_is_refused_until_a_window_is_asked_for(tmp_path, name: str) -> None:
    path = write(tmp_path / name, DEEP[name])
    with pytest.raises(UserError, match=rf"{name} has more than 8 bits a pixel .*--data\.window percentile"):
        decode_film(path, channels=1)
    found = decode_film(path, channels=3 if "c" in name[0] else 1, deep=WHOLE)
    assert np.array_equal(found, TABLE[DEEP[name].astype(int)])


@pytest.mark.parametrize("name", ["a.png", "a.tif", "c.png", "c.tif"])
def test_percentiles_are_those_of_all_its_pixels(tmp_path, name: str) -> None:
    pixels = DEEP[name].copy()
    pixels[0, :5] = 65535
    found = decode_film(write(tmp_path / name, pixels), channels=3 if name[0] == "c" else 1, deep=(1, 99))
    low, high = np.percentile(pixels, [1, 99], method="inverted_cdf").astype(float)
    assert np.array_equal(found, np.round(255 * np.clip((pixels - low) / (high - low), 0, 1)))


def test_a_picture_of_8_bits_is_not_windowed(tmp_path) -> None:
    pixels = (RAMP // 64 + 90).astype(np.uint8)
    assert np.array_equal(decode_film(write(tmp_path / "a.png", pixels), channels=1, deep=WHOLE), pixels)


def test_white_that_is_zero_stays_white(tmp_path) -> None:
    path = write(tmp_path / "a.tif", RAMP, tiffinfo={262: 0})
    assert np.array_equal(decode_film(path, channels=1, deep=WHOLE), TABLE[4095 - RAMP])


def test_large_unsigned_numbers_are_not_negative(tmp_path) -> None:
    pixels = RAMP.astype(np.uint32) << 20
    path = write(tmp_path / "a.tif", pixels.view(np.int32))
    tag = struct.pack("<HHI", 339, 3, 1)
    assert path.read_bytes().count(tag + b"\2\0") == 1
    path.write_bytes(path.read_bytes().replace(tag + b"\2\0", tag + b"\1\0"))
    assert np.array_equal(decode_film(path, channels=1, deep=WHOLE), TABLE[RAMP])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(tmp_path, value: float) -> None:
    pixels = RAMP.astype(np.float32)
    pixels[3, 3] = value
    with pytest.raises(UserError, match=r"a\.tif: its pixels hold NaN or infinity"):
        decode_film(write(tmp_path / "a.tif", pixels), channels=1, deep=WHOLE)


def test_a_wide_range_is_windowed_as_a_narrow_one_is() -> None:
    wide = RAMP.astype(np.int64) * 1000 - 5
    assert np.array_equal(window_picture(wide, WHOLE), window_picture(RAMP, WHOLE))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "c.png"])
def test_a_deep_picture_is_turned_upright(tmp_path, name: str) -> None:
    pixels = DEEP[name]
    path = write(tmp_path / name, pixels)
    plain = decode_film(path, channels=3, deep=WHOLE)
    if name == "c.png":
        add_orientation(path, 6)
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels).save(path, exif=exif)
    assert np.array_equal(decode_film(path, channels=3, deep=WHOLE), np.rot90(plain, -1))


def add_orientation(path: Path, orientation: int) -> None:
    """Put an eXIf chunk behind the header of a PNG."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk + content[33:])


def test_deep_transparency_is_laid_over_black_and_said(tmp_path) -> None:
    alpha = np.full((64, 64), 65535, np.uint16)
    alpha[:8] = 0
    path = write(tmp_path / "a.png", np.dstack([COLOUR, alpha]))
    with listening() as said:
        found = decode_film(path, channels=3, deep=WHOLE)
    assert found[:8].max() == 0 and found[8:].max() > 200
    assert [remark.text for remark in said] == ["transparent in part (alpha 0), and black there"]


# pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["tif", "gif", "webp", "png"])
def test_pages_and_frames_are_refused(tmp_path, extension: str) -> None:
    pages = [Image.fromarray(np.full((16, 16), 40 * i, np.uint8)) for i in range(1, 4)]
    path = tmp_path / f"a.{extension}"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=rf"a\.{extension}: it holds 3 pages or frames, and a film has one"):
        decode_film(path, channels=1)
    pages[0].save(path, save_all=True)
    assert (np.abs(decode_film(path, channels=1).astype(int) - 40) <= 2).all()


def test_a_preview_beside_the_film_is_no_page(tmp_path) -> None:
    whole, small = Image.fromarray((RAMP // 16).astype(np.uint8)), Image.new("L", (16, 16))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    path = tmp_path / "a.tif"
    whole.save(path, save_all=True, append_images=[small])
    content = path.read_bytes()
    with Image.open(path) as opened:
        opened.seek(1)
        assert opened.tag_v2.get(254) == 1, content[:8]
    assert np.array_equal(decode_film(path, channels=1), RAMP // 16)


# transparency and colour -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"), [("RGBA", "wholly"), ("LA", "wholly"), ("half", "in part"), ("P", "in part")]
)
def test_transparency_is_said(tmp_path, mode: str, words: str) -> None:
    if mode == "P":
        made = Image.fromarray(np.repeat(np.arange(64, dtype=np.uint8), 64).reshape(64, 64)).convert("P")
        made.save(tmp_path / "a.png", transparency=7)
    else:
        made = Image.new("RGBA" if mode == "half" else mode, (16, 16))
        if mode == "half":
            made.paste((200, 200, 200, 255), (0, 0, 8, 16))
        made.save(tmp_path / "a.png")
    with listening() as said:
        decode_film(tmp_path / "a.png", channels=1)
    assert len(said) == 1 and said[0].text.startswith(("wholly transparent", "transparent in part"))
    assert words in said[0].text


def test_an_opaque_alpha_is_not_worth_a_word(tmp_path, caplog) -> None:
    Image.new("RGBA", (16, 16), (9, 9, 9, 255)).save(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING):
        decode_film(tmp_path / "a.png", channels=1)
    assert not caplog.records


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_cmyk_is_read_as_pillow_converts_it_and_white_is_white(tmp_path, extension: str) -> None:
    Image.new("RGB", (16, 16), "white").convert("CMYK").save(tmp_path / f"a.{extension}")
    assert (decode_film(tmp_path / f"a.{extension}", channels=1) > 250).all()


def test_a_colour_profile_is_not_applied(tmp_path) -> None:
    from PIL import ImageCms

    pixels = np.dstack([RAMP // 16] * 3).astype(np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = write(tmp_path / "a.png", pixels, icc_profile=profile)
    assert np.array_equal(decode_film(path, channels=3), pixels)


@pytest.mark.parametrize("inverted", [False, True])
def test_one_bit_is_black_and_white(tmp_path, inverted: bool) -> None:
    bits = RAMP % 3 == 0
    Image.fromarray(bits).save(tmp_path / "a.tif", tiffinfo={262: 0} if inverted else {})
    found = decode_film(tmp_path / "a.tif", channels=1)
    assert set(np.unique(found)) == {0, 255}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_garbled_deep_and_paged_files_are_named_and_nothing_else(tmp_path) -> None:
    rng = np.random.default_rng(1)
    messages = []
    pages = [Image.fromarray(np.full((16, 16), i, np.uint8)) for i in range(3)]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:])
    files = [tmp_path / "p.tif", *(write(tmp_path / name, pixels[:16, :16].copy()) for name, pixels in DEEP.items())]
    for path in files:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(25):
            garbled = content.copy()
            where = rng.integers(0, min(len(garbled), 300), 3)
            garbled[where] = rng.integers(0, 256, 3)
            path.write_bytes(garbled.tobytes())
            try:
                found = decode_film(path, channels=1, deep=WHOLE)
            except UserError as error:
                messages.append(str(error))
            else:
                assert found.dtype == np.uint8
    assert len(messages) > 40
    assert all(str(tmp_path) in message and "\n" not in message for message in messages)


@pytest.mark.parametrize("scale", [1e-14, 1e-30, 1e30])
def test_the_unit_of_real_numbers_does_not_matter(scale: float) -> None:
    pixels = RAMP.astype(np.float64) * scale
    assert np.array_equal(window_picture(pixels, WHOLE), TABLE[RAMP])
    assert not window_picture(np.full((64, 64), scale), WHOLE).any()


@pytest.mark.parametrize(("alpha", "said"), [(3, "nowhere opaque"), (254, "nowhere opaque"), (0, "wholly"), (255, "")])
def test_a_picture_that_is_nowhere_opaque_is_said(tmp_path, alpha: int, said: str) -> None:
    grey = Image.fromarray((RAMP // 16).astype(np.uint8))
    Image.merge("LA", [grey, Image.new("L", grey.size, alpha)]).save(tmp_path / "a.png")
    with listening() as heard:
        found = decode_film(tmp_path / "a.png", channels=1)
    assert [one.text.partition(" (")[0] for one in heard] == ([said + " transparent" * (alpha == 0)] if said else [])
    assert abs(int(found.max()) - alpha) <= 1
