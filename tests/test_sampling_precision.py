"""Options that came after the first fits, drawing in bfloat16 and a rarer average: their own keys, and what they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.check.checks import make_images
from generators.registry import generators
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("pixel_ddpm", "latent_ddpm", "vae", "dcgan")
LATER = {"sampling_precision": "bf16", "ema_every": 4}


def fitted(name: str, folder: Path, **options: Any) -> Any:
    cls: Any = generators.get(name)
    model = cls(replace(cls.tiny_config(), **options))
    folder.mkdir()
    model.fit(make_images(multilabel=False, channels=1, size=16), seed=1, work=Work(folder, budget=Budget(6)))
    return model


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", LATER)
def test_a_later_option_names_its_own_numbers_and_its_default_those_of_before(name: str, option: str) -> None:
    config: Any = generators.get(name).Config()  # type: ignore[attr-defined]
    other = replace(config, **{option: LATER[option]})
    assert digest(replace(other, **{option: getattr(config, option)})) == digest(config) != digest(other)


@pytest.mark.parametrize("name", NAMES)
def test_images_drawn_in_bfloat16_are_near_those_drawn_in_float32(name: str, tmp_path: Path) -> None:
    model, labels = fitted(name, tmp_path / "work"), torch.arange(8) % 2
    exact = model.sample(labels, seed=3)
    if name == "latent_ddpm":  # both its networks
        model.first_stage.config = replace(model.first_stage.config, sampling_precision="bf16")
    model.config = replace(model.config, sampling_precision="bf16")
    short = model.sample(labels, seed=3)
    off = (short.int() - exact.int()).abs().float()
    assert 0 < off.mean() < 6  # of 255
    assert torch.equal(short, model.sample(labels, seed=3))


@pytest.mark.parametrize(("name", "on"), [("pixel_ddpm", {}), ("vae", {"ema": 0.5}), ("dcgan", {})])
def test_a_rarer_average_exports_others_than_the_last_weights_and_than_those_of_each_step(
    name: str, on: dict[str, Any], tmp_path: Path
) -> None:
    drawn = [
        fitted(name, tmp_path / str(k), **on, ema_every=k).sample(torch.zeros(2, dtype=torch.int64), seed=0)
        for k in (1, 4, 100)
    ]
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", NAMES)
def test_an_average_looks_at_every_step_or_fewer(name: str) -> None:
    with pytest.raises(UserError, match=r"ema.every 0 was asked for, which is out of range: 1 or more"):
        generators.get(name).Config(ema_every=0)  # type: ignore[attr-defined]
