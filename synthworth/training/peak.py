"""How fast a device multiplies matrices, as a measure for how well a training uses it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from synthworth.devices import float32_products, wait_for

SIDES = {"cpu": 4096, "cuda": 8192, "mps": 4096}
"""Largest side of the square matrices."""
NOW_SIDES = {"cpu": 512, "cuda": 8192, "mps": 2048}
"""Side of the matrices where speed is measured as it is now; on a CPU a few milliseconds each."""
LONG_ENOUGH = {"cpu": 0.01, "cuda": 0.002, "mps": 0.01}
"""Seconds of one product above which larger matrices are not tried."""
SECONDS = 0.05
"""Of measuring at the last size."""


def matmul_peak(device: str, precision: str) -> float:
    """Floating-point operations a second of the fastest of some products of two square matrices.

    Measured once a process for a device, a precision and a number of threads; about 0.1 seconds. Matrices grow until
    one product takes long enough to be timed. The numbers in them are drawn from a generator of their own: products of
    zeros run faster on some GPUs.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1", ...
    precision : "fp32", "tf32" or "bf16", as a fit has it.
    """
    return _measure(device, precision, torch.get_num_threads())


def matmul_now(device: str, precision: str, *, threads: int, workers: int = 1, seconds: float = 0.25) -> float:
    """Floating-point operations a second that matrix products come to now, with whatever else runs: their mean.

    For an estimate of what is to come; `matmul_peak` is the device's own.

    Parameters
    ----------
    device, precision : as in `matmul_peak`.
    threads : of a CPU, for each worker.
    workers : so many multiply side by side, in threads of this process; the number is what one of them has.
    seconds : of measuring.
    """
    kind, before = device.partition(":")[0], torch.get_num_threads()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    side = NOW_SIDES[kind]
    torch.set_num_threads(threads)

    def one(number: int) -> float:
        with torch.inference_mode():
            a, b = (_matrix(side, seed, dtype, device) for seed in (0, 1))
            out, done = a @ b, 0
            wait_for(device)
            began = time.perf_counter()
            while (spent := time.perf_counter() - began) < seconds or not done:
                _once(a, b, out, device)
                done += 1
        return 2 * side**3 * done / spent

    try:
        with float32_products(precision), ThreadPoolExecutor(workers) as pool:
            return sum(pool.map(one, range(workers))) / workers
    finally:
        torch.set_num_threads(before)


@cache
def _measure(device: str, precision: str, threads: int) -> float:
    kind = device.partition(":")[0]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with float32_products(precision), torch.inference_mode():
        side, best = 256, 0.0
        while True:
            a, b = (_matrix(side, seed, dtype, device) for seed in (0, 1))
            out = a @ b  # a first product chooses its kernel
            seconds = min(_once(a, b, out, device) for _ in range(2))
            best = max(best, 2 * side**3 / seconds)
            if side >= SIDES[kind] or seconds >= LONG_ENOUGH[kind]:
                break
            side *= 2
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            best = max(best, 2 * side**3 / _once(a, b, out, device))
    return best


def _matrix(side: int, seed: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    own = torch.Generator(device).manual_seed(seed)
    return (torch.rand(side, side, generator=own, device=device) - 0.5).to(dtype)


def _once(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, device: str) -> float:
    """Seconds of one product, the device waited for before and after."""
    wait_for(device)
    began = time.perf_counter()
    torch.mm(a, b, out=out)
    wait_for(device)
    return time.perf_counter() - began
