"""One process at a time judges a request: of two sweeps at once the second finds the records of the first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synthworth.lease import PREFIX, acquire, attempts, is_over

KIND = "evaluate"


@contextmanager
def one_at_a_time(home: Path, key: str, *, what: str) -> Iterator[None]:
    """Wait until no other process judges the arms of this key, and keep others waiting meanwhile.

    One that was killed is not waited for, as with anything else that is made (`synthworth.lease`).

    Parameters
    ----------
    home : of the store that the sweeps share.
    what : names the work in the log.
    """
    lease = acquire(home / "work" / KIND / key, done=lambda: False, what=what)
    assert lease is not None
    try:
        with lease:
            yield
    finally:
        lease.withdraw()


def sweep_up(home: Path) -> None:
    """Remove what processes left that were killed while they judged."""
    root = home / "work" / KIND
    for place in sorted(root.iterdir()) if root.is_dir() else ():
        for number in attempts(place):
            attempt = place / f"{PREFIX}{number:06d}"
            if is_over(attempt):
                shutil.rmtree(attempt, ignore_errors=True)
        with suppress(OSError):  # another is at it
            place.rmdir()
    with suppress(OSError):
        root.rmdir()
