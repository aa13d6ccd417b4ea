"""The transposed-convolution generator and strided discriminator of DCGAN (Radford 2015), told the label or not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from generators.nets.labels import LabelEmbedding

LABEL_SPREAD = 0.1
"""Spread of the generator's label vectors at the start, against noise of 1: a loud label drowns the noise."""
Conditioning = Literal["input", "norms", "both"]


@dataclass(frozen=True)
class Ladder:
    """Resolutions of both networks: `start` pixels a side, doubled `n_doublings` times up to `end`.

    Parameters
    ----------
    start : 4 to 7.

    Attributes
    ----------
    end : start * 2 ** n_doublings, the smallest such size that holds the image.
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


@dataclass(frozen=True)
class Known:
    """The labels that both networks are told: K classes, one an image, or co-occurring findings.

    A single class has nothing to tell: the networks are then Radford's, without any label.
    """

    n_classes: int
    multilabel: bool

    @property
    def tells(self) -> bool:
        """Whether labels differ between images."""
        return self.multilabel or self.n_classes > 1

    def embedding(self, width: int, *, spread: float) -> LabelEmbedding:
        """A vector a class, drawn from N(0, spread)."""
        made = LabelEmbedding(self.n_classes, width, multilabel=self.multilabel)
        nn.init.normal_(made.table, 0.0, spread)
        return made


def start_small(net: nn.Module) -> None:
    """Radford's initial weights: N(0, 0.02), batch norm's scale N(1, 0.02)."""
    for part in net.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)


def bound_spectrally(net: nn.Module) -> None:
    """Divide the weight of every convolution by its largest singular value (spectral normalisation, Miyato 2018).

    The value is estimated by one power iteration a forward pass.
    """
    for part in list(net.modules()):
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            spectral_norm(part)


class LabelledNorm(nn.Module):
    """Batch norm whose scale and shift move with the label (conditional batch norm, de Vries 2017).

    Without labels, batch norm alone.
    """

    def __init__(self, width: int, known: Known | None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.label = known.embedding(2 * width, spread=LABEL_SPREAD) if known else None

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:  # (N, width, H, W), labels -> (N, width, H, W)
        """Normalise over the batch."""
        out: Tensor = self.norm(x)
        if self.label is not None:
            scale, shift = self.label(labels)[:, :, None, None].chunk(2, dim=1)
            out = out * (1 + scale) + shift
        return out


class Painter(nn.Module):
    """The generator: (noise, label) -> start x start -> ... -> end x end, batch norm and ReLU, tanh at last.

    Parameters
    ----------
    conditioning : where the label enters: as a vector beside the noise, in every batch norm, or both.
    spectral : whether its convolutions are bounded as the discriminator's may be.
    """

    def __init__(
        self, ladder: Ladder, known: Known, *, noise: int, channels: int, base: int, limit: int,
        conditioning: Conditioning, spectral: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = ladder.widths(base, limit)
        beside = known.tells and conditioning != "norms"
        within = known if known.tells and conditioning != "input" else None
        self.norms = nn.ModuleList(LabelledNorm(width, within) for width in widths)
        self.rises = nn.ModuleList([nn.ConvTranspose2d(noise * (1 + beside), widths[0], ladder.start, bias=False)])
        self.rises.extend(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(widths))
        self.last = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        start_small(self)
        self.label = known.embedding(noise, spread=LABEL_SPREAD) if beside else None
        if spectral:
            bound_spectrally(self)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:  # (N, noise), labels -> (N, C, end, end), -1..1
        """Images of the labels."""
        x = noise if self.label is None else torch.cat([noise, self.label(labels)], dim=1)
        x = x[:, :, None, None]
        for rise, norm in zip(self.rises, self.norms, strict=True):
            x = F.relu(norm(rise(x), labels))
        return torch.tanh(self.last(x))


class Critic(nn.Module):
    """The discriminator: strided convolutions, batch norm but at first, LeakyReLU 0.2.

    The label enters by projection (Miyato & Koyama 2018): logit = f(h) + <label vector, sum of h over the places>.

    Parameters
    ----------
    spread : f sees, as one channel more, how far the batch spreads (minibatch standard deviation, Karras 2018).
    spectral : bound the convolutions instead of batch norm (Miyato 2018).
    naming : a second output says which class an image shows (auxiliary classifier, Odena 2017).
    """

    def __init__(
        self, ladder: Ladder, known: Known, *, channels: int, base: int, limit: int, spread: bool, spectral: bool,
        naming: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = ladder.widths(base, limit)[::-1]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in pairwise(widths):
            norm = [] if spectral else [nn.BatchNorm2d(after)]
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=spectral), *norm, nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.logit = nn.Conv2d(widths[-1] + spread, 1, ladder.start)
        self.classes = nn.Linear(widths[-1], known.n_classes) if naming and known.tells else None
        self.spread = spread
        start_small(self)
        if spectral:
            bound_spectrally(self)
        self.label = known.embedding(widths[-1], spread=0.0) if known.tells else None

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """How real the images look with these labels.

        Parameters
        ----------
        images : float (N, C, end, end).

        Returns
        -------
        Logits (N,), higher the more real; and with `naming` the logits of the classes (N, K), else None.
        """
        h = self.layers(images)
        seen = h
        if self.spread:
            apart = (h.var(0, correction=0) + 1e-8).sqrt().mean()
            seen = torch.cat([h, apart.expand(len(h), 1, *h.shape[2:])], dim=1)
        logits: Tensor = self.logit(seen).flatten()
        if self.label is not None:
            logits = logits + (self.label(labels) * h.sum((2, 3))).sum(1)
        return logits, None if self.classes is None else self.classes(h.sum((2, 3)))
