"""What only a GPU can show: recorded steps give the bits of plain ones, alone, side by side, and after a kill."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.speed.gpu.denoiser import films
from benchmarks.speed.gpu.trainings import grain, train
from generators.training import Trainer
from synthworth.devices import repeatable
from synthworth.training.loop import run_phase
from synthworth.work import Budget, Work

ASKED = os.environ.get("SYNTHWORTH_TESTS_ON_A_GPU") == "1"
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not ASKED, reason="SYNTHWORTH_TESTS_ON_A_GPU=1 was not set")]

STEPS = 30
SMALL: dict[str, Any] = {"side": 32, "n_train": 200, "device": "cuda"}


@pytest.fixture(scope="module")
def captured() -> str:
    return train("resnet18", STEPS, **SMALL).predictions[0]


def test_a_recorded_step_gives_the_bits_of_a_plain_one(captured: str) -> None:
    assert train("resnet18", STEPS, capture=False, **SMALL).predictions == (captured,)


def test_side_by_side_every_training_gives_the_bits_that_it_gives_alone(captured: str) -> None:
    together = train("resnet18", STEPS, together=3, **SMALL).predictions
    assert together[0] == captured
    assert len(set(together)) == 3
    assert train("resnet18", STEPS, together=3, **SMALL).predictions == together


@pytest.mark.parametrize("options", [{"blend": "mixup"}, {"blend": "cutmix"}, {"augment": "randaugment"}], ids=str)
def test_remedies_give_the_same_bits_recorded_and_plain(options: dict[str, Any]) -> None:
    plain = train("resnet18", STEPS, capture=False, **SMALL, **options)
    assert train("resnet18", STEPS, **SMALL, **options).predictions == plain.predictions


def test_a_killed_recorded_training_goes_on_to_the_same_bits(tmp_path: Path, captured: str) -> None:
    from classifiers.config import Config
    from classifiers.factory import TimmClassifier

    mixture, val = grain(32, 200)
    model = TimmClassifier(Config(batch_size=64, n_evaluations=1))

    def start() -> Any:
        work = Work(tmp_path, device="cuda", precision="bf16", budget=Budget(STEPS), checkpoint_seconds=0.0)
        return model.start(mixture, val, seed=0, work=work)

    with repeatable(device="cuda"):
        cut = start()
        step = cut.phase.step

        def killed(t: int) -> Any:
            if t == 27:
                raise KeyboardInterrupt
            return step(t)

        cut.phase.step = killed
        with pytest.raises(KeyboardInterrupt):
            run_phase(cut.phase)
        again = start()
        report = run_phase(again.phase)
        assert again.phase.first == 25
        model.end(again, report)
        predicted = model.predict(val.images)
    assert hashlib.sha256(predicted.tobytes()).hexdigest()[:16] == captured


def test_a_compiled_training_repeats_to_the_bit_where_it_is_compiled_anew(tmp_path: Path) -> None:
    code = (
        "from benchmarks.speed.gpu.trainings import train; "
        f"print(train('resnet18', {STEPS}, compile=True, side=32, n_train=200, device='cuda').predictions[0])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
            env={**environment, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"{k}")},
        )
        for k in range(2)
    ]  # fmt: skip
    said = [process.communicate()[0] for process in both]
    assert said[0] == said[1] != ""


def drawn_by(name: str, folder: Path, **options: Any) -> torch.Tensor:
    from generators.registry import generators

    folder.mkdir(exist_ok=True)
    cls = generators.get(name)
    work = Work(folder, **{"device": "cuda", "precision": "bf16", "budget": Budget(30), **options})
    with repeatable(device="cuda"):
        model = cls(cls.tiny_config())
        model.fit(films(32, 64), seed=0, work=work)
        return model.sample(torch.tensor([0, 1]), seed=1).cpu()


@pytest.mark.parametrize("name", ["pixel_ddpm", "latent_ddpm", "dcgan", "vae"])
def test_a_generator_learns_the_same_bits_twice_and_recorded_and_plain(name: str, tmp_path: Path) -> None:
    first = drawn_by(name, tmp_path / "first")
    assert torch.equal(drawn_by(name, tmp_path / "again"), first)
    assert torch.equal(drawn_by(name, tmp_path / "plain", capture=False), first)


def test_a_compiled_denoiser_learns_the_same_bits_recorded_and_plain(tmp_path: Path) -> None:
    recorded = drawn_by("pixel_ddpm", tmp_path / "recorded", compile=True)
    assert torch.equal(drawn_by("pixel_ddpm", tmp_path / "plain", compile=True, capture=False), recorded)


def test_a_killed_recorded_fit_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = drawn_by("pixel_ddpm", tmp_path / "whole"), Trainer.parts

    def killed(self: Trainer, order: Any, t: int) -> Any:
        if t == 27:
            raise KeyboardInterrupt
        return parts(self, order, t)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "parts", killed)
        with pytest.raises(KeyboardInterrupt):
            drawn_by("pixel_ddpm", tmp_path / "cut", checkpoint_seconds=0.0)
    assert (tmp_path / "cut" / "denoiser.ckpt").is_file()
    assert torch.equal(drawn_by("pixel_ddpm", tmp_path / "cut", checkpoint_seconds=0.0), whole)
