"""How long the same stages took when they were made on this machine before: what manifests in the store say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.request.spec import RunSpec
from benchmarks.stages.bench import Bench
from synthworth.artifacts import read_array, read_json
from synthworth.errors import Unavailable, UserError
from synthworth.keys import canonical, plain

NEWEST = 200
"""Artifacts of a kind that are looked at, the newest of them."""
ENOUGH = 50
"""Steps that tell how long one takes (or as many as are to be taken)."""


Reduced = Callable[[Mapping[str, Any]], Any]
"""What of an identity decides how long it takes."""


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

    Seeds, budgets and the number of images may be others. What is damaged tells nothing; whoever needs it names it.
    """

    def __init__(self, bench: Bench) -> None:
        self.store, self.info = bench.store, plain(bench.info)
        self._of, self._alike = cache(self._read), cache(self._by_form)
        self._is_whole = cache(lambda kind, key: self.store.has(kind, key, deep=True))
        self.extractor = cache(self._make_extractor)
        self._report = cache(lambda folder: read_json(folder / "fit.json"))

    def _make_extractor(self, name: str, precision: str) -> Any:
        """An extractor whose weights are on this machine; None of any other: its record will say why."""
        kind = EXTRACTORS.get(name)
        if not kind.is_at_hand():
            return None
        try:
            return kind(device=self.info["device"], precision=precision)
        except Unavailable:
            return None

    def prepare(self, dataset: str, config: Any) -> Rate | None:
        """By image of all splits."""
        wanted = canonical(_images({"dataset": dataset, "config": plain(config)}))
        for folder, made in self._like("data", _images, wanted):
            n = sum(split["n"] for split in read_json(folder / "dataset.json")["splits"].values())
            return Rate(made["seconds"] / n)
        return None

    def fit(self, spec: RunSpec) -> Rate | None:
        """By optimiser step of the generator's training."""
        wanted, n_steps = canonical(_fit(plain(spec.fit_identity()))), spec.fit.steps if spec.fit else 0
        return self._trained("fit", _fit, wanted, n_steps)

    def draw(self, spec: RunSpec) -> Rate | None:
        """By drawn image."""
        if not self._of("pool"):
            return None
        wanted = canonical(_fit(plain(spec.fit_identity())))
        same = {folder.name for folder, _ in self._alike("fit", _fit).get(wanted, ())}
        for _, made in self._of("pool") if same else ():
            if made["identity"].get("fit") in same:
                return Rate(made["seconds"] / made["identity"]["size"])
        return None

    def classify(self, spec: RunSpec) -> Rate | None:
        """By optimiser step of one classifier's training, looks at val among them."""
        if not self._of("classify"):
            return None
        asked = {"classifier": spec.classifier, "config": spec.clf, "precision": spec.precision}
        wanted = canonical(_classifier({**plain(asked), "data": {"dataset": spec.dataset, "config": plain(spec.data)}}))
        return self._trained("classify", _classifier, wanted, spec.train.steps)

    def features(self, extractor: str) -> Rate | None:
        """By image, of an extractor with this id."""
        for folder, made in self._like("features", _extractor, canonical(extractor)):
            return Rate(made["seconds"] / len(read_array(folder / "features.npy")))
        return None

    def _trained(self, kind: str, of: Reduced, wanted: str, n_steps: int) -> Rate | None:
        for folder, made in self._like(kind, of, wanted):
            report = self._report(folder)
            if report["steps"] >= min(ENOUGH, n_steps) and report["steps"] > 0:
                return Rate(report["seconds"] / report["steps"], max(0.0, made["seconds"] - report["seconds"]))
        return None

    def _like(self, kind: str, of: Reduced, wanted: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Those of such an identity whose bytes are what was written, newest first."""
        for folder, made in self._alike(kind, of).get(wanted, ()):
            if self._is_whole(kind, folder.name):
                yield folder, made

    def _by_form(self, kind: str, of: Reduced) -> dict[str, list[tuple[Path, dict[str, Any]]]]:
        """What was made here by what `of` leaves of its identity."""
        found: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
        for folder, made in self._of(kind):
            found.setdefault(canonical(of(made["identity"])), []).append((folder, made))
        return found

    def _read(self, kind: str) -> list[tuple[Path, dict[str, Any]]]:
        """Folder and manifest of what was made here, newest first."""
        root = self.store.path(kind, "")
        dated: list[tuple[float, Path]] = []
        for folder in root.iterdir() if root.is_dir() else ():
            try:
                dated.append((folder.stat().st_mtime, folder))
            except FileNotFoundError:  # another process has just moved it aside
                continue
        found: list[tuple[Path, dict[str, Any]]] = []
        for _, folder in sorted(dated, reverse=True)[:NEWEST]:
            try:
                made = self.store.manifest(kind, folder.name)
            except UserError:  # damaged, and no witness
                continue
            if self.info.items() <= made.items():
                found.append((folder, made))
        return found


def _extractor(identity: Mapping[str, Any]) -> Any:
    return identity.get("extractor")


def _images(data: Mapping[str, Any]) -> dict[str, Any]:
    """What of a dataset's identity says how large an image is, and what it costs to make."""
    kept = {name: value for name, value in data.get("config", {}).items() if not name.startswith("n_")}
    return {"dataset": data.get("dataset"), **kept}


def _fit(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What of a fit's identity decides how long a step takes."""
    kept = {name: value for name, value in identity.items() if name not in ("budget", "seed", "data")}
    return {**kept, "images": _images(identity.get("data", {}))}


def _classifier(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The same of the training of a classifier."""
    kept = {name: identity.get(name) for name in ("classifier", "config", "precision")}
    return {**kept, "images": _images(identity.get("data", {}))}
