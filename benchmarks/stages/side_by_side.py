"""Classifiers trained side by side on one device: as many as its memory holds, a step each in turn."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.classifier import fit_alone, train_classifier
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.generator import draw_pool
from classifiers.registry import classifiers
from synthworth.errors import Diverged
from synthworth.progress import Progress
from synthworth.training.loop import PhaseReport, run_together
from synthworth.work import FitReport

MOST = 8
"""Trainings that take turns."""
MARGIN = 1.25
"""How much more than the largest training of a group took must be free before another joins it."""

Wanted = tuple[RunSpec, int]
"""An arm, and the number of a classifier seed."""


def can_take_turns(spec: RunSpec) -> bool:
    """Whether the arm's classifier can be started and stepped by somebody else (its optional `start` and `end`)."""
    cls = classifiers.get(spec.classifier)
    return hasattr(cls, "start") and hasattr(cls, "end")


def train_side_by_side(experiment: Experiment, trainings: Sequence[Wanted]) -> dict[int, str]:
    """Train classifiers in groups that share the device, and keep their predictions.

    What a training computes does not depend on its group: its bits are the same alone.

    Returns
    -------
    dict
        Message of each training that diverged, by its place in `trainings`.
    """
    diverged: dict[int, str] = {}
    todo = list(range(len(trainings)))
    with Progress("classifiers", len(todo)) as bar:
        while todo:
            group = Group(experiment, {place: trainings[place] for place in todo[:MOST]})
            group.enter(0)
            todo = [place for place in todo if place not in group.done]
            diverged |= group.diverged
            bar.advance(len(group.done))
            del group
            gc.collect()  # a training and its phase hold each other, and both hold memory that the next group needs
    return diverged


class Group:
    """Trainings of which each is started inside the making of the one before, so that all are begun when they step.

    They are started in the order of their keys: two processes that want the same ones then never wait for each other.
    Arms may want the same training (two ratios, where balancing asks for the same few images): it is in a group once,
    or it would wait for itself.

    Attributes
    ----------
    done : places of those that were trained, or found; all of them unless the device's memory ends first, or one was
        wanted twice.
    diverged : message of each that diverged, by its place.
    """

    def __init__(self, experiment: Experiment, trainings: dict[int, Wanted]) -> None:
        self.experiment = experiment
        arms = {spec.run_id: Arm(spec, experiment.images) for spec, _ in trainings.values()}
        for arm in arms.values():
            arm.pool = draw_pool(experiment, arm)
        members: dict[str, tuple[Arm, int, int]] = {}
        for place, (spec, number) in trainings.items():
            arm = arms[spec.run_id]
            members.setdefault(arm.classify_keys[number], (arm, number, place))
        self.members = [members[key] for key in sorted(members)]
        self.done: set[int] = set()
        self.diverged: dict[int, str] = {}
        self._started: list[Any] = []
        self._ended: list[PhaseReport | Diverged] = []
        self._room = Room(experiment.bench.device)

    def enter(self, k: int) -> None:
        """Start member k and those after it; the last of them lets all step to their ends."""
        if k == len(self.members) or not self._room.is_left():
            self._step()
            return
        import torch

        arm, number, place = self.members[k]
        entered = False

        def fit(model: Any, *given: Any, **named: Any) -> FitReport:
            nonlocal entered
            if entered:  # another process took this one over and then lost it: it is made again, by itself
                return fit_alone(model, *given, **named)
            entered = True
            turn = len(self._started)
            try:
                with self._room:
                    training = model.start(*given, **named)
                    training.prepare()
            except torch.OutOfMemoryError as error:
                if not self._started:
                    raise
                raise NoRoom(str(error)) from error
            self._started.append(training)
            self.enter(k + 1)
            ended = self._ended[turn]
            if isinstance(ended, Diverged):
                raise ended
            report: FitReport = model.end(training, ended)
            return report

        self.done.add(place)
        try:
            train_classifier(self.experiment, arm, number, fit=fit)
        except Diverged as error:
            self.diverged[place] = str(error)
        except NoRoom:  # it was larger than the largest before it: it begins the next group
            self.done.discard(place)
        if place not in self.done:  # out of the handler, whose traceback holds all that did not fit
            gc.collect()
            self._step()
            return
        if not entered:
            self.enter(k + 1)

    def _step(self) -> None:
        """Let all that are started step to their ends."""
        if self._started:
            self._ended = run_together([training.phase for training in self._started], what="classifier")


class NoRoom(Exception):
    """A training does not fit beside those that are started."""


class Room:
    """Memory of a GPU, told by what the trainings so far took; elsewhere there is always room.

    Use as a context manager around the start of a training.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.largest = self._before = 0

    def _free(self) -> int:
        """Bytes that nobody holds. What a recorded step holds between its replays is not among them."""
        import torch

        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(free)

    def is_left(self) -> bool:
        """Whether one more training of the largest size fits."""
        return not self.largest or self._free() > MARGIN * self.largest

    def __enter__(self) -> None:
        if self.device.startswith("cuda"):
            self._before = self._free()

    def __exit__(self, *error: object) -> None:
        if self.device.startswith("cuda"):
            self.largest = max(self.largest, self._before - self._free(), 1)
