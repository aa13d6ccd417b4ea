"""Trainings that take turns on one device: what each computes does not depend on the others."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_loop import Bench, Killed

from benchmarks.job import train_arms
from benchmarks.job.carry_out import Outcome, carry_out
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.request.options import parse
from benchmarks.stages import side_by_side
from classifiers.training import Training
from synthworth.errors import Diverged
from synthworth.training.captured import Captured
from synthworth.training.loop import Phase, run_together
from synthworth.work import Work

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = [
    *("--generator", "jitter", "--ratio", "1", "--controls", "none", "mixup", "--preset", "smoke"),
    *("--device", "cpu", "--workers", "1", "--seeds", "2", "--train.steps", "2", "--clf.batch-size", "8"),
    *("--clf.augment", "light", "--extractors", "efficientnet_lite0"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40"),
]


def phase_of(bench: Bench, work: Work, **options: Any) -> Phase:
    return Phase("phase", options.pop("step", bench.step), n_steps=24, parts=bench.parts, seed=7, work=work, **options)


def folder(place: Path) -> Path:
    place.mkdir()
    return place


def test_phases_that_take_turns_come_to_the_ends_that_they_come_to_alone(tmp_path: Path) -> None:
    alone = Bench()
    expected = alone.run(Work(folder(tmp_path / "alone")))
    benches = [Bench(), Bench(), Bench()]
    reports = run_together(
        [phase_of(bench, Work(folder(tmp_path / f"{k}"))) for k, bench in enumerate(benches)], what="three"
    )
    for bench, report in zip(benches, reports, strict=True):
        assert not isinstance(report, Diverged) and report.history == expected.history
        assert all(torch.equal(a, b) for a, b in zip(bench.weights(), alone.weights(), strict=True))


def test_one_that_diverges_is_left_and_the_others_go_on(tmp_path: Path) -> None:
    alone, sound, broken = Bench(), Bench(), Bench()
    alone.run(Work(folder(tmp_path / "alone")))

    def step(t: int) -> Any:
        scalars = broken.step(t)
        return {"loss": scalars["loss"] * (float("nan") if t == 5 else 1.0)}

    phases = [
        phase_of(broken, Work(folder(tmp_path / "a")), step=step),
        phase_of(sound, Work(folder(tmp_path / "b"))),
    ]
    first, second = run_together(phases, what="two")
    assert isinstance(first, Diverged) and "step 6 of 24" in str(first)
    assert not isinstance(second, Diverged) and second.steps == 24
    assert all(torch.equal(a, b) for a, b in zip(sound.weights(), alone.weights(), strict=True))


def test_a_killed_group_goes_on_to_the_same_ends(tmp_path: Path) -> None:
    alone = Bench()
    alone.run(Work(folder(tmp_path / "alone")))
    works = [Work(folder(tmp_path / f"{k}"), checkpoint_seconds=0.0) for k in range(2)]

    def killed(bench: Bench) -> Callable[[int], Any]:
        def step(t: int) -> Any:
            if t == 9:
                raise Killed
            return bench.step(t)

        return step

    benches = [Bench(), Bench()]
    phases = [phase_of(benches[0], works[0]), phase_of(benches[1], works[1], step=killed(benches[1]))]
    with pytest.raises(Killed):
        run_together(phases, what="two")
    again = [Bench(), Bench()]
    run_together([phase_of(bench, work) for bench, work in zip(again, works, strict=True)], what="two")
    assert [bench.taken[0] for bench in again] == [10, 9]
    for bench in again:
        assert all(torch.equal(a, b) for a, b in zip(bench.weights(), alone.weights(), strict=True))


def test_the_seconds_of_phases_that_take_turns_add_up_to_the_time_that_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("synthworth.training.loop.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("synthworth.training.meter.matmul_peak", lambda device, precision: 1e9)

    def step(bench: Bench) -> Callable[[int], Any]:
        def took_a_second(t: int) -> Any:
            now[0] += 1.0
            return bench.step(t)

        return took_a_second

    benches = [Bench(), Bench()]
    phases = [phase_of(b, Work(folder(tmp_path / f"{k}")), step=step(b)) for k, b in enumerate(benches)]
    reports = run_together(phases, what="two")
    assert [report.seconds for report in reports if not isinstance(report, Diverged)] == [24.0, 24.0]


def test_checkpoints_of_phases_that_take_turns_take_a_twentieth_of_the_time_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, kept = [0.0], []
    monkeypatch.setattr("synthworth.training.loop.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("synthworth.training.meter.matmul_peak", lambda device, precision: 1e9)

    def keep(phase: Phase) -> None:
        now[0] += 1.0
        kept.append(phase.t)

    def step(bench: Bench) -> Callable[[int], Any]:
        def took_five_seconds(t: int) -> Any:
            now[0] += 5.0
            return bench.step(t)

        return took_five_seconds

    monkeypatch.setattr(Phase, "_keep", keep)
    benches = [Bench(), Bench()]
    works = [Work(folder(tmp_path / f"{k}"), checkpoint_seconds=1.0) for k in range(2)]
    run_together([phase_of(b, w, step=step(b)) for b, w in zip(benches, works, strict=True)], what="two")
    between = [t for t in kept if t < 24]
    assert 0.02 < len(between) / now[0] < 0.06


def recorded(record: Any, monkeypatch: pytest.MonkeyPatch) -> list[Captured]:
    """Let every classifier's step be recorded, as on a GPU."""
    made: list[Captured] = []
    begin = Training.__init__

    def started(self: Training, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        made.append(self.captured(record))
        self.learn = made[-1]

    monkeypatch.setattr(Training, "__init__", started)
    return made


def run(home: Path, *flags: str) -> Outcome:
    request = parse([*SMALL, *flags, "--home", str(home / "home"), "--results", str(home / "runs")], prog="test")
    return carry_out(request)


def predictions(home: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in sorted((home / "runs").glob(f"*/{PREDICTIONS}"))}


def test_a_run_whose_classifiers_take_turns_and_are_recorded_predicts_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "alone")
    monkeypatch.setattr(train_arms, "takes_turns", lambda experiment, arms: True)
    monkeypatch.setattr(side_by_side, "MOST", 4)
    made = recorded(lambda again: again, monkeypatch)
    together = run(tmp_path / "together")
    assert len(made) == 6 and all(step.replay is not None for step in made)
    assert len(together.records) == 3
    assert predictions(tmp_path / "together") == predictions(tmp_path / "alone") != {}


def body_of(net: torch.nn.Module, adam: torch.optim.Optimizer) -> Callable[[torch.Tensor], dict[str, torch.Tensor]]:
    """A step that can be recorded."""

    def body(x: torch.Tensor) -> dict[str, torch.Tensor]:
        adam.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        adam.step()
        return {"loss": loss.detach()}

    return body


def test_a_recorded_step_leaves_the_weights_as_they_were_until_it_is_taken() -> None:
    net, x = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)), torch.randn(8, 3)
    adam = torch.optim.AdamW(net.parameters(), lr=0.1)
    before = [value.clone() for value in net.state_dict().values()]
    Captured(body_of(net, adam), model=net, optimiser=adam, record=lambda again: again).prepare(x)
    assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values(), strict=True))
    assert all(not state["step"] and not state["exp_avg"].any() for state in adam.state.values())


def test_a_resumed_step_that_is_recorded_keeps_the_state_that_was_read() -> None:
    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer, Any]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = torch.nn.Linear(3, 1)
        adam = torch.optim.AdamW(net.parameters(), lr=0.1)

        return net, adam, body_of(net, adam)

    batches = torch.randn(6, 8, 3, generator=torch.Generator().manual_seed(1))
    whole, _, plain = made()
    for batch in batches:
        plain(batch)
    net, adam, body = made()
    for batch in batches[:3]:
        body(batch)
    step = Captured(body, model=net, optimiser=adam, record=lambda again: again)
    for batch in batches[3:]:
        step(batch)
    assert torch.equal(net.weight, whole.weight)


def test_memory_ends_a_group_and_the_rest_is_trained_after_it_when_that_memory_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two arms want one of the trainings: it is made once, and does not wait for itself."""
    groups: list[int] = []
    together, begin, train = side_by_side.run_together, Training.__init__, side_by_side.train_side_by_side
    begun: list[weakref.ref[Training]] = []
    held: list[int] = []

    def counted(phases: Any, *, what: str) -> Any:
        groups.append(len(phases))
        return together(phases, what=what)

    def noted(self: Training, *given: Any, **named: Any) -> None:
        held.append(sum(training() is not None for training in begun))
        begun.append(weakref.ref(self))
        begin(self, *given, **named)

    monkeypatch.setattr(train_arms, "takes_turns", lambda experiment, arms: True)
    monkeypatch.setattr(side_by_side, "run_together", counted)
    monkeypatch.setattr(
        train_arms, "train_side_by_side", lambda experiment, wanted: train(experiment, [*wanted, wanted[0]])
    )
    monkeypatch.setattr(Training, "__init__", noted)
    monkeypatch.setattr(side_by_side.Room, "is_left", lambda self: self.entered < 3)
    monkeypatch.setattr(side_by_side.Room, "entered", 0, raising=False)
    monkeypatch.setattr(side_by_side.Room, "__enter__", lambda self: setattr(self, "entered", self.entered + 1))
    gc.disable()  # what Python frees when it happens to is not what is asked for
    try:
        run(tmp_path, "--controls", "none")
    finally:
        gc.enable()
    assert groups == [3, 1]
    assert held == [0, 1, 2, 0]


def test_the_room_on_a_gpu_is_told_by_the_largest_training(monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([100, 70, 70, 50, 37, 38])  # before and after two starts; then asked twice
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (next(free), 100))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    room = side_by_side.Room("cuda")
    assert room.is_left()
    for _ in range(2):
        with room:
            pass
    assert room.largest == 30
    assert [room.is_left(), room.is_left()] == [False, True]


def test_a_training_that_finds_no_memory_beside_the_others_begins_the_next_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And while the others step, what it took is free again."""
    groups: list[int] = []
    prepared: list[weakref.ref[Training]] = []
    held: list[bool] = []
    together, prepare = side_by_side.run_together, Training.prepare

    def counted(phases: Any, *, what: str) -> Any:
        groups.append(len(phases))
        held.append(prepared[2]() is not None)
        return together(phases, what=what)

    def short_of_memory(self: Training) -> None:
        prepared.append(weakref.ref(self))
        if len(prepared) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        prepare(self)

    monkeypatch.setattr(train_arms, "takes_turns", lambda experiment, arms: True)
    monkeypatch.setattr(side_by_side, "run_together", counted)
    monkeypatch.setattr(Training, "prepare", short_of_memory)
    outcome = run(tmp_path, "--controls", "none")
    assert groups == [2, 2] and len(outcome.records) == 2 and not outcome.failed
    assert not held[0]
