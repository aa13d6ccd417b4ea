"""Downloads arrive whole and verified, over dropped connections; what is published is fetched and unpacked."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import data.datasets.medmnist.dataset as medmnist
import data.download as command
import data.downloads.fetch as fetching
from data.datasets.medmnist.published import PUBLISHED, Published
from data.datasets.nih.archives import ARCHIVES, TABLES, fetch_nih
from data.downloads import files
from data.downloads.fetch import Remote, fetch
from data.downloads.files import checksum
from synthworth.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)


@dataclass
class Publisher:
    """A local server, told what to do wrong. asked : the Range header of each request, or an empty string."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    knows_range: bool = True
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirect: str = ""
    announces: int | None = None
    shift: int = 0

    def remote(self, name: str, content: bytes | None = None, *, algorithm: str = "sha256", **more: int) -> Remote:
        """A file of this server, with the checksum of `content` (of the file, without it)."""
        if content is None:
            content = self.files[name]
        digest = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
        return Remote(f"{self.address}/{name}", name, f"{algorithm}:{digest}", **more)

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """One request: whole, a part, an error, or a connection that breaks off."""
        asked = handler.headers.get("Range", "")
        self.asked.append(asked)
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.end_headers()
            return
        status = self.statuses.pop(0) if self.statuses else 0
        content = self.files.get(handler.path.lstrip("/").partition("?")[0])
        if status or content is None:
            handler.send_error(status or 404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.knows_range else 0
        if start >= len(content) > 0:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        body = content[start:]
        handler.send_response(206 if asked and self.knows_range else 200)
        if asked and self.knows_range:
            handler.send_header("Content-Range", f"bytes {start + self.shift}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(self.announces or len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.drops.pop(0)] if self.drops else body)


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A server on 127.0.0.1 that lives for one test; waits between attempts are cut to nothing."""
    made = Publisher(files={"film.bin": CONTENT})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setattr(fetching, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(fetching, "LONGEST_WAIT", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        server.shutdown()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# fetching -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_file_arrives_whole_and_is_the_only_one_left(publisher: Publisher, tmp_path, algorithm: str) -> None:
    path = fetch(publisher.remote("film.bin", algorithm=algorithm, size=len(CONTENT)), tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["film.bin"]
    assert publisher.asked == [""]


def test_a_file_that_is_there_is_verified_and_not_fetched(publisher: Publisher, tmp_path) -> None:
    remote = publisher.remote("film.bin")
    fetch(remote, tmp_path)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert len(publisher.asked) == 1
    (tmp_path / "film.bin").write_bytes(b"another")
    with pytest.raises(UserError, match=r"film\.bin has SHA256 .* Take it away"):
        fetch(remote, tmp_path)
    assert (tmp_path / "film.bin").read_bytes() == b"another"


def test_a_dropped_connection_is_taken_up_where_it_broke(publisher: Publisher, tmp_path) -> None:
    publisher.drops = [100_000, 50_000]
    assert fetch(publisher.remote("film.bin"), tmp_path).read_bytes() == CONTENT
    assert publisher.asked == ["", "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_from_what_an_earlier_one_kept(publisher: Publisher, tmp_path) -> None:
    remote = publisher.remote("film.bin")
    publisher.drops = [70_000, 0, 0, 0]
    with pytest.raises(UserError, match=r"70,000 bytes that came are kept.*Try again later$"):
        fetch(remote, tmp_path)
    assert [p.stat().st_size for p in tmp_path.iterdir()] == [70_000]
    publisher.asked.clear()
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert publisher.asked == ["bytes=70000-"]
    assert names(tmp_path) == ["film.bin"]


def test_a_server_without_range_begins_again(publisher: Publisher, tmp_path) -> None:
    publisher.knows_range, publisher.drops = False, [100_000]
    assert fetch(publisher.remote("film.bin"), tmp_path).read_bytes() == CONTENT
    assert publisher.asked == ["", "bytes=100000-"]


def test_a_server_that_sends_another_part_is_asked_for_the_whole(publisher: Publisher, tmp_path) -> None:
    publisher.shift, publisher.drops = 7, [100_000]
    assert fetch(publisher.remote("film.bin"), tmp_path).read_bytes() == CONTENT
    assert publisher.asked == ["", "bytes=100000-", ""]


def test_a_file_that_shrank_since_begins_again(publisher: Publisher, tmp_path) -> None:
    publisher.drops = [200_000, 0, 0, 0]
    publisher.files["short.bin"] = CONTENT
    remote = publisher.remote("short.bin", CONTENT[:150_000])
    with pytest.raises(UserError):
        fetch(remote, tmp_path)
    publisher.files["short.bin"] = CONTENT[:150_000]
    assert fetch(remote, tmp_path).read_bytes() == CONTENT[:150_000]


def test_a_whole_part_left_by_a_kill_needs_no_byte_more(publisher: Publisher, tmp_path) -> None:
    remote = publisher.remote("film.bin")
    (tmp_path / f".film.bin.{remote.digest[-8:]}.part").write_bytes(CONTENT)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(publisher: Publisher, tmp_path) -> None:
    publisher.statuses = [503, 429]
    assert fetch(publisher.remote("film.bin"), tmp_path).read_bytes() == CONTENT
    assert len(publisher.asked) == 3
    with pytest.raises(UserError, match=r"^cannot download [^\n]*HTTP 404 [^\n]*\. Do this$"):
        fetch(publisher.remote("absent.bin", b""), tmp_path, hint="Do this")
    assert len(publisher.asked) == 4
    assert names(tmp_path) == ["film.bin"]


def test_attempts_are_bounded(publisher: Publisher, tmp_path) -> None:
    publisher.statuses = [500] * 20
    with pytest.raises(UserError, match="HTTP 500"):
        fetch(publisher.remote("film.bin"), tmp_path)
    assert len(publisher.asked) == 1 + len(fetching.WAITS)


def test_a_server_that_is_not_there_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(fetching, "WAITS", ())
    with pytest.raises(UserError, match=r"^cannot download http://127\.0\.0\.1:9/film\.bin: [^\n]*refused"):
        fetch(Remote("http://127.0.0.1:9/film.bin", "film.bin", "md5:" + "0" * 32), tmp_path)


def test_a_wrong_checksum_leaves_nothing(publisher: Publisher, tmp_path) -> None:
    with pytest.raises(UserError, match=r"SHA256 [0-9a-f]{64} instead of [^\n]*removed"):
        fetch(publisher.remote("film.bin", b"what was published"), tmp_path)
    assert not names(tmp_path)
    publisher.files["page.bin"] = b"\n<!DOCTYPE html>"
    with pytest.raises(UserError, match="looks like a web page"):
        fetch(publisher.remote("page.bin", b"what was published"), tmp_path)


def test_a_wrong_length_is_refused_before_a_byte_is_kept(publisher: Publisher, tmp_path) -> None:
    with pytest.raises(UserError, match="announces 300,000 bytes, and 299,999 were expected"):
        fetch(publisher.remote("film.bin", size=299_999), tmp_path)
    with pytest.raises(UserError, match="announces 300,000 bytes, and 1,000 were expected"):
        fetch(publisher.remote("film.bin", limit=1000), tmp_path)
    assert not names(tmp_path)


def test_a_server_that_announces_more_than_it_sends_is_not_believed(publisher: Publisher, tmp_path) -> None:
    publisher.announces = 400_000
    with pytest.raises(UserError, match="cannot download"):
        fetch(publisher.remote("film.bin"), tmp_path)
    assert "film.bin" not in names(tmp_path)


@pytest.mark.parametrize("address", ["ftp://host/film.bin", "/etc/hosts", "data:text/plain,a"])
def test_other_schemes_are_refused(tmp_path, address: str) -> None:
    with pytest.raises(UserError, match="only https, http, file"):
        fetch(Remote(address, "film.bin", "md5:" + "0" * 32), tmp_path)


def test_a_redirection_is_followed_to_http_only(publisher: Publisher, tmp_path) -> None:
    publisher.redirect = (tmp_path / "secret").as_uri()
    with pytest.raises(UserError, match=r"file:.* is not allowed"):
        fetch(publisher.remote("film.bin"), tmp_path)
    publisher.redirect = "ftp://127.0.0.1/film.bin"
    with pytest.raises(UserError, match="ftp"):
        fetch(publisher.remote("film.bin"), tmp_path)
    request = fetching.urllib.request.Request("https://host/a")
    with pytest.raises(UserError, match="leads to http://"):
        fetching._Redirects().redirect_request(request, io.BytesIO(), 302, "", None, "http://host/a")  # type: ignore


@pytest.mark.parametrize("name", ["../film.bin", "a/b", ".hidden", ""])
def test_a_remote_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        Remote("https://host/film.bin", name, "md5:" + "0" * 32)


@pytest.mark.parametrize("digest", ["", "md5:12", "sha1:" + "0" * 40])
def test_nothing_is_fetched_that_cannot_be_verified(digest: str) -> None:
    with pytest.raises(ValueError, match="neither md5"):
        Remote("https://host/film.bin", "film.bin", digest)


def test_two_at_once_fetch_a_file_once(publisher: Publisher, tmp_path) -> None:
    remote = publisher.remote("film.bin")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch(remote, tmp_path).read_bytes() == CONTENT, range(4)))
    assert found == [True] * 4
    assert publisher.asked == [""]
    assert names(tmp_path) == ["film.bin"]


def test_a_full_disk_keeps_what_came(publisher: Publisher, tmp_path, monkeypatch) -> None:
    remote = publisher.remote("film.bin")
    publisher.drops = [120_000]
    write = fetching._Partial.write

    class Full(io.BytesIO):
        def write(self, block: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fills_up(have: fetching._Partial, block: bytes) -> None:
        if have.n >= 120_000:
            have.handle.flush()
            have.handle = Full()  # type: ignore[assignment]
        write(have, block)

    with monkeypatch.context() as patch:
        patch.setattr(fetching._Partial, "write", fills_up)
        with pytest.raises(UserError, match=r"^no room to write [^\n]*kept"):
            fetch(remote, tmp_path)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert publisher.asked[-1] == "bytes=120000-"


def test_too_small_a_disk_is_said_before_anything_comes(publisher: Publisher, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match="GiB are needed"):
        fetch(publisher.remote("film.bin"), tmp_path)


# what is published ----------------------------------------------------------------------------------------------


@pytest.fixture
def nih(publisher: Publisher) -> dict[str, list[Remote]]:
    """Two archives and a list as the publisher has them, on the local server."""
    for number in (1, 2):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz") as archive:
            for i in range(3):
                info = tarfile.TarInfo(f"images/0000000{number}_00{i}.png")
                info.size = 5000
                archive.addfile(info, io.BytesIO(CONTENT[i : i + 5000]))
        publisher.files[f"images_00{number}.tar.gz"] = made.getvalue()
    publisher.files["test_list.txt"] = b"00000001_000.png\n"
    archives = [publisher.remote(f"images_00{n}.tar.gz", algorithm="md5") for n in (1, 2)]
    return {"archives": archives, "tables": [publisher.remote("test_list.txt")]}


def test_parts_of_nih_are_fetched_unpacked_and_not_fetched_again(publisher, nih, tmp_path) -> None:
    to = tmp_path / "nih"
    publisher.drops = [10, 2000]
    found = fetch_nih(to, parts=(2,), **nih)
    assert [p.name for p in found] == ["test_list.txt", "images_002"]
    assert names(to) == ["images_002", "test_list.txt"]
    assert names(to / "images_002" / "images") == [f"00000002_00{i}.png" for i in range(3)]
    publisher.asked.clear()
    fetch_nih(to, parts=(1, 2), keep_archives=True, **nih)
    assert publisher.asked == [""]
    assert names(to) == ["images_001", "images_001.tar.gz", "images_002", "test_list.txt"]
    fetch_nih(to, parts=(1, 2), **nih)
    assert names(to) == ["images_001", "images_002", "test_list.txt"]


def test_without_parts_only_the_tables_come(nih, tmp_path) -> None:
    assert [p.name for p in fetch_nih(tmp_path, parts=(), **nih)] == ["test_list.txt"]
    with pytest.raises(UserError, match="--parts 3: the archives are numbered 1 to 2"):
        fetch_nih(tmp_path, parts=(3,), **nih)


def test_all_of_nih_is_not_begun_on_a_small_disk(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 20 << 30})())
    with pytest.raises(UserError, match=r"20\.0 GiB free, and 46\.\d GiB are needed"):
        fetch_nih(tmp_path)


def test_the_published_table_names_twelve_archives_of_42_gib() -> None:
    assert [remote.name for remote in ARCHIVES] == [f"images_{i:03d}.tar.gz" for i in range(1, 13)]
    assert sum(remote.size or 0 for remote in ARCHIVES) == 45_079_862_784
    assert len({remote.digest for remote in (*ARCHIVES, *TABLES)}) == 16
    assert len({remote.address for remote in (*ARCHIVES, *TABLES)}) == 16


@pytest.mark.parametrize("name", ["test_list.txt", "train_val_list.txt"])
def test_the_real_lists_have_the_checksums_of_the_table(name: str) -> None:
    path = Path(os.environ.get("SYNTHWORTH_DATA", "absent")) / "nih14" / name
    if not path.is_file():
        pytest.skip("SYNTHWORTH_DATA holds no nih14 lists")
    (remote,) = (remote for remote in TABLES if remote.name == name)
    assert remote.digest == f"sha256:{checksum(path, 'sha256')}"
    assert remote.size == path.stat().st_size


def test_medmnist_comes_from_the_address_of_its_table(publisher: Publisher, tmp_path, monkeypatch, capsys) -> None:
    publisher.files["breastmnist.npz"] = CONTENT
    md5 = {28: hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}
    monkeypatch.setitem(PUBLISHED, "breastmnist", Published("binary-class", 1, PUBLISHED["breastmnist"].classes, md5))
    monkeypatch.setattr(medmnist, "url", lambda name, size: f"{publisher.address}/{name}.npz?download=1")
    publisher.drops = [1234]
    assert command.main(["medmnist", "breastmnist", "--size", "28", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "breastmnist.npz").read_bytes() == CONTENT
    assert "breastmnist.npz" in capsys.readouterr().out


def test_the_command_passes_its_options_on(tmp_path, monkeypatch, capsys) -> None:
    called = {}
    monkeypatch.setattr(command, "fetch_nih", lambda to, **more: called.update(to=to, **more) or [to])
    assert command.main(["nih", "--to", str(tmp_path), "--parts", "1", "2", "--keep-archives"]) == 0
    assert called == {"to": tmp_path, "parts": (1, 2), "keep_archives": True}
    assert "CVPR 2017" in capsys.readouterr().out
