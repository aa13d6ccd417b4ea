"""Two workers on one study in a PostgreSQL server, which the test starts from Debian's package."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tune_worker import begin_at_once, share_a_study

from benchmarks.tune.storage import open_storage, url_of
from synthworth.errors import UserError

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed (extra postgres)")
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SERVERS, reason="no PostgreSQL server is installed (Debian's package postgresql)"),
    pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning"),
]
USER, PASSWORD = "tuner", "s3cret"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a database of its own, without the user: its files are gone when the tests are."""
    bin, is_root = SERVERS[-1].parent, os.geteuid() == 0
    if is_root and not (shutil.which("runuser") and shutil.which("chown")):
        pytest.skip("a server does not run as root, and there is no runuser")
    prefix = ["runuser", "-u", "postgres", "--"] if is_root else []
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a socket's path must be short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text(PASSWORD)
    if is_root:
        subprocess.run(["chown", "-R", "postgres", str(folder)], check=True)

    def call(*line: str) -> None:
        done = subprocess.run([*prefix, *line], cwd="/", capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    data = str(folder / "data")
    call(str(bin / "initdb"), "-D", data, "-U", USER, "-A", "scram-sha-256", "--pwfile", str(folder / "password"))
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call(str(bin / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"127.0.0.1:{port}/postgres"
    finally:
        call(str(bin / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def test_workers_may_begin_at_once(server: str, tmp_path: Path) -> None:
    begin_at_once(f"postgresql://{USER}:{PASSWORD}@{server}", tmp_path, n=4)


def test_workers_share_a_study_and_take_over_what_a_killed_one_left(server: str, tmp_path: Path) -> None:
    with psycopg.connect(f"postgresql://{USER}:{PASSWORD}@{server}", autocommit=True) as connection:
        connection.execute("create database shared")
    share_a_study(f"postgresql://{USER}:{PASSWORD}@{server}".replace("/postgres", "/shared"), tmp_path)


def test_a_wrong_password_is_told_without_it(server: str) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:\d+/postgres cannot be used: .*password") as caught:
        open_storage(url_of(f"postgresql://{USER}:wr0ng@{server}", Path()))
    assert "wr0ng" not in str(caught.value) and PASSWORD not in str(caught.value)
