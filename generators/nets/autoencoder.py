"""The ResNet autoencoder with a spatial Gaussian latent that latent diffusion runs on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def norm(width: int) -> nn.GroupNorm:
    """GroupNorm with at most 16 groups of whole size."""
    groups = next(g for g in (16, 8, 4, 2, 1) if width % g == 0)
    return nn.GroupNorm(groups, width)


class ResBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))); starts as the identity where the width stays."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(width_in), nn.SiLU(), nn.Conv2d(width_in, width_out, 3, padding=1))
        self.second = nn.Sequential(norm(width_out), nn.SiLU(), nn.Conv2d(width_out, width_out, 3, padding=1))
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)
        nn.init.zeros_(self.second[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.second[2].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:  # (N, width_in, H, W) -> (N, width_out, H, W)
        """Apply the block."""
        out: Tensor = self.skip(x) + self.second(self.first(x))
        return out


class Autoencoder(nn.Module):
    """VAE (Kingma & Welling 2014) on images in -1..1, latent (latent, H / factor, W / factor).

    The image is first folded into patches (pixel unshuffle), so that no convolution runs at full resolution unless
    `patch` is 1; each width after the first halves the resolution once: factor = patch * 2 ** (len(widths) - 1).
    Sides must be multiples of the factor.
    """

    def __init__(self, *, channels: int, latent: int, widths: Sequence[int], n_blocks: int, patch: int) -> None:
        super().__init__()
        self.latent, self.patch = latent, patch
        self.factor = patch * 2 ** (len(widths) - 1)
        folded = channels * patch * patch
        down: list[nn.Module] = [nn.PixelUnshuffle(patch), nn.Conv2d(folded, widths[0], 3, padding=1)]
        width = widths[0]
        for level, after in enumerate(widths):
            if level:
                down.append(nn.Conv2d(width, after, 3, stride=2, padding=1))
            down.extend(ResBlock(after, after) for _ in range(n_blocks))
            width = after
        down += [norm(width), nn.SiLU(), nn.Conv2d(width, 2 * latent, 3, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(latent, width, 3, padding=1)]
        for level, after in enumerate(reversed(widths)):
            if level:
                up += [nn.Conv2d(width, after * 4, 1), nn.PixelShuffle(2)]
            up.extend(ResBlock(after, after) for _ in range(n_blocks))
            width = after
        up += [norm(width), nn.SiLU(), nn.Conv2d(width, folded, 3, padding=1), nn.PixelShuffle(patch)]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:  # (N, C, H, W) -> 2 x (N, latent, h, w)
        """Mean and log-variance of q(z | x)."""
        mean, logvar = self.encoder(images).chunk(2, dim=1)
        return mean.float(), logvar.float().clamp(-20.0, 10.0)

    def decode(self, latents: Tensor) -> Tensor:  # (N, latent, h, w) -> (N, C, H, W), about -1..1
        """Mean of p(x | z)."""
        out: Tensor = self.decoder(latents)
        return out

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction through one drawn latent (torch's global generator), mean, log-variance."""
        mean, logvar = self.encode(images)
        latents = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        return self.decode(latents), mean, logvar


def elbo_terms(images: Tensor, output: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Squared error and KL(q(z | x) || N(0, I)), both summed over an image, divided by its number of pixel values
    and averaged over the batch. Their sum with weight beta = 2 sigma^2 is the negative ELBO of a Gaussian decoder
    of variance sigma^2 (up to scale and a constant)."""
    reconstruction, mean, logvar = output
    kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).flatten(1).sum(1) / images[0].numel()
    return F.mse_loss(reconstruction.float(), images), kl.mean()
