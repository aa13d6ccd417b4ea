"""The items of a sweep: which artifacts its requests lack, what comes before what, and how long each will take."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from benchmarks.job.beside import root_of
from benchmarks.job.briefs import Briefs
from benchmarks.job.estimate import Estimate, Sizes, Todo
from benchmarks.job.made_before import MadeBefore
from benchmarks.job.opened import Opened
from benchmarks.judging.extraction import Measures, feature_keys, measures_of
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.twin import training_key
from generators.registry import generators
from synthworth.keys import digest
from synthworth.progress import track
from synthworth.store import Store

TWIN_SECONDS = 1.0
"""To make a fit from one that differs in options of drawing alone."""
StageName = Literal["fit", "pool", "features", "classify", "evaluate"]
STAGES: tuple[StageName, ...] = ("fit", "pool", "features", "classify", "evaluate")


@dataclass(frozen=True)
class Item:
    """One thing to make, named by its key: what crosses to whoever makes it, with the request that it belongs to.

    Parameters
    ----------
    stage : fit (a generator is trained), pool (an arm's images are drawn), features (of them, or of the real images),
        classify (its classifiers are trained), evaluate (measures and records of a request).
    key : of the artifact, or of the arms that are judged together.
    request : the place of the request that it is made through.
    run_id : the arm that it is made for; empty in evaluate, and for features of the real images.
    name : what people call it.
    numbers : which classifiers of the arm.
    needs : ids of the items that must be done before.
    waits : ids of those that must be done or have failed.
    seconds : that it is expected to take; None where nobody knows.
    home : what is made on one machine where several share a sweep (`homes_of`); empty where `run_id` is.
    without : run ids of arms that a training of diverged for, in evaluate: the others are judged without them.
    """

    stage: StageName
    key: str
    request: int
    name: str
    run_id: str = ""
    numbers: tuple[int, ...] = ()
    needs: frozenset[str] = frozenset()
    waits: frozenset[str] = frozenset()
    seconds: float | None = None
    home: str = ""
    without: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Stage and key."""
        return f"{self.stage}-{self.key}"


@dataclass
class Work:
    """What a sweep comes to.

    Parameters
    ----------
    items : each after those that it needs or waits for.
    finished : run ids that have a record.
    users : run ids of the arms that each training of a generator serves, by its key (`training_key`).
    """

    items: list[Item] = field(default_factory=list)
    finished: frozenset[str] = frozenset()
    users: dict[str, set[str]] = field(default_factory=dict)


def work_of(requests: Sequence[Opened], *, records: Briefs) -> Work:
    """All items that the requests lack, each once.

    Requests whose arms all have records need nothing. Where one does not, what it will be judged beside must be stored
    too. An arm that several requests have is judged by the first of them.
    """
    every = dict.fromkeys(arm.spec.run_id for opened in requests for arm in opened.arms)
    done = {run_id for run_id in track(every, "sweep: looking at records") if records.is_complete(run_id)}
    records.keep()
    made = _Builder(finished=frozenset(done))
    for number, opened in enumerate(requests):
        if not {arm.spec.run_id for arm in opened.arms} <= done:
            made.add(number, opened)
    return Work(made.items, frozenset(done), made.users)


class _Builder:
    """Items in the order in which requests and arms come."""

    def __init__(self, *, finished: frozenset[str]) -> None:
        self.items: list[Item] = []
        self.finished = finished
        self.users: dict[str, set[str]] = {}
        self._made: dict[str, Item] = {}
        self._judged_by: dict[str, str] = {}
        self._pools: dict[str, str] = {}
        self._trained: dict[str, str] = {}
        self._measures: dict[tuple[Any, ...], Measures] = {}
        self._seconds = _Seconds()
        self._lacking: dict[str, list[str]] = {}
        self._homes: dict[str, str] = {}

    def add(self, number: int, opened: Opened) -> None:
        """The items of one request."""
        self._seconds.of(opened)
        for arm in opened.arms:
            if arm.spec.run_id not in self._lacking:
                self._lacking[arm.spec.run_id] = self._of_arm(number, opened, arm)
        of_arm = {arm.spec.run_id: self._lacking[arm.spec.run_id] for arm in opened.arms}
        real = self._real_features(number, opened)
        generator = opened.request.options.generator
        controls = [arm for arm in opened.arms if arm.spec.generator != generator]
        needs = frozenset(item for arm in controls for item in of_arm[arm.spec.run_id])
        waits = frozenset(item for items in of_arm.values() for item in items) - needs
        judged_before = {
            self._judged_by[run_id] for run_id in of_arm if run_id in self._judged_by and run_id not in self.finished
        }
        key = digest(sorted(of_arm))
        item = Item(
            "evaluate", key, number, f"records of {len(of_arm)} arms of {generator}", needs=needs,
            waits=waits | judged_before | real, seconds=self._seconds.judging(),
        )  # fmt: skip
        self._put(item)
        for run_id in of_arm:
            self._judged_by.setdefault(run_id, item.id)

    def _put(self, item: Item) -> Item:
        if item.id not in self._made:
            self._made[item.id] = item
            self.items.append(item)
        return self._made[item.id]

    def _of_arm(self, number: int, opened: Opened, arm: Arm) -> list[str]:
        """Ids of what an arm lacks."""
        has, spec = self._seconds.has, arm.spec
        home = self._homes[spec.run_id] = home_of(arm)
        before, extracted = list[str](), list[str]()
        if arm.draws:
            before += self._fit(number, opened, arm)
            missing = any(not has("pool", key) for key in arm.shard_keys)
            if missing or spec.filters:
                waits = frozenset({self._pools[arm.fit_key]} if arm.fit_key in self._pools else ())
                pool = self._put(Item(
                    "pool", digest([arm.fit_key, spec.run_id, arm.shard_keys]), number, f"images of {spec.name}",
                    spec.run_id, needs=frozenset(before), waits=waits, seconds=self._seconds.draw(spec.run_id),
                    home=home or spec.run_id,
                ))  # fmt: skip
                self._pools[arm.fit_key] = pool.id
                before = [pool.id]
            extracted = self._features(number, opened, arm, before)
        lacking = [(k, key) for k, key in enumerate(arm.classify_keys) if not has("classify", key)]
        groups = [lacking] if opened.bench.device.startswith("cuda") else [[one] for one in lacking]
        trained = []
        for group in groups:
            if not group:
                continue
            key = digest(list(arm.classify_keys)) if opened.bench.device.startswith("cuda") else group[0][1]
            numbers = tuple(k for k, _ in group)
            trained.append(self._put(Item(
                "classify", key, number, f"classifier {_said(numbers)} of {spec.name}", spec.run_id, numbers,
                needs=frozenset(before), seconds=self._seconds.training(spec.run_id, len(group)),
                home=home or group[0][1],
            )).id)  # fmt: skip
        return [*before, *extracted, *trained]

    def _features(self, number: int, opened: Opened, arm: Arm, before: list[str]) -> list[str]:
        """Of an arm's synthetic images, where they are not stored."""
        keys = feature_keys(self._fidelity(opened), arm)
        if all(self._seconds.has("features", key) for key in keys):
            return []
        return [self._put(Item(
            "features", digest(keys), number, f"features of the images of {arm.spec.name}", arm.spec.run_id,
            needs=frozenset(before), seconds=self._seconds.features(arm.demanded.total),
            home=self._homes[arm.spec.run_id] or arm.spec.run_id,
        )).id]  # fmt: skip

    def _fidelity(self, opened: Opened) -> Measures:
        """What measures the arms of a request; one for all that have the same real images and extractors."""
        o, images = opened.request.options, opened.experiment.images
        known = id(images), tuple(o.extractors), o.extractor_precision, frozenset(s.learn_from for s in opened.specs)
        if known not in self._measures:
            self._measures[known] = measures_of(opened.bench, images, opened.arms, fetch=False)
        return self._measures[known]

    def _real_features(self, number: int, opened: Opened) -> frozenset[str]:
        """Of the real images, where an arm is compared with them and they are not stored."""
        if not any(arm.draws for arm in opened.arms):
            return frozenset()
        keys, images = feature_keys(self._fidelity(opened), None), opened.experiment.images
        if all(self._seconds.has("features", key) for key in keys):
            return frozenset()
        n = len(images.train) + len(images.val) + len(images.test)
        return frozenset({self._put(Item(
            "features", digest(keys), number, "features of the real images", seconds=self._seconds.features(n),
        )).id})  # fmt: skip

    def _fit(self, number: int, opened: Opened, arm: Arm) -> list[str]:
        """The fit that an arm's images are drawn from, where it is a training that is not stored."""
        trained = self._homes[arm.spec.run_id]
        if not trained:
            return []
        root = root_of(arm.spec)
        key = root.fit_key
        self.users.setdefault(trained, set()).add(arm.spec.run_id)
        if self._seconds.has("fit", key):
            return []
        first = self._trained.setdefault(trained, f"fit-{key}")
        twin = first != f"fit-{key}"
        item = Item(
            "fit", key, number, f"training of {root.name}", arm.spec.run_id,
            waits=frozenset({first} if twin else ()), seconds=TWIN_SECONDS if twin else self._seconds.fit(root),
            home=trained,
        )  # fmt: skip
        return [self._put(item).id]


def home_of(arm: Arm) -> str:
    """What an arm's images are drawn from, where that is trained: the key of the training; empty for any other arm."""
    root = trained_for(arm.spec) if arm.draws else None
    return "" if root is None else training_key(root)


def trained_for(spec: RunSpec) -> RunSpec | None:
    """The arm whose generator is trained so that this one's images can be drawn; None where none is."""
    root = root_of(spec)
    trains = root.fit is not None and getattr(generators.get(root.generator), "trains", True)
    return root if trains and not spec.is_real_only else None


def homes_of(requests: Sequence[Opened]) -> dict[str, int]:
    """Everything that a sweep makes, stored or not, in parts that are made on one machine; optimiser steps of each.

    A training of a generator with all that is made of its images is one part, and so is each other classifier. Nothing
    in it depends on what is there already or on how fast a machine is.
    """
    steps: dict[str, dict[str, int]] = {}
    for opened in requests:
        for arm in opened.arms:
            home, fit = home_of(arm), root_of(arm.spec).fit
            if home and fit is not None:
                steps.setdefault(home, {})["fit"] = fit.steps
            for key in arm.classify_keys:
                steps.setdefault(home or key, {})[key] = arm.spec.classifier_budget.steps
    return {home: sum(parts.values()) for home, parts in steps.items()}


def _said(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _look_once(store: Store) -> Callable[[str, str], bool]:
    """`store.has`, where what is no entry of a kind's folder is not looked for."""

    @cache
    def names(kind: str) -> frozenset[str]:
        root = store.path(kind, "")
        return frozenset(os.listdir(root)) if root.is_dir() else frozenset()

    return lambda kind, key: key in names(kind) and store.has(kind, key)


class _Seconds:
    """What the estimate says of the items of the request that was named last. Machine and store are looked at once."""

    def __init__(self) -> None:
        self.now: Any = None
        self.before: MadeBefore | None = None

    def of(self, opened: Opened) -> None:
        """Ask about this request from here on. The requests of a sweep have one store and one device."""
        if self.before is None:
            self.before, self.has = MadeBefore(opened.bench), cache(_look_once(opened.bench.store))
        sizes = Sizes.of(opened.dataset, opened.index)
        todo = Todo(draws=Todo.draws_of(opened.arms, self.has), judged=opened.specs)
        self.estimate = Estimate(opened.bench, opened.request, sizes, todo, opened.dataset, self.before)
        self.now = self.estimate.now = self.now or self.estimate.now
        self._draws = {spec.run_id: (spec, n) for spec, n in todo.draws}
        self._specs = {arm.spec.run_id: arm.spec for arm in opened.arms}

    def fit(self, spec: RunSpec) -> float | None:
        """Of a training."""
        return self.estimate.fit_of(spec)[0]

    def draw(self, run_id: str) -> float | None:
        """Of an arm's images that are not stored."""
        return self.estimate.draw_of(*self._draws[run_id])[0] if run_id in self._draws else 0.0

    def training(self, run_id: str, n: int) -> float | None:
        """Of some classifiers of an arm."""
        one = self.estimate.classify_of(self._specs[run_id], self.estimate.bench.workers)[0]
        return None if one is None else n * one

    def features(self, n: int) -> float | None:
        """Of n images in every extractor."""
        return self.estimate.features_of(n).seconds

    def judging(self) -> float | None:
        """Of measures and records."""
        return self.estimate.judge().seconds
