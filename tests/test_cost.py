"""What a fit costs: counted operations, the device's peak and energy, told in the fit's report and in records."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synthworth.artifacts import ensure_folder
from synthworth.cost import UNCOUNTED, UNTRAINED, Cost, cost_in_words, describe_cost, join_costs
from synthworth.devices import isolated_randomness
from synthworth.energy import Nvml, Rapl, open_counter
from synthworth.errors import Unavailable
from synthworth.sealed import read_sealed, write_sealed
from synthworth.training import peak
from synthworth.training.flops import count_aside, count_flops
from synthworth.training.loop import METER, PhaseReport, run_steps
from synthworth.training.meter import Meter
from synthworth.training.peak import matmul_peak
from synthworth.work import Work

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH, N = 4, 6


class Bench:
    """A convolution 1 -> 3 of 3 x 3 on 8 x 8 pixels, dropout, batch norm and a linear layer of 192 numbers to 2."""

    def __init__(self) -> None:
        with isolated_randomness(0):
            self.net = nn.Sequential(
                nn.Conv2d(1, 3, 3, padding=1),
                nn.BatchNorm2d(3),
                nn.SiLU(),
                nn.Flatten(),
                nn.Dropout(0.3),
                nn.Linear(192, 2),
            )
            self.x = torch.randn(BATCH, 1, 8, 8)
        self.adam = torch.optim.AdamW(self.net.parameters(), lr=0.01)

    def step(self, t: int) -> Mapping[str, Tensor]:
        self.adam.zero_grad()
        loss = self.net(self.x + torch.randn_like(self.x)).square().mean()
        loss.backward()
        self.adam.step()
        return {"loss": loss.detach()}

    def run(self, folder: Path, step: Callable[[int], Mapping[str, Tensor]] | None = None, **more: Any) -> PhaseReport:
        work = Work(ensure_folder(folder), checkpoint_seconds=0)
        parts = {"net": self.net, "adam": self.adam}
        return run_steps(
            "p", step or self.step, n_steps=N, parts=parts, seed=1, work=work, images_per_step=BATCH, **more
        )

    def weights(self) -> list[Tensor]:
        return list(self.net.state_dict().values())


FORWARD = 2 * (8 * 8 * 9 * 3 + 192 * 2)
BACKWARD = 2 * (8 * 8 * 9 * 3) + 2 * 2 * (192 * 2)
"""The convolution's weight alone (its input wants no gradient); input and weight of the linear layer."""


def test_the_operations_of_a_convolution_net_are_those_counted_by_hand() -> None:
    assert count_flops(lambda: Bench().step(0)) == BATCH * (FORWARD + BACKWARD)


def test_a_look_at_val_inside_a_step_is_not_counted() -> None:
    bench = Bench()

    def step() -> None:
        bench.step(0)
        with torch.inference_mode():
            bench.net(bench.x)

    assert count_flops(step) == BATCH * (FORWARD + BACKWARD)


def test_attention_on_a_cpu_is_counted_forward_and_backward() -> None:
    q = torch.randn(1, 2, 5, 8, requires_grad=True)  # 2 heads, 5 tokens of 8 numbers: two products of 5 x 5 x 8
    forward = 2 * 2 * 2 * 5 * 5 * 8
    assert count_flops(lambda: F.scaled_dot_product_attention(q, q, q)) == forward
    assert count_flops(lambda: F.scaled_dot_product_attention(q, q, q).sum().backward()) == forward * 7 // 2


def test_on_the_meta_device_the_count_is_the_same() -> None:
    with torch.device("meta"):
        net, x = Bench().net, torch.empty(BATCH, 1, 8, 8)
        net = net.to("meta")
    assert count_flops(lambda: net(x).square().mean().backward()) == BATCH * (FORWARD + BACKWARD)


def test_counting_changes_no_bit_of_a_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, plain = Bench(), Bench()
    history = counted.run(tmp_path / "counted").history
    monkeypatch.setattr("synthworth.training.meter.counted", lambda step: (1, step()))
    assert plain.run(tmp_path / "plain").history == history
    assert all(torch.equal(a, b) for a, b in zip(counted.weights(), plain.weights(), strict=True))


def test_a_resumed_fit_tells_the_same_operations_without_counting_again(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    bench = Bench()

    def dying(t: int) -> Mapping[str, Tensor]:
        if t == 3:
            raise Killed
        return bench.step(t)

    with pytest.raises(Killed):
        bench.run(tmp_path, dying)
    again = Bench()

    def another(t: int) -> Mapping[str, Tensor]:  # twice the work: a new count would tell
        again.net(again.x)
        return again.step(t)

    cost = again.run(tmp_path, another).cost
    assert cost.gflop == pytest.approx(N * BATCH * (FORWARD + BACKWARD) / 1e9)
    assert Bench().run(tmp_path).cost.gflop == cost.gflop  # all steps were taken before


def test_a_checkpoint_of_before_there_were_costs_goes_on_and_is_counted(tmp_path: Path) -> None:
    bench = Bench()
    bench.run(tmp_path)
    file = tmp_path / "p.ckpt"
    held = read_sealed(file)
    assert held is not None
    state = torch.load(held, weights_only=True)
    del state["parts"][METER]
    for step, known in ((N, False), (N - 1, True)):
        state["step"] = step
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_sealed(file, buffer.getbuffer())
        cost = Bench().run(tmp_path).cost
        assert (cost.gflop is not None) is known
        assert known or cost.notes["gflop"] == "it was trained before they were counted"


def test_a_step_counted_aside_is_undone() -> None:
    bench, never = Bench(), Bench()
    for one in (bench, never):
        with isolated_randomness(1):
            one.step(0)
    before = torch.get_rng_state()
    found = count_aside(lambda: bench.step(1), {"net": bench.net, "adam": bench.adam}, seed=5)
    assert found == BATCH * (FORWARD + BACKWARD)
    assert torch.equal(before, torch.get_rng_state())
    for one in (bench, never):
        with isolated_randomness(2):
            one.step(1)
    assert all(torch.equal(a, b) for a, b in zip(bench.weights(), never.weights(), strict=True))


def test_a_phase_may_hand_in_its_own_count(tmp_path: Path) -> None:
    assert Bench().run(tmp_path, flops=lambda: 10**9).cost.gflop == N


def test_what_torch_has_a_wrong_formula_for_is_null_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **more: Any) -> int:
        raise TypeError("of shapes")

    monkeypatch.setitem(torch.utils.flop_counter.flop_registry, torch.ops.aten.convolution, broken)
    cost = Bench().run(tmp_path).cost
    assert cost.gflop is None
    assert "aten.convolution" in cost.notes["gflop"] and "TypeError of shapes" in cost.notes["gflop"]


def test_the_operations_are_of_all_processes_that_share_a_step(tmp_path: Path) -> None:
    bench = Bench()
    meter = Meter(bench.step, work=Work(tmp_path, devices=2))
    meter(0)
    one, two = Meter(bench.step, work=Work(tmp_path)), meter.cost(5)
    one(0)
    assert two.gflop == 2 * one.cost(5).gflop  # type: ignore[operator]
    assert two.peak == 2 * one.cost(5).peak  # type: ignore[operator]


def test_the_peak_is_measured_once_and_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_rng_state()
    found = matmul_peak("cpu", "fp32")
    monkeypatch.setattr(peak, "_once", lambda *args: 1 / 0)
    assert matmul_peak("cpu", "fp32") == found > 1e8
    assert torch.equal(before, torch.get_rng_state())


def test_the_peak_of_a_gpu_is_timed_by_that_gpu_and_not_by_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device))
    monkeypatch.setattr(peak, "_matrix", lambda side, seed, dtype, device: torch.ones(8, 8))
    monkeypatch.setattr(peak, "SIDES", {"cuda": 8})
    monkeypatch.setattr(peak, "SECONDS", 0.0)
    assert peak._measure.__wrapped__("cuda:1", "fp32", 1) > 0
    assert set(waited) == {"cuda:1"}


# -- energy -------------------------------------------------------------------------------------------------------


def zone(folder: Path, name: str, value: int, *, called: str, span: int = 1000) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    for file, content in (("name", called), ("energy_uj", value), ("max_energy_range_uj", span)):
        (made / file).write_text(f"{content}\n", encoding="ascii")
    return made / "energy_uj"


def test_packages_and_memory_are_added_and_a_counter_may_wrap_around(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", 900, called="package-0")
    memory = zone(tmp_path, "intel-rapl:0:1", 10, called="dram")
    zone(tmp_path, "intel-rapl:0:0", 5, called="core")  # within the package
    zone(tmp_path, "intel-rapl:1", 5, called="psys")  # around the package
    counter = Rapl(tmp_path)
    package.write_text("200\n")
    memory.write_text("15\n")
    assert counter.joules() == pytest.approx((300 + 5) * 1e-6)
    package.write_text("250\n")
    assert counter.joules() == pytest.approx(355e-6)
    package.unlink()
    with pytest.raises(Unavailable, match="any more"):
        counter.joules()


def test_without_a_counter_that_can_be_read_the_reason_says_which(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no RAPL counter"):
        open_counter("cpu", folder=tmp_path)
    zone(tmp_path, "intel-rapl:0", 1, called="package-0").unlink()
    with pytest.raises(Unavailable, match="cannot be read by this user"):
        open_counter("cpu", folder=tmp_path)
    with pytest.raises(Unavailable, match="no energy counter of mps"):
        open_counter("mps")


class FakeNvml(ModuleType):
    """As pynvml: millijoules by UUID."""

    class NVMLError(Exception):
        pass

    def __init__(self, **millijoules: int) -> None:
        super().__init__("pynvml")
        self.millijoules = millijoules

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid.removeprefix("GPU-")

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: str) -> int:
        if gpu not in self.millijoules:
            raise self.NVMLError("Not Supported")
        return self.millijoules[gpu]


def test_gpus_are_read_by_their_driver_and_added(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(a=1000, b=500)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    counter = Nvml(["GPU-a", "GPU-b"])
    nvml.millijoules = {"a": 3000, "b": 600}
    assert counter.joules() == pytest.approx(2.1)
    with pytest.raises(Unavailable, match="Not Supported"):
        Nvml(["GPU-old"])
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(Unavailable, match="nvidia-ml-py, which is not installed"):
        Nvml(["GPU-a"])


class Steady:
    """A counter that gives a joule more at each look."""

    of = "a fake"

    def __init__(self, *args: Any) -> None:
        self.looks = 0

    def joules(self) -> float:
        self.looks += 1
        return float(self.looks)


def test_energy_is_that_of_all_attempts_and_unknown_where_one_was_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(tmp_path)
    blind = Meter(Bench().step, work=work) if not _has_rapl() else None
    monkeypatch.setattr("synthworth.training.meter.open_counter", Steady)
    first, second = Meter(Bench().step, work=work), Meter(Bench().step, work=work)
    first(0)
    state = first.state_dict()
    second.load_state_dict(state)
    assert second.cost(N).joules == state["joules"] + 1
    assert second.cost(N).notes == {"joules": "a fake"}
    if blind is not None:
        blind(0)
        second.load_state_dict(blind.state_dict())
        assert second.cost(N).joules is None
        assert second.cost(N).notes["joules"] == "an earlier attempt at this fit was not measured"


def _has_rapl() -> bool:
    try:
        Rapl()
    except Unavailable:
        return False
    return True


# -- what is told -------------------------------------------------------------------------------------------------


def test_a_cost_is_told_by_image_second_and_share_of_the_peak() -> None:
    cost = Cost(gflop=640.0, peak=100.0, joules=7.2e6, notes={"joules": "a fake"})
    told = describe_cost(cost, steps=10, images_seen=640, seconds=32.0)
    assert told == {
        "images_seen": 640, "gflop_per_image": 1.0, "images_per_second": 20.0, "peak_tflops": 0.1,
        "share_of_peak": 0.2, "kwh": 2.0, "notes": {"kwh": "a fake"},
    }  # fmt: skip
    assert cost_in_words(told) == "640 images seen, 1 GFLOP an image, 20 images/s, 20.0% of peak, 2 kWh"


@pytest.mark.parametrize(("steps", "why"), [(0, UNTRAINED), (5, UNCOUNTED)])
def test_what_is_not_known_is_null_and_says_why(steps: int, why: str) -> None:
    told = describe_cost(Cost(), steps=steps, images_seen=40, seconds=2.0)
    assert told["gflop_per_image"] is told["share_of_peak"] is told["kwh"] is None
    assert told["notes"]["gflop_per_image"] == told["notes"]["share_of_peak"] == told["notes"]["kwh"] == why
    assert f"kwh: null ({why})" in cost_in_words(told)


def test_fits_that_follow_each_other_are_added_and_one_unknown_makes_the_sum_unknown() -> None:
    known, other = Cost(1.0, 50.0, 3.0, {"joules": "a fake"}), Cost(2.0, 60.0, 4.0, {"joules": "a fake"})
    assert join_costs([known, other]) == Cost(3.0, 60.0, 7.0, {"joules": "a fake"})
    assert join_costs([known, Cost(2.0, None, None, {"joules": "no counter"})]) == Cost(
        3.0, 50.0, None, {"joules": "no counter"}
    )
    assert join_costs([]) == Cost()
