"""How often images are augmented before a discriminator sees them: more while it overfits (ADA, Karras 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from generators.nets import ada, diffaugment

EVERY = 4
"""Steps between two moves of the probability."""
LIMIT = 0.8
"""Its upper end: above, Karras 2020 (figure 4) saw augmentations leak into what is drawn."""


class Eyes(nn.Module):
    """What a discriminator sees of images, real and drawn alike: they go through the operations named, in order.

    With `ada` among them it has a state, which belongs into checkpoints: the probability p, 0 at first. Every `EVERY`
    steps p moves by a fixed amount: up where r, the mean over these steps of the sign of what the discriminator says
    of real training images, is above the target, and down where it is below; within 0 .. `LIMIT`.

        r = E[sign(D(T(x)))]    0: D does not know its training images, 1: it knows them all

    Parameters
    ----------
    policy : names of `diffaugment.OPERATIONS`, and `ada`.
    target : of r.
    batch, images : of a step; and those seen while p goes from 0 to 1, if all moves are up.

    Attributes
    ----------
    p : float32, 0-d.
    adapts : whether `ada` is named; without, there is no state.
    """

    p: Tensor
    signs: Tensor

    def __init__(self, policy: Sequence[str], *, target: float, batch: int, images: int) -> None:
        super().__init__()
        self.policy, self.target, self.adapts = tuple(policy), target, "ada" in policy
        self.move = batch * EVERY / images
        if self.adapts:
            self.register_buffer("p", torch.zeros(()))
            self.register_buffer("signs", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:  # float (N, C, S, S), -1..1 -> the same
        """The images as the discriminator sees them; draws from torch's global generator."""
        for name in self.policy:
            images = ada.augment(images, self.p)[0] if name == "ada" else diffaugment.OPERATIONS[name](images)
        return images

    @torch.no_grad()
    def follow(self, sign: Tensor, taken: int) -> None:
        """Move p, if it is time.

        Parameters
        ----------
        sign : mean over a step's real images of the sign of what the discriminator said, -1..1, 0-d.
        taken : steps so far, that one among them.
        """
        self.signs.add_(sign)
        if taken % EVERY == 0:
            above = (self.signs / EVERY - self.target).sign()
            self.p.add_(self.move * above).clamp_(0.0, LIMIT)
            self.signs.zero_()

    def facts(self) -> dict[str, float]:
        """`augmented`, the probability at this moment; nothing where none adapts."""
        return {"augmented": float(self.p)} if self.adapts else {}
