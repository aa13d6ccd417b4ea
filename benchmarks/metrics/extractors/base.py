"""Feature extractors: networks that turn images into vectors which a distance of two image sets is measured in."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np

from synthworth.devices import autocast, generator
from synthworth.images import check_batch, to_rgb
from synthworth.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn


BATCH = 32
"""Images that go through a network at once: always as many, so that none is summed in another order than its copy."""


class Extracted(NamedTuple):
    """What an extractor says of N images."""

    features: NDArray[np.float32]
    """(N, D)"""
    logits: NDArray[np.float32] | None
    """(N, 1008) class scores without the bias, from Inception alone; what the Inception score is made of."""


class Extractor:
    """Base of the extractors: batches, device, precision and memory format; a subclass gives the network.

    Parameters
    ----------
    device : a torch device.
    precision : `fp32`, or `bf16` for autocast, which is faster and moves the distances: it is part of `id`.
    channels_last : the faster memory format on a CPU; changes float noise alone, so it is no part of `id`.
    """

    name: ClassVar[str]
    """Name in the registry."""
    gives_logits: ClassVar[bool] = False
    """Whether there are logits beside the features."""
    literature_in: ClassVar[str | None] = None
    """The precision in which distances of these features bear the names of the literature (FID, KID); None for none."""
    weights_licence: ClassVar[str] = ""
    """Under which its weights may be used; empty where that is not known."""
    size: int
    """Side of the square that images are resized to, in pixels."""
    weights_sha256: str
    """Which weights; with `id` it is the identity of every feature."""

    def __init__(
        self, *, device: str = "cpu", precision: Literal["fp32", "bf16"] = "fp32", channels_last: bool = True
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be fp32 or bf16, not {precision!r}")
        self.device, self.precision, self.channels_last = device, precision, channels_last
        self._even: dict[tuple[tuple[int, ...], int], bool] = {}

    @classmethod
    def is_at_hand(cls) -> bool:
        """Whether what it needs is on this machine; a record that lacked it is completed once it is."""
        return True

    def check_files(self) -> None:
        """Refuse weights on this machine that cannot be used; the harness asks before anything is trained.

        Here there are none. What the constructor refuses need not be repeated.

        Raises
        ------
        UserError
            For a file that is damaged, or another network's.
        """

    @property
    def id(self) -> str:
        """Name, input size and precision, for instance `efficientnet_lite0@128-fp32`."""
        return f"{self.name}@{self.size}-{self.precision}"

    def build(self) -> nn.Module:
        """The network with its weights, on the CPU in float32."""
        raise NotImplementedError

    def forward(self, net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (n, D), and logits or None, of uint8 (n, 3, H, W) images on the device."""
        raise NotImplementedError

    @cached_property
    def net(self) -> nn.Module:
        """The network on its device, built at the first extraction."""
        import torch

        net = self.build().eval().requires_grad_(False).to(self.device)
        return net.to(memory_format=torch.channels_last) if self.channels_last else net

    def extract(self, images: Tensor, *, batch: int = BATCH) -> Extracted:
        """Features of uint8 (N, 1 or 3, H, W) images, which may be a memory map; grey is repeated to RGB.

        Equal images have features of equal bits, wherever they stand and whatever they stand beside, in one call or in
        several of one `batch`: a copy lies at distance 0 from its original. The same image in a batch of another size
        is summed in another order and differs by float noise (1e-5). So the network sees full batches alone: the last
        one is filled up with its own images, whose answers are dropped. Where even a full batch answers differently at
        its places (`_is_even`), images go through the network one by one.

        Raises
        ------
        TypeError, ValueError
            When `images` is no uint8 batch, or `batch` is below 1.
        """
        import torch

        check_batch(images)
        if batch < 1:
            raise ValueError(f"batch must be 1 or more, not {batch}")
        if not len(images):
            raise ValueError("there are no images to extract features from")
        features, logits = [], []
        with (
            Progress(f"features {self.id}", len(images), unit="img") as bar,
            torch.inference_mode(),
            autocast(self.device, self.precision),
            _true_fp32(self.device),
        ):
            full = batch if self._is_even(tuple(images.shape[1:]), batch) else 1
            for start in range(0, len(images), full):
                part = images[start : start + full].contiguous()
                found, scores = self._answer(part[torch.arange(full) % len(part)])
                features.append(found[: len(part)])
                if scores is not None:
                    logits.append(scores[: len(part)])
                bar.advance(len(part))
        return Extracted(np.concatenate(features), np.concatenate(logits) if logits else None)

    def _answer(self, images: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """What the network says of one batch, uint8 (n, 1 or 3, H, W): (n, D), and (n, 1008) or None."""
        found, scores = self.forward(self.net, to_rgb(images.to(self.device)))
        return found.float().cpu().numpy(), None if scores is None else scores.float().cpu().numpy()

    def _is_even(self, shape: tuple[int, ...], batch: int) -> bool:
        """Whether one picture of noise has the same bits at every place of a full batch: asked once a shape."""
        import torch

        if (shape, batch) not in self._even:
            noise = torch.randint(0, 256, (1, *shape), dtype=torch.uint8, generator=generator(0))
            answers = [part for part in self._answer(noise.repeat(batch, 1, 1, 1)) if part is not None]
            self._even[shape, batch] = all(
                np.array_equal(part, part[:1].repeat(batch, axis=0), equal_nan=True) for part in answers
            )
        return self._even[shape, batch]

    def resized(self, images: Tensor) -> Tensor:
        """uint8 (n, 3, H, W) -> float32 (n, 3, size, size), 0..255: antialiased bilinear, not rounded to bytes."""
        import torch

        floats = images.float()
        if floats.shape[-2:] != (self.size, self.size):
            floats = torch.nn.functional.interpolate(
                floats, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
            )
        return floats.contiguous(memory_format=torch.channels_last) if self.channels_last else floats


def _true_fp32(device: str):  # type: ignore[no-untyped-def]
    """On a GPU, keep convolutions out of TF32 and on deterministic kernels; elsewhere nothing to do."""
    import torch

    if not device.startswith("cuda"):
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
