"""The moving average of a network's weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Average(AveragedModel):
    """Exponential moving average of weights (and buffers), with the warm-up min(decay, (1 + t) / (10 + t)).

    The warm-up keeps a short training from averaging in its random start (Karras 2024 discuss the choice). The average
    follows every `every` steps, and at the last one, each time with the product of the decays of the steps that it
    left out (decay ** every, after the warm-up): it means the same over as many steps, from fewer of their weights.

    Its weight is a function of the step's number alone, a Python float, so that an accelerator is never waited for.

    Parameters
    ----------
    decay : of one step, 0 to 1.
    every : steps between two looks at the network.
    n_steps : of the training; its last step is looked at whatever `every` is. None where that is not known.
    """

    def __init__(self, model: nn.Module, decay: float, *, every: int = 1, n_steps: int | None = None) -> None:
        super().__init__(model, use_buffers=True)
        self.decay, self.every, self.n_steps = decay, every, n_steps

    def follow(self, model: nn.Module, step: int) -> None:
        """Look at the network after `step` steps, 1 or more, if it is time. The first look copies it."""
        if not step % self.every or step == self.n_steps:
            self._look(model, step)

    def close(self, model: nn.Module, step: int) -> None:
        """Look at a network whose training ended before its time, after `step` steps, unless that was done."""
        if step % self.every and int(self.n_averaged) == step // self.every:
            self._look(model, step)

    @torch.no_grad()
    def _look(self, model: nn.Module, step: int) -> None:
        before = (step - 1) // self.every * self.every
        kept = math.prod(min(self.decay, (1 + t) / (10 + t)) for t in range(before, step)) if before else 0.0
        ours, theirs = _held(self.module), _held(model)
        moving = [k for k, tensor in enumerate(ours) if tensor.is_floating_point()] if before else []
        if moving:
            torch._foreach_lerp_([ours[k] for k in moving], [theirs[k] for k in moving], 1 - kept)
        for k in set(range(len(ours))).difference(moving):
            ours[k].copy_(theirs[k])
        self.n_averaged += 1


def _held(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers, detached."""
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
