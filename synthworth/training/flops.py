"""How many floating-point operations a step takes: counted while it runs, and nothing else about it changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from synthworth.devices import isolated_randomness
from synthworth.errors import Unavailable

R = TypeVar("R")


def _attention(query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> int:
    return int(sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


ON_A_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Attention as a CPU computes it, which torch has no formula for."""


class Training(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by torch's formulas what runs in the block, and leaves every operation as it is.

    torch's own `FlopCounterMode` takes operations apart that have no formula, and the gradient of SiLU for one is then
    rounded otherwise. What runs in inference mode is left out: a look at val inside a step is no training.

    Attributes
    ----------
    total : floating-point operations so far.
    fault : what torch's formulas could not count, in words; None where they could. The step goes on all the same.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        self.fault: str | None = None
        self._formulas: dict[Any, Any] = {**ON_A_CPU, **flop_registry}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, then count it."""
        out = func(*args, **(kwargs or {}))
        operation = getattr(func, "_overloadpacket", func)
        if operation not in self._formulas or torch.is_inference_mode_enabled():
            return out
        try:
            self.total += int(self._formulas[operation](*args, **(kwargs or {}), out_val=out))
        except Exception as error:  # a stranger's operation may be any; told in the place of the number
            self.fault = f"torch's formula does not count {operation}: {type(error).__name__} {error}"
        return out


def counted(step: Callable[[], R]) -> tuple[int | str, R]:
    """Floating-point operations of what `step` computes, and what it returned.

    Convolutions, matrix products and attention are counted, forward and backward, by torch's formulas: two for a
    multiplication with its addition. A count looks at shapes alone, so tensors on the `meta` device give the same one.
    What is computed, and what is drawn at random, is the same as without. Networks that
    `torch.compile` made, and captured CUDA graphs, are not seen: see `count_aside`.

    Returns
    -------
    The number, or in words why there is none; and the result.
    """
    with Training() as counter:
        result = step()
    return counter.fault or counter.total, result


def count_flops(step: Callable[[], Any]) -> int:
    """Floating-point operations of what `step` computes; see `counted`.

    Raises
    ------
    Unavailable
        When torch's formulas do not count something in it.
    """
    found, _ = counted(step)
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@contextmanager
def shapes_only() -> Iterator[None]:
    """Networks made in this block, and what they compute, have shapes and no numbers: nothing is held or multiplied.

    The networks' operations can be counted all the same. Global random state is left alone.
    """
    with isolated_randomness(0), FakeTensorMode():
        yield


def count_aside(step: Callable[[], Any], parts: Mapping[str, Any], *, seed: int) -> int:
    """Floating-point operations of a step of compiled networks: it is taken as written, counted, and undone.

    Parameters
    ----------
    step : forward, backward and the optimiser's step.
    parts : all that it changes, each with `state_dict` and `load_state_dict`; they are put back.
    seed : of what it draws; torch's generators are put back too.

    Raises
    ------
    Unavailable
        As `count_flops`; the parts are put back all the same.
    """
    before = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    try:
        with isolated_randomness(seed), torch.compiler.set_stance("force_eager"):
            return count_flops(step)
    finally:
        for name, part in parts.items():
            part.load_state_dict(before[name])
