"""The classifier as a stage: one training on one mixture, and its predictions on val and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.request.remedies import changed_config
from benchmarks.request.spec import RunSpec
from benchmarks.stages.bench import Bench
from benchmarks.stages.images import Images
from classifiers.registry import classifiers
from data.mixing import Demand, SyntheticSet, TrainingMix, mix
from synthworth.artifacts import Made, ensure_folder, read_array, read_json, write_array, write_json
from synthworth.work import FitReport

# -- classifier ---------------------------------------------------------------------------------------------------


def describe_fit(report: FitReport) -> dict[str, Any]:
    """A `FitReport` as JSON."""
    return {
        "steps": report.steps,
        "images_seen": report.images_seen,
        "seconds": report.seconds,
        "stopped": report.stopped,
        "history": [dict(row) for row in report.history],
        "facts": dict(report.facts),
    }


@dataclass(frozen=True)
class Scores:
    """Predictions of one trained classifier: float32 (N, K) probabilities on val and test, and how it was trained."""

    val: np.ndarray
    test: np.ndarray
    report: dict[str, Any]
    folder: Path


def mixture(spec: RunSpec, images: Images, demanded: Demand, pool: SyntheticSet | None) -> TrainingMix:
    """What one arm trains on; the same for all its seeds."""
    train = images.train if spec.portion == 1 else images.portion(spec.portion)
    keep = demanded.keep_real if spec.portion == 1 else len(train)
    return mix(train, pool, keep_real=keep, seed=spec.mix_seed, pretraining=demanded.pretraining)


def train_classifier(
    bench: Bench,
    spec: RunSpec,
    images: Images,
    demanded: Demand,
    number: int,
    mixed: Callable[[], TrainingMix],
) -> Made:
    """Train one classifier and keep its predictions on val and test."""

    def make(out: Path, scratch: Path) -> None:
        identity = spec.classify_identity(demanded, number)
        model = classifiers.get(spec.classifier)(changed_config(spec.generator, bench.configs.get("clf")))
        work = bench.work(scratch, spec, budget=spec.classifier_budget)
        report = model.fit(mixed(), images.val, seed=identity["seed"], work=work)
        write_array(out / "val.npy", model.predict(images.val.images))
        write_array(out / "test.npy", model.predict(images.test.images))
        write_json(out / "fit.json", describe_fit(report))
        if identity["keep_model"]:
            model.save(ensure_folder(out / "model"))

    return bench.keep("classify", spec.classify_identity(demanded, number), make)


def read_scores(folder: Path) -> Scores:
    """Predictions kept by `train_classifier`."""
    return Scores(
        read_array(folder / "val.npy"),
        read_array(folder / "test.npy"),
        read_json(folder / "fit.json"),
        folder,
    )
