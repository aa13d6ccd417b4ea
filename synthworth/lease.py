"""Who may go on with half-made work: numbered attempts, one folder each, and a heartbeat that needs no common clock.

File locks are not used: on Lustre, GPFS and some NFS `flock` succeeds for every caller. Renaming a folder to a name
that is taken fails everywhere, and whoever has the highest number owns the work.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from synthworth.artifacts import ensure_folder, read_json, write_json
from synthworth.errors import UserError

logger = logging.getLogger(__name__)

PATIENCE = "SYNTHWORTH_LEASE_SECONDS"
"""Environment variable: seconds of silence, by the waiting process's own clock, after which an owner counts as gone."""
DEFAULT_PATIENCE = 60.0
OWNER, BEAT, RELEASED, SECONDS = "owner.json", "heartbeat", "released", "seconds.json"
PREFIX = "attempt-"
SAY_AFTER, SAY_AGAIN = 5.0, 600.0  # seconds of waiting in silence, at first and later
TAKEN = frozenset(
    {errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT, errno.EACCES}
    if os.name == "nt"
    else {errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT}
)  # ENOENT: the place went with a publication
NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, getattr(errno, "ESTALE", errno.ENOENT)})


def patience() -> float:
    """Seconds of silence after which an owner counts as gone.

    Raises
    ------
    UserError
        When the environment gives no number above 0.
    """
    asked = os.environ.get(PATIENCE, "").strip()
    try:
        seconds = float(asked) if asked else DEFAULT_PATIENCE
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"{PATIENCE}={asked} is no number of seconds above 0. Give one, or leave it unset")
    return seconds


@cache
def this_machine() -> str:
    """Names the machine, since its last start, and the space that process numbers are counted in."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.is_file() and space.exists():
        return f"{platform.node()} {boot.read_text().strip()} {os.readlink(space)}"
    return f"{platform.node()} {uuid.getnode():x}"


def is_gone(owner: Any) -> bool:
    """Whether an owner is known to be dead: it ran on this machine, and no process has its number any more."""
    import psutil

    if not isinstance(owner, dict) or owner.get("machine") != this_machine():
        return False
    pid = owner.get("pid")
    if type(pid) is not int or not 0 < pid < 1 << 31:  # a damaged file: silence will tell
        return False
    try:
        return bool(psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.AccessDenied:
        return False
    except psutil.NoSuchProcess:
        return not _answers(pid)


def _answers(pid: int) -> bool:
    """Whether the system knows a process that /proc hides (`hidepid`: other people's processes cannot be seen)."""
    if os.name == "nt":  # there the question would end it
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Lease:
    """The right to go on with the work in `place`, and a folder for it that no other process writes into.

    `own` is `place/attempt-NNNNNN/<host>-<pid>-<random part>`. Its last part makes it private even where the file
    system lets two callers make the same folder. A thread writes a heartbeat while the lease is held. Use as a
    context manager.
    """

    def __init__(self, place: Path, number: int) -> None:
        self.place, self.number = place, number
        self.attempt = place / f"{PREFIX}{number:06d}"
        host = "".join(c if c.isalnum() else "-" for c in platform.node())[:40]
        self.token = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.own = self.attempt / self.token
        self._every = min(patience(), DEFAULT_PATIENCE) / 12  # others may be less patient
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def begin(self) -> bool:
        """Take the number, the owner's name with it; False when another process has it."""
        mine = self._room()
        try:
            owner = {"machine": this_machine(), "host": platform.node(), "pid": os.getpid()}
            write_json(mine / OWNER, owner, sync=False)
            os.rename(mine, self.attempt)
        except OSError as error:
            shutil.rmtree(mine, ignore_errors=True)
            if error.errno in TAKEN or os.path.lexists(self.attempt):
                return False
            raise
        return True

    def _room(self) -> Path:
        """A folder beside the attempts, with our own in it.

        `place` goes with the publication of another process, which may be at this very moment.
        """
        mine = self.place / f".{self.token}"
        for _ in range(20):
            try:
                (mine / self.token).mkdir(parents=True, exist_ok=True)
            except FileNotFoundError:
                time.sleep(0.01)
            except OSError:
                break
            else:
                return mine
        ensure_folder(self.place)  # says what is wrong
        ensure_folder(mine / self.token)
        return mine

    def lost(self) -> bool:
        """Whether another process took the work over, or ended it."""
        return not self.own.is_dir() or highest(self.place) > self.number

    def _beat(self) -> None:
        for count in itertools.count():
            if self.lost():
                return
            try:
                (self.attempt / BEAT).write_text(f"{self.token} {count}")
            except OSError as error:  # a full disk, or the folder went with another's publication
                logger.debug("heartbeat of %s: %s", self.attempt, error)
            if self._ended.wait(self._every):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        try:
            (self.attempt / RELEASED).write_text("")
        except OSError as error:  # the work is over, and its folder gone; or a full disk: silence will tell
            logger.debug("%s is not marked as over: %s", self.attempt, error)

    def withdraw(self) -> None:
        """Take the attempt back: nothing was done, or nothing is worth keeping."""
        shutil.rmtree(self.attempt, ignore_errors=True)
        with suppress(OSError):  # another attempt lies there
            self.place.rmdir()

    def inherit(self) -> None:
        """Take over what the latest earlier attempt left, and remove the attempts of owners that are gone.

        What a dead or finished owner left is moved here. One that was silent for too long may wake and write again:
        its files are copied, and it keeps its own.
        """
        for number in sorted(attempts(self.place), reverse=True):
            attempt = self.place / f"{PREFIX}{number:06d}"
            if number >= self.number or not attempt.is_dir():
                continue
            over = is_over(attempt)
            for left in sorted((p for p in attempt.iterdir() if p.is_dir()), key=_age):
                if not (self.own / "scratch").is_dir() and _holds_files(left / "scratch"):
                    (shutil.move if over else _copy)(left / "scratch", self.own / "scratch")
                    if (left / SECONDS).is_file():
                        shutil.copyfile(left / SECONDS, self.own / SECONDS)
            if over:
                shutil.rmtree(attempt, ignore_errors=True)


def attempts(place: Path) -> list[int]:
    """Numbers of the attempts in a folder."""
    try:
        names = os.listdir(place)
    except OSError as error:
        if error.errno not in NO_FOLDER:
            raise
        return []
    found = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
    return [int(name) for name in found if name.isdecimal() and name == f"{int(name):06d}"]


def highest(place: Path) -> int:
    """The highest of them, 0 without one."""
    return max(attempts(place), default=0)


def is_over(attempt: Path) -> bool:
    """Whether an attempt's owner ended it, or is known to be dead."""
    if (attempt / RELEASED).is_file():
        return True
    try:
        owner = read_json(attempt / OWNER)
    except (UserError, OSError):  # damaged, not ours to read, or a file server that stumbles: silence will tell
        return False
    return is_gone(owner)


def acquire(place: Path, *, done: Callable[[], bool], what: str) -> Lease | None:
    """Wait until the work in `place` is ours or done.

    Another process's attempt is waited for until it is over: released, dead on this machine, or silent for `patience()`
    seconds of this process's own clock.

    Parameters
    ----------
    done : whether the work is finished; asked again and again.
    what : names the work in the log.

    Returns
    -------
    A lease that has begun; None once `done`.

    Raises
    ------
    UserError
        When `place` cannot be written to.
    """
    limit, began = patience(), time.monotonic()
    speaks_at = began + SAY_AFTER
    heard: tuple[Any, float] = (None, began)
    while not done():
        number, now = highest(place), time.monotonic()
        latest = place / f"{PREFIX}{number:06d}"
        sign = (number, _sign_of(latest))
        if sign != heard[0]:
            heard = sign, now
        if number == 0 or is_over(latest) or now - heard[1] > limit:
            if number and not is_over(latest):
                logger.warning("%s: its maker was silent for %.0f s, and is taken to be gone", what, limit)
            lease = _begin(place, number + 1)
            if lease is None:
                time.sleep(0.02)
                continue
            if done():
                lease.withdraw()
                return None
            return lease
        if now > speaks_at:
            speaks_at = now + SAY_AGAIN
            waited = f", for {(now - began) / 60:.0f} min by now" if now - began > SAY_AGAIN else ""
            logger.warning("another process (%s) is making %s; waiting for it%s", _owner_in_words(latest), what, waited)
        time.sleep(min(0.5, 0.02 + (now - began) / 20))
    return None


def _begin(place: Path, number: int) -> Lease | None:
    """The lease of a number; None when another process was first."""
    lease = Lease(place, number)
    return lease if lease.begin() else None


def _sign_of(attempt: Path) -> tuple[str, int] | None:
    """What the heartbeat says, and when the file server says it was written: compared, never subtracted."""
    file = attempt / BEAT
    try:
        return file.read_text(errors="replace"), file.stat().st_mtime_ns
    except OSError:
        return None


def _owner_in_words(attempt: Path) -> str:
    try:
        owner = read_json(attempt / OWNER)
    except (UserError, OSError):
        return "not named"
    return f"{owner.get('host')}, process {owner.get('pid')}" if isinstance(owner, dict) else "not named"


def _age(folder: Path) -> float:
    """For sorting: the youngest first."""
    return -folder.stat().st_mtime


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(p.is_file() for p in folder.rglob("*"))


def _copy(folder: Path, to: Path) -> None:
    """Copy files that somebody may still write: journals before what they speak of, and no half-written neighbours."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    for file in sorted(files, key=lambda p: (p.suffix != ".json", str(p))):
        ensure_folder((to / file.relative_to(folder)).parent)
        with suppress(FileNotFoundError):  # replaced while we looked
            shutil.copyfile(file, to / file.relative_to(folder))


@cache
def check_exclusion(home: Path) -> bool:
    """Whether a name can be taken only once where the work lies; asked once a process, and said where it is not.

    Even there nothing is half published: each attempt works in a folder that is its own by name, and one rename makes
    an artifact of it.
    """
    probe = ensure_folder(home / "work") / f".probe-{uuid.uuid4().hex}"
    try:
        for name in ("first", "second"):
            ensure_folder(probe / name)
            (probe / name / OWNER).touch()
        os.rename(probe / "first", probe / "taken")
        with suppress(OSError):
            os.rename(probe / "second", probe / "taken")
        if (probe / "second").is_dir():
            return True
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    logger.warning(
        "the file system of %s gives two processes the same folder: work may be done twice; what is finished first is "
        "kept",
        home,
    )
    return False
