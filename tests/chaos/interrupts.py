"""Interrupts of a run, by every way and at every moment: 130 within five seconds, one line, nobody left behind.

`python tests/chaos/interrupts.py` prints a table, and leaves with 1 where a row is not as it ought to be.
"""

from __future__ import annotations

import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = "interrupted; the same command goes on from here"
WITHIN = 5.0
RUN = [
    "benchmarks.run", "--preset", "smoke", "--generator", "latent_ddpm", "--ratio", "1", "--extractors",
    "--gen.sampling-steps", "3", "--fit.steps", "60", "--train.steps", "4000", "--checkpoint-seconds", "0.05",
    "--controls", "none", "--seeds", "4", "--workers", "2",
]  # fmt: skip
FILES = {"fit": "home/work/fit/*/*/*/scratch/*.ckpt", "classifiers": "home/work/classify/*/*/*/scratch/classifier.ckpt"}


@dataclass
class Run:
    """A command in a session of its own, whose processes can be counted."""

    process: subprocess.Popen[str]
    folder: Path
    began: float
    at: float
    """When it began, by the clock of files."""

    def others(self) -> list[int]:
        """The live processes of the session beside the command itself; not the tracker, which ends when they have."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
                words = (stat.parent / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid = int(stat.parent.name)
            if int(fields[3]) == self.process.pid and fields[0] != "Z" and pid != self.process.pid:
                found += [] if b"resource_tracker" in words else [pid]
        return found


def start(folder: Path, *, ignores: Sequence[signal.Signals] = ()) -> Run:
    """Begin `python -m benchmarks.run` in a folder; with `ignores` as a script's `&` would begin it."""

    def as_a_shell_would() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN if number in ignores else signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-m", *RUN],
        cwd=folder,
        env={**os.environ, "SYNTHWORTH_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        preexec_fn=as_a_shell_would,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Run(process, folder, time.monotonic(), time.time())


def wait_for(run: Run, moment: str) -> None:
    """Until a number of seconds after the start, `workers` (two are importing), or one of `FILES`.

    Never before the command hears SIGTERM, in its first line: until then the interpreter itself is starting.
    """
    deadline = time.monotonic() + 300
    while not _is_there(run, moment):
        assert run.process.poll() is None, f"the run ended before {moment}: {run.process.communicate()[1]}"
        assert time.monotonic() < deadline, f"{moment} never came"
        time.sleep(0.005)


def _is_there(run: Run, moment: str) -> bool:
    if moment == "workers":
        return len(run.others()) >= 2
    if moment in FILES:
        there = glob.iglob(str(run.folder / FILES[moment]))  # Path.glob fails where a folder goes meanwhile
        return any(_written(Path(file)) > run.at for file in there)
    return time.monotonic() - run.began >= float(moment) and _hears(run)


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # the next attempt took it over
        return 0.0


def _hears(run: Run) -> bool:
    caught = re.search(r"^SigCgt:\t(\w+)$", Path(f"/proc/{run.process.pid}/status").read_text(), re.M)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def to_group(number: int) -> Callable[[Run], None]:
    return lambda run: os.killpg(run.process.pid, number)


def to_parent(number: int) -> Callable[[Run], None]:
    return lambda run: os.kill(run.process.pid, number)


def to_workers(number: int) -> Callable[[Run], None]:
    return lambda run: [os.kill(pid, number) for pid in run.others()] and None


def in_turn(*ways: Callable[[Run], None], pause: float = 0.1) -> Callable[[Run], None]:
    def send(run: Run) -> None:
        for way in ways:
            if run.process.poll() is None:
                way(run)
            time.sleep(pause)

    return send


INT, TERM = signal.SIGINT, signal.SIGTERM
WAYS: dict[str, Callable[[Run], None]] = {
    "SIGINT to the group": to_group(INT),
    "SIGINT to the parent alone": to_parent(INT),
    "SIGINT twice, at once": in_turn(to_group(INT), to_group(INT), pause=0.0),
    "SIGINT twice": in_turn(to_group(INT), to_group(INT)),
    "SIGINT to the workers first": in_turn(to_workers(INT), to_parent(INT)),
    "SIGTERM to the group": to_group(TERM),
    "SIGTERM to the parent alone": to_parent(TERM),
    "SIGTERM to the workers alone": to_workers(TERM),
    "SIGTERM, then SIGINT": in_turn(to_parent(TERM), to_group(INT)),
    "SIGINT ignored (&), then SIGTERM": in_turn(to_group(INT), to_workers(INT), to_parent(TERM), pause=1.0),
}
NEED_WORKERS = frozenset(name for name in WAYS if "workers" in name)


@dataclass
class Outcome:
    """How an interrupted command ended: exit code, seconds since the last signal, who was left, its stderr."""

    code: int
    seconds: float
    left: list[int]
    said: str

    def faults(self) -> list[str]:
        """What is not as it ought to be."""
        found = [] if self.code == 130 else [f"exit code {self.code}"]
        found += [] if self.seconds <= WITHIN else [f"{self.seconds:.1f} s"]
        found += [f"{len(self.left)} processes left"] if self.left else []
        found += ["a traceback"] if "Traceback" in self.said else []
        found += [] if self.said.strip().splitlines()[-1:] == [LINE] else [f"last line {self.said.strip()[-200:]!r}"]
        return found + ([] if self.said.count(LINE) == 1 else [f"said {self.said.count(LINE)} times"])


def interrupt(run: Run, way: Callable[[Run], None]) -> Outcome:
    """Send the signals and see what becomes of the command."""
    way(run)
    began = time.monotonic()
    try:
        _, said = run.process.communicate(timeout=120)
        seconds = time.monotonic() - began
        while (left := run.others()) and time.monotonic() - began < WITHIN:
            time.sleep(0.01)
        return Outcome(run.process.returncode, seconds, left, said)
    finally:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)


def trial(name: str, moment: str, folder: Path) -> Outcome:
    """One interrupt of one run in a folder; what another run left there is gone on with."""
    run = start(folder, ignores=[INT] if "ignored" in name else [])
    wait_for(run, moment)
    return interrupt(run, WAYS[name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--early", type=int, default=10, help="moments in the first second (default 10)")
    parser.add_argument("--only", nargs="*", help="moments: seconds, workers, fit, classifiers")
    options = parser.parse_args()
    early = [f"{(k + 1) / options.early:.2f}" for k in range(options.early)]
    rows = [(name, moment) for moment in early for name in ("SIGINT to the group", "SIGTERM to the parent alone")]
    rows += [(name, m) for m in ("fit", "workers", "classifiers") for name in WAYS
             if m != "fit" or name not in NEED_WORKERS]  # fmt: skip
    bad = 0
    print(f"{'moment':<12} {'way':<34} {'code':>4} {'seconds':>7} {'left':>4}  faults")
    for name, moment in rows:
        if options.only and moment not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = trial(name, moment, Path(folder))
        bad += bool(found.faults())
        print(
            f"{moment:<12} {name:<34} {found.code:>4} {found.seconds:>7.2f} {len(found.left):>4}  "
            f"{'; '.join(found.faults()) or 'none'}",
            flush=True,
        )
    print(f"{bad} rows with faults")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
