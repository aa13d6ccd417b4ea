"""One arm carried through its stages, and the facts about it that its record is made of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.classifier import mixture, read_scores, train_classifier
from benchmarks.stages.generator import draw_pool
from benchmarks.stages.images import Images
from synthworth.errors import Diverged
from synthworth.keys import digest
from synthworth.workers import map_tasks

if TYPE_CHECKING:
    from data.mixing import TrainingMix


@dataclass(frozen=True)
class TrainTask:
    """One classifier to train, in the form that crosses to a worker process."""

    bench: Bench
    spec: RunSpec
    folder: Path
    data_config: Any
    number: int


def draw_arms(bench: Bench, arms: Sequence[Arm], images: Images) -> None:
    """Fit generators and draw what every arm needs."""
    for arm in arms:
        arm.pool = draw_pool(bench, arm.spec, images, arm.demanded)


def train_arms(bench: Bench, arms: Sequence[Arm], images: Images) -> list[tuple[Arm, str]]:
    """Train every arm's classifiers that are not there yet, side by side, and read all predictions.

    Returns the arms of which a training diverged, with its message; the others are complete.
    """
    began = time.perf_counter()
    todo = []
    for arm in arms:
        arm.counts = mixture(arm.spec, images, arm.demanded, arm.pool).counts
        todo += [
            TrainTask(bench, arm.spec, images.folder, images.dataset.config, number)
            for number in range(arm.spec.seeds)
            if not bench.store.has("classify", digest(arm.spec.classify_identity(arm.demanded, number)))
        ]
    answers = map_tasks(_train, todo, workers=bench.workers, what="classifiers")
    wall = time.perf_counter() - began
    seconds = sum(answer.seconds for answer in answers)
    bench.note("classify", min(wall, seconds / min(bench.workers, max(len(todo), 1))), len(todo))
    diverged = {t.spec.run_id: a.diverged for t, a in zip(todo, answers, strict=True) if a.diverged}
    for arm in arms:
        if arm.spec.run_id in diverged:
            continue
        folders = [
            bench.store.path("classify", digest(arm.spec.classify_identity(arm.demanded, number)))
            for number in range(arm.spec.seeds)
        ]
        arm.scores = [read_scores(folder) for folder in folders]
    return [(arm, diverged[arm.spec.run_id]) for arm in arms if arm.spec.run_id in diverged]


@dataclass(frozen=True)
class TrainAnswer:
    """Seconds a training took, and the message if it diverged."""

    seconds: float
    diverged: str | None = None


def _train(task: TrainTask) -> TrainAnswer:
    """Train one classifier in whatever process this is."""
    from data.registry import datasets

    bench = replace(task.bench, seconds={}, made={})
    images = Images(task.folder, datasets.get(task.spec.dataset)(task.data_config), task.spec)
    demanded = images.demand(task.spec)

    def mixed() -> TrainingMix:
        return mixture(task.spec, images, demanded, draw_pool(bench, task.spec, images, demanded))

    began = time.perf_counter()
    try:
        train_classifier(bench, task.spec, images, demanded, task.number, mixed)
    except Diverged as error:
        return TrainAnswer(time.perf_counter() - began, str(error))
    return TrainAnswer(time.perf_counter() - began)
