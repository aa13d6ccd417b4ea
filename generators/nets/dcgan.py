"""The transposed-convolution generator and strided discriminator of DCGAN (Radford 2015), told the label."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from generators.nets.labels import LabelEmbedding

LABEL_SPREAD = 0.1
"""Spread of the generator's label vectors at the start, against noise of 1: a loud label drowns the noise."""


@dataclass(frozen=True)
class Ladder:
    """Resolutions of both networks: `start` pixels a side, doubled `n_doublings` times up to `end`.

    start : 4 to 7. end : start * 2 ** n_doublings, the smallest such size that holds the image.
    """

    start: int
    n_doublings: int

    @classmethod
    def reaching(cls, size: int) -> Ladder:
        """The ladder for images of `size` pixels (32: 4 to 32; 28: 7 to 28; 50: 7 to 56, to be cut back)."""
        n = max(1, (size // 4).bit_length() - 1)
        return cls(-(-size // 2**n), n)

    @property
    def end(self) -> int:
        """Pixels a side at the top."""
        return self.start << self.n_doublings

    def widths(self, base: int, limit: int) -> list[int]:
        """Channels from `start` upwards, halved at each doubling, `base` before the last; at most `limit`."""
        return [min(limit, base * 2 ** (self.n_doublings - 1 - i)) for i in range(self.n_doublings)]


def start_small(net: nn.Module) -> None:
    """Radford's initial weights: N(0, 0.02), batch norm's scale N(1, 0.02)."""
    for part in net.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)


class Painter(nn.Module):
    """The generator: (noise, label vector) -> start x start -> ... -> end x end, batch norm and ReLU, tanh at last."""

    def __init__(
        self, ladder: Ladder, *, noise: int, channels: int, n_classes: int, multilabel: bool, base: int, limit: int
    ) -> None:
        super().__init__()
        widths = ladder.widths(base, limit)
        self.label = LabelEmbedding(n_classes, noise, multilabel=multilabel)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(2 * noise, widths[0], ladder.start, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for before, after in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        start_small(self)
        nn.init.normal_(self.label.table, 0.0, LABEL_SPREAD)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:  # (N, noise), labels -> (N, C, end, end), -1..1
        """Images of the labels."""
        joined = torch.cat([noise, self.label(labels)], dim=1)
        out: Tensor = self.layers(joined[:, :, None, None])
        return out


class Critic(nn.Module):
    """The discriminator: strided convolutions, batch norm but at first, LeakyReLU 0.2; the label enters by
    projection (Miyato & Koyama 2018): logit = f(h) + <label vector, mean of h>.

    f sees, as one channel more, how far the batch spreads (minibatch standard deviation, Karras 2018): told the
    label, and on a thousand images, a generator otherwise soon draws one image a class.
    """

    def __init__(
        self, ladder: Ladder, *, channels: int, n_classes: int, multilabel: bool, base: int, limit: int
    ) -> None:
        super().__init__()
        widths = ladder.widths(base, limit)[::-1]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.logit = nn.Conv2d(widths[-1] + 1, 1, ladder.start)
        start_small(self)
        self.label = LabelEmbedding(n_classes, widths[-1], multilabel=multilabel)
        nn.init.zeros_(self.label.table)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:  # (N, C, end, end) -> (N,)
        """Logits: above 0 says real."""
        h = self.layers(images)
        told = (self.label(labels) * h.mean((2, 3))).sum(1)
        spread = h.std(0, correction=0).mean().expand(len(h), 1, *h.shape[2:])
        out: Tensor = self.logit(torch.cat([h, spread], dim=1)).flatten() + told
        return out
