"""Which device and precision a computation uses, and how it is made repeatable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

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
    kind, _, index = name.partition(":")
    if kind == "cpu":
        return name
    if kind == "cuda" and torch.cuda.is_available() and (index or "0") in map(str, range(torch.cuda.device_count())):
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
        return "cuda" if torch.cuda.is_bf16_supported(including_emulation=False) else "none"
    if kind == "cpu" and torch.cpu._is_amx_tile_supported():
        return "amx"
    return "avx512" if kind == "cpu" and torch.cpu._is_avx512_bf16_supported() else "none"


def wait_for(device: str) -> None:
    """Until an accelerator has done what was asked of it: before a time is taken. Of several GPUs, this one."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


@contextmanager
def autocast(device: str, precision: str) -> Iterator[None]:
    """Run matrix products in bfloat16 when `precision` is `bf16`; otherwise change nothing."""
    import torch

    with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bf16"):
        yield


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Let a GPU multiply what stays float32 in TensorFloat-32 (10 bits of mantissa) inside the block.

    So when `precision` is `tf32` or `bf16`; with `fp32` matrix products and convolutions are exact. torch has a switch
    for each, and convolutions take TensorFloat-32 unless they are told not to.
    """
    import torch

    before, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = convolutions


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and put them back after it, untouched."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def repeatable(threads: int | None = None, *, device: str = "cpu") -> Iterator[None]:
    """Ask torch for deterministic kernels inside the block; `threads` fixes the number of CPU threads.

    Bits are repeatable on one machine with one number of threads; between machines only statistics are. Where an
    operation has no deterministic form, torch warns and goes on. The fused attentions of CUDA have one that they take
    under `strict` alone: elsewhere on a GPU attention is spelled out in matrix products.

    Parameters
    ----------
    device : where the block computes. On a CPU attention is left as it is.
    """
    import torch
    from torch.nn.attention import SDPBackend
    from torch.utils import deterministic as module

    deterministic: Any = module  # its attribute is made by its class, which mypy does not see

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    was_on, lenient = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    n_threads, fills = torch.get_num_threads(), deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # a pass over every new tensor, for what nobody reads
    if threads:
        torch.set_num_threads(threads)
    try:
        with _attention(device, SDPBackend.MATH):
            yield
    finally:
        torch.use_deterministic_algorithms(was_on, warn_only=lenient)
        deterministic.fill_uninitialized_memory = fills
        torch.set_num_threads(n_threads)


@contextmanager
def strict(device: str, *, enabled: bool = True) -> Iterator[None]:
    """Fused attention on CUDA in its deterministic form, inside a block that is `repeatable` already.

    Forward and backward pass belong inside. Only under `warn_only=False` do the backward passes of flash and
    memory-efficient attention add up in a fixed order; whatever has no deterministic form at all raises there. Outside
    of `repeatable`, and on another device, nothing changes.

    Parameters
    ----------
    enabled : whether everything in the block is known to have a deterministic form.

    Raises
    ------
    RuntimeError
        In the block, from an operation that has none.
    """
    import torch

    if not (enabled and device.startswith("cuda") and torch.are_deterministic_algorithms_enabled()):
        yield
        return
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with fused_attention(device):
            yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=lenient)


@contextmanager
def fused_attention(device: str) -> Iterator[None]:
    """Let attention on CUDA take its fused kernels inside a block that is `repeatable`: for forward passes alone.

    Forward they always add up in a fixed order; backward under `strict` alone. cuDNN's kernel, which has no
    deterministic backward pass at all, stays out.
    """
    from torch.nn.attention import SDPBackend

    with _attention(device, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH):
        yield


@contextmanager
def _attention(device: str, *kernels: Any) -> Iterator[None]:
    """The kernels that attention on CUDA may take inside the block; elsewhere nothing changes."""
    from torch.nn.attention import sdpa_kernel

    with sdpa_kernel(list(kernels)) if device.startswith("cuda") else nullcontext():
        yield


def generator(seed: int, device: str = "cpu") -> torch.Generator:
    """A torch generator of its own, so that no draw touches the global one."""
    import torch

    return torch.Generator(device=device).manual_seed(seed)
