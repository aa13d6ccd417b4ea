"""The training loop: killed at any moment it goes on to the same end, and it leaves nothing else changed."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.check.result import global_states
from synthworth.errors import Diverged
from synthworth.sealed import read_sealed, write_sealed
from synthworth.training.average import Average
from synthworth.training.loop import PhaseReport, run_steps
from synthworth.training.order import BatchOrder
from synthworth.work import Budget, Work

N = 24


pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(Exception):
    """Stands for kill -9."""


class Bench:
    """A small network with dropout, AdamW, a schedule and an average, learning noise from noise."""

    def __init__(self) -> None:
        maker = torch.Generator().manual_seed(0)
        self.x = torch.randn(40, 6, generator=maker)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.adam = torch.optim.AdamW(self.net.parameters(), lr=0.01)
        self.rate = torch.optim.lr_scheduler.CosineAnnealingLR(self.adam, N)
        self.average = Average(self.net, 0.9)
        self.order = BatchOrder(40, 16, seed=3)
        self.taken: list[int] = []

    @property
    def parts(self) -> dict[str, Any]:
        return {"net": self.net, "adam": self.adam, "rate": self.rate, "average": self.average}

    def step(self, t: int) -> Mapping[str, Tensor]:
        x = self.x[self.order(t)]
        loss = (self.net(x + 0.1 * torch.randn_like(x)) - x.sum(1, keepdim=True)).square().mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.rate.step()
        self.average.follow(self.net, t + 1)
        self.taken.append(t)
        return {"loss": loss.detach()}

    def run(self, work: Work, step: Callable[[int], Mapping[str, Tensor]] | None = None, **options: Any) -> PhaseReport:
        return run_steps("phase", step or self.step, n_steps=N, parts=self.parts, seed=7, work=work, **options)

    def weights(self) -> list[Tensor]:
        return [*self.net.state_dict().values(), *self.average.state_dict().values()]


def killed_at(bench: Bench, last: int) -> Callable[[int], Mapping[str, Tensor]]:
    def step(t: int) -> Mapping[str, Tensor]:
        if t == last:
            raise Killed
        return bench.step(t)

    return step


@pytest.mark.parametrize("last", [0, 1, 13, N - 1])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, last: int) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole = Bench()
    expected = whole.run(Work(tmp_path / "a", checkpoint_seconds=0.0))
    work, cut = Work(tmp_path / "b", checkpoint_seconds=0.0), Bench()
    with pytest.raises(Killed):
        cut.run(work, killed_at(cut, last))
    again = Bench()
    report = again.run(work)
    assert again.taken == list(range(last, N))
    assert (report.steps, report.stopped, report.history) == (expected.steps, expected.stopped, expected.history)
    assert all(torch.equal(a, b) for a, b in zip(again.weights(), whole.weights(), strict=True))


def test_steps_since_the_last_checkpoint_are_taken_again_to_the_same_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole = Bench()
    whole.run(Work(tmp_path / "a"))
    cut = Bench()
    with pytest.raises(Killed):
        cut.run(Work(tmp_path / "b", checkpoint_seconds=1e9), killed_at(cut, 9))
    again = Bench()
    again.run(Work(tmp_path / "b"))
    assert again.taken == list(range(N))
    assert all(torch.equal(a, b) for a, b in zip(again.weights(), whole.weights(), strict=True))


def test_a_finished_run_takes_no_step_and_reports_the_same(tmp_path: Path) -> None:
    first, second = Bench(), Bench()
    report = first.run(Work(tmp_path))
    assert second.run(Work(tmp_path)) == report
    assert second.taken == []
    assert all(torch.equal(a, b) for a, b in zip(first.weights(), second.weights(), strict=True))


def test_a_loss_that_is_not_finite_stops_and_names_step_and_checkpoint(tmp_path: Path) -> None:
    bench = Bench()

    def step(t: int) -> Mapping[str, Tensor]:
        scalars = bench.step(t)
        return {"loss": scalars["loss"] * (float("nan") if t == 5 else 1.0)}

    says = r"loss is nan at step 6 of 24; the last good checkpoint is step 5 in .*phase\.ckpt"
    with pytest.raises(Diverged, match=says):
        bench.run(Work(tmp_path, checkpoint_seconds=0.0), step)


def test_divergence_before_any_checkpoint_says_so(tmp_path: Path) -> None:
    bench = Bench()
    with pytest.raises(Diverged, match="step 1 of 24; there is no checkpoint yet"):
        bench.run(Work(tmp_path), lambda t: {"loss": torch.tensor(float("inf"))})


def test_the_seconds_of_a_budget_stop_the_run_and_it_stays_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr("synthworth.training.loop.time.perf_counter", lambda: float(next(clock)))
    bench = Bench()
    report = bench.run(Work(tmp_path), seconds=20.0)
    assert report.stopped == "seconds"
    assert 0 < report.steps == len(bench.taken) < N
    again = Bench()
    assert again.run(Work(tmp_path), seconds=20.0) == report
    assert again.taken == []


def test_global_random_state_is_left_alone_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    before = global_states()
    first = Bench()
    first.run(Work(tmp_path / "a"))
    assert global_states() == before
    with torch.random.fork_rng():
        torch.manual_seed(99)
        second = Bench()
        second.run(Work(tmp_path / "b"))
    assert all(torch.equal(a, b) for a, b in zip(first.weights(), second.weights(), strict=True))


def half_way(folder: Path) -> Path:
    """The checkpoint of a training that was cut at step 9."""
    folder.mkdir(exist_ok=True)
    cut = Bench()
    with pytest.raises(Killed):
        cut.run(Work(folder, checkpoint_seconds=0.0), killed_at(cut, 9))
    return folder / "phase.ckpt"


def flip(file: Path, at: int) -> None:
    """Change one bit of a file."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def harm_bytes(at: float) -> Callable[[Path], object]:
    return lambda file: flip(file, int(at * (file.stat().st_size - 1)))


HARMS: dict[str, Callable[[Path], object]] = {
    "empty": lambda f: f.write_bytes(b""),
    "cut short": lambda f: f.write_bytes(f.read_bytes()[:-1]),
    "of another kind": lambda f: f.write_bytes(b"half a checkp"),
    "longer": lambda f: f.write_bytes(f.read_bytes() + b"0"),
    **{f"one bit at {at:.0%}": harm_bytes(at) for at in (0, 0.2, 0.4, 0.6, 0.8, 0.97, 1)},
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_checkpoint_is_named_set_aside_and_its_steps_taken_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    whole = Bench()
    (tmp_path / "whole").mkdir()
    whole.run(Work(tmp_path / "whole"))
    file = half_way(tmp_path / "cut")
    HARMS[harm](file)
    again = Bench()
    again.run(Work(tmp_path / "cut"))
    assert "phase.ckpt is damaged" in caplog.text and "phase.ckpt.damaged" in caplog.text
    assert file.with_name("phase.ckpt.damaged").is_file()
    assert all(torch.equal(a, b) for a, b in zip(again.weights(), whole.weights(), strict=True))
    assert again.taken == list(range(N))


@pytest.mark.parametrize("step", [-5, N + 1, 99])
def test_a_checkpoint_of_a_step_that_cannot_be_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    file = half_way(tmp_path)
    held = read_sealed(file)
    assert held is not None
    content = io.BytesIO()
    torch.save({**torch.load(held, weights_only=True), "step": step}, content)
    write_sealed(file, content.getbuffer())
    Bench().run(Work(tmp_path))
    assert f"it was written after step {step}, and there are {N}" in caplog.text


def test_scalars_are_logged_as_plain_floats(tmp_path: Path) -> None:
    rows: list[tuple[int, dict[str, float]]] = []
    work = dataclasses.replace(Work(tmp_path), log=lambda step, **scalars: rows.append((step, scalars)))
    report = Bench().run(work)
    assert [step for step, _ in rows] == list(range(1, N + 1))
    assert all(type(v) is float for _, scalars in rows for v in scalars.values())
    (name,) = {name for _, scalars in rows for name in scalars if name.endswith("/loss")}
    assert [row["loss"] for row in report.history] == [scalars[name] for _, scalars in rows]


@pytest.mark.parametrize(("n", "batch"), [(10, 5), (10, 3), (7, 7), (3, 8)])
def test_every_epoch_covers_every_row_once(n: int, batch: int) -> None:
    order = BatchOrder(n, batch, seed=1)
    drawn = torch.cat([order(t) for t in range(n)])
    assert len(drawn) == n * batch
    for epoch in drawn.reshape(-1, n)[:batch]:
        assert sorted(epoch.tolist()) == list(range(n))


def test_batch_order_has_no_memory_and_follows_its_seed() -> None:
    order = BatchOrder(50, 8, seed=1)
    forwards = [order(t) for t in range(20)]
    assert all(torch.equal(BatchOrder(50, 8, seed=1)(t), forwards[t]) for t in reversed(range(20)))
    assert not torch.equal(BatchOrder(50, 8, seed=2)(0), forwards[0])


def test_the_average_warms_up_and_then_decays_at_its_rate() -> None:
    net = nn.Linear(1, 1, bias=False)
    average, expected = Average(net, 0.5), 0.0
    for t in range(20):
        net.weight.data.fill_(float(t))
        average.follow(net, t + 1)
        decay = min(0.5, (1 + t) / (10 + t))
        expected = float(t) if t == 0 else decay * expected + (1 - decay) * t
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_an_average_of_every_third_step_holds_what_that_of_each_would_of_weights_that_stand_still_between() -> None:
    """Both in the warm-up and after it; and the last step is looked at even where it is not a third one."""
    net = nn.Linear(1, 1, bias=False)
    each, third = Average(net, 0.5, every=1), Average(net, 0.5, every=3, n_steps=20)
    looked = []
    for t in range(20):
        net.weight.data.fill_(float(min(t // 3, 6)))
        each.follow(net, t + 1)
        before = int(third.n_averaged)
        third.follow(net, t + 1)
        looked += [t + 1] * (int(third.n_averaged) - before)
        if t + 1 in (3, 6, 9, 18, 20):
            assert third.module.weight.item() == pytest.approx(each.module.weight.item(), rel=1e-5)
    assert looked == [3, 6, 9, 12, 15, 18, 20]


def test_an_average_whose_training_ends_before_its_time_has_looked_at_the_last_weights_once() -> None:
    net = nn.Linear(1, 1, bias=False)
    early, planned = Average(net, 0.5, every=4), Average(net, 0.5, every=4, n_steps=10)
    for t in range(10):
        net.weight.data.fill_(float(t))
        early.follow(net, t + 1)
        planned.follow(net, t + 1)
    assert not torch.equal(early.module.weight, planned.module.weight)
    for _ in range(2):  # a resumed training asks again
        early.close(net, 10)
        assert torch.equal(early.module.weight, planned.module.weight)
    planned.close(net, 10)
    assert int(planned.n_averaged) == int(early.n_averaged) == 3


def test_what_the_clock_ends_says_how_far_it_came_and_closes_before_it_asks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    report = run_steps(
        "phase", lambda t: {"loss": torch.tensor(1.0)}, n_steps=1000, parts={}, seed=0,
        work=Work(tmp_path, budget=Budget(1000)), seconds=0.0, cut=lambda: told.append("closed"),
        gate=lambda t, last: told.append(f"asked, last {last}"),
    )  # fmt: skip
    assert report.stopped == "seconds" and 1 <= report.steps < 1000
    assert told[-2:] == ["closed", "asked, last True"] and told.count("closed") == 1
    assert f"the time is over after {report.steps} of 1000 steps" in caplog.text


def test_the_average_follows_buffers_too() -> None:
    net = nn.BatchNorm1d(2)
    average = Average(net, 0.9)
    net(torch.ones(4, 2) * 5)
    average.follow(net, 1)
    assert torch.equal(average.module.running_mean, net.running_mean)
    assert int(average.module.num_batches_tracked) == 1
