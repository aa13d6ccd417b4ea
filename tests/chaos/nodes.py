"""Three whole runs at once on three pretended nodes: locks that always succeed, clocks ten minutes apart.

`python tests/chaos/nodes.py` starts the same command on nodes a, b and c of one home and one results folder. Every file
lock succeeds there; the clocks of b and c are ten minutes ahead and behind; each is another machine to the others. Node
a is stopped (SIGSTOP) in the middle for longer than the others' patience, and wakes. All must end well, with the
records of a run alone, and nothing half.
"""

from __future__ import annotations

import argparse
import glob
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthworth.lease import PATIENCE
from synthworth.manifest import check_folder

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [
    "--preset", "smoke", "--generator", "latent_ddpm", "--ratio", "1", "--gen.sampling-steps", "3", "--fit.steps", "60",
    "--train.steps", "40", "--seeds", "2", "--extractors", "efficientnet_lite0", "--checkpoint-seconds", "0.5",
]  # fmt: skip
NODE = """
import os, platform, time
node, shift, now = os.environ["NODE"], float(os.environ["SHIFT"]), time.time
platform.node = lambda: node
time.time = lambda: now() + shift
try:
    import fcntl
except ImportError:
    pass
else:
    fcntl.flock = fcntl.lockf = lambda *args, **more: None
"""


def start(folder: Path, node: str, shift: float, where: Path, seconds: float) -> subprocess.Popen[str]:
    """The command on a node, its worker processes with it."""
    (folder / "node").mkdir(exist_ok=True)
    (folder / "node" / "sitecustomize.py").write_text(NODE)
    paths = os.pathsep.join([str(folder / "node"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths, "NODE": node, "SHIFT": str(shift), PATIENCE: str(seconds)}
    command = [*COMMAND, "--home", str(where / "home"), "--results", str(where / "runs")]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.run", *command], env=env, cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def predictions(where: Path) -> dict[str, bytes]:
    """Stored predictions, by run."""
    return {p.parent.name: p.read_bytes() for p in where.glob("runs/*/predictions.parquet")}


def play(folder: Path, *, seconds: float = 6.0, paused: float = 10.0) -> list[tuple[str, bool, str]]:
    """What was looked at, whether it was as it must be, and what was found."""
    alone = start(folder, "alone", 0, folder / "alone", seconds)
    _, said = alone.communicate()
    if alone.returncode:
        raise SystemExit(said)
    where = folder / "shared"
    nodes = {"a": 0.0, "b": 600.0, "c": -600.0}
    runs = {name: start(folder, name, shift, where, seconds) for name, shift in nodes.items()}
    while runs["a"].poll() is None and not glob.glob(str(where / "home/work/fit/*/*/a-*/scratch/*.ckpt")):
        time.sleep(0.02)
        if list(where.glob("home/artifacts/fit/*")):
            break
    os.killpg(runs["a"].pid, signal.SIGSTOP)
    time.sleep(paused)
    os.killpg(runs["a"].pid, signal.SIGCONT)
    rows = []
    for name, process in runs.items():
        _, said = process.communicate()
        rows.append((f"node {name} ends well", process.returncode == 0, f"exit code {process.returncode}"))
        if process.returncode:
            print(said, file=sys.stderr)
    found, expected = predictions(where), predictions(folder / "alone")
    rows.append(("same records as alone", found == expected and bool(expected), f"{len(found)} of {len(expected)}"))
    kept = sorted(where.glob("home/artifacts/*/*"))
    for place in kept:
        check_folder(place, kind=place.parent.name, key=place.name, deep=True)
    rows.append(("every artifact is whole", bool(kept), f"{len(kept)} artifacts"))
    half = [p for p in where.glob("home/work/*/*") if p.is_dir() and not p.name.startswith(".")]
    half += list(where.glob("runs/.*"))
    rows.append(("nothing is half made", not half, f"{len(half)} folders left"))
    return rows


def main() -> int:
    """Play and print the table; 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="patience of the nodes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = play(Path(folder), seconds=asked.seconds, paused=asked.seconds * 1.7)
    for what, well, found in rows:
        print(f"{what:<28}{'yes' if well else 'NO':<6}{found}")
    return 0 if all(well for _, well, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
