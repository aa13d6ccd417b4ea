"""Tests of the training API: parts of a batch, several processes, snapshots, precision."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.check.checks import make_images
from generators.dcgan import DCGAN
from generators.snapshots import first_of_each
from generators.training import Learner, Part, Trainer
from synthworth.errors import Diverged, UserError
from synthworth.processes import run_together
from synthworth.training.loop import Bounds, PhaseReport
from synthworth.training.rates import rate_at
from synthworth.training.reports import report_phases
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")


def make_trainer(folder: Path, *, batch: int = 8, accumulate: int = 1, devices: int = 1) -> tuple[Trainer, Learner]:
    work = Work(folder, budget=Budget(5), devices=devices)
    trainer = Trainer(work, seed=3, batch=batch, accumulate=accumulate)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    return trainer, trainer.learner("net", net, lr=0.05, n_steps=5, ema=0.9, clip=1.0)


def learn(trainer: Trainer, learner: Learner, *, noise: bool = True) -> list[float]:
    """The loss curve of five steps on a small regression; with `noise` each part draws some."""
    x = torch.linspace(-1, 1, 4 * 24).reshape(24, 4)
    source = trainer.near(x, x.sum(1, keepdim=True).sin())

    def loss(part: Part) -> dict[str, torch.Tensor]:
        rows, target = source(part.rows)
        rows = rows + 0.1 * torch.randn_like(rows) if noise else rows
        return {"loss": (learner(rows) - target).square().mean()}

    report = trainer.run("fit", lambda parts: learner.update(parts, loss), n_images=24, n_steps=5)
    return [row["loss"] for row in report.history]


def test_a_small_gpu_keeps_half_of_its_memory_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"cuda:1": 2 * 100}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device], 400))
    images = torch.zeros(101, dtype=torch.uint8)
    here: Any = SimpleNamespace(device=torch.device("cuda:1"))
    assert not Trainer.near(here, images).is_near()


def learn_in_process(rank: int, folder: Path, devices: int) -> dict[str, list[float]]:
    trainer, learner = make_trainer(folder, accumulate=2, devices=devices)
    curve = learn(trainer, learner)
    weights = torch.cat([p.detach().flatten() for p in learner.exported().parameters()])
    return {"curve": curve, "weights": weights.tolist()}


def test_two_processes_learn_what_one_learns_with_twice_the_parts(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    two = run_together(learn_in_process, tmp_path / "two", 2, n=2, what="test")
    one = learn_in_process(0, tmp_path / "one", 1)
    assert two["curve"] == pytest.approx(one["curve"], rel=1e-5)
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-4, abs=1e-6)
    assert one["curve"][-1] != one["curve"][0]


def fit_gan_in_process(rank: int, folder: Path, devices: int) -> list[float]:
    config = dataclasses.replace(DCGAN.tiny_config(), accumulate=2)
    train = make_images(multilabel=False, channels=1, size=32)
    report = DCGAN(config).fit(train, seed=1, work=Work(folder, budget=Budget(3), devices=devices))
    return [row["loss"] for row in report.history]


def test_two_networks_that_play_against_each_other_are_shared_by_two_processes_as_well(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    two = run_together(fit_gan_in_process, tmp_path / "two", 2, n=2, what="test")
    assert two == pytest.approx(fit_gan_in_process(0, tmp_path / "one", 1), rel=1e-4)


def fail_in_one(rank: int, folder: Path) -> None:
    if rank == 1:
        raise Diverged("the loss is nan")
    import time

    time.sleep(60)


def die(rank: int) -> None:
    import os

    os._exit(3)


def test_what_one_process_raises_ends_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="the loss is nan"):
        run_together(fail_in_one, tmp_path, n=2, what="test")
    with pytest.raises(UserError, match="died"):
        run_together(die, n=1, what="test")


def test_parts_of_a_step_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    curves = {}
    for accumulate in (1, 2, 4):
        (tmp_path / str(accumulate)).mkdir()
        curves[accumulate] = learn(*make_trainer(tmp_path / str(accumulate), accumulate=accumulate), noise=False)
    assert curves[2] == pytest.approx(curves[1], rel=1e-5)
    assert curves[4] == pytest.approx(curves[1], rel=1e-5)


@pytest.mark.parametrize(
    ("batch", "accumulate", "devices", "says"),
    [(8, 3, 1, "cannot be cut into 3 equal parts"), (8, 1, 2, "set --gen.accumulate to 2"), (8, 0, 1, "cannot be cut")],
)
def test_batches_that_cannot_be_shared_are_refused(
    batch: int, accumulate: int, devices: int, says: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        Trainer(Work(tmp_path, devices=devices), seed=0, batch=batch, accumulate=accumulate)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs a C++ compiler")
def test_a_compiled_network_learns_the_same_with_the_same_noise(tmp_path: Path) -> None:
    curves = []
    for compiled in (False, True):
        (tmp_path / str(compiled)).mkdir()
        trainer = Trainer(Work(tmp_path / str(compiled), budget=Budget(5), compile=compiled), seed=3, batch=8)
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        curves.append(learn(trainer, trainer.learner("net", net, lr=0.05, n_steps=5)))
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)


def test_a_resumed_average_looks_at_the_steps_that_an_uninterrupted_one_looks_at(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path)
    first, second = (
        trainer.learner(name, torch.nn.Linear(1, 1), lr=0.5, n_steps=9, ema=0.5, ema_every=4) for name in "ab"
    )

    def looks(learner: Learner) -> int:
        learner.update([Part(torch.arange(4), 0)], lambda part: {"loss": learner(torch.ones(4, 1)).mean()})
        assert learner.average is not None
        return int(learner.average.n_averaged)

    counts = [looks(first) for _ in range(6)]
    second.load_state_dict(first.state_dict())
    assert counts + [looks(second) for _ in range(3)] == [0, 0, 0, 1, 1, 1, 1, 2, 3]


def test_what_is_exported_has_learned_where_the_clock_ends_the_training_before_the_first_look(tmp_path: Path) -> None:
    trainer = Trainer(Work(tmp_path, budget=Budget(10_000)), seed=3, batch=8)
    net = torch.nn.Linear(4, 1)
    before = net.weight.detach().clone()
    learner = trainer.learner("net", net, lr=0.05, n_steps=10_000, ema=0.9, ema_every=5000)

    def step(parts: Any) -> Any:
        return learner.update(parts, lambda part: {"loss": learner(torch.ones(4, 4)).square().mean()})

    report = trainer.run("net", step, n_images=16, n_steps=10_000, seconds=0.0)
    assert report.stopped == "seconds" and report.steps < 5000
    exported = learner.exported().weight
    assert torch.equal(exported, net.weight) and not torch.equal(exported, before)


def test_a_network_that_is_only_looked_through_gets_no_gradient(tmp_path: Path) -> None:
    _, learner = make_trainer(tmp_path)
    x = torch.ones(2, 4, requires_grad=True)
    learner.through(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in learner.net.parameters())


@pytest.mark.parametrize(
    ("schedule", "warmup", "rises"), [("cosine", 10, 10), ("constant", 10, 10), ("cosine", 50, 10), ("constant", 0, 1)]
)
def test_a_learner_moves_at_the_rate_of_the_step(schedule: Any, warmup: int, rises: int, tmp_path: Path) -> None:
    learner = Trainer(Work(tmp_path), seed=0, batch=4).learner(
        "net", torch.nn.Linear(1, 1), lr=0.5, n_steps=100, warmup=warmup, schedule=schedule
    )
    rates = []
    for _ in range(100):
        learner.update([Part(torch.arange(4), 0)], lambda part: {"loss": learner(torch.ones(4, 1)).mean()})
        rates.append(learner.raw_optimiser.param_groups[0]["lr"])
    known = [rate_at(t, 100, schedule=schedule, n_rise=rises, peak=0.5, overlap=True) for t in range(100)]
    assert rates == pytest.approx(known)


@pytest.mark.parametrize(
    ("losses", "next_loss", "faulty"),
    [
        ([0.5] * 20, 1400.0, True),
        ([0.5] * 20, 400.0, False),
        ([50.0] * 20, 40_000.0, False),
        ([50.0] * 20, 60_000.0, True),
        ([0.5] * 3, 1e6, False),
        ([], float("nan"), True),
        ([0.1] * 20, float("inf"), True),
    ],
)
def test_a_loss_that_leaves_all_bounds_is_told_from_a_noisy_one(
    losses: list[float], next_loss: float, faulty: bool
) -> None:
    bounds = Bounds([])
    assert not any(bounds.fault(loss) for loss in losses)
    assert bool(bounds.fault(next_loss)) is faulty


def test_an_exploding_loss_stops_the_fit_and_names_the_checkpoint(tmp_path: Path) -> None:
    work = Work(tmp_path, budget=Budget(40), checkpoint_seconds=0.0)
    trainer = Trainer(work, seed=0, batch=4)
    learner = trainer.learner("net", torch.nn.Linear(1, 1), lr=1e-3, n_steps=40)
    seen: list[int] = []

    def loss(part: Part) -> dict[str, torch.Tensor]:
        seen.append(1)
        size = 1.0 if len(seen) < 20 else 1e6
        return {"loss": size * (learner(torch.ones(4, 1)) * 0 + 1).mean()}

    with pytest.raises(Diverged, match=r"1e\+06, where 1 was usual.*last good checkpoint is step 19"):
        trainer.run("fit", lambda parts: learner.update(parts, loss), n_images=8, n_steps=40)


def test_a_report_of_several_phases_adds_up() -> None:
    first = PhaseReport(3, 1.0, "steps", ({"step": 1.0, "loss": 2.0},))
    second = PhaseReport(4, 2.0, "seconds", ({"step": 1.0, "loss": 1.0},))
    report = report_phases([first, second], [8, 2], facts={"a": 1})
    assert (report.steps, report.images_seen, report.seconds, report.stopped) == (7, 32, 3.0, "seconds")
    assert [(row["stage"], row["step"]) for row in report.history] == [(1.0, 1.0), (2.0, 1.0)]
    assert report_phases([first], [8], facts={}).history == first.history


def test_a_picture_asks_for_every_class_in_turn() -> None:
    assert first_of_each(torch.tensor([2, 0, 2, 1]), n_each=2).tolist() == [0, 0, 1, 1, 2, 2]
    vectors = torch.tensor([[0, 1], [1, 1], [0, 1]], dtype=torch.uint8)
    assert first_of_each(vectors, n_each=1).tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_every_precision_trains(precision: str, tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=32)
    work = Work(tmp_path, budget=Budget(2), precision=precision)
    report = DCGAN(DCGAN.tiny_config()).fit(train, seed=1, work=work)
    assert report.steps == 2
    assert torch.get_float32_matmul_precision() == "highest"
    assert json.dumps([dict(row) for row in report.history])
