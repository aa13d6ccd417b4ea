"""The classifiers of all arms, and fits beside them: by worker processes on a CPU, in turns on a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.classifier import train_classifier
from benchmarks.stages.elsewhere import STAGE, lacks_elsewhere, predict_elsewhere
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.generator import draw_pool
from benchmarks.stages.scores import read_scores
from benchmarks.stages.side_by_side import can_take_turns, train_side_by_side
from synthworth.devices import repeatable
from synthworth.errors import Diverged
from synthworth.progress import track
from synthworth.workers import map_tasks


@dataclass(frozen=True)
class PoolTask:
    """Arms of one fit, to be fitted and drawn from, in the form that crosses to a worker process."""

    experiment: Experiment
    specs: tuple[RunSpec, ...]


@dataclass(frozen=True)
class TrainTask:
    """One classifier to train, likewise."""

    experiment: Experiment
    spec: RunSpec
    number: int


@dataclass(frozen=True)
class TaskAnswer:
    """Seconds that a task took by stage, what it made, and the message if a training diverged."""

    seconds: Mapping[str, float]
    made: Mapping[str, int]
    diverged: str | None = None


def train_arms(
    experiment: Experiment, arms: Sequence[Arm], *, beside: Sequence[Sequence[Arm]] = ()
) -> list[tuple[Arm, str]]:
    """Train every arm's classifiers that are not there yet, side by side, and read all predictions.

    Parameters
    ----------
    beside : those of the arms whose generators are fitted and drawn from meanwhile, each group from one fit; their
        pools are set at the end.

    Returns
    -------
    list of (Arm, str)
        The arms of which a training diverged, with its message; the others are complete.
    """
    began, bench = time.perf_counter(), experiment.bench
    noted = dict(bench.seconds), dict(bench.made)
    todo = [
        TrainTask(experiment, arm.spec, number)
        for arm in arms
        for number, key in enumerate(arm.classify_keys)
        if not bench.store.has("classify", key, deep=True) or lacks_elsewhere(experiment, arm, number)
    ]
    if takes_turns(experiment, arms):
        untrained = [task for task in todo if not _is_trained(task)]
        failed = train_side_by_side(experiment, [(task.spec, task.number) for task in untrained])
        bench.seconds, bench.made = noted  # what was made in this process noted itself, each for all that went on
        bench.note("classify", time.perf_counter() - began, len(untrained))
        diverged = {untrained[place].spec.run_id: message for place, message in failed.items()}
        diverged |= _predict_all(task for task in todo if task.spec.run_id not in diverged)
    else:
        diverged = _by_workers(experiment, todo, beside)
    for group in beside:
        for arm in group:
            if arm.spec.run_id not in diverged:
                arm.pool = draw_pool(experiment, arm)
    for arm in arms:
        if arm.spec.run_id not in diverged:
            arm.scores = [read_scores(bench.store.read("classify", key)) for key in arm.classify_keys]
    return [(arm, diverged[arm.spec.run_id]) for arm in arms if arm.spec.run_id in diverged]


def _by_workers(experiment: Experiment, todo: Sequence[TrainTask], beside: Sequence[Sequence[Arm]]) -> dict[str, str]:
    """Fits first, and what needs none of them meanwhile; the message of what diverged, by run id."""
    began, bench = time.perf_counter(), experiment.bench
    noted = dict(bench.seconds), dict(bench.made)
    drawn = [PoolTask(experiment, tuple(arm.spec for arm in group)) for group in beside]
    source = {spec.run_id: place for place, task in enumerate(drawn) for spec in task.specs}
    waiting = sorted(todo, key=lambda task: task.spec.run_id in source)
    tasks: list[PoolTask | TrainTask] = [*drawn, *waiting]
    after = {
        place: (source[task.spec.run_id],)
        for place, task in enumerate(waiting, start=len(drawn))
        if task.spec.run_id in source
    }
    answers = map_tasks(
        _perform, tasks, workers=bench.workers, what="fits and classifiers" if drawn else "classifiers", after=after,
        failed=lambda answer: answer.diverged is not None, first_shows=bool(drawn),
    )  # fmt: skip
    done = [answer for answer in answers if answer is not None]
    wall, busy = time.perf_counter() - began, sum(sum(answer.seconds.values()) for answer in done)
    passed = wall if drawn else min(wall, busy / min(bench.workers, max(len(todo), 1)))
    bench.seconds, bench.made = noted
    for stage in ("fit", "pool", "classify", STAGE):
        seconds = sum(answer.seconds.get(stage, 0.0) for answer in done)
        if seconds or stage == "classify":
            made = sum(answer.made.get(stage, 0) for answer in done)
            bench.note(stage, passed * seconds / busy if busy else 0.0, made)
    diverged: dict[str, str] = {}
    for task, answer in zip(tasks, answers, strict=True):
        if answer is not None and answer.diverged is not None:
            of = task.specs if isinstance(task, PoolTask) else (task.spec,)
            diverged |= {spec.run_id: answer.diverged for spec in of}
    return diverged


def takes_turns(experiment: Experiment, arms: Sequence[Arm]) -> bool:
    """Whether the classifiers share one device in this process: on a GPU, unless worker processes were asked for."""
    bench = experiment.bench
    return bench.device.startswith("cuda") and bench.workers == 1 and all(can_take_turns(arm.spec) for arm in arms)


def _perform(task: PoolTask | TrainTask) -> TaskAnswer:
    """Do a task in whatever process this is."""
    bench = task.experiment.bench
    before = dict(bench.seconds), dict(bench.made)
    began, diverged = time.perf_counter(), None
    try:
        if isinstance(task, PoolTask):
            with repeatable(device=bench.device):
                for spec in task.specs:
                    draw_pool(task.experiment, Arm(spec, task.experiment.images))
        else:
            trains = not _is_trained(task)
            _train(task)
    except Diverged as error:
        diverged = str(error)
    if isinstance(task, TrainTask):
        predicting = bench.seconds.get(STAGE, 0.0) - before[0].get(STAGE, 0.0)
        predicted = bench.made.get(STAGE, 0) - before[1].get(STAGE, 0)
        seconds = {"classify": time.perf_counter() - began - predicting, STAGE: predicting}
        return TaskAnswer(seconds, {"classify": int(trains), STAGE: predicted}, diverged)
    seconds, made = (
        {name: value - was.get(name, 0) for name, value in now.items()}
        for now, was in zip((bench.seconds, bench.made), before, strict=True)
    )
    return TaskAnswer(seconds, made, diverged)


def train_numbers(experiment: Experiment, spec: RunSpec, numbers: Sequence[int]) -> None:
    """Train some classifiers of one arm in this process, on a GPU side by side.

    Raises
    ------
    Diverged
        When one of them did.
    """
    if takes_turns(experiment, [experiment.arm(spec)]):
        failed = train_side_by_side(experiment, [(spec, number) for number in numbers])
        if failed:
            raise Diverged("; ".join(failed.values()))
        with repeatable(device=experiment.bench.device):
            for number in numbers:
                predict_elsewhere(experiment, experiment.arm(spec), number)
        return
    for number in numbers:
        _train(TrainTask(experiment, spec, number))


def _is_trained(task: TrainTask) -> bool:
    experiment = task.experiment
    key = experiment.arm(task.spec).classify_keys[task.number]
    return experiment.bench.store.has("classify", key, deep=True)


def _train(task: TrainTask) -> None:
    """Train one classifier, if it is not there, and predict with it on whatever else it is asked for."""
    experiment = task.experiment
    arm = experiment.arm(task.spec)
    if not _is_trained(task):
        if arm.pool is None:
            arm.pool = draw_pool(experiment, arm)
        train_classifier(experiment, arm, task.number)
    with repeatable(device=experiment.bench.device):
        predict_elsewhere(experiment, arm, task.number)


def _predict_all(tasks: Iterable[TrainTask]) -> dict[str, str]:
    """Predict elsewhere with classifiers that are trained, in this process; the message of what diverged, by run id."""
    diverged: dict[str, str] = {}
    for task in track(
        [task for task in tasks if task.spec.predicts_elsewhere], "predicting elsewhere", unit="classifiers"
    ):
        try:
            with repeatable(device=task.experiment.bench.device):
                predict_elsewhere(task.experiment, task.experiment.arm(task.spec), task.number)
        except Diverged as error:
            diverged[task.spec.run_id] = str(error)
    return diverged
