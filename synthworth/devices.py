"""Which device and precision a computation uses, and how it is made repeatable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from synthworth.errors import UserError
from synthworth.threads import n_cores

if TYPE_CHECKING:
    import torch


Bf16Unit = Literal["none", "avx512", "amx", "cuda"]


def resolve_device(name: str) -> str:
    """`auto` becomes `cuda` where there is one, else `cpu`; anything else must exist.

    Raises
    ------
    UserError
        For a device this machine does not have.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind == "cpu" or (kind == "cuda" and torch.cuda.is_available()):
        return name
    if kind == "mps" and torch.backends.mps.is_available():
        return name
    raise UserError(f"--device {name}: this machine has no such device. Use cpu, or auto")


def check_devices(n: int, *, device: str) -> None:
    """Refuse a number of devices that this machine does not have.

    Raises
    ------
    UserError
        For fewer than one, or more than there are GPUs (on a CPU: cores).
    """
    import torch

    there = torch.cuda.device_count() if device.startswith("cuda") else n_cores()
    if not 1 <= n <= there:
        raise UserError(f"--devices {n} was asked for; this machine has {there} ({device})")
    if n > 1 and ":" in device:
        raise UserError(f"--devices {n} shares a fit over the first {n} GPUs; leave --device {device} out")


def bf16_unit(device: str) -> Bf16Unit:
    """What multiplies bfloat16 natively on a device: `none` where nothing does, and bf16 is emulated and slow.

    A CPU with AMX uses that, whatever else it has.
    """
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        return "cuda" if torch.cuda.is_bf16_supported() else "none"
    if kind == "cpu" and torch.cpu._is_amx_tile_supported():
        return "amx"
    return "avx512" if kind == "cpu" and torch.cpu._is_avx512_bf16_supported() else "none"


@contextmanager
def autocast(device: str, precision: str) -> Iterator[None]:
    """Run matrix products in bfloat16 when `precision` is `bf16`; otherwise change nothing."""
    import torch

    with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bf16"):
        yield


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Let a GPU multiply what stays float32 in TensorFloat-32 (10 bits of mantissa) inside the block.

    So when `precision` is `tf32` or `bf16`; with `fp32` products are exact.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and put them back after it, untouched."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def repeatable(threads: int | None = None) -> Iterator[None]:
    """Ask torch for deterministic kernels inside the block; `threads` fixes the number of CPU threads.

    Bits are repeatable on one machine with one number of threads; between machines only statistics are.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    strict, lenient = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    n_threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True, warn_only=True)
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
        torch.set_num_threads(n_threads)


def generator(seed: int, device: str = "cpu") -> torch.Generator:
    """A torch generator of its own, so that no draw touches the global one."""
    import torch

    return torch.Generator(device=device).manual_seed(seed)
