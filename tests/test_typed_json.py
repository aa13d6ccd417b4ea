"""What JSON holds of a dataclass becomes that dataclass again, each field of its type."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from synthworth.artifacts import from_json
from synthworth.keys import plain


@dataclass(frozen=True)
class Inner:
    widths: tuple[int, ...] = (8,)
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    kind: Literal["a", "b"] = "a"
    size: int | None = None
    shares: tuple[float, float] = (0.0, 1.0)
    path: Path | None = None
    inner: Inner = field(default_factory=Inner)
    notes: dict[str, Any] = field(default_factory=dict)


WHOLE = Outer("x", "b", 3, (0.25, 1.0), Path("a/b"), Inner((1, 2), 2.0), {"skipped": [1, None]})


def test_a_dataclass_comes_back_as_it_was() -> None:
    text = json.dumps(asdict(WHOLE), default=Path.as_posix)
    assert from_json(Outer, json.loads(text)) == WHOLE


def test_a_plain_form_whose_whole_numbers_are_integers_comes_back_as_it_was() -> None:
    back = from_json(Outer, plain(WHOLE))
    assert back == WHOLE
    assert isinstance(back.inner.rate, float)
    assert [type(share) for share in back.shares] == [float, float]


def test_a_field_that_is_not_there_keeps_its_default() -> None:
    assert from_json(Outer, {"name": "x"}) == Outer("x")
    assert from_json(Outer, {"name": "x", "inner": {"rate": 2}}).inner == Inner(rate=2.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "name"),
        ({"name": "x", "colour": 1}, "colour"),
        ({"name": "x", "inner": {"depth": 1}}, "depth"),
        ({"name": "x", "size": "large"}, "size"),
        ({"name": "x", "kind": "c"}, "kind"),
        ({"name": "x", "shares": [1]}, "shares"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=rf"^Outer: .*{said}"):
        from_json(Outer, values)
