"""How long a request will take, stage by stage, before anything is made: from FLOPs, the device, and what was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks.job.beside import goes_beside, key_of
from benchmarks.job.made_before import MadeBefore
from benchmarks.job.speeds import (
    COMPILING,
    EXTRACTED,
    LOAD_SECONDS,
    PREPARED,
    SHARD_SECONDS,
    START_SECONDS,
    judged,
    said_of,
    training_seconds,
    use_seconds,
)  # fmt: skip
from benchmarks.report.plan import Expected
from benchmarks.request.options import Request
from benchmarks.request.spec import RunSpec, n_shards
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from classifiers.registry import classifiers
from generators.registry import generators
from synthworth.cost import Operations, ask_operations
from synthworth.keys import digest
from synthworth.threads import n_cores, share_of_cores, threads_for
from synthworth.training.compiling import PAYS_STEPS_OF_MANY
from synthworth.training.compiling import decide as decide_compile

UNCOUNTED = "not known before the images are counted"


@dataclass(frozen=True)
class Sizes:
    """The images of a dataset: their number by split, and their shape. None for what is known once they are decoded."""

    n: dict[str, int] | None
    channels: int | None
    size: int | None
    n_classes: int
    multilabel: bool

    @classmethod
    def of(cls, dataset: Any, index: dict[str, Any] | None) -> Sizes:
        """From the index of a prepared folder, else as far as the options foretell."""
        if index is not None:
            n = {split: int(said["n"]) for split, said in index["splits"].items()}
            return cls(n, index["channels"], index["size"], len(index["classes"]), bool(index["multilabel"]))
        channels, size = getattr(dataset, "foretold", lambda: (None, None))()
        counts = {split: getattr(dataset.config, f"n_{split}", None) for split in ("train", "val", "test")}
        n = {split: count for split, count in counts.items() if count is not None}
        classes = getattr(dataset, "classes", ("", ""))
        return cls(
            n if len(n) == 3 else None, channels, size, len(classes), bool(getattr(dataset, "multilabel", False))
        )


@dataclass
class Todo:
    """What of a request is to be made."""

    films: bool = False
    fits: list[RunSpec] = field(default_factory=list)
    draws: list[tuple[RunSpec, int]] = field(default_factory=list)
    """Of an arm, and how many images."""
    trainings: list[RunSpec] = field(default_factory=list)
    """One for each classifier."""
    judged: list[RunSpec] = field(default_factory=list)

    @classmethod
    def of_arms(cls, bench: Bench, arms: Sequence[Arm], *, finished: frozenset[str]) -> Todo:
        """Of a prepared dataset: what is not in the store. `finished`: run ids with a record."""
        todo, seen = cls(), set[str]()

        def lacks(kind: str, key: str) -> bool:
            fresh = key not in seen and not bench.store.has(kind, key)
            seen.add(key)
            return fresh

        wanted = [arm for arm in arms if arm.spec.run_id not in finished]
        for arm in wanted:
            todo.judged.append(arm.spec)
            todo.trainings += [arm.spec for key in arm.classify_keys if lacks("classify", key)]
            if arm.draws:
                todo.fits += [arm.spec] if lacks("fit", arm.fit_key) else []
        todo.draws = cls.draws_of(wanted, bench.store.has)
        return todo

    @staticmethod
    def draws_of(arms: Iterable[Arm], has: Callable[[str, str], bool]) -> list[tuple[RunSpec, int]]:
        """Arms of which images are to be drawn, and how many; of shards that several have, the first draws them.

        Parameters
        ----------
        has : whether a kind's key is stored.
        """
        found, seen = list[tuple[RunSpec, int]](), set[str]()
        for arm in arms:
            if not arm.draws:
                continue
            missing = [key for key in arm.shard_keys if key not in seen and not has("pool", key)]
            seen.update(arm.shard_keys)
            found += [(arm.spec, len(set(missing)) * arm.spec.shard)] if missing else []
        return found

    @classmethod
    def of_specs(cls, specs: Iterable[RunSpec], sizes: Sizes) -> Todo:
        """Of a dataset that is not prepared: everything; images are drawn for all classes alike."""
        todo, seen = cls(films=True), set[str]()
        for spec in specs:
            todo.judged.append(spec)
            todo.trainings += [spec] * spec.seeds
            if spec.is_real_only:
                continue
            if (key := digest(spec.fit_identity())) not in seen:
                todo.fits.append(spec)
                seen.add(key)
            if sizes.n is not None:
                streams = 1 if sizes.multilabel else sizes.n_classes
                each = n_shards(round(spec.ratio * sizes.n["train"] * spec.real_fraction / streams), spec.shard)
                todo.draws.append((spec, streams * each * spec.shard))
        return todo


Part = tuple[float | None, str]
"""Seconds, or None, and where they are from (or why they are not known)."""


class Estimate:
    """Seconds of each stage of what is to be made."""

    def __init__(
        self, bench: Bench, request: Request, sizes: Sizes, todo: Todo, dataset: Any, before: MadeBefore | None = None
    ) -> None:
        self.bench, self.request, self.sizes, self.todo, self.dataset = bench, request, sizes, todo, dataset
        self.before = before or MadeBefore(bench)
        self.classifier = cache(self._classifier)
        self.operations, self.now = cache(self._operations), cache(self._now)

    def lines(self) -> list[Expected]:
        """One a stage, in the order in which they are made."""
        return [self._prepare(), *self._work(), self.features(), self.judge()]

    # -- stages -----------------------------------------------------------------------------------------------------

    def _prepare(self) -> Expected:
        if not self.todo.films:
            return Expected("data", 0.0, "is there")
        name, n = self.request.options.dataset, self.sizes.n and sum(self.sizes.n.values())
        if n and (rate := self.before.prepare(name, self.dataset.config)):
            return Expected("data", rate(n), "as made before")
        if n and self.sizes.size and name in PREPARED:
            return Expected("data", n * (PREPARED[name](self.sizes.size)), "measured case")
        return Expected("data", None, f"not known: dataset {name} was not prepared here before")

    def _work(self) -> list[Expected]:
        """Fits, drawing and classifiers. What workers do at the same time has its share of the time that passes."""
        alone = [self._fit(), self._draw(), self._classify()]
        beside = {key_of(spec) for spec in self.todo.fits if self._is_beside(spec)}
        if not beside or any(line.seconds is None for line in alone):
            return alone
        fits = [(key_of(spec), self.fit_of(spec)[0] or 0.0) for spec in self.todo.fits]
        draws = [(key_of(spec), self.draw_of(spec, n)[0] or 0.0) for spec, n in self.todo.draws]
        chains = {key: sum(seconds for its, seconds in (*fits, *draws) if its == key) for key in beside}
        workers = self.bench.workers
        each = {spec.run_id: self.classify_of(spec, workers)[0] or 0.0 for spec in self.todo.trainings}
        after = sum(each[spec.run_id] for spec in self.todo.trainings if key_of(spec) in beside)
        busy = sum(chains.values()) + sum(each[spec.run_id] for spec in self.todo.trainings)
        passed = max(busy / workers, max(chains.values()) + after / workers)

        def line(of: Expected, parts: Sequence[tuple[str, float]]) -> Expected:
            by_workers = sum(seconds for key, seconds in parts if key in beside)
            rest = sum(seconds for key, seconds in parts if key not in beside)
            return Expected(of.stage, rest + passed * by_workers / busy, of.source)

        classify = START_SECONDS + passed * (busy - sum(chains.values())) / busy
        return [line(alone[0], fits), line(alone[1], draws), Expected("classify", classify, alone[2].source)]

    def _is_beside(self, spec: RunSpec) -> bool:
        """Whether a worker fits this generator while others train classifiers (`benchmarks.job.beside`)."""
        if spec.filters or spec.fit is None:
            return False
        known = self.operations(spec.generator, spec.fit.steps)
        threads = None if isinstance(known, str) else threads_for(known.of_a_step(), at_most=n_cores())
        return goes_beside(self.bench, threads)

    def _fit(self) -> Expected:
        return _total("fit", [self.fit_of(spec) for spec in self.todo.fits])

    def fit_of(self, spec: RunSpec) -> Part:
        """Of one training of a generator, in this process."""
        if not getattr(generators.get(spec.generator), "trains", True) or spec.fit is None:
            return SHARD_SECONDS, "measured case"
        if rate := self.before.fit(spec):
            return rate(spec.fit.steps), "as made before"
        known = self.operations(spec.generator, spec.fit.steps)
        if isinstance(known, str):
            return None, known
        threads = threads_for(known.of_a_step(), at_most=n_cores())
        seconds, source = self._training(known, spec.fit_precision, workers=1, threads=threads)
        asked = self.bench.fitting.compile
        if seconds is not None and decide_compile(asked, device=self.bench.device, budget=spec.fit):
            seconds += max((COMPILING.get(phase.kind, 0.0) for phase in known.phases), default=0.0)
        limit = spec.fit.seconds
        return seconds if seconds is None or limit is None else min(seconds, limit), source

    def _draw(self) -> Expected:
        if self.sizes.n is None and any(not spec.is_real_only for spec in self.todo.judged):
            return Expected("pool", None, UNCOUNTED)
        return _total("pool", [self.draw_of(spec, n) for spec, n in self.todo.draws])

    def draw_of(self, spec: RunSpec, n: int) -> Part:
        """Of n images of an arm."""
        if getattr(generators.get(spec.generator), "is_control", False):
            return SHARD_SECONDS * n_shards(n, spec.shard), "measured case"
        if rate := self.before.draw(spec):
            return rate(n), "as made before"
        known = self.operations(spec.generator, spec.fit.steps if spec.fit else 1)
        precision = str(spec.gen.get("sampling_precision", "fp32"))
        return (None, known) if isinstance(known, str) else self._use(known, n, precision, workers=1)

    def _classify(self) -> Expected:
        trainings, workers = self.todo.trainings, min(self.bench.workers, max(1, len(self.todo.trainings)))
        of_arm = {spec.run_id: spec for spec in trainings}
        each = {run_id: self.classify_of(spec, workers) for run_id, spec in of_arm.items()}
        parts = [each[spec.run_id] for spec in trainings]
        found = _total("classify", [(None if part is None else part / workers, why) for part, why in parts])
        if found.seconds is None or not trainings:
            return found
        start = START_SECONDS if workers > 1 else 0.0
        start += self._compiling_classifiers(trainings)
        uneven = -(-len(trainings) // workers) * workers / len(trainings)  # in the last round some are idle
        return Expected(found.stage, start + found.seconds * uneven, found.source)

    def _compiling_classifiers(self, trainings: Sequence[RunSpec]) -> float:
        """Seconds, once for all of them."""
        asked, device = self.bench.fitting.compile, self.bench.device
        if not device.startswith("cuda"):
            return 0.0
        kinds = set()
        for spec in trainings:
            known = self.classifier(spec.classifier, spec.train.steps)
            if not isinstance(known, str) and decide_compile(
                asked, device=device, budget=spec.train, pays=PAYS_STEPS_OF_MANY
            ):
                kinds |= {phase.kind for phase in known.phases}
        return sum(COMPILING.get(kind, 0.0) for kind in kinds)

    def classify_of(self, spec: RunSpec, workers: int) -> Part:
        """Of one classifier of an arm, while as many others train."""
        if rate := self.before.classify(spec):
            return rate(spec.classifier_budget.steps), "as made before"
        known = self.classifier(spec.classifier, spec.train.steps)
        if isinstance(known, str):
            return None, known
        if self.sizes.n is None:
            return None, UNCOUNTED
        looks = getattr(self.request.clf, "n_evaluations", 1)
        seen = (looks + 1) * self.sizes.n["val"] + self.sizes.n["test"]
        seconds, source = self._training(known, spec.precision, workers=workers)
        looking, why = self._use(known, seen, spec.precision, workers=workers)
        if seconds is None or looking is None:
            return None, source if seconds is None else why
        return seconds * spec.classifier_budget.steps / spec.train.steps + looking, source

    def features(self) -> Expected:
        """Of all images, in every extractor."""
        if not any(not spec.is_real_only for spec in self.todo.judged):
            return Expected("features", 0.0, "nothing to do")
        if self.sizes.n is None:
            return Expected("features", None, UNCOUNTED)
        n_train = self.sizes.n["train"]
        drawn = sum(
            round(spec.ratio * n_train * spec.real_fraction) for spec in self.todo.judged if not spec.is_real_only
        )
        return self.features_of(sum(self.sizes.n.values()) + drawn)

    def features_of(self, n: int) -> Expected:
        """Of n images in every extractor."""
        o, parts = self.request.options, list[Part]()
        for name in o.extractors:
            if (made := self.before.extractor(name, o.extractor_precision)) is None:
                continue
            rate = self.before.features(made.id)
            flops = EXTRACTED.get(made.id.partition("-")[0])
            if rate:
                parts.append((rate(n), "as made before"))
            elif flops is None:
                parts.append((None, f"not known: extractor {name} was not run here before"))
            else:
                parts.append(self._of_kind(name, n * flops, o.extractor_precision, workers=1))
        found = _total("features", parts)
        loading = LOAD_SECONDS * sum(why.startswith("operations") for _, why in parts)
        return found if found.seconds is None else Expected(found.stage, found.seconds + loading, found.source)

    def judge(self) -> Expected:
        """Of measures and records."""
        n_test = self.sizes.n and self.sizes.n["test"]
        if not self.todo.judged:
            return Expected("judge", 0.0, "nothing to do")
        if n_test is None:
            return Expected("judge", None, UNCOUNTED)
        drawn = sum(not spec.is_real_only for spec in self.todo.judged)
        return Expected("judge", judged(len(self.todo.judged), drawn, n_test), "measured case")

    # -- what networks take -----------------------------------------------------------------------------------------

    def _operations(self, generator: str, n_steps: int) -> Operations | str:
        return self._of_plugin(generators.get(generator)(self.bench.configs.get(generator)), n_steps)

    def _classifier(self, name: str, n_steps: int) -> Operations | str:
        return self._of_plugin(classifiers.get(name)(self.request.clf), n_steps)

    def _of_plugin(self, plugin: Any, n_steps: int) -> Operations | str:
        """What a plugin says of itself, or why that is not known."""
        s = self.sizes
        if s.channels is None or s.size is None:
            return "not known before the images are decoded: their size"
        shape = {"channels": s.channels, "size": s.size, "n_classes": s.n_classes, "multilabel": s.multilabel}
        return ask_operations(plugin, **shape, n_steps=n_steps)

    def _training(self, known: Operations, precision: str, *, workers: int, threads: int | None = None) -> Part:
        peak, total, said = self.now(precision, workers, threads), 0.0, set[str]()
        for phase in known.phases:
            seconds = training_seconds(phase, device=self.bench.device, precision=precision, peak=peak)
            if seconds is None:
                return None, self._unmeasured(f"training of the kind {phase.kind}", precision)
            total += seconds
            said.add(said_of("training", phase.kind, device=self.bench.device, precision=precision))
        return total, max(said, key=len, default="operations")

    def _use(self, known: Operations, n: int, precision: str, *, workers: int) -> Part:
        return self._of_kind(known.phases[-1].kind, n * known.use, precision, workers=workers)

    def _of_kind(self, kind: str, flops: float, precision: str, *, workers: int) -> Part:
        peak = self.now(precision, workers, None)
        seconds = use_seconds(kind, flops, device=self.bench.device, precision=precision, peak=peak)
        if seconds is None:
            return None, self._unmeasured(f"use of {kind}", precision)
        return seconds, said_of("use", kind, device=self.bench.device, precision=precision)

    def _unmeasured(self, what: str, precision: str) -> str:
        return f"not known: no measured speed of {what} on {self.bench.device} in {precision}"

    def _now(self, precision: str, workers: int, threads: int | None) -> float:
        """Operations a second of what one of `workers` processes side by side has, measured for a moment.

        Parameters
        ----------
        threads : of a CPU; None for as many as it has by itself.
        """
        import torch

        from synthworth.training.peak import matmul_now

        own = share_of_cores(workers) if workers > 1 else torch.get_num_threads()
        threads = own if threads is None else threads
        return matmul_now(self.bench.device, precision, threads=threads, workers=workers)


def _total(stage: str, parts: Sequence[Part]) -> Expected:
    """The sum; not known where one of the parts is not."""
    if not parts:
        return Expected(stage, 0.0, "nothing to do")
    unknown = next((why for seconds, why in parts if seconds is None), None)
    if unknown is not None:
        return Expected(stage, None, unknown)
    longest = max(parts, key=lambda part: part[0] or 0.0)
    return Expected(stage, sum(seconds or 0.0 for seconds, _ in parts), longest[1])
