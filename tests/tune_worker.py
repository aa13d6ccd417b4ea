"""A worker of a study whose trials take no training (`python tune_worker.py URL FOLDER TRIALS SECONDS`), and two of
them on one study.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from benchmarks.request.options import parse
from benchmarks.tune import study as studies
from benchmarks.tune.options import read_options
from benchmarks.tune.slots import by_slot
from benchmarks.tune.space import sides_of
from benchmarks.tune.storage import open_storage, url_of

FLAGS = ["--generator", "vae", "--preset", "smoke", "--device", "cpu"]


def main(url: str, folder: str, trials: int, seconds: float) -> None:
    """Work at the study `s` until it has its trials; each leaves a line on the values it tried."""

    def measure(request: Any, report: Any, *, images: Any) -> float:
        with open(f"{folder}/tried", "a", encoding="utf-8") as file:
            file.write(f"{request.gen.lr!r} {request.options.ratio[0]}\n")
        time.sleep(seconds)
        return float(request.gen.lr)

    studies.measure = measure  # type: ignore[assignment]
    flags = ["--trials", str(trials), "--study", "s", "--only", "gen.lr", "ratio"]
    o, _ = read_options(flags)
    (side,) = sides_of(o, parse(FLAGS, prog="tune"))
    study = studies.open_study(open_storage(url_of(url, Path(folder))), side, {}, trials=trials)
    studies.work_at(study, side, trials=trials, told=lambda trial: None, images={})


def begin(url: str, folder: Path, *, trials: int, seconds: float, **more: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, str(Path(__file__)), url, str(folder), str(trials), str(seconds)]
    return subprocess.Popen(line, env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(worker: subprocess.Popen[bytes]) -> None:
    _, err = worker.communicate(timeout=120)
    assert worker.returncode == 0, err.decode()


def lines(folder: Path) -> list[str]:
    file = folder / "tried"
    return file.read_text().splitlines() if file.exists() else []


def wait_for(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to it within a minute")


def begin_at_once(url: str, folder: Path, *, n: int) -> None:
    """Workers that begin together on a database that is not there yet: none fails, and there are N trials in all."""
    workers = [begin(url, folder, trials=n, seconds=0.0) for _ in range(n)]
    for worker in workers:
        ended(worker)
    study = optuna.load_study(study_name="s", storage=url_of(url, folder))
    assert len(lines(folder)) == n == sum(t.state == TrialState.COMPLETE for t in study.trials)


def share_a_study(url: str, folder: Path) -> None:
    """Two workers, of which one is killed at work: N trials in all, its own made again with the same values."""
    waits = {"SYNTHWORTH_LEASE_SECONDS": "3"}
    victim = begin(url, folder, trials=6, seconds=60, **waits)
    wait_for(lambda: len(lines(folder)) == 1)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    workers = [begin(url, folder, trials=6, seconds=0.3, **waits) for _ in range(2)]
    for worker in workers:
        ended(worker)
    study = optuna.load_study(study_name="s", storage=url_of(url, folder))
    slots = by_slot(study.trials)
    assert len(slots) == 6 and {t.state for t in slots.values()} == {TrialState.COMPLETE}
    tried = Counter(lines(folder))
    assert sum(tried.values()) == 7 and tried[lines(folder)[0]] == 2  # what was killed, again; no other twice


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
