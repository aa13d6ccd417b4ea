"""The UNet that a diffusion model denoises with, told the step and the label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn


class LabelEmbedding(nn.Module):
    """Labels as vectors: a table for one class an image, a sum over findings where they co-occur, and one vector
    more that stands for "no label given" (classifier-free guidance, Ho & Salimans 2022)."""

    def __init__(self, n_classes: int, width: int, *, multilabel: bool) -> None:
        super().__init__()
        self.multilabel = multilabel
        self.table = nn.Parameter(torch.randn(n_classes, width))
        self.absent = nn.Parameter(torch.randn(width))

    def forward(self, labels: Tensor, dropped: Tensor | None = None) -> Tensor:  # (N,) or (N, K) -> (N, width)
        """Vectors of the labels; where `dropped` (bool (N,)) is true, the vector that stands for none."""
        vectors = labels.to(self.table.dtype) @ self.table if self.multilabel else self.table[labels]
        return vectors if dropped is None else torch.where(dropped[:, None], self.absent, vectors)


class Denoiser(nn.Module):
    """diffusers' UNet2DModel with self-attention at its lowest resolution, its class embedding replaced by
    `LabelEmbedding` so that one path serves single and multi-label sets.

    Sides of the input must be multiples of `2 ** (len(widths) - 1)`.
    """

    def __init__(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, widths: Sequence[int], n_blocks: int
    ) -> None:
        super().__init__()
        plain = len(widths) - 1
        self.unet = UNet2DModel(
            sample_size=size,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(widths),
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
            layers_per_block=n_blocks,
            norm_num_groups=next(g for g in (16, 8, 4, 2, 1) if all(w % g == 0 for w in widths)),
            attention_head_dim=next(d for d in (32, 16, 8, 4, 2, 1) if widths[-1] % d == 0),
            class_embed_type="identity",
        )
        self.label = LabelEmbedding(n_classes, widths[0] * 4, multilabel=multilabel)

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Prediction for noisy `x` (N, C, H, W) at `steps` int64 (N,); `dropped` marks rows without their label."""
        out: Tensor = self.unet(x, steps, class_labels=self.label(labels, dropped)).sample
        return out
