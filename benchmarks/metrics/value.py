"""One number of a record: what it is, on how many images it stands, and how it goes into JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from synthworth.errors import Unavailable

LARGEST = 1e15
"""Largest number in a record, either way: what is beyond it is no measurement, and breaks a table or a figure."""
Direction = Literal["higher", "lower"]
IN_PIXELS = "pixels"
"""The `features` of a number that was measured on pixels, where others are measured on an extractor's features."""


@dataclass(frozen=True)
class Value:
    """One number of a record, with what is needed to judge it. A missing number is None with a note.

    Readers go by the fields `metric`, `label`, `n`, `extractor` and `features`. `name` is for people: nothing takes it
    apart.
    """

    name: str
    """Its key in a record, unique there: `auroc`, `auroc[effusion]`, `fid@400`."""
    value: float | None
    """The number, or None where it cannot be computed; then `note` says why."""
    n: int
    """How many images it stands on (synthetic ones, for a fidelity metric)."""
    direction: Direction
    """Which way is better."""
    low: float | None = None
    """Lower end of the 95 % interval, where there is one."""
    high: float | None = None
    """Upper end of the 95 % interval, where there is one."""
    note: str | None = None
    """Why it is missing, or what a reader must know."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values: thresholds, standard deviation, numbers of images."""
    metric: str | None = None
    """What was measured: `auroc`, `fd`; None stands for `name`."""
    label: str | None = None
    """The class or finding it is of; None for the macro, and for what has no classes."""
    extractor: str | None = None
    """Registered name of the extractor whose features it was measured on; None without one."""
    features: str | None = None
    """Id of the features (extractor, size, precision), or `pixels`; None without them."""
    alias: str | None = None
    """Its name in the literature, where only these features earn it: `fid` for `fd` of Inception in fp32."""

    @classmethod
    def missing(cls, name: str, reason: Unavailable | str, *, n: int, direction: Direction) -> Value:
        """The null that is recorded for a number that cannot be computed."""
        return cls(name, None, n, direction, note=str(reason))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values.

        Raises
        ------
        ValueError
            Naming the metric, for NaN or infinity anywhere in it, and for a null without a note.
        """
        if self.value is None and not self.note:
            raise ValueError(f"metric {self.name!r} is null without a note that says why")
        row = {
            "metric": self.metric or self.name,
            "label": self.label,
            "extractor": self.extractor,
            "features": self.features,
            "alias": self.alias,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "direction": self.direction,
            "note": self.note,
            "extra": dict(self.extra),
        }
        return {key: _finite(part, self.name) for key, part in row.items()}


def _finite(part: Any, name: str) -> Any:
    if isinstance(part, Mapping):
        return {str(key): _finite(value, name) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_finite(value, name) for value in part]
    if part is None or isinstance(part, (str, bool)):
        return part
    number = part.item() if hasattr(part, "item") else part
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"metric {name!r} holds {number}: a record takes finite numbers or null with a note")
    return number
