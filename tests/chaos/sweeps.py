"""Random kills of a sweep: `python tests/chaos/sweeps.py` kills its driver or a worker 20 times, and compares.

A sweep of two generators at two ratios is begun. At random moments one of its processes, drawn at random, gets SIGKILL:
the driver, which is then begun again, or a worker, whose item is then a failure that the next call tries again. When
all kills are done the sweep is called until nothing is left to do. Then: its records and predictions equal those of a
sweep that was left alone; no process of it lives; no lease and nothing half-made is left; and nothing that was
published before a kill was made again after it.

`--nodes` plays another game: the same sweep at once on two pretended nodes whose locks always succeed and whose clocks
are ten minutes apart; the first is stopped in the middle for longer than the other's patience, and wakes.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.job.briefs import INDEX
from synthworth.lease import PATIENCE
from synthworth.manifest import check_folder

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chaos import nodes

ROOT = Path(__file__).resolve().parents[2]
SWEEP = """
preset: smoke
device: cpu
seeds: SEEDS
controls: [none, duplicate]
extractors: EXTRACTORS
checkpoint_seconds: 0.5
train: {steps: TRAIN}
fit: {steps: FIT}
data: {n_train: 120, n_val: 40, n_test: 40}
sweep:
  product: {generator: [vae, dcgan], ratio: RATIOS}
"""
SMALL = {"SEEDS": "1", "FIT": "16", "TRAIN": "5", "RATIOS": "[0.5]", "EXTRACTORS": "[]"}
LARGE = {"SEEDS": "2", "FIT": "400", "TRAIN": "60", "RATIOS": "[0.5, 1]", "EXTRACTORS": "[efficientnet_lite0]"}
LEAVE = 20.0
"""Seconds in which the workers of a driver that was killed must be gone."""
Row = tuple[str, bool, str]
"""What was looked at, whether it was as it must be, and what was found."""


class Play:
    """A sweep in a folder of its own.

    Parameters
    ----------
    small : a sweep of few items for a short play, not of many for a long one.
    environment : of its processes, beside this one's.
    """

    def __init__(self, folder: Path, *, small: bool = False, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        asked = SWEEP
        for word, value in (SMALL if small else LARGE).items():
            asked = asked.replace(word, value)
        (folder / "ablation.yaml").write_text(asked)
        self.environment = environment or {}

    def begin(self, *, environment: dict[str, str] | None = None, out: str = "out") -> subprocess.Popen[str]:
        """The command, in a process group of its own."""
        flags = ["--config", "ablation.yaml", "--home", "home", "--results", "runs", "--out", out, "--jobs", "2"]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **self.environment, **(environment or {})}
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sweep", *flags], cwd=self.folder, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def records(self) -> dict[str, dict[str, Any]]:
        """What a record says that no clock decides, by run id."""
        found = {}
        for file in self.folder.glob("runs/*/record.json"):
            record = json.loads(file.read_text())
            parts = ("status", "spec", "counts", "utility", "comparisons", "fidelity", "privacy", "validation")
            found[record["run_id"]] = {part: record.get(part) for part in (*parts, "verdict", "worth")}
        return found

    def published(self) -> dict[Path, int]:
        """Every artifact and the inode of its folder: made again, it has another."""
        return {place: place.stat().st_ino for place in self.folder.glob("home/artifacts/*/*")}

    def looked_at(self, alone: Play) -> list[Row]:
        """The sweep at its end beside one that was left alone."""
        mine, other = self.records(), alone.records()
        rows = [("same records as alone", mine == other and bool(mine), f"{len(mine)} of {len(other)}")]
        found, expected = nodes.predictions(self.folder), nodes.predictions(alone.folder)
        rows.append(("same predictions", found == expected and bool(found), f"{len(found)} of {len(expected)}"))
        names = ({f"{p.parent.name}/{p.name}" for p in play.published()} for play in (self, alone))
        more = set.symmetric_difference(*names)
        rows.append(("same artifacts", not more, f"{len(self.published())}, {len(more)} of them on one side alone"))
        for place in self.published():
            check_folder(place, kind=place.parent.name, key=place.name, deep=True)
        left = [p for p in self.folder.glob("home/work/**/*") if p.is_file()]
        left += [p for p in self.folder.glob("runs/.*") if p.name != INDEX]
        rows.append(("no lease, nothing half-made", not left, f"{len(left)} files: {[p.name for p in left][:3]}"))
        told = list(self.folder.glob("out*/failed/*.json"))
        rows.append(("no failure is kept", not told, f"{len(told)}"))
        return rows


def processes_of(group: int) -> list[psutil.Process]:
    """Those that live in a session that a sweep began."""
    return [one for one in psutil.process_iter() if _session(one.pid) == group and one.status() != psutil.STATUS_ZOMBIE]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def workers_of(driver: int) -> list[psutil.Process]:
    """Processes in which a driver's items are made."""
    try:
        children = psutil.Process(driver).children(recursive=True)
        return [one for one in children if "spawn_main" in " ".join(one.cmdline())]
    except psutil.NoSuchProcess:
        return []


def whole(play: Play) -> float:
    """Carry a sweep out undisturbed; its seconds."""
    began, process = time.monotonic(), play.begin()
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(said)
    return time.monotonic() - began


def kill_at_random(
    play: Play, *, kills: int, seed: int, longest: float, say: Callable[[str], None] = print
) -> list[Row]:
    """Kill, begin again, and at the end call until all is done; what was seen meanwhile.

    Parameters
    ----------
    longest : seconds between two kills are drawn up to this.
    """
    draw, killed, gone, again = random.Random(seed), {"driver": 0, "worker": 0}, list[int](), set[Path]()
    known, driver, ends = dict[Path, int](), play.begin(), 0
    while sum(killed.values()) < kills:
        until = time.monotonic() + draw.uniform(0.5, longest)
        while time.monotonic() < until and driver.poll() is None:
            time.sleep(0.05)
        if driver.poll() is not None:
            driver.communicate()
            ends += 1
            if driver.returncode == 0:
                say(f"the sweep ended before kill {sum(killed.values()) + 1}")
                break
            driver = play.begin()
            continue
        workers = workers_of(driver.pid)
        what = draw.choice(["driver", "worker"]) if workers else "driver"
        known |= play.published()
        (draw.choice(workers) if what == "worker" else driver).send_signal(signal.SIGKILL)
        killed[what] += 1
        say(f"kill {sum(killed.values())}: {what}, with {len(known)} artifacts published")
        if what == "driver":
            driver.communicate()
            gone.append(_outlive(driver.pid))
            driver = play.begin()
    calls = 0
    while driver.communicate() and driver.returncode and calls < 3:
        driver, calls = play.begin(), calls + 1
    gone.append(_outlive(driver.pid))
    now = play.published()
    again = {place for place, inode in known.items() if now.get(place) != inode}
    return [
        ("the sweep comes to its end", driver.returncode == 0, f"exit code {driver.returncode}"),
        ("kills", sum(killed.values()) == kills, f"{killed['driver']} of the driver, {killed['worker']} of a worker"),
        ("no orphaned process", not sum(gone), f"{sum(gone)} lived longer than {LEAVE:g} s"),
        ("nothing made twice", not again, f"{len(again)} of {len(known)} that were published before a kill"),
    ]


def _outlive(group: int) -> int:
    """How many processes of a driver that is gone still live after a while."""
    until = time.monotonic() + LEAVE
    while (left := processes_of(group)) and time.monotonic() < until:
        time.sleep(0.2)
    for one in left:
        one.kill()
    return len(left)


def in_the_hands_of_a(play: Play) -> list[str]:
    """Attempts of node a, now: folders come and go meanwhile, at which `Path.glob` fails."""
    return glob.glob(str(play.folder / "home/work/*/*/*/a-*"))


def on_two_nodes(play: Play, *, patience: float) -> list[Row]:
    """The sweep at once on two nodes; the first is stopped in a fit for longer than the other's patience."""
    (play.folder / "node").mkdir()
    (play.folder / "node" / "sitecustomize.py").write_text(nodes.NODE)
    path = os.pathsep.join([str(play.folder / "node"), str(ROOT)])
    runs = {}
    for name, shift in (("a", 0.0), ("b", 600.0)):
        environment = {"PYTHONPATH": path, "NODE": name, "SHIFT": str(shift), PATIENCE: str(patience)}
        runs[name] = play.begin(environment=environment, out=f"out-{name}")
    while runs["a"].poll() is None and not in_the_hands_of_a(play):
        time.sleep(0.02)
    held = in_the_hands_of_a(play)
    os.killpg(runs["a"].pid, signal.SIGSTOP)
    time.sleep(1.7 * patience)
    os.killpg(runs["a"].pid, signal.SIGCONT)
    rows: list[Row] = [("node a was stopped with work in its hands", bool(held), f"{len(held)} attempts")]
    for name, process in runs.items():
        _, said = process.communicate()
        rows.append((f"node {name} ends well", process.returncode == 0, f"exit code {process.returncode}"))
        if process.returncode:
            sys.stderr.write(said)
    return rows


def main(args: Sequence[str] | None = None) -> int:
    """Play and print the table; 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds between two kills, at most")
    parser.add_argument("--nodes", action="store_true", help="two nodes instead of kills")
    parser.add_argument("--patience", type=float, default=6.0, help="seconds of the nodes' patience")
    asked = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as folder:
        alone, play = (Play(Path(folder) / name) for name in ("alone", "disturbed"))
        print(f"left alone: {whole(alone):.0f} s", flush=True)
        if asked.nodes:
            rows = on_two_nodes(play, patience=asked.patience)
        else:
            rows = kill_at_random(play, kills=asked.kills, seed=asked.seed, longest=asked.longest)
        rows += play.looked_at(alone)
    for what, well, found in rows:
        print(f"{what:<45}{'yes' if well else 'NO':<6}{found}")
    return 0 if all(well for _, well, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
