"""Device, precision and determinism: what a block asks of torch holds inside it, and is as before after it."""

from __future__ import annotations

import pytest
import torch
from torch.utils import deterministic

from synthworth.devices import (
    autocast,
    check_devices,
    float32_products,
    fused_attention,
    generator,
    isolated_randomness,
    repeatable,
    resolve_device,
    strict,
)
from synthworth.errors import UserError


def asked() -> tuple[bool, bool, int, str]:
    """What torch is asked for at this moment."""
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        deterministic.fill_uninitialized_memory,
    )


def test_deterministic_kernels_are_asked_for_inside_the_block_alone() -> None:
    before = asked()
    with repeatable(threads=1):
        assert asked()[:3] == (True, True, 1)
        assert not asked()[-1], "every new tensor is filled first"
    assert asked() == before


def test_a_block_in_a_block_does_not_turn_warnings_into_errors() -> None:
    with repeatable():
        with repeatable(threads=1):
            pass
        assert asked()[:2] == (True, True)
    with pytest.raises(KeyError), repeatable():
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()


def attention() -> tuple[bool, bool, bool, bool]:
    """Whether attention on CUDA may take flash, memory-efficient, cuDNN's and plain kernels; the switches are there
    without a GPU too.
    """
    cuda = torch.backends.cuda
    return (
        cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled(), cuda.math_sdp_enabled(),
    )  # fmt: skip


def test_attention_on_a_gpu_takes_fused_kernels_only_where_they_are_deterministic() -> None:
    before, plain, fused = attention(), (False, False, False, True), (True, True, False, True)
    with repeatable(device="cuda:0"):
        assert (attention(), asked()[1]) == (plain, True)
        with strict("cuda:0"):
            assert (attention(), asked()[:2]) == (fused, (True, False))
        with strict("cuda:0", enabled=False):
            assert (attention(), asked()[1]) == (plain, True)
        with fused_attention("cuda:0"):
            assert (attention(), asked()[1]) == (fused, True)
        with pytest.raises(KeyError), strict("cuda:0"):
            raise KeyError
        assert (attention(), asked()[1]) == (plain, True)
    assert (attention(), asked()[0]) == (before, False)
    with pytest.raises(KeyError), repeatable(device="cuda"):
        raise KeyError
    assert attention() == before


def test_attention_is_left_alone_on_a_cpu_and_where_nobody_asked_for_repeatable_bits() -> None:
    before = attention()
    with repeatable(), strict("cpu"), fused_attention("cpu"):
        assert (attention(), asked()[1]) == (before, True)
    with strict("cuda"):
        assert (attention(), asked()[0]) == (before, False)


@pytest.mark.parametrize(("precision", "products"), [("fp32", "highest"), ("tf32", "high"), ("bf16", "high")])
def test_products_of_float32_are_exact_unless_less_was_asked_for(precision: str, products: str) -> None:
    before = asked(), torch.backends.cudnn.allow_tf32
    with float32_products(precision):
        assert torch.get_float32_matmul_precision() == products
        assert torch.backends.cudnn.allow_tf32 is (products == "high"), "convolutions have a switch of their own"
    assert (asked(), torch.backends.cudnn.allow_tf32) == before


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_a_pass_runs_in_bfloat16_only_where_that_was_asked_for(precision: str, dtype: torch.dtype) -> None:
    x = torch.ones(2, 2)
    with autocast("cpu", precision):
        assert (x @ x).dtype == dtype
    assert (x @ x).dtype == torch.float32


def test_random_numbers_follow_the_seed_and_leave_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    drawn = []
    for seed in (4, 4, 5):
        with isolated_randomness(seed):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.rand(3, generator=generator(4)), drawn[0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("there", "name", "found"), [(True, "auto", "cuda"), (False, "auto", "cpu"), (True, "cuda:1", "cuda:1")]
)
def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, there: bool, name: str, found: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * there)
    assert resolve_device(name) == found
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["cuda:2", "cuda:-1", "cuda:x"])
def test_a_gpu_beyond_those_that_are_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"--device {name}: this machine has no such device"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "tpu", ""])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"--device {name}: this machine has no such device"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("n", "device", "says"),
    [
        (0, "cpu", "--devices 0 was asked for; this machine has 3"),
        (4, "cpu", "--devices 4 was asked for; this machine has 3"),
        (3, "cuda", "--devices 3 was asked for; this machine has 2"),
        (2, "cuda:0", "leave --device cuda:0 out"),
    ],
)
def test_more_devices_than_there_are_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, n: int, device: str, says: str
) -> None:
    monkeypatch.setattr("synthworth.devices.n_cores", lambda: 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=says):
        check_devices(n, device=device)
    check_devices(3, device="cpu")
    check_devices(2, device="cuda")
