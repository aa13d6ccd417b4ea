"""Which networks the options of the VAE family mean, and where a timm encoder's weights lie."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from generators.saving import Shape
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from generators.nets.priors import Prior
    from generators.nets.vae import VAENet


def build_network(
    options: Any,
    shape: Shape,
    *,
    padded: int,
    latent: tuple[int, ...],
    prior: Callable[[], Prior],
    weights: str | Path | None,
) -> VAENet:
    """The whole network with fresh weights from torch's global generator.

    Parameters
    ----------
    options : a `FamilyConfig`.
    padded : pixels on a side of what the network sees.
    latent : shape of one latent, without the batch.
    prior : makes the prior; called last, so that the weights of all else do not depend on it.
    weights : of a timm encoder.
    """
    from generators.nets.encoders import ResNetEncoder, SpatialHead, TimmEncoder, VectorHead
    from generators.nets.labels import LabelEmbedding
    from generators.nets.vae import VAENet

    c, side = options, padded // options.factor
    encoder: Any
    if c.encoder == "resnet":
        encoder = ResNetEncoder(channels=shape.channels, widths=c.widths, n_blocks=c.blocks, patch=c.patch)
    else:
        encoder = TimmEncoder(c.encoder, factor=c.factor, frozen=c.encoder_frozen, weights=weights)
    label_width = c.label_width if c.conditional else 0
    known = {"transition": c.transition, "label_width": label_width}
    head: nn.Module
    if c.latent == "vector":
        head = VectorHead(features=(encoder.width, side, side), size=c.latent_size, **known)
    else:
        head = SpatialHead(width=encoder.width, channels=c.latent_channels, **known)
    label = LabelEmbedding(shape.n_classes, label_width, multilabel=shape.multilabel) if c.conditional else None
    decoder = _decoder(c, shape, padded=padded, latent=latent, label_width=label_width)
    return VAENet(encoder=encoder, head=head, decoder=decoder, prior=prior(), label=label)


def _decoder(c: Any, shape: Shape, *, padded: int, latent: tuple[int, ...], label_width: int) -> nn.Module:
    from generators.nets import decoders

    common: dict[str, Any] = {"channels": shape.channels, "size": padded, "label_width": label_width}
    if c.decoder == "linear":
        return decoders.LinearDecoder(latent, hidden=c.hidden, **common)
    common |= {"widths": c.widths, "patch": c.patch}
    if c.decoder == "deconv":
        return decoders.DeconvDecoder(latent, **common)
    return decoders.UpsampleDecoder(latent, n_blocks=c.blocks, **common)


def encoder_weights(options: Any) -> str | Path | None:
    """What a timm encoder begins with: nothing, a file, or the hub's ("hub")."""
    from generators.nets.encoders import TAGS

    if options.encoder_weights is not None or not options.encoder_pretrained:
        return cast("Path | None", options.encoder_weights)
    own = os.environ.get("SYNTHWORTH_WEIGHTS")
    local = Path(own, f"{TAGS[options.encoder]}.safetensors") if own else None
    return local if local is not None and local.is_file() else "hub"


def require_weights(options: Any) -> None:
    """Refuse weights that the key names and nobody says the place of.

    Raises
    ------
    UserError
        Naming them.
    """
    for name in ("encoder", "perceptual"):
        known = getattr(options, f"{name}_sha256")
        if known and getattr(options, f"{name}_weights") is None:
            raise UserError(f"{name} weights of sha256 {known} are asked for; give {name}_weights")


def with_own_prior(net: VAENet) -> VAENet:
    """The same network with a prior of its own, so that measuring it changes nothing that is being trained."""
    shell = copy.copy(net)
    shell._modules = {**net._modules, "prior": copy.deepcopy(net.prior)}
    return shell
