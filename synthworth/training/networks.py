"""What is done with any network around its training: placed, counted, looked through, made again from its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from synthworth.devices import isolated_randomness

N = TypeVar("N", bound=nn.Module)


def place(net: N, device: str) -> N:
    """Move a network to the device; its convolutions on an NVIDIA GPU in channels_last, which they are faster in.

    On a CPU they are no faster for it, and the fused optimiser takes twice as long over such weights.
    """
    if device.startswith("cuda"):
        net.to(memory_format=torch.channels_last)
    return net.to(device)


def rebuild(build: Callable[[], N], weights: Mapping[str, Tensor], *, device: str) -> N:
    """The network that `build` makes, with these weights, on the device. Global random state is left alone."""
    with isolated_randomness(0):
        net = build()
    net.load_state_dict(weights)
    return place(net, device)


def count_parameters(net: nn.Module) -> int:
    """Numbers that a network holds as parameters, trained or not."""
    return sum(p.numel() for p in net.parameters())


@contextmanager
def evaluating(net: N) -> Iterator[N]:
    """The network in evaluation mode without gradients; its mode is put back afterwards."""
    was = net.training
    net.eval()
    try:
        with torch.inference_mode():
            yield net
    finally:
        net.train(was)
