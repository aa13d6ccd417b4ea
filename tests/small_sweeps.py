"""Small sweeps for the tests: their files, their records, and what two of them must have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.records.predictions import PREDICTIONS

SMALL = """
preset: smoke
device: cpu
seeds: 2
controls: [none, duplicate]
train: {steps: 2}
fit: {steps: 2}
clf: {arch: resnet10t}
extractors: []
data: {n_train: 120, n_val: 40, n_test: 40}
"""
FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "2", "--controls", "none", "duplicate"),
    *("--train.steps", "2", "--fit.steps", "2", "--clf.arch", "resnet10t", "--extractors"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40"),
]
LEAST = ["--controls", "none", "--seeds", "1"]
"""Of what a test does not look at, as little as there can be."""
SHORT = "sweep:\n  product: {generator: [vae, dcgan], ratio: [0.5]}\n"
VARIED = """sweep:
  - product: {generator: [vae], ratio: [0, 0.5, 1], generator_seed: [0, 1]}
  - product: {generator: [dcgan], ratio: [0.5]}
"""
BROKEN = """
import os, signal, time
from generators.vae import VAE
from synthworth.api import register

class Broken(VAE):
    def fit(self, train, *, seed, work):
        self.go_wrong()

@register.generator("breaks")
class Breaks(Broken):
    def go_wrong(self):
        raise ZeroDivisionError("the plugin divided by zero")

@register.generator("eats")
class Eats(Broken):
    def go_wrong(self):
        raise MemoryError("no more")

@register.generator("dies")
class Dies(Broken):
    def go_wrong(self):
        os.kill(os.getpid(), signal.SIGKILL)

@register.generator("sleeps")
class Sleeps(Broken):
    def go_wrong(self):
        time.sleep(600)
"""


def write(place: Path, text: str) -> list[str]:
    place.mkdir(parents=True, exist_ok=True)
    (place / "ablation.yaml").write_text(SMALL + text)
    folders = {"home": "home", "results": "runs", "out": "out"}
    flags = [word for name, folder in folders.items() for word in (f"--{name}", str(place / folder))]
    return ["--config", str(place / "ablation.yaml"), *flags]


def records(place: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted((place / "runs").glob("*/record.json")):
        record = json.loads(file.read_text())
        found[record["run_id"]] = record
    return found


def same(place: Path, other: Path, *, n: int) -> None:
    """So many arms, with the numbers of the other place, and the same predictions to the byte."""
    a, b = records(place), records(other)
    assert a.keys() <= b.keys() and len(a) == n
    for run_id in a:
        assert a[run_id]["status"] == b[run_id]["status"], a[run_id]["name"]
        if a[run_id]["status"] != "ok":
            continue
        for part in ("utility", "counts", "comparisons", "validation", "verdict"):
            assert a[run_id].get(part) == b[run_id].get(part), (a[run_id]["name"], part)
        files = [folder / "runs" / run_id[:16] / PREDICTIONS for folder in (place, other)]
        assert files[0].read_bytes() == files[1].read_bytes()


def artifacts(place: Path) -> dict[str, int]:
    return {kind.name: len(list(kind.iterdir())) for kind in sorted((place / "home" / "artifacts").iterdir())}
