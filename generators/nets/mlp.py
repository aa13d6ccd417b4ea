"""The residual MLP that latent vectors are denoised with, told the step and the label."""

from __future__ import annotations

from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn import functional as F

from generators.nets.labels import ConditionSpec, LabelVector

EXPANSION = 2
"""Width inside a block over the width between blocks."""


class ModulatedBlock(nn.Module):
    """x + W2 silu(W1 ((1 + a(c)) norm(x) + b(c))): a layer norm, scaled and shifted by the condition.

    After Perez 2018; in a denoiser: Dhariwal & Nichol 2021. It starts as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 2 * width)
        self.first, self.second = nn.Linear(width, EXPANSION * width), nn.Linear(EXPANSION * width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # (N, width), both -> (N, width)
        """Apply the block."""
        scale, shift = self.modulate(condition).chunk(2, dim=1)
        out: Tensor = x + self.second(F.silu(self.first(self.norm(x) * (1 + scale) + shift)))
        return out


class VectorDenoiser(nn.Module):
    """`net(x, steps, condition, dropped)` for latents that are vectors: the counterpart of the UNet `Denoiser`.

    Residual blocks of one width between two linear layers; the embedding of the step and the vector of the label
    (or the one that stands for "no label given") scale and shift in every block.
    """

    def __init__(self, *, length: int, spec: ConditionSpec, width: int, n_blocks: int) -> None:
        super().__init__()
        self.step = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.of_step = TimestepEmbedding(width, width)
        self.condition = LabelVector(spec.n_classes, width, multilabel=spec.multilabel)
        self.enter, self.leave = nn.Linear(length, width), nn.Linear(width, length)
        self.blocks = nn.ModuleList(ModulatedBlock(width) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, steps: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Prediction for noisy latents.

        Parameters
        ----------
        x : (N, length).
        steps : (N,), int64 or float: what the network is told of the noise.
        condition : labels, int64 (N,) or uint8 (N, K).
        dropped : bool (N,), rows that are not told theirs.

        Returns
        -------
        (N, length).
        """
        frequencies = self.step(steps).to(x.dtype)
        told = F.silu(self.of_step(frequencies) + self.condition(condition, dropped))
        hidden = self.enter(x)
        for block in self.blocks:
            hidden = block(hidden, told)
        out: Tensor = self.leave(F.silu(self.norm(hidden)))
        return out
