"""One published file comes over the network, whole and verified: resumed, retried, bounded, published by a rename."""

from __future__ import annotations

import errno
import hashlib
import http.client
import logging
import os
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

from data.downloads.files import CHUNK, checksum, locked, no_room, require_room
from synthworth import __version__
from synthworth.artifacts import ensure_folder
from synthworth.errors import CANNOT_WRITE, UserError
from synthworth.progress import Progress

TIMEOUT = 30.0  # seconds without a byte
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new attempt in a row that brought nothing
LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
SCHEMES = ("https", "http", "file")
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
DIGEST = re.compile(r"(md5):[0-9a-f]{32}|(sha256):[0-9a-f]{64}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remote:
    """A published file.

    Parameters
    ----------
    address : https, http or file
    name
        What it is called here, without a folder.
    digest : "md5:<32 digits>" or "sha256:<64 digits>"
        Nothing is fetched that cannot be verified.
    size : bytes, where published
    limit : bytes
        Beyond which nothing is taken, whatever the server says.
    """

    address: str
    name: str
    digest: str
    size: int | None = None
    limit: int = 16 << 30

    def __post_init__(self) -> None:
        if not DIGEST.fullmatch(self.digest):
            raise ValueError(f"{self.digest!r} is neither md5:<32 hexadecimal digits> nor sha256:<64>")
        if not self.name or self.name != Path(self.name).name or self.name.startswith("."):
            raise ValueError(f"{self.name!r} is not the plain name of a file")

    @property
    def algorithm(self) -> str:
        """md5 or sha256."""
        return self.digest.partition(":")[0]

    @property
    def bound(self) -> int:
        """Bytes beyond which nothing is taken."""
        return self.limit if self.size is None else min(self.size, self.limit)


class NoAnswer(UserError):
    """The host did not answer within the seconds it was given."""


class _Dropped(Exception):
    """The transfer broke off and may be taken up again, at the earliest after `wait` seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Never from https to http.

    Redirections to anything but http, https and ftp the library refuses itself, and there is no opener for ftp.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if old == "https" and new != "https":
            raise UserError(f"{req.full_url} leads to {new}://, which is not followed. Fetch the file by hand")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(remote: Remote, folder: Path, *, hint: str = "Try again later", within: float | None = None) -> Path:
    """Fetch a file into `folder`; it appears under its name only when it is whole and its checksum is right.

    What has come stays in a hidden `.part` file when the connection drops, the disk is full or the process dies; the
    next attempt, in this call or in another, asks the server for the rest alone (HTTP Range). A server that cannot do
    that begins again. A dropped connection is retried with growing waits (`WAITS`), counted anew whenever at least
    1 MiB came. A file that is there already is verified, and not fetched. Proxies are those of the environment.

    Parameters
    ----------
    hint
        What to do where it cannot be had; ends the error's line.
    within : seconds
        In which the host must answer, the look-up of its name included. A host that does not, or refuses, is given up
        at once; only a transfer that has brought something is taken up again.

    Raises
    ------
    NoAnswer
        When the host did not answer within `within` seconds.
    UserError
        When the address is refused or cannot be reached, the answer has a wrong length or checksum (what came is then
        removed), or there is no room.
    """
    _refuse_scheme(remote.address)
    final = ensure_folder(folder) / remote.name
    with locked(final):
        if final.exists():
            _verify_existing(final, remote)
            return final
        part = final.with_name(f".{final.name}.{remote.digest[-8:]}.part")
        with _Partial(part, remote) as have:
            _transfer(have, hint=hint, within=within)
            have.finish()
        os.replace(part, final)
    return final


def _refuse_scheme(address: str) -> None:
    scheme = urlsplit(address).scheme
    if scheme not in SCHEMES:
        raise UserError(f"{address}: only {', '.join(SCHEMES)} addresses are fetched, not {scheme or 'none'}")


def _verify_existing(path: Path, remote: Remote) -> None:
    found = f"{remote.algorithm}:{checksum(path, remote.algorithm)}"
    if found != remote.digest:
        raise UserError(f"{path} has {_shown(found)}, the published file {_shown(remote.digest)}. Take it away first")


def _shown(digest: str) -> str:
    algorithm, _, digits = digest.partition(":")
    return f"{algorithm.upper()} {digits}"


class _Partial:
    """The bytes that have come so far: an open file, its running checksum and its length `n`."""

    def __init__(self, path: Path, remote: Remote) -> None:
        self.path, self.remote, self.n = path, remote, 0

    def __enter__(self) -> _Partial:
        try:
            self.handle = self.path.open("a+b")
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise no_room(error, self.path) from error
        self.restart(keep=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.handle.close()
        if kind is not None and not self.n:
            self.path.unlink(missing_ok=True)

    def restart(self, *, keep: bool = False) -> None:
        """Begin anew; with `keep`, from what is in the file already."""
        if not keep:
            self.handle.truncate(0)
        self.n, self.hash = 0, hashlib.new(self.remote.algorithm, usedforsecurity=False)
        self.handle.seek(0)
        while block := self.handle.read(CHUNK):
            self.hash.update(block)
            self.n += len(block)
        if self.n > self.remote.bound:
            self.restart()

    def write(self, block: bytes) -> None:
        """Take a piece; more than the bound is refused and everything removed."""
        if self.n + len(block) > self.remote.bound:
            self.discard(f"{self.remote.address} sends more than {self.remote.bound:,} bytes: not the published file")
        try:
            self.handle.write(block)
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise no_room(error, self.path) from error
        self.hash.update(block)
        self.n += len(block)

    def finish(self) -> None:
        """Verify what came, and wait until it is on disk."""
        remote, found = self.remote, f"{self.remote.algorithm}:{self.hash.hexdigest()}"
        if found != remote.digest:
            self.handle.seek(0)
            page = " (it looks like a web page)" if self.handle.read(64).lstrip().startswith(b"<") else ""
            self.discard(
                f"{remote.address} came with {_shown(found)} instead of {_shown(remote.digest)}{page}: cut short or "
                "changed. It was removed. Try again, or fetch the file by hand"
            )
        try:
            self.handle.flush()
            os.fsync(self.handle.fileno())
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise no_room(error, self.path) from error

    def discard(self, why: str) -> NoReturn:
        """Remove what came, and say why."""
        self.handle.close()
        self.path.unlink(missing_ok=True)
        raise UserError(why)


def _transfer(have: _Partial, *, hint: str, within: float | None) -> None:
    """Receive until everything is there, over as many connections as it takes."""
    remote, idle, patience = have.remote, 0, len(WAITS) if within is None else 0
    while True:
        before = have.n
        try:
            return _receive(have, hint=hint, within=within)
        except _Dropped as dropped:
            idle = 0 if have.n - before >= CHUNK else idle + 1
            if idle > patience:
                kept = f"; the {have.n:,} bytes that came are kept, and the same command goes on" if have.n else ""
                raise UserError(f"cannot download {remote.address}: {dropped}{kept}. {hint}") from dropped
            wait = min(max(WAITS[max(idle - 1, 0)], dropped.wait), LONGEST_WAIT)
            logger.warning("%s: %s after %s bytes; next attempt in %.0f s", remote.name, dropped, f"{have.n:,}", wait)
            time.sleep(wait)


def _receive(have: _Partial, *, hint: str, within: float | None) -> None:
    """One connection: the bytes that are missing, or all where the server knows no Range."""
    remote = have.remote
    with _open(have, hint=hint, within=within) as response:
        total = _agree(have, response)
        if total is not None:
            if total > remote.bound or (remote.size is not None and total != remote.size):
                have.discard(
                    f"{remote.address} announces {total:,} bytes, and {remote.bound:,} were expected: not the "
                    f"published file. {hint}"
                )
            require_room(have.path.parent, total - have.n)
        with Progress(f"download {remote.name}", (total or 0) >> 20 or None, done=have.n >> 20, unit="MiB") as bar:
            for block in _blocks(response):
                have.write(block)
                if have.n >> 20 > bar.done:
                    bar.advance((have.n >> 20) - bar.done)
    expected = remote.size if remote.size is not None else total
    if expected is not None and have.n < expected:
        raise _Dropped("the connection broke off")


def _open(have: _Partial, *, hint: str, within: float | None) -> Any:
    """The server's answer; refusals become a UserError, what may pass a `_Dropped`."""
    remote = have.remote
    headers = {"User-Agent": f"synthworth/{__version__}", "Accept-Encoding": "identity"}
    if have.n:
        headers["Range"] = f"bytes={have.n}-"
    request = urllib.request.Request(remote.address, headers=headers)
    try:
        return _answer(request, within=within)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have.n:
            have.restart()
            raise _Dropped("the server has no more than what had come, and it begins again") from error
        if error.code in TRANSIENT:
            raise _Dropped(f"HTTP {error.code}", _retry_after(error.headers)) from error
        raise UserError(f"cannot download {remote.address}: HTTP {error.code} {error.reason}. {hint}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if _is_final(reason, remote):
            raise UserError(f"cannot download {remote.address}: {reason}. {hint}") from error
        raise _Dropped(str(reason) or type(error).__name__) from error


def _answer(request: urllib.request.Request, *, within: float | None) -> Any:
    """Open a connection. With `within` in a thread of its own, since looking up a name has no time limit."""
    if within is None:
        return _opener().open(request, timeout=TIMEOUT)
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(_opener().open(request, timeout=within))
        except Exception as error:  # raised again below, in the thread that waits
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(within)
    if not answers or isinstance(getattr(answers[0], "reason", answers[0]), TimeoutError):
        raise NoAnswer(f"cannot download {request.full_url}: no answer within {within:g} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _opener() -> urllib.request.OpenerDirector:
    """http, https and file, through the environment's proxies; nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.FileHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener


def _is_final(reason: Any, remote: Remote) -> bool:
    """Whether asking again would bring the same: no such host or file, or a certificate that is not trusted."""
    if remote.address.startswith("file:") or isinstance(reason, (str, ssl.SSLCertVerificationError)):
        return True
    return isinstance(reason, socket.gaierror) or getattr(reason, "errno", None) in (errno.ENETUNREACH,)


def _retry_after(headers: Message) -> float:
    """Seconds a server asks to wait; 0 where it gives none, or a date."""
    asked = (headers.get("Retry-After") or "").strip()
    return float(asked) if asked.isdecimal() else 0.0


def _agree(have: _Partial, response: Any) -> int | None:
    """Where the answer begins, and the length of the whole file where the server tells it.

    A part (206) that does not begin where we stopped, and a whole file (200), begin again.
    """
    length = response.headers.get("Content-Length")
    if getattr(response, "status", None) == http.HTTPStatus.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != have.n:
            have.restart()
            raise _Dropped("the server sent another part than was asked for, and it begins again")
        return None if found[2] == "*" else int(found[2])
    if have.n:
        logger.warning("%s: the server cannot resume, and the file begins again", have.remote.name)
        have.restart()
    return int(length) if length is not None else None


def _blocks(response: Any) -> Iterator[bytes]:
    """What comes, as it comes."""
    while True:
        try:
            block = response.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block
