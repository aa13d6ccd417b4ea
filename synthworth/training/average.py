"""The moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from synthworth.training.loop import Tensors


def make_average(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of weights (and buffers), with the warm-up min(decay, (1 + t) / (10 + t)).

    The warm-up keeps a short training from averaging in its random start (Karras 2024 discuss the choice).
    """

    @torch.no_grad()
    def lerp(averaged: Tensors, current: Tensors, n_averaged: Tensor | int) -> None:
        t = float(n_averaged)
        weight = 1 - min(decay, (1 + t) / (10 + t))
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, weight)
        else:
            for ours, theirs in zip(averaged, current, strict=True):
                ours.copy_(theirs)

    return AveragedModel(model, multi_avg_fn=lerp, use_buffers=True)
