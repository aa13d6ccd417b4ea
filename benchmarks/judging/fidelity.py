"""Fidelity of an arm's synthetic images: distances to the real ones in every extractor, pixels, and class by class."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.declare import FEATURES, PIXELS, Metric, Quantity
from benchmarks.metrics.registry import EXTRACTORS, metrics_on
from benchmarks.metrics.value import Value
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.features import Features, extract_features
from benchmarks.stages.images import Source
from data.images import showing
from synthworth.errors import Unavailable
from synthworth.keys import digest, seed_from
from synthworth.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from data.mixing import SyntheticSet

CONSISTENCY_AUROC = Quantity("class_consistency_auroc", "higher")
CONSISTENCY = Quantity("class_consistency", "higher")
MIN_JUDGED = 10
"""Fewest synthetic images whose labels are judged."""
DIGITS = 6  # of the numbers by class, which are many


class Fidelity:
    """Distances of synthetic images to the real train split, each beside its real-real floor.

    The floor is that of as many real test images as the arm drew, so that the two compare. Where test has fewer, the
    floor stands on all of test, and what moves with n (`Quantity.moves_with_n`) is measured a second time, on as many
    of the arm's images (`at_floor_n`): that number is the one to compare with the floor.
    """

    def __init__(self, bench: Bench, images: Source, spec: RunSpec) -> None:
        """Load the extractors.

        Parameters
        ----------
        images : the real ones that synthetic images are compared with: what their generator learned from.
        """
        self.bench, self.images, self.seed, self.precision = bench, images, spec.seed, spec.extractor_precision
        self.extractors: dict[str, Any] = {}
        self.unavailable: dict[str, str] = {}
        for name in spec.extractors:
            try:
                made = EXTRACTORS.get(name)(device=bench.device, precision=self.precision)
            except Unavailable as reason:
                self.unavailable[name] = str(reason)
            else:
                self.extractors[name] = made
        self._forget()

    def _forget(self) -> None:
        self._floor, self._pixel_floor = cache(self._measure_floor), cache(self._measure_pixel_floor)
        self._class_floor = cache(self._measure_class_floor)

    def against(self, images: Source) -> Fidelity:
        """The same extractors, and other real images to compare with."""
        other = copy(self)
        other.images = images
        other._forget()
        return other

    def features(self, extractor: str, split: str) -> Features:
        """Features of a real split."""
        images = getattr(self.images, split)
        return extract_features(self.bench, self.extractors[extractor], self.real_key(split), lambda: images.images)

    def real_key(self, split: str) -> str:
        """What names the images of a real split."""
        return str(getattr(self.images, split).fingerprint())

    def drawn(self, extractor: str, arm: Arm) -> Features:
        """Features of an arm's synthetic images."""
        pool = arm.pool
        assert pool is not None
        return extract_features(self.bench, self.extractors[extractor], self.drawn_key(arm), lambda: pool.images)

    @staticmethod
    def drawn_key(arm: Arm) -> str:
        """What names an arm's synthetic images."""
        return digest(arm.spec.pool_identity(arm.demanded))

    def of(self, arm: Arm) -> dict[str, Value]:
        """Fidelity of one arm's synthetic images; empty for real images alone."""
        if arm.pool is None:
            return {}
        n, n_floor = len(arm.pool), min(len(arm.pool), len(self.images.test))
        rows = self._drawn_rows(n, n_floor) if n_floor < n else None
        values: list[Value] = []
        with Progress(f"fidelity of {arm.spec.name}", len(self.extractors) + len(self.unavailable) + 1) as bar:
            for name, extractor in self.extractors.items():
                floor, drawn = self._floor(name, n_floor), self.drawn(name, arm)
                fewer = {} if rows is None else _flat(self._measure(name, drawn.take(rows), moving=True))
                for metric, found in self._measure(name, drawn):
                    for key, value in found.items():
                        named = metric.on_features(value, **self._on(name, str(extractor.id)))
                        values.append(self._with_floor(named, floor.get(key), fewer.get(key)))
                bar.advance()
            for name, reason in self.unavailable.items():
                for metric in applicable(logits=EXTRACTORS.get(name).gives_logits):
                    missing = metric.missing(reason, n).values()
                    values += [metric.on_features(value, **self._on(name, None)) for value in missing]
                bar.advance()
            floor = self._pixel_floor(n_floor)
            found = self._measure_pixels(arm.pool.images, arm.pool.labels)
            fewer = {}
            if rows is not None:
                fewer = self._measure_pixels(arm.pool.images[rows], arm.pool.labels[rows], moving=True)
            values += [self._with_floor(value, floor.get(key), fewer.get(key)) for key, value in found.items()]
            bar.advance()
        return {value.name: value for value in values}

    def _on(self, extractor: str, features: str | None) -> dict[str, Any]:
        """Where a value was measured, as `Metric.on_features` takes it."""
        literature = EXTRACTORS.get(extractor).literature_in == self.precision
        return {"extractor": extractor, "features": features, "literature": literature}

    def by_class(self, arm: Arm) -> dict[str, dict[str, dict[str, Any]]]:
        """Metrics `by_class` of each class (or finding) alone: extractor id -> class -> numbers, each beside its floor.

        `n` synthetic images that were asked to show the class against `n_real` training images that do;
        `<metric>_floor`: `floor_n` real test images of the class in their place. Null below the metric's minimum, which
        `note` names. None of it enters the table: few images a class.
        """
        if arm.pool is None:
            return {}
        found: dict[str, dict[str, dict[str, Any]]] = {}
        train = self.images.train
        for name, extractor in self.extractors.items():
            real, fake = self.features(name, "train").features, self.drawn(name, arm).features
            rows = {}
            for k, label in enumerate(train.classes):
                mine, theirs = fake[showing(arm.pool.labels, k)], real[showing(train.labels, k)]
                values = self._measure_class(name, theirs, mine)
                floor = self._class_floor(name, k, len(mine))
                notes = {v.note for v in values.values() if v.value is None}
                rows[label] = {
                    "n": len(mine), "n_real": len(theirs), "floor_n": next(iter(floor.values())).n,
                    **{name: short(value) for name, value in values.items()},
                    **{f"{name}_floor": short(value) for name, value in floor.items()},
                    "note": "; ".join(sorted(note for note in notes if note)) or None,
                }  # fmt: skip
            found[extractor.id] = rows
        return found

    def _measure(
        self, extractor: str, fake: Features, *, moving: bool = False
    ) -> list[tuple[Metric, dict[str, Value]]]:
        """Every metric of an extractor's features; with `moving` only what moves with n."""
        evidence = {
            "real": self.features(extractor, "train").features,
            "fake": fake.features,
            "logits": fake.logits,
            "seed": seed_from(self.seed, "fidelity", extractor),
        }
        asked = applicable(logits=fake.logits is not None)
        return [(m, _moving(m, m.measure(**evidence)) if moving else m.measure(**evidence))
                for m in asked if _moves(m) or not moving]  # fmt: skip

    def _measure_floor(self, extractor: str, n: int) -> dict[str, Value]:
        """The same distances for n real test images in the place of the synthetic ones."""
        return _flat(self._measure(extractor, self.features(extractor, "test").take(self.test_rows(n))))

    def test_rows(self, n: int) -> np.ndarray:
        """The real test images that stand in the place of n synthetic ones.

        Returns
        -------
        int (n,)
        """
        return np.random.default_rng(seed_from(self.seed, "floor", n)).permutation(len(self.images.test))[:n]

    def _drawn_rows(self, n: int, fewer: int) -> np.ndarray:
        """Which of n synthetic images stand beside a floor of `fewer`: int (fewer,), in their own order."""
        return np.sort(np.random.default_rng(seed_from(self.seed, "at the floor's n", n)).permutation(n)[:fewer])

    def _measure_pixels(self, images: Tensor, labels: Tensor, *, moving: bool = False) -> dict[str, Value]:
        evidence = {
            "real_images": self.images.train.images,
            "fake_images": images,
            "fake_labels": labels.numpy(),
            "classes": self.images.train.classes,
            "device": self.bench.device,
            "seed": seed_from(self.seed, "fidelity", "pixels"),
        }
        found: dict[str, Value] = {}
        for _, metric in metrics_on(PIXELS):
            if _moves(metric) or not moving:
                values = metric.measure(**evidence)
                found |= _moving(metric, values) if moving else values
        return found

    def _measure_pixel_floor(self, n: int) -> dict[str, Value]:
        test, rows = self.images.test, np.sort(self.test_rows(n))
        return self._measure_pixels(test.images[rows], test.labels[rows])

    def _measure_class(self, extractor: str, real: np.ndarray, fake: np.ndarray) -> dict[str, Value]:
        seed = seed_from(self.seed, "fidelity by class", extractor)
        found: dict[str, Value] = {}
        for metric in applicable(logits=False):
            if metric.by_class:
                found |= metric.measure(real=real, fake=fake, seed=seed)
        return found

    def _measure_class_floor(self, extractor: str, k: int, n: int) -> dict[str, Value]:
        test, train = self.images.test, self.images.train
        rows = showing(test.labels, k)
        rows = np.random.default_rng(seed_from(self.seed, "floor of a class", k)).permutation(rows)[:n]
        real = self.features(extractor, "train").features[showing(train.labels, k)]
        return self._measure_class(extractor, real, self.features(extractor, "test").features[rows])

    def _with_floor(self, value: Value, floor: Value | None, fewer: Value | None) -> Value:
        extra = {
            **value.extra,
            "reference": "train",
            "n_reference": len(self.images.train),
            "floor": None if floor is None else floor.value,
            "floor_split": "test",
            "floor_n": None if floor is None else floor.n,
        }
        if fewer is not None:
            extra["at_floor_n"] = fewer.value
        return replace(value, extra=extra)


def _flat(found: list[tuple[Metric, dict[str, Value]]]) -> dict[str, Value]:
    return {name: value for _, values in found for name, value in values.items()}


def _moves(metric: Metric) -> bool:
    return any(quantity.moves_with_n for quantity in metric.quantities)


def _moving(metric: Metric, values: dict[str, Value]) -> dict[str, Value]:
    """Those of its values that move with n."""
    return {name: value for name, value in values.items() if metric.quantity(value.metric).moves_with_n}


def applicable(*, logits: bool) -> list[Metric]:
    """The metrics that are asked of an extractor's features; those of logits only where it gives any."""
    return [metric for _, metric in metrics_on(FEATURES) if logits or "logits" not in metric.needs]


def short(value: Value) -> float | None:
    """The number to `DIGITS` figures."""
    return None if value.value is None else float(f"{value.value:.{DIGITS}g}")


def class_consistency(bench: Bench, arm: Arm, judge: Arm | None) -> dict[str, Value]:
    """Whether a classifier trained on real images alone sees in a synthetic image the label that was asked for.

    `class_consistency_auroc` ranks (macro AUROC of the judge's scores against the labels asked for);
    `class_consistency`, one class an image, is the balanced accuracy of its first choice, chance 1 / K: over the
    classes that were asked for, and the note names the others. Null with a note below `MIN_JUDGED` images.
    """
    if arm.pool is None:
        return {}
    if judge is None:
        reason = "needs the real-only arm as judge: have `none` among --controls"
        return {CONSISTENCY_AUROC.name: CONSISTENCY_AUROC.missing(reason, len(arm.pool))}
    return consistency_of(arm.pool, judge.spec.classifier, judge.scores[0].folder / "model", device=bench.device)


def consistency_of(pool: SyntheticSet, classifier: str, model: Path, *, device: str) -> dict[str, Value]:
    """`class_consistency` of drawn images, by the judge whose weights lie in a folder.

    Parameters
    ----------
    classifier : registered name of the judge's kind.
    model : folder of its weights.
    """
    from benchmarks.metrics.utility import argmax_accuracy, auroc
    from classifiers.registry import classifiers

    n = len(pool)
    if n < MIN_JUDGED:
        reason = f"needs {MIN_JUDGED} images; there are {n}"
        asked = (CONSISTENCY_AUROC, CONSISTENCY) if pool.labels.ndim == 1 else (CONSISTENCY_AUROC,)
        return {q.name: q.missing(reason, n) for q in asked}
    scores = classifiers.get(classifier).load(model, device=device).predict(pool.images)
    truth = pool.labels.numpy()
    ranked = auroc(truth=truth, scores=scores, classes=pool.classes)["auroc"]
    found = {CONSISTENCY_AUROC: ranked}
    if truth.ndim == 1:
        first = argmax_accuracy(truth, scores, pool.classes)
        found[CONSISTENCY] = replace(first, extra={"chance": 1 / len(pool.classes)})
    return {q.name: replace(value, name=q.name, metric=q.name) for q, value in found.items()}
