"""The first stage of a latent generator: what is asked of it, its options, and a published autoencoder in its role."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from generators.diffusers_folder import DiffusersFolder
from generators.padding import cut_signed, pad_signed
from generators.vae import VAEConfig
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FLAG = "--gen.autoencoder"
FILES = tuple(
    f"{folder}{name}"
    for folder in ("", "vae/")
    for name in ("config.json", "*.safetensors", "*.safetensors.index*.json")
)


@dataclass(frozen=True)
class FirstStageConfig(VAEConfig):
    """Options of the autoencoder: those of `vae`, with defaults for reconstructing rather than for drawing.

    Many small steps in wide blocks at the latent's own resolution: what it cannot reconstruct, no denoiser can draw.
    """

    conditional: bool = False
    """Encoder and decoder are told the label. The denoiser knows it; without, latents hold it themselves."""
    draw_from: Literal["prior", "posterior"] = "prior"
    """Of no use here: the denoiser stands in the place of both."""
    # the base has these options' docstrings
    patch: int = 4
    widths: tuple[int, ...] = (96,)
    blocks: int = 2
    batch: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop_at_copy_rate:
            raise UserError(
                f"first_stage.stop_at_copy_rate {self.stop_at_copy_rate:g} was asked for, and an autoencoder draws "
                "nothing by itself; set --gen.stop-at-copy-rate, which looks at what is drawn while the denoiser learns"
            )


class FirstStage(Protocol):
    """A fitted autoencoder: between images and latents, vectors (D,) or images (C, h, w).

    Attributes
    ----------
    latent_shape : of one latent, without the batch.
    """

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        ...

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x).

        Parameters
        ----------
        images : uint8 (N, C, S, S).
        labels : of the images; only an autoencoder that is told labels looks at them.

        Returns
        -------
        Two of float32 (N, *latent_shape), on the device.
        """
        ...

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of latents.

        Parameters
        ----------
        latents : float32 (N, *latent_shape).

        Returns
        -------
        uint8 (N, C, S, S), on the CPU.
        """
        ...

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decoded means of the images' latents.

        Parameters
        ----------
        images : uint8 (N, C, S, S).

        Returns
        -------
        The same shape and dtype.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        ...


class PublishedAutoencoder:
    """diffusers' AutoencoderKL (Rombach 2022) with given weights, frozen, as a first stage.

    Grey images are repeated to the channels it was trained on, and what it decodes is averaged back. Latents are
    shifted and scaled as its configuration says: z' = (z - shift_factor) scaling_factor. Sides that are no multiple
    of its factor 2 ** (levels - 1) are padded at the edge and cut back.
    """

    def __init__(self, net: Any, *, channels: int, size: int, device: str) -> None:
        self.net = net.eval().requires_grad_(False).to(device)
        self.channels, self.size, self.device = channels, size, device
        self.repeats = net.config["in_channels"]
        self.factor = 2 ** (len(net.config["block_out_channels"]) - 1)
        self.padded = -(-size // self.factor) * self.factor
        self.scale, self.shift = net.config["scaling_factor"], net.config["shift_factor"] or 0.0

    @classmethod
    def open(cls, where: str, *, channels: int, size: int, device: str) -> Self:
        """From a diffusers folder (an AutoencoderKL, or a pipeline with one) or a hub id; safetensors alone are read.

        Raises
        ------
        UserError
            When nothing can be read there, it is no AutoencoderKL or not all of one, or it does not fit the images.
        """
        from synthworth.devices import isolated_randomness

        with isolated_randomness(0):  # it draws initial weights
            net = _find(where, channels).load()
        return cls(net, channels=channels, size=size, device=device)

    @classmethod
    def check(cls, where: str, *, channels: int | None) -> None:
        """Refuse whatever `open` would; `channels` of the images, None where they are not known."""
        _find(where, channels).check()

    @classmethod
    def latent_of(cls, where: str, *, channels: int, size: int) -> tuple[int, int, int]:
        """`latent_shape` of what `open` would give, by its configuration alone."""
        config = _find(where, channels).config
        side = -(-size // 2 ** (len(config["block_out_channels"]) - 1))
        return (config["latent_channels"], side, side)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, side, side) of one latent."""
        side = self.padded // self.factor
        return (self.net.config["latent_channels"], side, side)

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), shifted and scaled; see `FirstStage`."""
        import torch

        with torch.inference_mode():
            signed = pad_signed(images.to(self.device), self.padded).expand(-1, self.repeats, -1, -1)
            found = self.net.encode(signed).latent_dist
            mean = (found.mean.float() - self.shift) * self.scale
            return mean, found.logvar.float() + 2 * math.log(self.scale)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of latents; see `FirstStage`."""
        import torch

        with torch.inference_mode():
            images = self.net.decode(latents.to(self.device) / self.scale + self.shift).sample
            return cut_signed(images.mean(1, keepdim=True) if self.channels == 1 else images, self.size)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decoded means; see `FirstStage`."""
        return self.decode(self.encode(images)[0])

    def save(self, folder: Path) -> None:
        """Write it as diffusers does: a configuration and safetensors."""
        self.net.save_pretrained(folder, safe_serialization=True)


def _find(where: str, channels: int | None) -> DiffusersFolder:
    """The folder of an AutoencoderKL of images with so many channels, or of any where they are None."""
    found = DiffusersFolder.find(where, part="vae", kinds=("AutoencoderKL",), patterns=FILES, what=FLAG)
    repeats = found.config["in_channels"]
    if channels not in (None, 1, repeats):
        raise UserError(
            f"{FLAG}: this one works on images of {repeats} channels, and the training images have {channels}"
        )
    if found.config["out_channels"] != repeats:
        raise UserError(
            f"{FLAG}: this one makes {found.config['out_channels']} channels of {repeats}; an autoencoder is needed"
        )
    return found
