"""What a search may try of an option: declared beside it, whole, and never more than the option takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from classifiers.registry import classifiers
from generators.registry import BUILT_IN, generators
from synthworth.errors import UserError
from synthworth.keys import DRAWING, digest, drawing_options, plain
from synthworth.search_space import Between, OneOf, changed, declared, searched, searched_inside, value_at


@dataclass(frozen=True)
class Inner:
    width: int = field(default=8, metadata=searched(OneOf(8, 16)))
    depth: int = field(default=1, metadata=searched(Between(1, 4)))


@dataclass(frozen=True)
class Base:
    lr: float = field(default=1e-3, metadata=searched(Between(1e-4, 1e-2, log=True)))
    kind: str = field(default="vector", metadata=searched(OneOf("vector", "spatial")))
    channels: int = field(default=4, metadata=searched(OneOf(2, 4), kind=("spatial",)))
    guidance: float = field(default=1.0, metadata=DRAWING | searched(Between(1.0, 3.0, step=0.5)))
    batch: int = 32


@dataclass(frozen=True)
class Config(Base):
    lr: float = 5e-3
    inner: Inner = field(default_factory=Inner, metadata=searched_inside("width", kind=("spatial",)))


def test_a_config_declares_its_space_and_inherits_that_of_another_default() -> None:
    found = declared(Config())
    assert list(found) == ["lr", "kind", "channels", "guidance", "inner.width"]
    assert found["lr"].space == Between(1e-4, 1e-2, log=True)
    assert found["channels"].when == {"kind": ("spatial",)} == found["inner.width"].when
    assert drawing_options(Config) == {"guidance"}  # marks go beside each other


def test_a_declared_space_changes_no_identity() -> None:
    @dataclass(frozen=True)
    class Bare:
        lr: float = 1e-3
        kind: str = "vector"
        channels: int = 4
        guidance: float = 1.0
        batch: int = 32

    assert plain(Bare()) == plain(Base()) and digest(Bare()) == digest(Base())


def test_options_are_changed_together_inner_ones_too() -> None:
    made = changed(Config(), {"lr": 2e-3, "inner.width": 16})
    assert (made.lr, made.inner.width, made.batch) == (2e-3, 16, 32)
    assert value_at(made, "inner.width") == 16 and Config().inner.width == 8


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [
        (Between(1, 4), (1, 4), (0, 5, 2.5, True, "2")),
        (Between(0.0, 0.2, step=0.02), (0.0, 0.06, 0.2), (0.05, 0.3)),
        (Between(1e-4, 1.0, log=True), (1e-4, 0.3), (1e-5,)),
        (OneOf((8, 16), (8, 32)), ((8, 16), [8, 32]), ((8,), 8)),
        (OneOf((), ("a", "b")), ((), ("a", "b")), (("a",),)),
    ],
    ids=str,
)
def test_a_space_knows_what_it_holds(space: Between | OneOf, inside: tuple, outside: tuple) -> None:
    assert all(map(space.holds, inside)) and not any(map(space.holds, outside))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Between(2, 1), lambda: Between(0, 1, log=True), lambda: Between(1, 2, log=True, step=1),
        lambda: Between(0, 1, step=0), lambda: Between(0, float("inf")), lambda: OneOf(1), lambda: OneOf(1, 1),
        lambda: OneOf((1, 2), "1-2"),
    ],
)  # fmt: skip
def test_what_is_no_space_is_refused_where_it_is_written(make) -> None:
    with pytest.raises(ValueError, match=r"Between|OneOf"):
        make()


TRAINED = sorted(name for name in BUILT_IN if getattr(generators.get(name), "trains", True))


@pytest.mark.parametrize("name", [*TRAINED, "resnet18", "densenet121"])
def test_every_built_in_config_takes_the_ends_of_what_it_declares(name: str) -> None:
    registry = classifiers if name not in TRAINED else generators
    config = registry.get(name).Config()
    found = declared(config)
    assert len(found) >= 3
    for option, one in found.items():
        first = {other: values[0] for other, values in one.when.items()}
        ends = one.space.values if isinstance(one.space, OneOf) else (one.space.low, one.space.high)
        for value in ends:
            assert value_at(changed(config, {**first, option: value}), option) == value
            assert one.space.holds(value)


def test_a_config_says_what_it_refuses_in_a_trial_too() -> None:
    config = generators.get("vae").Config()
    with pytest.raises(UserError, match="kernel_width"):
        changed(config, {"kernel_width": 1.0, "latent": "vector"})
