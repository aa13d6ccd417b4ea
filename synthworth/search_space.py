"""Declared beside an option, in the Config of a plugin: which values a search may try, and when it changes anything."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Plain = bool | int | float | str | None
SEARCH = "search"
"""Under this name a field's metadata holds its `Searched` or `Inside`."""
APPLIES = "applies"
"""Under this name that of an option which no search tries holds when it changes anything."""


@dataclass(frozen=True)
class Between:
    """Numbers from low to high, both included; whole ones where both ends are whole.

    Parameters
    ----------
    log : tried evenly over orders of magnitude; low is above 0 then.
    step : distance of two values that are tried; None for any. Not beside log.

    Raises
    ------
    ValueError
        For ends that are no range.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"Between({self.low}, {self.high}): low is below high, and both are finite")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError(f"Between({self.low}, {self.high}, log=True): low is above 0, and there is no step")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"Between({self.low}, {self.high}, step={self.step}): the step is above 0")

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))

    def holds(self, value: Any) -> bool:
        """Whether a value is one that a search could try."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.whole and value != int(value):
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-8

    def __str__(self) -> str:
        how = " (log)" if self.log else f" by {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{how}"


@dataclass(frozen=True)
class OneOf:
    """Any of some values: plain ones, or tuples of them.

    Raises
    ------
    ValueError
        For fewer than two values, or one that is there twice.
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)
        if len(self.labels) < 2 or len(set(map(repr, self.labels))) < len(values):
            raise ValueError(f"OneOf{values}: two values or more, each once")

    @property
    def labels(self) -> tuple[Plain, ...]:
        """What each value is called where only plain ones can be kept: a tuple is its members, `64-128`."""
        return tuple(map(label_of, self.values))

    def value_of(self, label: Plain) -> Any:
        """The value that is called so."""
        return self.values[self.labels.index(label)]

    def holds(self, value: Any) -> bool:
        """Whether a value is one that a search could try."""
        return label_of(value) in self.labels

    def __str__(self) -> str:
        return ", ".join(map(str, self.labels))


Space = Between | OneOf


@dataclass(frozen=True)
class Above:
    """Numbers above one: what another option has to be for an option to change anything (`applies`)."""

    low: float

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and value > self.low

    def __str__(self) -> str:
        return f"above {self.low:g}"


@dataclass(frozen=True)
class Naming:
    """Lists in which a name stands, likewise."""

    name: str

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, Sequence) and self.name in value

    def __str__(self) -> str:
        return self.name


Wanted = tuple[Any, ...] | Above | Naming
"""Values of an option under which another one changes something."""


def label_of(value: Any) -> Plain:
    """A value as a plain one: members of a tuple joined by dashes, `none` for no member."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "-".join(map(str, value)) or "none"
    plain: Plain = value
    return plain


@dataclass(frozen=True)
class Searched:
    """What a search may try of an option.

    Parameters
    ----------
    when : options of the same Config and the values of them under which this one changes anything; it is left alone
        under others.
    """

    space: Space
    when: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Inside:
    """Of a Config within a Config: the options of it that a search may try, as they are declared there."""

    names: tuple[str, ...]
    when: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)


def searched(space: Space, **when: tuple[Any, ...]) -> dict[str, Any]:
    """`field(default=1e-3, metadata=searched(Between(1e-4, 1e-2, log=True)))` declares what may be tried of an option.

    It is no part of any key, and may be joined with the other marks of a field (`|`). A subclass that gives the option
    another default keeps the space unless it declares its own.

    Parameters
    ----------
    when : `latent=("spatial",)`: the option changes nothing unless `latent` is one of these.
    """
    return {SEARCH: Searched(space, when)}


def searched_inside(*names: str, **when: tuple[Any, ...]) -> dict[str, Any]:
    """The mark of a field that holds another Config: which options of that one may be tried, and when (`searched`)."""
    return {SEARCH: Inside(names, when)}


def applies(**when: Wanted) -> dict[str, Any]:
    """The mark of an option that changes something beside others alone: `applies(decoder=("linear",))`.

    As `when` of `searched`, for what no search tries. Where one does, a flag has to meet this too, and no search asks.

    Or `applies(churn=Above(0))`, `applies(augment=Naming("ada"))`.
    """
    return {APPLIES: when}


def unmet(config: Any, name: str) -> dict[str, Wanted]:
    """What would have to be otherwise for an option to change anything.

    Parameters
    ----------
    name : of the option; dots lead into inner Configs.

    Returns
    -------
    The name of each option that stands in its way -> the values under which it does not.
    """
    found: dict[str, Wanted] = {}
    prefix = ""
    for part in name.split("."):
        for other, values in _conditions(type(config), part).items():
            if value_at(config, other) not in values:
                found[prefix + other] = values
        config, prefix = getattr(config, part), f"{prefix}{part}."
    return found


def _conditions(config: type, name: str) -> Mapping[str, Wanted]:
    mark = _mark(config, name)
    return {**(mark.when if mark else {}), **(_mark(config, name, APPLIES) or {})}


def declared(config: Any, prefix: str = "") -> dict[str, Searched]:
    """Every option of a Config for which a space is declared, by its name; a dot leads into an inner Config.

    Parameters
    ----------
    config : an instance: inner Configs are its own.
    """
    found: dict[str, Searched] = {}
    for field in dataclasses.fields(config):
        mark, name = _mark(type(config), field.name), prefix + field.name
        if mark is None:
            continue
        when = {prefix + other: values for other, values in mark.when.items()}
        if isinstance(mark, Searched):
            found[name] = Searched(mark.space, when)
            continue
        for known, inner in declared(getattr(config, field.name), f"{name}.").items():
            if known[len(name) + 1 :] in mark.names:
                found[known] = Searched(inner.space, {**inner.when, **when})
    return found


def _mark(config: type, name: str, kind: str = SEARCH) -> Any:
    """The nearest declaration of a field, in the Config itself or in one that it is made from."""
    for cls in config.__mro__:
        field = cls.__dict__.get("__dataclass_fields__", {}).get(name)
        if field is not None and kind in field.metadata:
            return field.metadata[kind]
    return None


def value_at(config: Any, name: str) -> Any:
    """The value of an option; dots lead into inner Configs."""
    for part in name.split("."):
        config = getattr(config, part)
    return config


def changed(config: Any, values: Mapping[str, Any]) -> Any:
    """A Config with other values of some options, all put at once; dots lead into inner Configs.

    Raises
    ------
    UserError
        Whatever the Config raises for values that do not go together.
    """
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        else:
            own[first] = value
    own |= {name: changed(getattr(config, name), rest) for name, rest in inner.items()}
    return dataclasses.replace(config, **own)
