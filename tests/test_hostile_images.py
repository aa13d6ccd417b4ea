"""Films that are no files, too large, or more than a picture: refused at once, by name, and skipped where asked."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets.dicom.opening import is_film
from data.datasets.folder.dataset import Folder, FolderConfig
from data.films.decode import decode_film
from data.films.looks import look_at
from data.films.opening import MAX_PIXELS, open_picture
from data.images import Split
from synthworth.errors import UserError
from synthworth.keys import digest


def png(width: int, height: int) -> bytes:
    """A PNG that says so many pixels and holds a few."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def films(folder: Path, n: int = 24) -> Path:
    for k in range(n):
        file = folder / "ab"[k % 2] / f"{k:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (16, 16), dtype=np.uint8)).save(file)
    return folder


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (os.mkfifo, "it is a pipe, and a file is needed"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "random device": (lambda path: path.symlink_to("/dev/urandom"), "it is a device"),
    "socket": (bind, "it is a socket"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "link to itself": (lambda path: path.symlink_to("z.png"), "symbolic links"),
    "sparse file": (lambda path: (path.touch(), os.truncate(path, 40 << 30))[1], "more than 667,108,864 bytes"),
}


@pytest.mark.parametrize("what", list(NO_FILES))
def test_what_is_called_a_film_and_is_no_file_is_named_and_can_be_skipped(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(films(tmp_path / "films"))  # a socket's path is short
    make, reason = NO_FILES[what]
    make(Path("a/z.png"))
    root = Path()
    with pytest.raises(UserError, match=rf"cannot read image a/z\.png: .*{reason}"):
        Folder(FolderConfig(path=root)).prepare(tmp_path / "refused")
    assert look_at(Path("a/z.png")) is None
    assert not is_film(Path("a/z.png")) if what in ("pipe", "device", "socket") else True
    dataset = Folder(FolderConfig(path=root, on_bad="skip"))
    dataset.prepare(tmp_path / "out")
    kept = [
        name for split in (Split.train, Split.val, Split.test) for name in dataset.load(tmp_path / "out", split).ids
    ]
    assert len(kept) == 24 and "a/z.png" not in kept


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG"])
def test_more_pixels_than_the_limit_are_refused_and_the_limit_can_be_raised(form: str, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.full((40, 60), 7, np.uint8)).save(file, form)
    with pytest.raises(UserError, match=r"60 x 40 = 2,400 pixels, and 2,399 are the most.*--data\.max-pixels"):
        decode_film(file, channels=1, max_pixels=2399)
    assert decode_film(file, channels=1, max_pixels=2400).shape == (40, 60)


@pytest.mark.parametrize(("width", "height"), [(13_000, 13_000), (60_000, 60_000), (2**31 - 1, 8)])
def test_a_film_of_13_000_squared_is_refused_by_its_header(
    width: int, height: int, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(width, height))
    with pytest.raises(UserError, match=f"{width} x {height} = .* pixels, and 50,000,000 are the most"):
        decode_film(file, channels=1)
    assert look_at(file) is not None
    assert not recwarn.list  # no word of Pillow's beside the line


def test_pillows_own_limit_is_as_it_was_afterwards() -> None:
    before = Image.MAX_IMAGE_PIXELS
    with open_picture(io.BytesIO(png(60_000, 60_000))) as opened:
        assert opened.size == (60_000, 60_000)
    with pytest.raises(Image.UnidentifiedImageError):
        open_picture(io.BytesIO(b"no picture"))
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_part_of_a_datasets_identity_only_where_it_is_not_the_default() -> None:
    assert digest(FolderConfig()) == digest(FolderConfig(max_pixels=MAX_PIXELS))
    assert digest(FolderConfig()) != digest(FolderConfig(max_pixels=10**9))


def test_a_limit_that_no_film_keeps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--data\.max-pixels 3"):
        Folder(FolderConfig(path=films(tmp_path / "films"), max_pixels=3)).prepare(tmp_path / "out")


def test_postscript_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n%%EndComments\nshowpage\n")
    with pytest.raises(UserError, match="PostScript, which is a program"):
        decode_film(file, channels=1)


@pytest.mark.parametrize("where", ["a/\udcff\udcfe.png", "\udcff"])
def test_a_name_that_is_not_utf_8_is_refused_in_one_line(where: str, tmp_path: Path) -> None:
    root = films(tmp_path / "films")
    os.rename(root / ("a/00.png" if "png" in where else "a"), root / where)
    with pytest.raises(UserError, match=r"\\udcff.*its name is not UTF-8") as refused:
        Folder(FolderConfig(path=root)).source()
    assert str(refused.value).isascii()


def test_a_name_with_a_line_break_or_an_escape_stays_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a\nerror: all is well\x1b[31m.png"
    file.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a error: all is well\\x1b\[31m\.png") as refused:
        decode_film(file, channels=1)
    assert str(refused.value).isprintable()
