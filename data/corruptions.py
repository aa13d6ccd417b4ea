"""What a corrupted image is: five corruptions at five strengths, as bytes, the same for the same image always.

The manner is that of MedMNIST-C (Di Salvo, Doerrich & Ledig 2024, arXiv:2406.17536), which takes that of ImageNet-C and
CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv:1903.12261). Strengths of noise, contrast, JPEG and gamma are those of
MedMNIST-C for chest films (its registry of ChestMNIST). Both sources are at one size each; the blur is brought to any.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synthworth.errors import UserError
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

VERSION = 1
"""Raised whenever the same image would come out otherwise."""
STRENGTHS = (1, 2, 3, 4, 5)
LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in what is called the brightness of a colour image (ITU-R BT.601, as in Pillow)."""
BLUR_SIDE, BLUR_DOUBLES = 32, 7.0

Apply = Callable[["NDArray[np.uint8]", float, Sequence[str]], "NDArray[np.uint8]"]


@dataclass(frozen=True)
class Corruption:
    """One way in which a film is worse than it could be.

    Parameters
    ----------
    strengths : its parameter at strength 1 to 5.
    says : what the parameter is.
    apply : uint8 (N, C, H, W), parameter, names of the images -> uint8 of the same shape.
    """

    strengths: tuple[float, ...]
    says: str
    apply: Apply


def _noise(images: NDArray[np.uint8], sigma: float, ids: Sequence[str]) -> NDArray[np.uint8]:
    found = np.empty_like(images)
    for row, name in enumerate(ids):  # one field for all strengths of an image: a stronger one is more of the same
        rng = np.random.default_rng(seed_from(0, "corruption", "noise", name))
        found[row] = _bytes(images[row] + 255 * sigma * rng.standard_normal(images.shape[1:]))
    return found


def _blur(images: NDArray[np.uint8], sigma: float, ids: Sequence[str]) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    side = max(min(images.shape[2:]), BLUR_SIDE)
    width = sigma * 2 ** (np.log(side / BLUR_SIDE) / np.log(BLUR_DOUBLES))
    return _bytes(gaussian_filter(images.astype(np.float32), (0, 0, width, width), mode="mirror"))


def _contrast(images: NDArray[np.uint8], factor: float, ids: Sequence[str]) -> NDArray[np.uint8]:
    levels = images.astype(np.float64)
    grey = np.tensordot(levels, LUMA, axes=(1, 0)) if images.shape[1] == 3 else levels[:, 0]
    mean = grey.mean(axis=(1, 2))[:, None, None, None]
    return _bytes(mean + factor * (levels - mean))


def _jpeg(images: NDArray[np.uint8], quality: float, ids: Sequence[str]) -> NDArray[np.uint8]:
    from PIL import Image

    found = np.empty_like(images)
    for row, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(
            file, "JPEG", quality=int(quality)
        )
        with Image.open(file) as read:
            levels = np.asarray(read)
        found[row] = levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)
    return found


def _gamma(images: NDArray[np.uint8], exponent: float, ids: Sequence[str]) -> NDArray[np.uint8]:
    table: NDArray[np.uint8] = _bytes(255 * (np.arange(256) / 255) ** exponent)
    return table[images]


def _bytes(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption(
        (0.04, 0.08, 0.12, 0.18, 0.26), "standard deviation of Gaussian noise, as a share of the range 0..255", _noise
    ),
    "blur": Corruption(
        (0.4, 0.6, 0.7, 0.8, 1.0), "standard deviation of a Gaussian blur, in pixels of a film of 32 px", _blur
    ),
    "contrast": Corruption(
        (0.9, 0.8, 0.7, 0.6, 0.4), "share that is left of the distance to the film's mean", _contrast
    ),
    "jpeg": Corruption((50, 30, 15, 10, 7), "quality of a JPEG, written and read by Pillow", _jpeg),
    "gamma": Corruption((1.1, 1.2, 1.3, 1.4, 1.6), "exponent of the levels as shares of 255: darker films", _gamma),
}


def corrupt(images: Tensor, name: str, strength: int, *, ids: Sequence[str]) -> Tensor:
    """Images with one corruption at one strength.

    Noise is drawn from the image's name alone, and its field is the same at every strength; the others draw nothing. So
    one image is corrupted alike in every run, in whatever batch. The blur of a film of s px has
    sigma 2^(log(s / 32) / log 7) pixels, of less than 32 px that of 32: CIFAR-10-C's at 32 px, and twice as many at
    224, where MedMNIST-C has 0.8 to 2.0. JPEG is Pillow's with its default subsampling; another version of its library
    may round otherwise.

    Parameters
    ----------
    images : uint8 (N, C, H, W), 0..255, grey or RGB
    name : of `CORRUPTIONS`.
    strength : 1 to 5.
    ids : name of each image.

    Returns
    -------
    uint8 (N, C, H, W)
        New ones; those given stay as they are.

    Raises
    ------
    UserError
        For a corruption or a strength that does not exist.
    TypeError, ValueError
        For what is no batch of images, or another number of names.
    """
    import torch

    from synthworth.images import check_batch

    if name not in CORRUPTIONS:
        raise UserError(f"no corruption named {name!r}; there are {', '.join(CORRUPTIONS)}")
    if strength not in STRENGTHS:
        raise UserError(f"{name} has no strength {strength}; there are {', '.join(map(str, STRENGTHS))}")
    check_batch(images)
    if len(ids) != len(images):
        raise ValueError(f"{len(images)} images but {len(ids)} ids")
    chosen = CORRUPTIONS[name]
    return torch.from_numpy(chosen.apply(images.numpy(), chosen.strengths[strength - 1], ids))
