"""What a metric declares of itself: the numbers it gives, the evidence it needs, and on how few images it is null."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from benchmarks.metrics.value import LARGEST, Direction, Value
from synthworth.errors import Unavailable, UserError
from synthworth.registry import no_exit

FEATURES = frozenset({"real", "fake", "logits"})
"""Evidence that an extractor gives: a metric that needs any of it is asked once for each extractor."""
PIXELS = frozenset({"real_images", "fake_images"})
"""Evidence of metrics that are asked once an arm, of the images themselves."""
PREDICTIONS = frozenset({"truth", "scores"})
"""Evidence of metrics that are asked once a classifier."""
STORED = PREDICTIONS | {"classes", "patients"}
"""Evidence that a record keeps: what needs no more is computed from stored predictions."""
SIDES = (("real", "fake"), ("real_images", "fake_images"))
SIZED = ("fake", "logits", "fake_images", "truth")
"""The first of these that there is says on how many images a number stands."""


@dataclass(frozen=True)
class Quantity:
    """One number that a metric gives."""

    name: str
    """`fd`, `auroc`: the `metric` of its values, and their key in a record where no features or classes are named."""
    direction: Direction
    """Which way is better."""
    title: str = ""
    """Heading of its column in a table; `name` when left out."""
    alias: str | None = None
    """Its name in the literature, on features that earn it (`Extractor.literature_in`): FID in Inception's."""
    moves_with_n: bool = True
    """Whether it comes out otherwise, on average, of fewer images of the same law, as a Frechet distance does. Two such
    numbers compare at one n alone. False for what is unbiased at any n."""

    @property
    def heading(self) -> str:
        """Heading of its column."""
        return self.title or self.name

    def value(self, value: float | None, n: int, *, label: str | None = None, **fields: Any) -> Value:
        """The number, of one class where `label` names it; `fields` are further ones of `Value`."""
        name = self.name if label is None else f"{self.name}[{label}]"
        return Value(name, value, n, self.direction, metric=self.name, label=label, **fields)

    def missing(self, reason: Unavailable | str, n: int, *, label: str | None = None, **fields: Any) -> Value:
        """The null that is recorded where it cannot be computed."""
        return self.value(None, n, label=label, note=str(reason), **fields)


@dataclass(frozen=True)
class Metric:
    """A function of evidence, with what it declares.

    The function takes keyword arguments and returns name -> Value. Arguments without a default are the evidence it
    needs. Where it cannot say anything it raises `Unavailable`, and every quantity is null with that reason.
    """

    function: Callable[..., Mapping[str, Value]]
    quantities: tuple[Quantity, ...]
    """What it gives, the first one first."""
    minimum_n: int = 0
    """Fewest images (a side, where there are two) below which it is null without being asked."""
    by_class: bool = False
    """Whether it is also measured on each class alone."""

    def __post_init__(self) -> None:
        for name in ("__module__", "__qualname__", "__name__", "__doc__"):  # a registry shows where it comes from
            if hasattr(self.function, name):
                object.__setattr__(self, name, getattr(self.function, name))

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Evidence without which it cannot be computed."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is p.empty)

    @cached_property
    def takes(self) -> tuple[str, ...]:
        """Evidence that it makes use of."""
        return tuple(inspect.signature(self.function).parameters)

    @cached_property
    def asked_with(self) -> str | None:
        """The first needed piece of `FEATURES`, `PIXELS` or `PREDICTIONS`: it decides when the metric is asked."""
        return next((name for name in self.needs if name in FEATURES | PIXELS | PREDICTIONS), None)

    @property
    def per_extractor(self) -> bool:
        """Whether it is measured once for each extractor."""
        return self.asked_with in FEATURES

    def quantity(self, name: str | None) -> Quantity:
        """The quantity of that name, or the first one: a bare function may give numbers that nobody declared."""
        return next((q for q in self.quantities if q.name == name), self.quantities[0])

    def __call__(self, **evidence: Any) -> dict[str, Value]:
        """Name -> Value; every quantity is null with a note where there are too few images, or it is `Unavailable`."""
        n = next((len(evidence[name]) for name in SIZED if name in evidence), 0)
        try:
            self._check_minimum(evidence, n)
            found = dict(self.function(**evidence))
        except Unavailable as reason:
            return self.missing(reason, n)
        if not found:
            return self.missing("the metric gave no number", n)
        return found

    def _check_minimum(self, evidence: Mapping[str, Any], n: int) -> None:
        for real, fake in SIDES:
            if real in evidence and fake in evidence:
                counts = len(evidence[real]), len(evidence[fake])
                if min(counts) < self.minimum_n:
                    raise Unavailable(
                        f"needs {self.minimum_n} images a side; there are {counts[0]} real and {counts[1]} synthetic"
                    )
        if n < self.minimum_n:
            raise Unavailable(f"needs {self.minimum_n} images; there are {n}")

    def measure(self, **evidence: Any) -> dict[str, Value]:
        """Name -> Value from those pieces of `evidence` that it takes.

        Null where a piece that it needs is None or not there. Each value says in `metric` what it is.

        Parameters
        ----------
        **evidence
            What a run offers: `real`, `fake` (float32 (N, D) features), `logits` (float32 (N, 1008) of the synthetic
            images, Inception only), `seed`; `real_images`, `fake_images` (uint8 (N, C, H, W)), `fake_labels`
            (int64 (N,) or uint8 (N, K)), `device`; `truth`, `scores`, `val_truth`, `val_scores`, `classes`, `patients`
            (of test), `prevalence` (a share, where one is stated).

        Raises
        ------
        TypeError, ValueError
            When a built-in function gives something else than finite Values.
        UserError
            When a plugin's does, raises anything but Unavailable, or calls `sys.exit`.
        """
        there = {name: piece for name, piece in evidence.items() if piece is not None}
        lacking = [name for name in self.needs if name not in there]
        if lacking:
            n = next((len(there[name]) for name in SIZED if name in there), 0)
            return self.missing(f"needs {', '.join(lacking)}, which this run does not have", n)
        try:
            with no_exit():
                found = self(**{name: there[name] for name in self.takes if name in there})
            return {name: self._named(name, value) for name, value in found.items()}
        except Exception as error:
            if str(getattr(self, "__module__", "")).startswith("benchmarks."):
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise UserError(
                f"metric {getattr(self, '__name__', '?')} raised {type(error).__name__}: {error} "
                f"({where.filename}:{where.lineno}). Everything else is kept; mend it and give the command again"
            ) from error

    def _named(self, name: str, value: Value) -> Value:
        if not isinstance(value, Value):
            raise TypeError(f"{name!r} is a {type(value).__name__} and no Value")
        value.to_json()  # refuses what is not finite, and a null without a reason
        largest = max((abs(x) for x in (value.value, value.low, value.high) if x is not None), default=0.0)
        if largest > LARGEST:
            note = f"{largest:.3g} is no measurement: a record holds numbers up to {LARGEST:g}"
            value = replace(value, value=None, low=None, high=None, note=note)
        return value if value.metric else replace(value, metric=self.quantity(value.name).name)

    def on_features(self, value: Value, *, extractor: str, features: str | None, literature: bool) -> Value:
        """One of its values as what was measured on an extractor's features, under the name that these earn.

        Parameters
        ----------
        extractor : registered name.
        features : their id, or None where there are none.
        literature : whether they earn the names of the literature, which then stand alone (`fid@400`); elsewhere it is
            `fd@400/<features>`.
        """
        alias = self.quantity(value.metric).alias if literature and value.label is None else None
        where = "" if literature else f"/{features or extractor}"
        name = f"{alias or value.name}@{value.n}{where}"
        return replace(value, name=name, extractor=extractor, features=features, alias=alias)

    def missing(self, reason: Unavailable | str, n: int, **fields: Any) -> dict[str, Value]:
        """Every quantity as a null with that reason."""
        return {q.name: q.missing(reason, n, **fields) for q in self.quantities}


def metric(
    *quantities: Quantity, minimum_n: int = 0, by_class: bool = False
) -> Callable[[Callable[..., Mapping[str, Value]]], Metric]:
    """Decorator: make a function of evidence a `Metric` that gives these quantities."""

    def declare(function: Callable[..., Mapping[str, Value]]) -> Metric:
        return Metric(function, quantities, minimum_n, by_class)

    return declare


def declared(name: str, thing: Any) -> Metric:
    """What is registered under `name` as a Metric: a bare function gives one quantity, which has that name."""
    return thing if isinstance(thing, Metric) else Metric(thing, (Quantity(name, "higher"),))
