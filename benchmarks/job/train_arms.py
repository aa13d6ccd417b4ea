"""The classifiers of all arms: on a CPU side by side in worker processes, on a GPU side by side in this one."""

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
from benchmarks.stages.side_by_side import can_take_turns, train_side_by_side
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
    if takes_turns(experiment, arms):
        failed = train_side_by_side(experiment, [(task.spec, task.number) for task in todo])
        bench.note("classify", time.perf_counter() - began, len(todo))
    else:
        answers = map_tasks(_train, todo, workers=bench.workers, what="classifiers")
        wall, seconds = time.perf_counter() - began, sum(answer.seconds for answer in answers)
        bench.note("classify", min(wall, seconds / min(bench.workers, max(len(todo), 1))), len(todo))
        failed = {place: answer.diverged for place, answer in enumerate(answers) if answer.diverged}
    diverged = {todo[place].spec.run_id: message for place, message in failed.items()}
    for arm in arms:
        if arm.spec.run_id not in diverged:
            arm.scores = [read_scores(bench.store.read("classify", key)) for key in arm.classify_keys]
    return [(arm, diverged[arm.spec.run_id]) for arm in arms if arm.spec.run_id in diverged]


def takes_turns(experiment: Experiment, arms: Sequence[Arm]) -> bool:
    """Whether the classifiers share one device in this process: on a GPU, unless worker processes were asked for."""
    bench = experiment.bench
    return bench.device.startswith("cuda") and bench.workers == 1 and all(can_take_turns(arm.spec) for arm in arms)


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
