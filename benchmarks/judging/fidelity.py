"""Fidelity of an arm's synthetic images: distances to the real ones in every extractor, pixels, and class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.metrics.registry import EXTRACTORS, Value, fidelity_name, measure, metrics_on
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.features import Features, extract_features
from benchmarks.stages.images import Images
from data.images import showing
from synthworth.errors import Unavailable
from synthworth.keys import digest, seed_from
from synthworth.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

DIRECTIONS: Mapping[str, Literal["higher", "lower"]] = {
    "fd": "lower",
    "fd_infinity": "lower",
    "kd": "lower",
    "manifold_precision": "higher",
    "manifold_recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "inception_score": "higher",
}
"""The built-in fidelity numbers, for the nulls that stand for them where an extractor is missing."""
FEATURES = frozenset({"real", "fake", "logits"})
"""Evidence of the metrics that are asked once for each extractor."""
PIXELS = frozenset({"real_images", "fake_images"})
"""Evidence of the metrics that are asked once, of the images themselves."""
BY_CLASS = ("fd", "kd", "manifold_precision", "manifold_recall", "density", "coverage")
DIGITS = 6  # of the numbers by class, which are many


class Fidelity:
    """Distances of synthetic images to the real train split, each beside its real-real floor."""

    def __init__(self, bench: Bench, images: Images, spec: RunSpec) -> None:
        self.bench, self.images, self.seed = bench, images, spec.seed
        self.extractors: dict[str, Any] = {}
        self.unavailable: dict[str, str] = {}
        for name in spec.extractors:
            try:
                made = EXTRACTORS.get(name)(device=bench.device, precision=spec.extractor_precision)
            except Unavailable as reason:
                self.unavailable[name] = str(reason)
            else:
                self.extractors[name] = made
        self._floor, self._pixel_floor = cache(self._measure_floor), cache(self._measure_pixel_floor)
        self._class_floor = cache(self._measure_class_floor)

    def features(self, extractor: str, split: str) -> Features:
        """Features of a real split."""
        images = getattr(self.images, split)
        return extract_features(self.bench, self.extractors[extractor], images.fingerprint(), lambda: images.images)

    def drawn(self, extractor: str, arm: Arm) -> Features:
        """Features of an arm's synthetic images."""
        pool = arm.pool
        assert pool is not None
        key = digest(arm.spec.pool_identity(arm.demanded))
        return extract_features(self.bench, self.extractors[extractor], key, lambda: pool.images)

    def of(self, arm: Arm) -> dict[str, Value]:
        """Fidelity of one arm's synthetic images; empty for real images alone."""
        if arm.pool is None:
            return {}
        n = len(arm.pool)
        table: dict[str, Value] = {}
        with Progress(f"fidelity of {arm.spec.name}", len(self.extractors) + len(self.unavailable) + 1) as bar:
            for name, extractor in self.extractors.items():
                fake = self.drawn(name, arm)
                floor = self._floor(name, min(n, len(self.images.test)))
                for metric, value in self._measure(name, fake).items():
                    label = fidelity_name(metric, extractor=extractor.id, n=n)
                    table[label] = self._with_floor(value, floor.get(metric), extractor=extractor.id)
                bar.advance()
            for name, reason in self.unavailable.items():
                for metric, direction in DIRECTIONS.items():
                    if name == "inception" or metric != "inception_score":
                        label = fidelity_name(metric, extractor=f"{name}@", n=n)
                        table[label] = Value.missing(metric, reason, n=n, direction=direction)
                bar.advance()
            floor = self._pixel_floor(min(n, len(self.images.test)))
            for metric, value in self._measure_pixels(arm.pool.images, arm.pool.labels).items():
                table[metric] = self._with_floor(value, floor.get(metric))
            bar.advance()
        return table

    def by_class(self, arm: Arm) -> dict[str, dict[str, dict[str, Any]]]:
        """`BY_CLASS` of each class (or finding) alone: extractor id -> class -> numbers, each beside its floor.

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
                    **{metric: short(values[metric]) for metric in BY_CLASS},
                    **{f"{metric}_floor": short(floor[metric]) for metric in BY_CLASS},
                    "note": "; ".join(sorted(note for note in notes if note)) or None,
                }  # fmt: skip
            found[extractor.id] = rows
        return found

    def _measure(self, extractor: str, fake: Features) -> dict[str, Value]:
        evidence = {
            "real": self.features(extractor, "train").features,
            "fake": fake.features,
            "logits": fake.logits,
            "seed": seed_from(self.seed, "fidelity", extractor),
        }
        found: dict[str, Value] = {}
        for name, metric in metrics_on(FEATURES):
            try:
                found |= measure(metric, **evidence)
            except Unavailable as reason:
                if extractor == "inception" or name != "inception_score":
                    direction = DIRECTIONS.get(name, "higher")
                    found[name] = Value.missing(name, reason, n=len(fake.features), direction=direction)
        return found

    def _measure_floor(self, extractor: str, n: int) -> dict[str, Value]:
        """The same distances for n real test images in the place of the synthetic ones."""
        test, rows = self.features(extractor, "test"), self.test_rows(n)
        logits = None if test.logits is None else test.logits[rows]
        return self._measure(extractor, Features(test.features[rows], logits, test.extractor))

    def test_rows(self, n: int) -> np.ndarray:
        """The n real test images that stand in the place of synthetic ones: int (n,)."""
        return np.random.default_rng(seed_from(self.seed, "floor", n)).permutation(len(self.images.test))[:n]

    def _measure_pixels(self, images: Tensor, labels: Tensor) -> dict[str, Value]:
        evidence = {
            "real_images": self.images.train.images,
            "fake_images": images,
            "fake_labels": labels.numpy(),
            "classes": self.images.train.classes,
            "device": self.bench.device,
            "seed": seed_from(self.seed, "fidelity", "pixels"),
        }
        found: dict[str, Value] = {}
        for name, metric in metrics_on(PIXELS):
            try:
                found |= measure(metric, **evidence)
            except Unavailable as reason:
                found[name] = Value.missing(name, reason, n=len(images), direction="higher")
        return found

    def _measure_pixel_floor(self, n: int) -> dict[str, Value]:
        test, rows = self.images.test, np.sort(self.test_rows(n))
        return self._measure_pixels(test.images[rows], test.labels[rows])

    def _measure_class(self, extractor: str, real: np.ndarray, fake: np.ndarray) -> dict[str, Value]:
        from benchmarks.metrics.frechet import measure_frechet
        from benchmarks.metrics.kernel import measure_kernel
        from benchmarks.metrics.manifold import measure_prdc

        seed = seed_from(self.seed, "fidelity by class", extractor)
        return (
            measure_frechet(real=real, fake=fake)
            | measure_kernel(real=real, fake=fake, seed=seed)
            | measure_prdc(real=real, fake=fake)
        )

    def _measure_class_floor(self, extractor: str, k: int, n: int) -> dict[str, Value]:
        test, train = self.images.test, self.images.train
        rows = showing(test.labels, k)
        rows = np.random.default_rng(seed_from(self.seed, "floor of a class", k)).permutation(rows)[:n]
        real = self.features(extractor, "train").features[showing(train.labels, k)]
        return self._measure_class(extractor, real, self.features(extractor, "test").features[rows])

    def _with_floor(self, value: Value, floor: Value | None, *, extractor: str | None = None) -> Value:
        extra = {
            **value.extra,
            **({} if extractor is None else {"extractor": extractor}),
            "reference": "train",
            "n_reference": len(self.images.train),
            "floor": None if floor is None else floor.value,
            "floor_split": "test",
            "floor_n": None if floor is None else floor.n,
        }
        return replace(value, extra=extra)


def short(value: Value) -> float | None:
    """The number to `DIGITS` figures."""
    return None if value.value is None else float(f"{value.value:.{DIGITS}g}")


def class_consistency(bench: Bench, arm: Arm, judge: Arm | None) -> dict[str, Value]:
    """Whether a classifier trained on real images alone sees in a synthetic image the label that was asked for.

    `class_consistency_auroc` ranks (macro AUROC of the judge's scores against the labels asked for);
    `class_consistency`, one class an image, is the balanced accuracy of its first choice, chance 1 / K.
    """
    from sklearn.metrics import balanced_accuracy_score

    from benchmarks.metrics.utility import auroc
    from classifiers.registry import classifiers

    if arm.pool is None:
        return {}
    n = len(arm.pool)
    if judge is None:
        reason = "needs the real-only arm as judge: have `none` among --controls"
        return {"class_consistency_auroc": Value.missing("class_consistency_auroc", reason, n=n, direction="higher")}
    folder = judge.scores[0].folder / "model"
    scores = classifiers.get(judge.spec.classifier).load(folder, device=bench.device).predict(arm.pool.images)
    truth = arm.pool.labels.numpy()
    ranked = auroc(truth=truth, scores=scores, classes=arm.pool.classes)["auroc"]
    found = {"class_consistency_auroc": replace(ranked, name="class_consistency_auroc")}
    if truth.ndim == 1:
        first = float(balanced_accuracy_score(truth, scores.argmax(axis=1)))
        chance = {"chance": 1 / len(arm.pool.classes)}
        found["class_consistency"] = Value("class_consistency", first, n, "higher", extra=chance)
    return found
