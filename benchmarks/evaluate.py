"""Every metric of an arm: utility from its predictions, fidelity from features of its images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.arms import Arm
from benchmarks.metrics.registry import EXTRACTORS, METRICS, Value, fidelity_name, measure
from benchmarks.spec import RunSpec
from benchmarks.stages import Bench, Features, Images, extract_features
from synthworth.errors import Unavailable
from synthworth.keys import digest, seed_from
from synthworth.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.statistics.bootstrap import Replicates

DIRECTIONS: Mapping[str, Literal["higher", "lower"]] = {
    "fd": "lower",
    "kd": "lower",
    "manifold_precision": "higher",
    "manifold_recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "inception_score": "higher",
}
"""The built-in fidelity numbers, for the nulls that stand for them where an extractor is missing."""
FIDELITY_EVIDENCE = frozenset({"real", "fake", "logits"})


def metrics_on(
    evidence: frozenset[str] | set[str],
) -> Iterator[tuple[str, Callable[..., Mapping[str, Value]]]]:
    """The registered metrics whose first needed piece of evidence is among `evidence`."""
    for name in METRICS.names():
        metric = METRICS.get(name)
        needed = [p.name for p in inspect.signature(metric).parameters.values() if p.default is p.empty]
        if needed and needed[0] in evidence:
            yield name, metric


def utility(arm: Arm, images: Images, replicates: Replicates) -> dict[str, Value]:
    """Utility metrics on test: mean over classifier seeds, each seed's value in `extra`.

    Intervals are 95 %: of AUROC (macro and each class) over seeds and patients, from the bootstrap; of the other
    metrics over the seeds alone (Student's t), which `extra` says.
    """
    by_seed = []
    for scores in arm.scores:
        evidence = {
            "truth": images.test.labels.numpy(),
            "scores": scores.test,
            "val_truth": images.val.labels.numpy(),
            "val_scores": scores.val,
            "classes": images.test.classes,
        }
        found: dict[str, Value] = {}
        for _, metric in metrics_on({"truth", "scores"}):
            found |= measure(metric, **evidence)
        by_seed.append(found)
    table = {name: mean_over_seeds([seed[name] for seed in by_seed]) for name in by_seed[0]}
    table["auroc"] = with_interval(table["auroc"], replicates)
    for name in replicates.classes:
        label = f"auroc[{name}]"
        table[label] = with_interval(table[label], replicates.of_class(name))
    return table


def with_interval(value: Value, replicates: Replicates) -> Value:
    """The AUROC with the interval over seeds and patients in the place of the one over seeds alone."""
    from benchmarks.statistics.compare import arm_interval

    found = arm_interval(replicates)
    extra = {**value.extra, "interval": "seeds and patients", "n_patients": replicates.n_groups}
    return replace(value, low=found.low, high=found.high, extra=extra)


def mean_over_seeds(values: Sequence[Value]) -> Value:
    """Mean of one metric over seeds with its 95 % t interval, cut at 0 and 1; null when any seed has none."""
    from scipy import stats

    missing = [v for v in values if v.value is None]
    if missing:
        return missing[0]
    numbers = np.array([v.value for v in values], dtype=np.float64)
    low = high = None
    if len(numbers) > 1:
        half = float(stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
        low, high = max(float(numbers.mean() - half), 0.0), min(float(numbers.mean() + half), 1.0)
    extra = {"per_seed": [float(x) for x in numbers], "interval": "t over seeds"}
    if "prevalence" in values[0].extra:
        extra["prevalence"] = values[0].extra["prevalence"]
    return replace(values[0], value=float(numbers.mean()), low=low, high=high, extra=extra)


class Fidelity:
    """Distances of synthetic images to the real train split, in every extractor, each beside its real-real floor."""

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
        self._floor = cache(self._measure_floor)

    def _features(self, extractor: str, split: str) -> Features:
        images = getattr(self.images, split)
        return extract_features(self.bench, self.extractors[extractor], images.fingerprint(), lambda: images.images)

    def _evidence(self, extractor: str, fake: Features) -> dict[str, Any]:
        return {
            "real": self._features(extractor, "train").features,
            "fake": fake.features,
            "logits": fake.logits,
            "seed": seed_from(self.seed, "fidelity", extractor),
        }

    def _measure_floor(self, extractor: str, n: int) -> dict[str, Value]:
        """The same distances for n real test images in the place of the synthetic ones."""
        test = self._features(extractor, "test")
        rows = np.random.default_rng(seed_from(self.seed, "floor", n)).permutation(len(test.features))[:n]
        logits = None if test.logits is None else test.logits[rows]
        return self._measure(extractor, Features(test.features[rows], logits, test.extractor))

    def _measure(self, extractor: str, fake: Features) -> dict[str, Value]:
        evidence, found = self._evidence(extractor, fake), {}
        for name, metric in metrics_on(FIDELITY_EVIDENCE):
            try:
                found |= measure(metric, **evidence)
            except Unavailable as reason:
                if extractor == "inception" or name != "inception_score":
                    direction = DIRECTIONS.get(name, "higher")
                    found[name] = Value.missing(name, reason, n=len(fake.features), direction=direction)
        return found

    def of(self, arm: Arm) -> dict[str, Value]:
        """Fidelity of one arm's synthetic images; empty for real images alone."""
        if arm.pool is None:
            return {}
        pool, n = arm.pool, len(arm.pool)
        key = digest(arm.spec.pool_identity(arm.demanded))
        table: dict[str, Value] = {}
        with Progress(f"fidelity of {arm.spec.name}", len(self.extractors) + len(self.unavailable)) as bar:
            for name, extractor in self.extractors.items():
                fake = extract_features(self.bench, extractor, key, lambda: pool.images)
                floor = self._floor(name, min(n, len(self.images.test)))
                for metric, value in self._measure(name, fake).items():
                    table[fidelity_name(metric, extractor=extractor.id, n=n)] = self._with_floor(
                        value, floor.get(metric), extractor.id
                    )
                bar.advance()
            for name, reason in self.unavailable.items():
                for metric, direction in DIRECTIONS.items():
                    if name == "inception" or metric != "inception_score":
                        label = fidelity_name(metric, extractor=f"{name}@", n=n)
                        table[label] = Value.missing(metric, reason, n=n, direction=direction)
                bar.advance()
        return table

    def _with_floor(self, value: Value, floor: Value | None, extractor: str) -> Value:
        extra = {
            **value.extra,
            "extractor": extractor,
            "reference": "train",
            "n_reference": len(self.images.train),
            "floor": None if floor is None else floor.value,
            "floor_split": "test",
            "floor_n": None if floor is None else floor.n,
        }
        return replace(value, extra=extra)


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
