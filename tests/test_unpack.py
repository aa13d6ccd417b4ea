"""Archives unpack into their folder, whole and bounded, or not at all."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.downloads.unpack import unpack
from synthworth.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in entries:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mtime, info.mode = kind, 1_500_000_000, 0o6777
    for field_name, value in fields.items():
        setattr(info, field_name, value)
    return info


GOOD = ((entry("images", tarfile.DIRTYPE), b""), (entry("images/a.png"), b"film a"), (entry("./images/b.png"), b"b"))


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:xz"])
def test_a_tar_unpacks_with_dates_and_without_permissions(tmp_path, mode: str) -> None:
    to = tmp_path / "images_001"
    assert unpack(tar(tmp_path / "a.tar.gz", *GOOD, mode=mode), to) == 2
    assert (to / "images" / "a.png").read_bytes() == b"film a"
    assert (to / "images" / "a.png").stat().st_mtime == 1_500_000_000
    assert not (to / "images" / "a.png").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)
    assert names(tmp_path) == ["a.tar.gz", "images_001"]


def test_a_zip_unpacks_too_and_a_second_call_does_nothing(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/a.png", b"film a" * 100)
        archive.mkdir("empty")
    to = tmp_path / "out"
    assert unpack(tmp_path / "a.zip", to) == 1
    assert (to / "images" / "a.png").read_bytes() == b"film a" * 100
    assert (to / "empty").is_dir()
    (tmp_path / "a.zip").unlink()
    assert unpack(tmp_path / "a.zip", to) == 1


ATTACKS: dict[str, tuple[tarfile.TarInfo, ...]] = {
    "parent": (entry("../evil"),),
    "deep parent": (entry("images/../../evil"),),
    "absolute": (entry("/tmp/evil"),),
    "drive": (entry("C:/evil"),),
    "backslash": (entry("..\\evil"),),
    "symlink": (entry("images/link", tarfile.SYMTYPE, linkname="/etc/passwd"),),
    "symlink then through it": (entry("d", tarfile.SYMTYPE, linkname=".."), entry("d/evil")),
    "hardlink": (entry("images/link", tarfile.LNKTYPE, linkname="images/a.png"),),
    "device": (entry("images/null", tarfile.CHRTYPE, devmajor=1, devminor=3),),
    "pipe": (entry("images/pipe", tarfile.FIFOTYPE),),
    "twice": (entry("images/a.png"),),
    "file as folder": (entry("images/a.png/evil"),),
    "no name": (entry("."),),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_and_nothing_is_kept(tmp_path, attack: str) -> None:
    entries = [(info, b"" if info.type != tarfile.REGTYPE else b"evil") for info in ATTACKS[attack]]
    box = tmp_path / "box"
    box.mkdir()
    archive = tar(box / "a.tar.gz", *GOOD, *entries)
    with pytest.raises(UserError, match=r"(?i)nothing was kept") as caught:
        unpack(archive, box / "images_001")
    assert "\n" not in str(caught.value)
    assert names(box) == ["a.tar.gz"]
    assert names(tmp_path) == ["box"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind: int) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="link, a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("../evil", "evil")
    with pytest.raises(UserError, match="outside the folder"):
        unpack(tmp_path / "b.zip", tmp_path / "out")
    assert names(tmp_path) == ["a.zip", "b.zip"]


def test_bombs_are_refused_by_size_and_by_number(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(5_000_000))
    many = tar(tmp_path / "many.tar.gz", *((entry(f"{i}.png"), b"x") for i in range(50)))
    for archive_path, bounds in ((tmp_path / "bomb.zip", {"max_bytes": 1_000_000}), (many, {"max_files": 49})):
        with pytest.raises(UserError, match="unpacks to more than"):
            unpack(archive_path, tmp_path / "out", **bounds)
    assert names(tmp_path) == ["bomb.zip", "many.tar.gz"]
    assert unpack(many, tmp_path / "out", max_files=50) == 50


def damage_tail(content: bytes) -> bytes:
    return content[: len(content) // 2]


def damage_middle(content: bytes) -> bytes:
    return content[:2000] + bytes(500) + content[2500:]


@pytest.mark.parametrize("damage", [damage_tail, damage_middle, lambda c: b"not an archive", lambda c: b""])
def test_a_damaged_archive_leaves_nothing(tmp_path, damage: Callable[[bytes], bytes]) -> None:
    films = [(entry(f"images/{i}.png"), CONTENT[i * 9000 : (i + 1) * 9000]) for i in range(10)]
    archive = tar(tmp_path / "a.tar.gz", *films)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, tmp_path / "out")
    assert names(tmp_path) == ["a.tar.gz"]


def test_a_zip_that_lies_about_its_sizes_is_damaged(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(100_000))
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert names(tmp_path) == ["a.zip"]


def test_unpacking_goes_on_after_a_kill(tmp_path, monkeypatch) -> None:
    archive, to = tar(tmp_path / "a.tar.gz", *GOOD), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("data.downloads.unpack.os.utime", lambda path, times: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, to)
    assert not to.exists()
    written: list[Path] = []
    (tmp_path / ".out.part" / "images" / "a.png").write_bytes(b"film a")
    utime = os.utime
    monkeypatch.setattr(
        "data.downloads.unpack.os.utime", lambda path, times: (written.append(path), utime(path, times))
    )
    assert unpack(archive, to) == 2
    assert len(written) == 1
    assert names(tmp_path) == ["a.tar.gz", "out"]


def test_a_full_disk_while_unpacking_is_said(tmp_path, monkeypatch) -> None:
    def full(path: Path, times: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = tar(tmp_path / "a.tar.gz", *GOOD)
    with monkeypatch.context() as patch:
        patch.setattr("data.downloads.unpack.os.utime", full)
        with pytest.raises(UserError, match="no room to write"):
            unpack(archive, tmp_path / "out")
    assert unpack(archive, tmp_path / "out") == 2


def test_an_archive_of_gzip_alone_is_no_tar(tmp_path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"a film, not a tar"))
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
