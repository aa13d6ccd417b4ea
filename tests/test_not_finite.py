"""Floats that are no numbers never become bytes: the arm that draws them fails, and no verdict is spoken of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.check.checks import make_images
from generators.controls import Noise
from generators.dcgan import DCGAN
from generators.pixel_ddpm import PixelDDPM
from generators.vae import VAE
from synthworth.api import from_signed
from synthworth.errors import Diverged
from synthworth.images import from_levels, resize
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

NAN, INF = float("nan"), float("inf")
PLUGIN = '''
from dataclasses import dataclass

import torch

from synthworth.api import BaseGenerator, FitReport, from_signed, read_json, register, write_json


@dataclass(frozen=True)
class Options:
    """None."""


@register.generator("all_but_numbers")
class AllButNumbers(BaseGenerator):
    """Draws NaN in every other image."""

    Config, trains = Options, False

    def fit(self, train, *, seed, work):
        self.require(train)
        self.shape = list(train.images.shape[1:])
        return FitReport(steps=0, images_seen=len(train), seconds=0.0)

    def sample(self, labels, *, seed):
        drawn = torch.zeros(len(labels), *self.shape)
        drawn[::2, 0, 0, 0] = torch.nan
        return from_signed(drawn)

    def save(self, folder):
        write_json(folder / "shape.json", self.shape)

    @classmethod
    def load(cls, folder, *, device):
        model = cls()
        model.shape = read_json(folder / "shape.json")
        return model
'''


@pytest.mark.parametrize("convert", [from_signed, from_levels])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_images_that_hold_no_numbers_are_counted(convert: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    images = torch.zeros(43, 1, 4, 4, dtype=dtype)
    assert convert(images).shape == images.shape
    for value, name in ((NAN, "NaN"), (INF, "infinity"), (-INF, "infinity")):
        one, all_of_them = images.clone(), images + value
        one[7, 0, 2, 3] = value
        with pytest.raises(Diverged, match=f"^1 of 43 images hold {name}: "):
            convert(one)
        with pytest.raises(Diverged, match=f"^43 of 43 images hold {name}: "):
            convert(all_of_them)
    assert convert(images[:0]).shape == (0, 1, 4, 4)
    with pytest.raises(Diverged, match="1 of 1 images"):
        convert(one[7, 0, 2])


def test_what_overshoots_without_being_infinite_is_still_clamped() -> None:
    wild = torch.tensor([-1e30, 1e30, 0.5, 254.5]).reshape(1, 1, 2, 2)
    assert from_levels(wild).flatten().tolist() == [0, 255, 0, 254]  # halves to the even, as torch rounds
    assert from_signed(wild).flatten().tolist() == [0, 255, 191, 255]
    flat = torch.full((2, 3, 10, 6), 77, dtype=torch.uint8)
    assert resize(flat, 4).unique().tolist() == [77]


def break_networks(model: Any) -> None:
    """Make one number of every weight NaN."""
    networks = [value for value in vars(model).values() if isinstance(value, torch.nn.Module)]
    assert networks
    with torch.no_grad():
        for weight in (p for net in networks for p in net.parameters()):
            weight.view(-1)[0] = NAN


def test_a_generator_with_a_broken_network_draws_an_error(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16)
    for cls in (PixelDDPM, VAE, DCGAN):
        work = Work(tmp_path / cls.__name__, budget=Budget(2))
        work.folder.mkdir()
        model = cls(cls.tiny_config())
        model.fit(train, seed=1, work=work)
        break_networks(model)
        with pytest.raises(Diverged, match=r"of \d+ images hold NaN"):
            model.sample(train.labels[:5], seed=2)


def test_noise_of_a_spread_that_is_none_is_an_error(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16)
    model = Noise()
    model.fit(train, seed=1, work=Work(tmp_path))
    model.std[:] = NAN
    with pytest.raises(Diverged, match="4 of 4 images hold NaN"):
        model.sample(train.labels[:4], seed=2)


def test_an_arm_that_draws_nan_fails_and_the_others_go_on(
    run_here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "nan.py").write_text(PLUGIN)
    done = run_here(
        "-m", "benchmarks.run", "--preset", "smoke", "--plugin", "nan.py", "--generator", "all_but_numbers",
        "--extractors", "--controls", "none", "--seeds", "1", "--shard", "64", "--workers", "1",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "FAILED all_but_numbers add 0.5: 32 of 64 images hold NaN" in " ".join(done.stdout.split())
    found = [json.loads(p.read_text()) for p in tmp_path.glob("results/runs/*/record.json")]
    status = {record["name"]: record["status"] for record in found}
    assert status == {"none": "ok", "all_but_numbers add 0.5": "failed"}
    (failed,) = [record for record in found if record["status"] == "failed"]
    assert "verdict" not in failed and failed["error"].startswith("32 of 64 images hold NaN")
    assert not [line for line in done.stdout.splitlines() if "VERDICT" in line and "all_but" in line]
    assert not list((tmp_path / "home" / "artifacts").glob("pool/*"))
