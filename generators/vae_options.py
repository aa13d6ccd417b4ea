"""Options that the VAE family shares, and what of them contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from generators.options import AdamWConfig, SamplingPrecision
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, SINCE_DEFAULT
from synthworth.search_space import Above, Between, OneOf, applies, searched
from synthworth.training.options import checked_sha256, require_ranges


@dataclass(frozen=True)
class FamilyConfig(AdamWConfig):
    """Options that `vae`, `gmvae` and `fs_gmvae` share.

    Raises
    ------
    UserError
        For a value out of its range, options that contradict each other, or a weights file that is missing or is
        another than its sha256 says.
    """

    # the base has these options' docstrings
    batch: int = 16
    lr: float = 2e-3
    latent: Literal["vector", "spatial"] = "spatial"
    """Shape of a latent: `latent_size` numbers, or an image of `latent_channels` at 1 / factor of the resolution,
    factor = patch * 2 ^ (levels - 1)."""
    latent_size: int = field(default=256, metadata=searched(OneOf(16, 32, 64, 128, 256), latent=("vector",)))
    """Numbers of a vector latent."""
    latent_channels: int = field(default=8, metadata=searched(OneOf(2, 4, 8, 16), latent=("spatial",)))
    """Channels of a spatial latent."""
    patch: int = 2
    """Pixels a side that are folded into channels at the image; 1 keeps full resolution. A power of 2."""
    widths: tuple[int, ...] = field(
        default=(48, 96), metadata=searched(OneOf((32, 64), (48, 96), (64, 128), (96, 192)))
    )
    """Channels by resolution, from the image inwards; each after the first halves it."""
    blocks: int = 1
    """Residual blocks at each resolution, in the encoder and in the decoder `upsample`."""
    encoder: Literal["resnet", "vgg16", "densenet121"] = "resnet"
    """Residual blocks, or the features of a timm network at the stride that patch and widths say."""
    encoder_frozen: bool = True
    """vgg16 and densenet121 are left as they are; False trains them on."""
    encoder_pretrained: bool = False
    """vgg16 and densenet121 begin with torchvision's ImageNet weights, from SYNTHWORTH_WEIGHTS or timm's hub; False:
    with random ones."""
    encoder_weights: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """They begin with the weights in this file instead (timm's names; safetensors or a state dict)."""
    encoder_sha256: str = ""
    """Of that file: filled in from it, checked against it where given, and in the key in its place."""
    transition: int = 0
    """Width of a layer between features and latent; 0 for none."""
    decoder: Literal["linear", "deconv", "upsample"] = "upsample"
    """Affine layers, transposed convolutions, or residual blocks with sub-pixel upsampling."""
    hidden: tuple[int, ...] = field(default=(512,), metadata=applies(decoder=("linear",)))
    """Widths of the hidden layers of the decoder `linear`; none leaves one affine map."""
    conditional: bool = True
    """Encoder and decoder are told the label."""
    label_width: int = field(default=64, metadata=applies(conditional=(True,)))
    """Length of the label's vector in a conditional network."""
    beta: float = field(default=0.001, metadata=searched(Between(1e-4, 0.3, log=True)))
    """Weight of the KL term beside the squared error (both summed over an image whose pixels run -1..1): twice the
    variance of the decoder's Gaussian."""
    perceptual: float = 0.0
    """Weight of LPIPS (Zhang 2018) beside the mean squared error; 0 leaves it out."""
    perceptual_weights: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """AlexNet's convolutions for LPIPS in this file (torchvision's names). Without it they are looked for in
    SYNTHWORTH_WEIGHTS and in torch's cache, then downloaded."""
    perceptual_sha256: str = ""
    """Of that file: filled in from it, checked against it where given, and in the key in its place."""
    ema: float = field(default=0.0, metadata=searched(OneOf(0.0, 0.99, 0.999)))
    """Decay of the average of the weights that is exported and drawn with; 0 exports the weights themselves."""
    ema_every: int = field(default=1, metadata=SINCE_DEFAULT | applies(ema=Above(0)))
    """Steps between two looks of that average at the weights; each then counts for as many steps."""
    sampling_precision: SamplingPrecision = field(default="fp32", metadata=SINCE_DEFAULT)
    """Arithmetic of the decoder; bf16 is faster and moves images a little, so it names its own numbers."""
    kernel_width: float = 0.0
    """Structure-preserving draws of a spatial latent: standard deviation, in latent pixels, of the Gaussian kernel that
    the noise is smoothed with (its variance stays 1); 0 for white noise."""

    def __post_init__(self) -> None:
        ranges = {
            "latent_size": (self.latent_size >= 1, "1 or more"),
            "latent_channels": (self.latent_channels >= 1, "1 or more"),
            "patch": (self.patch >= 1 and self.patch & (self.patch - 1) == 0, "a power of 2 (1, 2, 4, ...)"),
            "widths": (bool(self.widths) and min(self.widths) >= 1, "one number or more, each 1 or more"),
            "blocks": (self.blocks >= 1, "1 or more"),
            "transition": (self.transition >= 0, "0 or more"),
            "label_width": (self.label_width >= 1, "1 or more"),
            "beta": (self.beta >= 0, "0 or more"),
            "perceptual": (self.perceptual >= 0, "0 or more"),
            "ema": (0 <= self.ema < 1, "0 or more and below 1"),
            "ema_every": (self.ema_every >= 1, "1 or more"),
            "kernel_width": (self.kernel_width >= 0, "0 or more"),
        }
        require_ranges(self, ranges | self.ranges())
        if self.kernel_width and self.latent == "vector":
            raise UserError(
                f"kernel_width {self.kernel_width} smooths a spatial latent, and latent is vector: change one"
            )
        if self.encoder == "resnet" and (self.encoder_pretrained or self.encoder_weights):
            raise UserError("the encoder resnet begins untrained: choose vgg16 or densenet121, or give it no weights")
        for name in ("encoder", "perceptual"):
            file, known = getattr(self, f"{name}_weights"), f"{name}_sha256"
            if file is not None:
                found = checked_sha256(file, getattr(self, known), option=f"{name}_weights")
                object.__setattr__(self, known, found)

    def without_paths(self) -> Self:
        """The same options for another machine: weights files by their sha256 alone."""
        return replace(self, encoder_weights=None, perceptual_weights=None)

    @property
    def factor(self) -> int:
        """Pixels a side that become one position of the features; sides are padded to a multiple of it."""
        return self.patch << (len(self.widths) - 1)


@dataclass(frozen=True)
class MixtureConfig(FamilyConfig):
    """The same options with the defaults of `gmvae` and `fs_gmvae`, whose prior is a mixture.

    They make the latent a short vector that the KL term weighs more on.
    """

    latent: Literal["vector", "spatial"] = "vector"
    latent_size: int = 64
    beta: float = 0.02
