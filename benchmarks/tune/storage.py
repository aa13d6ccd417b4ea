"""Where trials are kept: a database by its URL, in which silent workers are noticed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.tune.slots import give_back
from synthworth.artifacts import check_writable
from synthworth.errors import UserError, bounded
from synthworth.lease import patience

FILE = "studies.db"
BEATS = 4
"""Signs of life in the time after which a worker counts as gone (SYNTHWORTH_LEASE_SECONDS)."""
BUSY_SECONDS = 120
"""How long a worker waits for another one's writing to an SQLite file."""
TRIES, MOMENT = 5, 0.5
"""How often a database is opened whose tables another worker is making, and seconds between."""
SUPPORTED = "sqlite:///FILE, or postgresql://USER@HOST/DATABASE (pip install 'synthworth[postgres]')"


def url_of(asked: str, home: Path) -> str:
    """The URL as it is opened; SQLite in the home where none was asked for, psycopg where no driver is named.

    Raises
    ------
    UserError
        For what is no URL, or a database that nobody else could open.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if not asked:
        return f"sqlite:///{home / FILE}"
    try:
        url = make_url(asked)
    except (ArgumentError, ValueError) as error:
        raise UserError(f"--storage is no URL of a database; one is {SUPPORTED}") from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise UserError("--storage: an SQLite database in memory ends with the process; name a file, sqlite:///FILE")
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def said(url: str) -> str:
    """A URL without user and password, and without its query, which may hold one."""
    from sqlalchemy.engine import make_url

    told = make_url(url)
    place = f"{told.host or ''}{f':{told.port}' if told.port else ''}"
    return f"{told.drivername}://{place}/{told.database or ''}"


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for another."""
    from sqlalchemy.engine import make_url

    told = make_url(url)
    is_file = told.get_backend_name() == "sqlite" and told.database not in (None, "", ":memory:")
    return Path(str(told.database)) if is_file else None


def open_storage(url: str) -> Any:
    """The database, its tables made where there are none yet.

    Raises
    ------
    UserError
        When it cannot be reached, needs a driver that is not installed, or is of another version of Optuna.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    file, kwargs = sqlite_file(url), {}
    if file is not None:
        check_writable(file.parent)
        kwargs = {"connect_args": {"timeout": BUSY_SECONDS}}
    for tries in range(TRIES):
        try:
            return _open(url, kwargs)
        except (SQLAlchemyError, ImportError, RuntimeError, optuna.exceptions.OptunaError) as error:
            if tries < TRIES - 1 and _is_being_made(error):
                time.sleep(MOMENT)
                continue
            why = reason(error, url)
            raise UserError(f"--storage {said(url)} cannot be used: {why}. There is {SUPPORTED}") from error
    raise AssertionError("the last try returns or raises")


def _open(url: str, kwargs: dict[str, Any]) -> Any:
    import optuna

    silence = patience()
    beat = max(1, round(silence / BEATS))
    storage = optuna.storages.RDBStorage(
        url, engine_kwargs=kwargs, heartbeat_interval=beat, grace_period=max(beat + 1, round(silence)),
        heartbeat_stale_trial_callback=give_back,
    )  # fmt: skip
    if kwargs:
        _lock_from_the_start(storage.engine)
    return storage


def _lock_from_the_start(engine: Any) -> None:
    """Let an SQLite transaction lock the file when it begins, and not when it first writes.

    Optuna reads the state of a waiting trial `FOR UPDATE`, which SQLite does not know: of two workers that look at once
    both would take the trial. SQLAlchemy's own recipe ("Serializable isolation / Savepoints / Transactional DDL").
    """
    from sqlalchemy import event

    def leave_it(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    def lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()
    event.listen(engine, "connect", leave_it)
    event.listen(engine, "begin", lock)


def _is_being_made(error: Exception) -> bool:
    """Whether another worker makes the tables just now: Optuna looks first, and of two that begin at once both do."""
    from sqlalchemy.exc import IntegrityError

    return isinstance(error, IntegrityError) or "already exists" in str(error)


def reason(error: BaseException, url: str) -> str:
    """Why a database refused, in one line without the password."""
    from sqlalchemy.engine import make_url

    inner = getattr(error, "orig", None) or error.__cause__ or error
    lines = str(inner).strip().splitlines() or [type(inner).__name__]
    told = make_url(url)
    secrets = [told.password, *(v for name, v in told.query.items() if "pass" in name.lower())]
    line = lines[0]
    for secret in secrets:
        if secret:
            line = line.replace(str(secret), "***")
    return bounded(line).rstrip(".")
