"""Random kills of one run: `python tests/chaos/kills.py` kills it 25 times and compares its predictions at the end.

The run is killed (SIGKILL, its workers with it or left to notice) at random moments and begun again in the same home.
Whenever it comes to its end its predictions are compared, byte for byte, with those of a run that was left alone, and
the next one begins in an empty home. Prints a line a kill; leaves with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = [
    "--preset", "smoke", "--generator", "latent_ddpm", "--ratio", "1", "--extractors", "--gen.sampling-steps", "3",
    "--fit.steps", "60", "--train.steps", "40", "--checkpoint-seconds", "0.5", "--controls", "none", "--seeds", "2",
    "--workers", "2", "--data.n-train", "300", "--data.n-val", "100", "--data.n-test", "200",
]  # fmt: skip


def start(folder: Path) -> subprocess.Popen[str]:
    """The run in a folder, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.run", *RUN],
        cwd=folder,
        env={**os.environ, "SYNTHWORTH_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def predictions(folder: Path) -> dict[str, bytes]:
    """Bytes of every arm's predictions."""
    files = sorted(folder.glob("results/runs/*/predictions.parquet"))
    return {file.parent.name: file.read_bytes() for file in files}


def kill_after(process: subprocess.Popen[str], seconds: float, *, group: bool) -> str | None:
    """Kill a run after some seconds; what it printed on stderr if it ended before that."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--within", type=float, default=0.5, help="a kill comes within this share of a run's time")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        whole = start(Path(alone))
        _, said = whole.communicate()
        took = time.monotonic() - began
        if whole.returncode:
            raise RuntimeError(said)
        expected = predictions(Path(alone))
        print(f"left alone: {took:.1f} s, predictions of {len(expected)} arms", flush=True)
        folder, wrong, kills, ends, ended = Path(place), 0, 0, 0, False
        while kills < options.kills or not ended:
            seconds = draw.uniform(0.0, options.within * took) if kills < options.kills else 3600.0
            group = draw.random() < 0.5
            process = start(folder)
            said = kill_after(process, seconds, group=group)
            ended = said is not None
            if said is None:
                kills += 1
                print(f"kill {kills} after {seconds:.1f} s, {'the group' if group else 'the parent alone'}", flush=True)
                continue
            ends += 1
            same = process.returncode == 0 and predictions(folder) == expected
            wrong += not same
            left = [str(p.relative_to(folder)) for p in folder.glob("home/work/*/*") if p.is_dir()]
            print(f"end {ends}: exit code {process.returncode}, {'bitwise equal' if same else 'DIFFERENT'}; "
                  f"half-made folders left: {len(left)}", flush=True)  # fmt: skip
            if not same:
                print(said[-2000:])
            for part in ("home", "results"):
                shutil.rmtree(folder / part, ignore_errors=True)
    print(f"{kills} kills, {ends} runs that came to their end, {wrong} of them different")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
