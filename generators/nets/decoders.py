"""From a latent, and the label or not, to an image: affine layers, transposed convolutions, or residual blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from generators.nets.residual import Modulation, ResBlock, norm


class Start(nn.Module):
    """A latent as a feature map (N, width, side, side).

    By an affine map from a vector, by a 3 x 3 convolution from a latent image (which has that side).
    """

    def __init__(self, latent_shape: tuple[int, ...], *, width: int, side: int) -> None:
        super().__init__()
        self.map_shape = (width, side, side)
        if len(latent_shape) == 1:
            self.layer: nn.Module = nn.Linear(latent_shape[0], width * side * side)
        else:
            self.layer = nn.Conv2d(latent_shape[0], width, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:  # (N, *latent_shape) -> (N, width, side, side)
        """The map."""
        out: Tensor = self.layer(latents)
        return out.reshape(-1, *self.map_shape)


class UpsampleDecoder(nn.Module):
    """Residual blocks, the resolution doubled between widths by sub-pixel upsampling.

    Sub-pixel upsampling (Shi 2016) is a 1 x 1 convolution to four times the channels, then pixel shuffle. The last
    `patch` pixels a side are unfolded from channels. As in the encoder, factor = patch * 2 ** (len(widths) - 1).

    Parameters
    ----------
    widths : from the image to the latent, as in the encoder.
    """

    def __init__(
        self, latent_shape: tuple[int, ...], *, channels: int, size: int, widths: Sequence[int], n_blocks: int,
        patch: int, label_width: int,
    ) -> None:  # fmt: skip
        super().__init__()
        width = widths[-1]
        self.start = Start(latent_shape, width=width, side=size // (patch * 2 ** (len(widths) - 1)))
        layers: list[nn.Module] = []
        for level, after in enumerate(reversed(widths)):
            if level:
                layers.append(nn.Sequential(nn.Conv2d(width, after * 4, 1), nn.PixelShuffle(2)))
            layers.extend(ResBlock(after, after, label_width=label_width) for _ in range(n_blocks))
            width = after
        self.layers = nn.ModuleList(layers)
        last = nn.Conv2d(width, channels * patch * patch, 3, padding=1)
        self.end = nn.Sequential(norm(width), nn.SiLU(), last, nn.PixelShuffle(patch))

    def forward(self, latents: Tensor, label: Tensor | None) -> Tensor:  # -> (N, C, size, size), about -1..1
        """Mean of p(x | z)."""
        x = self.start(latents)
        for layer in self.layers:
            x = layer(x, label) if isinstance(layer, ResBlock) else layer(x)
        out: Tensor = self.end(x)
        return out


class DeconvDecoder(nn.Module):
    """Transposed convolutions (4 x 4, stride 2), as in DCGAN.

    Each comes after a norm, the label's scale and shift, and a SiLU; they double the side until it is the image's, the
    patch's share at the first width.
    """

    def __init__(
        self, latent_shape: tuple[int, ...], *, channels: int, size: int, widths: Sequence[int], patch: int,
        label_width: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.start = Start(latent_shape, width=widths[-1], side=size // (patch * 2 ** (len(widths) - 1)))
        ladder = [*reversed(widths)] + [widths[0]] * (patch.bit_length() - 1)
        self.norms = nn.ModuleList(norm(before) for before in ladder)
        self.labels = nn.ModuleList(Modulation(label_width, before) for before in ladder if label_width)
        ups = (nn.ConvTranspose2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(ladder))
        self.layers = nn.ModuleList([*ups, nn.Conv2d(ladder[-1], channels, 3, padding=1)])

    def forward(self, latents: Tensor, label: Tensor | None) -> Tensor:  # -> (N, C, size, size), about -1..1
        """Mean of p(x | z)."""
        x: Tensor = self.start(latents)
        for k, (scale, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            x = scale(x)
            if label is not None:
                x = self.labels[k](x, label)
            x = layer(nn.functional.silu(x))
        return x


class LinearDecoder(nn.Module):
    """Affine layers with SiLUs between, on the flattened latent beside the label's vector.

    With no hidden layer one affine map from latent to pixels.
    """

    def __init__(
        self, latent_shape: tuple[int, ...], *, channels: int, size: int, hidden: Sequence[int], label_width: int
    ) -> None:
        super().__init__()
        self.image_shape = (channels, size, size)
        widths = [prod(latent_shape) + label_width, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], prod(self.image_shape)))

    def forward(self, latents: Tensor, label: Tensor | None) -> Tensor:  # -> (N, C, size, size), about -1..1
        """Mean of p(x | z)."""
        flat = latents.flatten(1)
        out: Tensor = self.layers(flat if label is None else torch.cat([flat, label.to(flat.dtype)], dim=1))
        return out.reshape(-1, *self.image_shape)
