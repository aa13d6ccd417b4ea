"""What of an optimiser a recorded step depends on: a rate that is changed in its place, and state that is put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def recordable(rate: float, device: str) -> dict[str, Any]:
    """Options of Adam and AdamW on a CUDA device with which a step can be recorded: the rate is a tensor there."""
    return {"lr": torch.tensor(rate, device=device), "capturable": True, "fused": True}


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Set the learning rate of the next step, in the place where a recorded step reads it."""
    held = {id(group["lr"]): group["lr"] for group in optimiser.param_groups if isinstance(group["lr"], Tensor)}
    for tensor in held.values():  # one for all groups: each thing that is asked of a GPU takes its time
        tensor.fill_(rate)
    for group in optimiser.param_groups:
        if not isinstance(group["lr"], Tensor):
            group["lr"] = rate


def put_back(optimiser: Optimizer, state: Mapping[str, Any]) -> None:
    """Take back what `optimiser.state_dict()` gave, but for the options, which follow the device and the version."""
    own = [{k: v for k, v in group.items() if k != "params"} for group in optimiser.param_groups]
    optimiser.load_state_dict(dict(state))
    for group, options in zip(optimiser.param_groups, own, strict=True):
        group.update(options)
