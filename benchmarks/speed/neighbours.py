"""Speed and memory of nearest neighbours: 20,000 against 20,000 features, each measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

from benchmarks.speed.row import PEAK_OF_PROCESS, Row
from synthworth.errors import UserError

N, DIM, SEED = 20_000, 512, 0
LIMIT = 2048  # MiB that the distances must be had in

DRAW = f"""
import json, time
import numpy as np
rng = np.random.default_rng({SEED})
a, b = (rng.standard_normal(({N}, {DIM}), dtype=np.float32) for _ in range(2))
"""
OURS = """
import torch
from benchmarks.metrics.neighbours import nearest
x, y = (torch.from_numpy(part).double() for part in (a, b))
began = time.perf_counter()
found = nearest(x, y).index[:, 0].tolist()
"""
PEER = """
from sklearn.metrics import pairwise_distances_argmin
began = time.perf_counter()
found = pairwise_distances_argmin(a, b).tolist()
"""
WHOLE = """
import torch
began = time.perf_counter()
found = torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).argmin(1).tolist()
"""
REPORT = """
peak = peak_kib() / 1024
print(json.dumps({"seconds": time.perf_counter() - began, "peak": peak, "found": found[:1000]}))
"""


class Measured(NamedTuple):
    """Seconds of the search, peak memory of its process in MiB, and the first neighbours found."""

    seconds: float
    peak: float
    found: list[int]


def neighbours_row(repeat: int) -> Row:
    """Seconds to find the nearest of 20,000 features to each of 20,000, against scikit-learn's chunked search."""
    ours, peer = (min((_measure(code) for _ in range(repeat)), key=lambda m: m.seconds) for code in (OURS, PEER))
    same = sum(a == b for a, b in zip(ours.found, peer.found, strict=True)) / len(ours.found)
    return Row(
        f"nearest of {N:,} x {N:,} x {DIM}", "chunked, exact", "scikit-learn", ours.seconds, peer.seconds,
        f"the same neighbour for {same:.1%} of the points",
    )  # fmt: skip


def neighbours_memory_row(repeat: int) -> Row:
    """Peak memory of that process, against one that holds the whole matrix of distances."""
    ours, whole = (min(_measure(code).peak for _ in range(repeat)) for code in (OURS, WHOLE))
    note = f"{'within' if ours < LIMIT else 'ABOVE'} the {LIMIT:,} MiB set for it, with libraries and features"
    return Row(f"peak memory, {N:,} x {N:,} x {DIM}", "chunked", "whole matrix", ours, whole, note, unit="MiB")


def _measure(code: str) -> Measured:
    done = subprocess.run(
        [sys.executable, "-c", PEAK_OF_PROCESS + DRAW + code + REPORT], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"the rows of neighbours could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return Measured(**json.loads(done.stdout))
