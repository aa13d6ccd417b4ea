"""The kit that generators and classifiers are trained with: data near the device, networks, rates, reports, options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from synthworth.errors import UserError
from synthworth.training import order
from synthworth.training.loop import PhaseReport
from synthworth.training.near import Resident, half_of_free, hold
from synthworth.training.networks import count_parameters, evaluating, place, rebuild
from synthworth.training.options import checked_sha256, require_ranges
from synthworth.training.order import BatchOrder, Near
from synthworth.training.rates import Schedule, rate_at
from synthworth.training.reports import join_reports, report_of
from synthworth.work import FitReport

pytestmark = pytest.mark.usefixtures("one_thread")

ELSEWHERE = "meta"
"""A device of torch's that is not the CPU and is on every machine: tensors there have a shape and no values."""


@pytest.mark.parametrize(("limit", "moves"), [(24, True), (23, False)])
def test_data_move_to_the_device_together_if_all_of_them_fit(limit: int, moves: bool) -> None:
    images, labels = torch.zeros(4, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.float32)
    held = hold(images, labels, device=ELSEWHERE, limit=limit)
    assert [t.device.type == ELSEWHERE for t in held] == [moves, moves]
    assert moves or held[0] is images


@pytest.mark.parametrize("limit", [0, 1000])
def test_rows_come_on_the_device_wherever_the_data_lie(limit: int) -> None:
    source = Resident(torch.zeros(4, 2), torch.zeros(4), device=ELSEWHERE, limit=limit)
    images, labels = source(torch.tensor([3, 1, 1], device=source.tensors[0].device))
    assert (images.device.type, images.shape) == (ELSEWHERE, (3, 2))
    assert (labels.device.type, labels.shape) == (ELSEWHERE, (3,))


def test_rows_come_in_the_order_asked_for() -> None:
    images, labels = Resident(torch.arange(4) * 10, torch.arange(4), device="cpu")(torch.tensor([3, 1, 1]))
    assert (images.tolist(), labels.tolist()) == ([30, 10, 10], [3, 1, 1])


def test_only_a_gpu_has_room_for_data_and_half_of_it_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {"cuda:1": (1001, 4000)}[device])
    assert [half_of_free(device) for device in ("cpu", "mps", "cuda:1")] == [0, 0, 500]


def test_rows_of_many_steps_go_to_a_device_together_and_are_those_of_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(order, "AHEAD", 5)
    of_step, copies = BatchOrder(7, 3, seed=2), []
    near = Near(of_step, device=ELSEWHERE)
    assert near(0).device.type == ELSEWHERE
    near.device = FakeDevice()
    monkeypatch.setattr(order, "upload", lambda rows, device: copies.append(len(rows)) or rows)
    near._chunk = -1
    steps = [0, 1, 4, 5, 9, 2, 23]
    assert [near(t).tolist() for t in steps] == [of_step(t).tolist() for t in steps]
    assert copies == [5] * 4  # for 0..4, 5..9, 0..4 again, 20..24


class FakeDevice:
    """Stands for a GPU: whatever goes there stays on the CPU."""

    type = "cuda"


class Recorder(nn.Module):
    """Notes where it is moved and goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[Any] = []

    def to(self, *where: Any, **how: Any) -> Recorder:
        self.moves.append(where[0] if where else how)
        return self


def test_weights_are_channels_last_on_a_gpu_alone() -> None:
    assert place(Recorder(), "cuda:0").moves == [{"memory_format": torch.channels_last}, "cuda:0"]
    assert place(Recorder(), "cpu").moves == ["cpu"]


def test_a_network_is_made_again_from_its_weights_without_touching_random_state() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = nn.Linear(3, 2)
    before = torch.get_rng_state()
    again = rebuild(lambda: nn.Linear(3, 2), net.state_dict(), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again.weight, net.weight)
    assert again.weight.data_ptr() != net.weight.data_ptr()
    with pytest.raises(RuntimeError, match="Missing key"):
        rebuild(lambda: nn.Linear(3, 2), {}, device="cpu")


def test_frozen_parameters_count_too() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1).requires_grad_(False))
    assert count_parameters(net) == 8 + 3


def test_evaluating_puts_the_mode_back_even_after_an_error() -> None:
    net = nn.Dropout()
    modes: list[bool] = []
    with pytest.raises(KeyError), evaluating(net):  # noqa: PT012
        modes.append(net.training)
        raise KeyError
    assert modes == [False]
    assert net.training


def curve(n: int, schedule: Schedule, **options: Any) -> list[float]:
    return [rate_at(t, n, schedule=schedule, **options) for t in range(n)]


@pytest.mark.parametrize(("n", "n_rise"), [(40, 12), (10, 1), (3, 3)])
def test_one_cycle_is_that_of_torch_without_its_first_step(n: int, n_rise: int) -> None:
    optimiser = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    share = (n_rise + 1) / (n + 1)
    known = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 0.01, total_steps=n + 1, pct_start=share, div_factor=25, final_div_factor=400, cycle_momentum=False
    )
    expected = []
    for _ in range(n):
        optimiser.step()
        known.step()
        expected.append(known.get_last_lr()[0])
    assert curve(n, "one_cycle", n_rise=n_rise, peak=0.01) == pytest.approx(expected)


def test_a_cosine_begins_where_the_rise_ends() -> None:
    rates = curve(24, "cosine", n_rise=4, peak=2.0)
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert rates[4:] == pytest.approx([1 + math.cos(math.pi * k / 20) for k in range(1, 21)], abs=1e-12)


def test_an_overlapping_cosine_begins_with_the_training() -> None:
    rates = curve(20, "cosine", n_rise=4, overlap=True)
    falling = [(1 + math.cos(math.pi * t / 20)) / 2 for t in range(20)]
    assert rates[:3] == pytest.approx([falling[0] / 4, falling[1] / 2, falling[2] * 3 / 4])
    assert rates[3:] == pytest.approx(falling[3:])
    assert rate_at(30, 20, schedule="cosine", n_rise=4, overlap=True) == 0  # a loop that goes on learns no more


def test_a_constant_rate_rises_and_stays() -> None:
    assert curve(5, "constant", n_rise=2, peak=3.0) == [1.5, 3.0, 3.0, 3.0, 3.0]
    assert curve(2, "constant", n_rise=1, overlap=True) == [1.0, 1.0]


PHASES = PhaseReport(3, 1.0, "steps", ({"step": 2.0, "loss": 2.0},)), PhaseReport(4, 2.0, "seconds", ({"step": 1.0},))


def test_a_phase_reports_the_images_it_saw() -> None:
    assert report_of(PHASES[1], batch=5, facts={"a": 1}) == FitReport(4, 20, 2.0, "seconds", ({"step": 1.0},), {"a": 1})


@pytest.mark.parametrize(("counting_on", "second"), [(False, 1.0), (True, 4.0)])
def test_reports_that_follow_each_other_add_up(counting_on: bool, second: float) -> None:
    reports = [report_of(PHASES[0], batch=8), report_of(PHASES[1], batch=2)]
    joined = join_reports(reports, label="model", first=5, facts={"b": 2}, counting_on=counting_on)
    assert (joined.steps, joined.images_seen, joined.seconds, joined.stopped) == (7, 32, 3.0, "seconds")
    assert joined.history == ({"model": 5.0, "step": 2.0, "loss": 2.0}, {"model": 6.0, "step": second})
    assert joined.facts == {"b": 2}
    whole = join_reports(reports[:1] * 2, label="model", first=0, facts={})
    assert whole.stopped == "steps"


@dataclass(frozen=True)
class Options:
    learning_rate: float = -1.0
    batch: int = 0


@pytest.mark.parametrize(
    ("fits", "prefix", "says"),
    [
        ((False, False), "--gen.", "--gen.learning-rate -1.0 was asked for, which is out of range: above 0"),
        ((True, False), "--clf.", "--clf.batch 0 was asked for, which is out of range: 2 or more"),
        ((False, True), "", "learning_rate -1.0 was asked for, which is out of range: above 0"),
    ],
)
def test_the_first_option_out_of_range_is_named_as_its_flag_with_the_range(
    fits: tuple[bool, bool], prefix: str, says: str
) -> None:
    with pytest.raises(UserError) as refused:
        require_ranges(
            Options(), {"learning_rate": (fits[0], "above 0"), "batch": (fits[1], "2 or more")}, prefix=prefix
        )
    assert str(refused.value) == says


def test_options_in_range_pass() -> None:
    require_ranges(Options(), {"learning_rate": (True, "any"), "batch": (True, "any")})


def test_a_weights_file_is_known_by_its_sha256(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert checked_sha256(file, "", option="--x") == checked_sha256(file, known, option="--x") == known
    with pytest.raises(UserError, match=f"--x .*weights has sha256 {known}, not 00 as asked"):
        checked_sha256(file, "00", option="--x")
    with pytest.raises(UserError, match=r"--x .*none: no such file"):
        checked_sha256(tmp_path / "none", "", option="--x")
