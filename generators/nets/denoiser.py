"""The UNet that a diffusion model denoises with, told the step and the label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from generators.nets.labels import LabelEmbedding


class Denoiser(nn.Module):
    """diffusers' UNet2DModel with self-attention at its lowest resolution, its class embedding replaced by
    `LabelEmbedding` so that one path serves single and multi-label sets. One vector more stands for "no label
    given" (classifier-free guidance, Ho & Salimans 2022). Step and label scale and shift what group norm left (Dhariwal
    & Nichol 2021); merely added before it, as diffusers does by default, small groups would norm them away.

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
            resnet_time_scale_shift="scale_shift",
        )
        self.label = LabelEmbedding(n_classes, widths[0] * 4, multilabel=multilabel)
        self.absent = nn.Parameter(torch.randn(widths[0] * 4))

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Prediction for noisy `x` (N, C, H, W) at `steps` int64 (N,); `dropped` marks rows without their label."""
        vectors = self.label(labels)
        if dropped is not None:
            vectors = torch.where(dropped[:, None], self.absent, vectors)
        out: Tensor = self.unet(x, steps, class_labels=vectors).sample
        return out
