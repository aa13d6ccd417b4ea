"""A diffusion fit whose steps are recorded, as on a GPU: the same bits as steps that are taken as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.check.checks import make_images
from generators.latent_ddpm import LatentDDPM
from generators.pixel_ddpm import PixelDDPM
from generators.training import Trainer
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

ON_THE_HOST = {f"aten::{name}" for name in ("item", "masked_select", "nonzero", "equal")}
"""What makes a GPU's result known to the processor, which a step that is being recorded may not ask for."""


class PretendLane:
    """A lane on the CPU: what it records is run again, on the tensors that it was recorded with."""

    def __init__(self, *, watching: bool = False) -> None:
        self.watching = watching
        self.replays, self.seen, self.joined, self.entered = 0, set[tuple[str, str | None]](), False, 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.entered += 1
        yield

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        def replay() -> None:
            self.replays += 1
            if not self.watching:
                return run()
            with profile(activities=[ProfilerActivity.CPU]) as operations:
                run()
            self.seen |= {(e.name, e.cpu_parent.name if e.cpu_parent else None) for e in operations.events()}

        return replay

    def join(self) -> None:
        self.joined = True


def fit(cls: Any, folder: Path, *, steps: int = 6, **options: Any) -> tuple[Tensor, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    model = cls(cls.tiny_config())
    films = make_images(multilabel=False, channels=1, size=16, n=24)
    report = model.fit(films, seed=0, work=Work(folder, budget=Budget(steps), **options))
    return model.sample(torch.tensor([0, 1]), seed=1), report


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[PretendLane]:
    made: list[PretendLane] = []

    def lane(self: Trainer) -> PretendLane:
        made.append(PretendLane())
        return made[-1]

    monkeypatch.setattr(Trainer, "lane", lane)
    return made


@pytest.mark.parametrize("cls", [PixelDDPM, LatentDDPM])
def test_a_recorded_fit_draws_the_images_of_a_plain_one(
    cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, told = fit(cls, tmp_path / "plain")
    made: list[PretendLane] = []
    monkeypatch.setattr(Trainer, "lane", lambda self: made.append(PretendLane()) or made[-1])
    recorded, said = fit(cls, tmp_path / "recorded")
    assert torch.equal(recorded, plain)
    assert made[-1].replays >= 3 and made[-1].joined
    assert [row["loss"] for row in said.history] == [row["loss"] for row in told.history]
    assert said.cost.gflop == told.cost.gflop


def test_a_recorded_step_of_a_denoiser_reads_nothing_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = PretendLane(watching=True)
    monkeypatch.setattr(Trainer, "lane", lambda self: lane)
    fit(PixelDDPM, tmp_path, steps=1)
    assert "aten::convolution_backward" in {name for name, _ in lane.seen}
    # on a CPU the fused optimiser reads its step's number; that of a GPU (capturable) leaves it there
    assert not {where for name, where in lane.seen if name in ON_THE_HOST} - {"aten::_fused_adamw_"}
    drawn = {"aten::randn_like", "aten::rand", "aten::normal_", "aten::uniform_", "aten::bernoulli_"}
    assert not {name for name, _ in lane.seen} & drawn


def test_a_killed_recorded_fit_goes_on_to_the_same_images(
    lanes: list[PretendLane], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = fit(PixelDDPM, tmp_path / "whole", steps=9)
    taken = [0]
    draw = Trainer.parts

    def parts(self: Trainer, order: Any, t: int) -> Any:
        taken[0] += 1
        if t == 6:
            raise KeyboardInterrupt
        return draw(self, order, t)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "parts", parts)
        with pytest.raises(KeyboardInterrupt):
            fit(PixelDDPM, tmp_path / "cut", steps=9, checkpoint_seconds=0.0)
    again, _ = fit(PixelDDPM, tmp_path / "cut", steps=9, checkpoint_seconds=0.0)
    assert torch.equal(again, whole)
    assert lanes[-1].replays == 3


def test_snapshots_are_drawn_where_the_steps_are_taken(lanes: list[PretendLane], tmp_path: Path) -> None:
    fit(PixelDDPM, tmp_path / "without")
    fit(PixelDDPM, tmp_path / "with", snapshot_epochs=1.0)
    without, drawing = lanes
    assert list((tmp_path / "with").rglob("*.png"))
    assert drawing.entered == 2 * 6 + 2 and without.entered == drawing.entered


@pytest.mark.parametrize(
    ("work", "kind", "there"),
    [({}, "cuda", True), ({}, "cpu", False), ({"capture": False}, "cuda", False), ({"devices": 2}, "cuda", False)],
)
def test_steps_are_recorded_on_one_gpu_unless_told_not_to(
    work: dict[str, Any], kind: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generators.training.Lane", lambda device: device)
    trainer = Trainer(Work(tmp_path), seed=0, batch=4)
    trainer.work = Work(tmp_path, **work)
    monkeypatch.setattr(Trainer, "device", torch.device(kind))
    assert (trainer.lane() is not None) is there
