"""How many floating-point operations a step takes: counted while it runs, and nothing else about it changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from synthworth.devices import isolated_randomness
from synthworth.errors import Unavailable

R = TypeVar("R")


def _attention(query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(
    grad: Any, query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **m: Any
) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]


ON_A_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Attention as a CPU computes it, which torch has no formula for."""


class Training(FlopCounterMode):
    """torch's counter, without what runs in inference mode: a look at val inside a step is no training.

    Attributes
    ----------
    fault : what torch's formulas could not count, in words; None where they could. The step goes on all the same.
    """

    def __init__(self) -> None:
        super().__init__(display=False, custom_mapping=ON_A_CPU)
        self.fault: str | None = None

    def _count_flops(self, func_packet: Any, out: Any, args: Any, kwargs: Any) -> Any:
        if torch.is_inference_mode_enabled():
            return out
        try:
            return super()._count_flops(func_packet, out, args, kwargs)  # type: ignore[no-untyped-call]
        except Exception as error:  # a stranger's operation may be any; told in the place of the number
            self.fault = f"torch's formula does not count {func_packet}: {type(error).__name__} {error}"
            return out


def counted(step: Callable[[], R]) -> tuple[int | str, R]:
    """Floating-point operations of what `step` computes, and what it returned.

    Convolutions, matrix products and attention are counted, forward and backward, as torch's `FlopCounterMode` has
    them: two for a multiplication with its addition. A count looks at shapes alone, so tensors on the `meta` device
    give the same one. What is computed, and what is drawn at random, is the same as without. Networks that
    `torch.compile` made, and captured CUDA graphs, are not seen: see `count_aside`.

    Returns
    -------
    The number, or in words why there is none; and the result.
    """
    with Training() as counter:
        result = step()
    return counter.fault or counter.get_total_flops(), result


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
