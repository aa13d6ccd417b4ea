"""The classifiers of all arms, trained side by side in worker processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.classifier import train_classifier
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.generator import draw_pool
from benchmarks.stages.scores import read_scores
from synthworth.errors import Diverged
from synthworth.workers import map_tasks


@dataclass(frozen=True)
class TrainTask:
    """One classifier to train, in the form that crosses to a worker process."""

    experiment: Experiment
    spec: RunSpec
    number: int


@dataclass(frozen=True)
class TrainAnswer:
    """Seconds a training took, and the message if it diverged."""

    seconds: float
    diverged: str | None = None


def train_arms(experiment: Experiment, arms: Sequence[Arm]) -> list[tuple[Arm, str]]:
    """Train every arm's classifiers that are not there yet, side by side, and read all predictions.

    Returns
    -------
    list of (Arm, str)
        The arms of which a training diverged, with its message; the others are complete.
    """
    began, bench = time.perf_counter(), experiment.bench
    todo = [
        TrainTask(experiment, arm.spec, number)
        for arm in arms
        for number, key in enumerate(arm.classify_keys)
        if not bench.store.has("classify", key, deep=True)
    ]
    answers = map_tasks(_train, todo, workers=bench.workers, what="classifiers")
    wall = time.perf_counter() - began
    seconds = sum(answer.seconds for answer in answers)
    bench.note("classify", min(wall, seconds / min(bench.workers, max(len(todo), 1))), len(todo))
    diverged = {t.spec.run_id: a.diverged for t, a in zip(todo, answers, strict=True) if a.diverged}
    for arm in arms:
        if arm.spec.run_id not in diverged:
            arm.scores = [read_scores(bench.store.read("classify", key)) for key in arm.classify_keys]
    return [(arm, diverged[arm.spec.run_id]) for arm in arms if arm.spec.run_id in diverged]


def _train(task: TrainTask) -> TrainAnswer:
    """Train one classifier in whatever process this is."""
    began, experiment = time.perf_counter(), task.experiment
    arm = experiment.arm(task.spec)
    if arm.pool is None:
        arm.pool = draw_pool(experiment, arm)
    try:
        train_classifier(experiment, arm, task.number)
    except Diverged as error:
        return TrainAnswer(time.perf_counter() - began, str(error))
    return TrainAnswer(time.perf_counter() - began)
