"""Image files are decoded as they are seen; damaged ones are named and stop the work."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data.films.decode import AHEAD, decode_film, fit_square, in_order, to_channels
from data.films.text_table import read_table
from synthworth.errors import UserError
from synthworth.threads import n_cores

told_of_tags = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow tells of each garbled TIFF tag


def noise(seed: int, shape: tuple[int, ...] = (16, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def read_fitted(path: Path, *, size: int | None, channels: int, fit: str = "crop") -> np.ndarray:
    """One file as a film dataset takes it in: uint8 (C, H, W)."""
    pixels = decode_film(path, channels=channels, target=size, fit=fit)
    return to_channels(pixels if size is None else fit_square(pixels, size=size, fit=fit), channels)


def decode_files(paths: list[Path], *, size: int | None, channels: int) -> np.ndarray:
    return np.stack(list(in_order(lambda path: read_fitted(path, size=size, channels=channels), paths)))


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "pgm"])
def test_lossless_files_come_back_bit_for_bit_in_their_order(tmp_path, extension: str) -> None:
    pixels = [noise(i, (16, 16)) for i in range(20)]
    paths = [save(tmp_path / f"{i}.{extension}", p) for i, p in enumerate(pixels)]
    assert np.array_equal(decode_files(paths, size=None, channels=1)[:, 0], np.stack(pixels))


def test_grey_and_colour_are_converted_into_each_other(tmp_path) -> None:
    grey = save(tmp_path / "g.png", noise(0, (8, 8)))
    colour = save(tmp_path / "c.png", noise(1, (8, 8, 3)))
    out = decode_files([grey, colour], size=None, channels=3)
    assert out.shape == (2, 3, 8, 8)
    assert (out[0, 0] == out[0, 2]).all()
    assert np.array_equal(out[1].transpose(1, 2, 0), noise(1, (8, 8, 3)))
    luma = read_fitted(colour, size=None, channels=1)
    assert np.abs(luma[0] - noise(1, (8, 8, 3)) @ [0.299, 0.587, 0.114]).max() <= 1


def test_crop_keeps_the_middle_pad_the_whole_and_squash_the_corners(tmp_path) -> None:
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 200
    pixels[:, :10] = 100
    path = save(tmp_path / "wide.png", pixels)
    crop, pad, squash = (read_fitted(path, size=30, channels=1, fit=fit)[0] for fit in ("crop", "pad", "squash"))
    assert crop.min() > 90
    assert (crop[:, 5:25] == 200).all()
    assert (pad[:9] == 0).all()
    assert (pad[-9:] == 0).all()
    assert pad[15, 15] == 200
    assert (squash[:, 15] == 200).all()
    assert (squash[:, 2] == 100).all()


def test_a_jpeg_of_any_size_is_reduced_to_the_one_asked_for(tmp_path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)[None].repeat(512, 0)
    paths = [save(tmp_path / "a.jpg", ramp), save(tmp_path / "b.jpg", ramp[:, :400])]
    out = decode_files(paths, size=32, channels=1)
    assert out.shape == (2, 1, 32, 32)
    assert np.abs(out[0, 0, 0].astype(int) - np.linspace(4, 251, 32)).max() < 6


def test_a_photograph_is_turned_upright(tmp_path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = save(tmp_path / "a.png", pixels, exif=exif)
    assert (read_fitted(path, size=None, channels=1)[0, -1] == 255).all()


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)
    with pytest.raises(UserError, match=r"deep\.png has more than 8 bits"):
        read_fitted(path, size=8, channels=1)


@told_of_tags
@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tif", "gif", "webp"])
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.9])
def test_a_damaged_file_is_named_and_stops_the_work(tmp_path, extension: str, kept: float) -> None:
    paths = [save(tmp_path / f"{i}.{extension}", noise(i, (32, 32))) for i in range(6)]
    content = paths[3].read_bytes()
    paths[3].write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(UserError, match=rf"^cannot read image .*3\.{extension}: [^\n]*$"):
        decode_files(paths, size=16, channels=1)


@told_of_tags
def test_garbled_bytes_give_an_image_or_a_named_error_and_nothing_else(tmp_path) -> None:
    rng = np.random.default_rng(0)
    messages = []
    for extension in ("png", "jpg", "bmp", "tif", "gif", "webp", "ppm"):
        path = save(tmp_path / f"a.{extension}", noise(0, (24, 24, 3)))
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            garbled = content.copy()
            where = rng.integers(0, min(len(garbled), 200), 4)
            garbled[where] = rng.integers(0, 256, 4)
            path.write_bytes(garbled.tobytes())
            try:
                assert read_fitted(path, size=16, channels=1).shape == (1, 16, 16)
            except UserError as error:
                messages.append(str(error))
    assert len(messages) > 50
    assert all(str(tmp_path / "a.") in message and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"image,label\na.png,x,y\n", "row 1: 3 cells under 2"),
        (b'image,label\n"a.png,x\n', "cannot be read"),
        ("image,label\nä,x\n".encode("latin-1"), "UTF-8"),
        (b"", "holds no row"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, content: bytes, match: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=match):
        read_table(path)


def test_two_columns_of_one_name_are_refused_once_they_are_asked_for(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image,note,Note ,note\na.png,x,y,z\n")
    table = read_table(path)
    assert table.column("image", flag="--f") == ["a.png"] and table.column("Note", flag="--f") == ["y"]
    with pytest.raises(UserError, match=r"two columns named 'note', and they differ.*--f"):
        table.column("note", flag="--f")
    path.write_text("image,note,note\na.png,x,x\n")
    assert read_table(path).column("note", flag="--f") == ["x"]


def test_a_table_of_another_kind_is_refused(tmp_path) -> None:
    for name in ("t.xlsx", "t.parquet"):
        (tmp_path / name).write_bytes(b"no")
        with pytest.raises(UserError, match=name):
            read_table(tmp_path / name)


def test_cells_keep_their_text_and_a_byte_order_mark_is_no_name(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffimage,patient\n a.png ,007\n\n"b,c.png",NA\n', encoding="utf-8")
    assert read_table(path).columns == {"image": ["a.png", "b,c.png"], "patient": ["007", "NA"]}


def test_shorter_side_first_then_the_middle_is_cut_out() -> None:
    pixels = cv2.resize(noise(0, (12, 20)), (200, 120))
    cut = fit_square(pixels, size=48, resize=60)
    assert np.array_equal(cut, cv2.resize(pixels, (100, 60), interpolation=cv2.INTER_AREA)[6:54, 26:74])
    assert fit_square(pixels, size=48, resize=60, fit="pad")[0].max() == 0


def test_shrinking_averages_and_never_drops_pixels() -> None:
    lines = np.zeros((64, 64), np.uint8)
    lines[::4] = 200
    assert np.array_equal(fit_square(lines, size=16), np.full((16, 16), 50))
    assert fit_square(lines[:, :4], size=32, fit="squash").shape == (32, 32)


def test_a_jpeg_is_decoded_at_a_scale_that_is_still_twice_the_target(tmp_path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(cv2.resize(noise(1, (9, 7)), (403, 299))).save(path, quality=95)
    assert decode_film(path, channels=1, target=16).shape == (38, 51)
    assert decode_film(path, channels=1, target=32).shape == (75, 101)
    assert decode_film(path, channels=1, target=150).shape == (299, 403)
    assert decode_film(path, channels=1).shape == (299, 403)
    whole = fit_square(decode_film(path, channels=1), size=32).astype(int)
    reduced = fit_square(decode_film(path, channels=1, target=32), size=32)
    assert np.abs(whole - reduced).mean() < 2


def test_transparency_is_laid_over_black_and_an_opaque_film_keeps_its_pixels(tmp_path) -> None:
    grey = noise(3)
    opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    Image.fromarray(opaque).save(tmp_path / "a.png")
    assert np.array_equal(decode_film(tmp_path / "a.png", channels=1), grey)
    half = opaque.copy()
    half[:8, :, 3] = 0
    Image.fromarray(half).save(tmp_path / "b.png")
    found = decode_film(tmp_path / "b.png", channels=3)
    assert found[:8].max() == 0
    assert np.array_equal(found[8:, :, 1], grey[8:])


def test_palettes_one_bit_and_interlaced_files_are_read_as_they_are_seen(tmp_path) -> None:
    grey = noise(4)
    Image.fromarray(grey).convert("P").save(tmp_path / "p.png")
    Image.fromarray(np.dstack([grey] * 3)).convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(
        tmp_path / "q.png"
    )
    Image.fromarray(grey > 127).save(tmp_path / "b.png")
    assert np.array_equal(decode_film(tmp_path / "p.png", channels=1), grey)
    assert np.array_equal(decode_film(tmp_path / "q.png", channels=1), grey)
    assert np.array_equal(decode_film(tmp_path / "b.png", channels=1), (grey > 127) * np.uint8(255))


@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_orientation_tags_are_honoured_in_both_formats(tmp_path, extension: str) -> None:
    grey = np.repeat(np.repeat(noise(5, (2, 3)), 16, 0), 16, 1)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(grey).save(tmp_path / f"a.{extension}", exif=exif, quality=95)
    found = decode_film(tmp_path / f"a.{extension}", channels=1)
    assert np.abs(found.astype(int) - np.rot90(grey, -1)).max() < 8


def test_what_opencv_would_get_wrong_goes_through_pillow(tmp_path) -> None:
    cmyk = Image.fromarray(noise(6, (16, 16, 3))).convert("CMYK")
    cmyk.save(tmp_path / "c.jpg")
    with Image.open(tmp_path / "c.jpg") as opened:
        expected = np.asarray(opened.convert("RGB"))
    assert np.array_equal(decode_film(tmp_path / "c.jpg", channels=3), expected)


def test_answers_come_in_order_and_few_are_ahead(tmp_path) -> None:
    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        time.sleep(0.001 * (i % 3))
        return i

    answers = in_order(work, range(100))
    assert [next(answers) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(begun) <= 5 + (AHEAD + 1) * n_cores()
    assert list(answers) == list(range(5, 100))


def test_the_callers_opencv_threads_are_put_back(tmp_path) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        assert list(in_order(lambda _: cv2.getNumThreads(), range(3))) == [1, 1, 1]
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
