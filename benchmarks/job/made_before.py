"""How long the same stages took when they were made on this machine before: what manifests in the store say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.request.spec import RunSpec
from benchmarks.stages.bench import Bench
from synthworth.artifacts import read_array, read_json
from synthworth.keys import plain

NEWEST = 200
"""Artifacts of a kind that are looked at, the newest of them."""
ENOUGH = 50
"""Steps that tell how long one takes (or as many as are to be taken)."""


@dataclass(frozen=True)
class Rate:
    """Seconds a unit (a step, an image), and those that come once beside."""

    each: float
    once: float = 0.0

    def __call__(self, n: int) -> float:
        """Seconds of `n` units."""
        return self.once + n * self.each


class MadeBefore:
    """Rates of stages by what they were made of. None of a stage that was not made on this machine, or not so.

    Seeds, budgets and the number of images may be others.
    """

    def __init__(self, bench: Bench) -> None:
        self.store, self.info = bench.store, plain(bench.info)
        self._of = cache(self._read)

    def prepare(self, dataset: str, config: Any) -> Rate | None:
        """By image of all splits."""
        wanted = _shape(dataset, plain(config))
        for folder, made in self._of("data"):
            identity = made["identity"]
            if _shape(identity["dataset"], identity["config"]) == wanted:
                n = sum(split["n"] for split in read_json(folder / "dataset.json")["splits"].values())
                return Rate(made["seconds"] / n)
        return None

    def fit(self, spec: RunSpec) -> Rate | None:
        """By optimiser step of the generator's training."""
        wanted, n_steps = _fit(plain(spec.fit_identity())), spec.fit.steps if spec.fit else 0
        return next((rate for identity, rate in self._fits("fit", n_steps) if _fit(identity) == wanted), None)

    def draw(self, spec: RunSpec) -> Rate | None:
        """By drawn image."""
        wanted = _fit(plain(spec.fit_identity()))
        same = {folder.name for folder, made in self._of("fit") if _fit(made["identity"]) == wanted}
        for _, made in self._of("pool"):
            identity = made["identity"]
            if identity["fit"] in same:
                return Rate(made["seconds"] / identity["size"])
        return None

    def classify(self, spec: RunSpec) -> Rate | None:
        """By optimiser step of one classifier's training, looks at val among them."""
        wanted = {
            **plain({"classifier": spec.classifier, "config": spec.clf, "precision": spec.precision}),
            "images": _shape(spec.dataset, plain(spec.data)),
        }
        for identity, rate in self._fits("classify", spec.train.steps):
            found = {name: identity.get(name) for name in ("classifier", "config", "precision")}
            if {**found, "images": _shape(identity["data"]["dataset"], identity["data"]["config"])} == wanted:
                return rate
        return None

    def features(self, extractor: str) -> Rate | None:
        """By image, of an extractor with this id."""
        for folder, made in self._of("features"):
            if made["identity"]["extractor"] == extractor:
                return Rate(made["seconds"] / len(read_array(folder / "features.npy")))
        return None

    def _fits(self, kind: str, n_steps: int) -> Iterator[tuple[dict[str, Any], Rate]]:
        for folder, made in self._of(kind):
            report = read_json(folder / "fit.json")
            if report["steps"] >= min(ENOUGH, n_steps) and report["steps"] > 0:
                each = report["seconds"] / report["steps"]
                yield made["identity"], Rate(each, max(0.0, made["seconds"] - report["seconds"]))

    def _read(self, kind: str) -> list[tuple[Path, dict[str, Any]]]:
        """Folder and manifest of what was made here, newest first."""
        root = self.store.path(kind, "")
        if not root.is_dir():
            return []
        newest = sorted(root.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)[:NEWEST]
        whole = [folder for folder in newest if self.store.has(kind, folder.name)]
        found = [(folder, self.store.manifest(kind, folder.name)) for folder in whole]
        return [(folder, made) for folder, made in found if self.info.items() <= made.items()]


def _shape(dataset: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What says how large an image is, and what it costs to make."""
    return {"dataset": dataset, **{name: value for name, value in config.items() if not name.startswith("n_")}}


def _fit(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What of a fit's identity decides how long a step takes."""
    kept = {name: value for name, value in identity.items() if name not in ("budget", "seed", "data")}
    return {**kept, "images": _shape(identity["data"]["dataset"], identity["data"]["config"])}
