"""The network of the VAE family: encoder, head, decoder and prior, and its forward pass in training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from generators.nets.labels import LabelEmbedding
from generators.nets.priors import Prior


class VAENet(nn.Module):
    """VAE (Kingma & Welling 2014) on images in -1..1.

    Parameters
    ----------
    label : gives the label a vector, which joins the features at the head and modulates the decoder; None for a
        network that is not told the label.
    """

    prior: Prior

    def __init__(
        self, *, encoder: nn.Module, head: nn.Module, decoder: nn.Module, prior: Prior, label: LabelEmbedding | None
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.decoder = encoder, head, decoder
        self.prior, self.label = prior, label

    def encode(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), or q(z | x, y): float32 (N, *latent_shape) each."""
        told = None if self.label is None else self.label(labels)
        mean, logvar = self.head(self.encoder(images), told).float().chunk(2, dim=1)
        return mean, logvar.clamp(-20.0, 10.0)

    def decode(self, latents: Tensor, labels: Tensor | None) -> Tensor:  # -> (N, C, S, S), about -1..1
        """Mean of p(x | z), or p(x | z, y)."""
        out: Tensor = self.decoder(latents, None if self.label is None else self.label(labels))
        return out

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Reconstruction through one drawn latent (torch's global generator), and the terms of the prior (N,)."""
        mean, logvar = self.encode(images, labels)
        latents = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        with torch.autocast(images.device.type, enabled=False):
            terms = self.prior.divergence(mean.flatten(1), logvar.flatten(1), labels)
        return self.decode(latents, labels), terms
