"""Which arm is the control of which, told from two specs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.job.plan import specs_of
from benchmarks.request.controls import is_control_of
from benchmarks.request.options import parse
from benchmarks.request.spec import RunSpec, is_zero_line, real_only

Make = Callable[..., RunSpec]


def paired(control: RunSpec, spec: RunSpec) -> bool:
    """The answer for plain mappings and for the fields of the specs, which must be one."""
    found = is_control_of(control.to_json(), spec.to_json())
    assert is_control_of(vars(control), vars(spec)) is found
    return found


@pytest.mark.parametrize(
    "change", [{}, {"ratio": 1.0}, {"mode": "only"}, {"generator_seed": 2}, {"filters": ("near",)}]
)
def test_real_images_alone_are_the_control_of_every_arm(make_spec: Make, change: dict[str, Any]) -> None:
    assert paired(real_only(make_spec()), make_spec(**change))


@pytest.mark.parametrize("portion", [0.5, 2.0])
def test_a_point_of_the_learning_curve_is_the_control_of_nothing(make_spec: Make, portion: float) -> None:
    point = dataclasses.replace(real_only(make_spec()), portion=portion)
    assert not paired(point, make_spec())
    assert not is_zero_line(vars(point))
    assert is_zero_line(vars(real_only(make_spec()))) and not is_zero_line(vars(make_spec()))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        ({"gen": {"components": 3}}, True),
        ({"ratio": 1.0}, False),
        ({"mode": "replace"}, False),
        ({"shard": 8}, False),
        ({"generator_seed": 1}, False),
        ({"filters": ("near",)}, False),
    ],
    ids=str,
)
def test_a_control_that_draws_images_is_its_first_draw_at_the_same_ratio_mode_and_shard(
    make_spec: Make, change: dict[str, Any], found: bool
) -> None:
    control = make_spec(generator="duplicate", fit=None, **change)
    assert paired(control, make_spec()) is found


def test_a_further_training_and_filtered_images_have_the_same_controls(make_spec: Make) -> None:
    control = make_spec(generator="duplicate")
    assert paired(control, make_spec(generator_seed=2, filters=("confident",)))
    assert paired(control, make_spec(generator="duplicate", generator_seed=1))


def test_a_remedy_is_the_control_of_every_arm_and_the_longer_one_of_arms_at_its_ratio(make_spec: Make) -> None:
    mixup, longer = (real_only(make_spec(), generator=name) for name in ("mixup", "longer"))
    longer = dataclasses.replace(longer, ratio=1.0)
    assert [paired(mixup, make_spec(ratio=r)) for r in (0.5, 1.0)] == [True, True]
    assert [paired(longer, make_spec(ratio=r)) for r in (0.5, 1.0)] == [False, True]


def test_the_arms_of_a_request_are_compared_with_the_controls_at_their_own_ratio() -> None:
    flags = ["--generator", "vae", "--ratio", "0.5", "1", "--controls", "none", "duplicate", "longer", "--curve", "2"]
    specs = specs_of(parse(flags, prog="run"), fingerprint="", precision="fp32")
    found = {
        spec.name: [c.name for name in spec.controls for c in specs if c.generator == name and paired(c, spec)]
        for spec in specs
    }
    assert found == {
        "none": [],
        "none x 2": [],
        "longer x 1.5": ["none"],
        "longer x 2": ["none"],
        "duplicate add 0.5": ["none", "longer x 1.5"],
        "duplicate add 1": ["none", "longer x 2"],
        "vae add 0.5": ["none", "duplicate add 0.5", "longer x 1.5"],
        "vae add 1": ["none", "duplicate add 1", "longer x 2"],
    }
