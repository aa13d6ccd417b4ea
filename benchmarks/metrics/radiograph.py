"""Statistics of radiographs, from the pixels alone: grey levels, edges, and how alike the images of one set are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.declare import Quantity, metric
from benchmarks.metrics.value import Value
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MIN_N = 50
"""Fewest images a side of `measure_radiograph`."""
MOST = 5000
"""Images of a set that are looked at; of a larger one, as many drawn by `seed`."""
N_PAIRS, N_LPIPS_PAIRS = 500, 200
MIN_PAIRS = 20
"""Fewest pairs that a mean over pairs stands on."""
CANNY = (50, 100)
"""Lower and upper bound on the gradient, in grey levels (L1 norm of 3 x 3 Sobel), of an edge."""
STATISTICS = {
    "intensity_mean": "mean grey level of an image",
    "intensity_std": "standard deviation of its grey levels",
    "intensity_min": "its darkest pixel",
    "intensity_max": "its brightest pixel",
    "edge_density": "share of its pixels on a Canny edge",
}
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def to_grey(images: Tensor) -> NDArray[np.uint8]:
    """uint8 (N, 1 or 3, H, W) -> uint8 (N, H, W); colours by their luma (ITU-R BT.601, as OpenCV does it)."""
    pixels = images.numpy()
    if pixels.shape[1] == 1:
        return np.ascontiguousarray(pixels[:, 0])
    grey = pixels.astype(np.float32).transpose(0, 2, 3, 1) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(grey.round().clip(0, 255).astype(np.uint8))


def image_statistics(grey: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """`STATISTICS` of each of N images (N, H, W): (N,) by name."""
    import cv2

    flat = grey.reshape(len(grey), -1)
    edges = [float((cv2.Canny(image, *CANNY) > 0).mean()) for image in grey]
    return {
        "intensity_mean": flat.mean(1, dtype=np.float64),
        "intensity_std": flat.std(1, dtype=np.float64),
        "intensity_min": flat.min(1).astype(np.float64),
        "intensity_max": flat.max(1).astype(np.float64),
        "edge_density": np.array(edges),
    }


def histogram_distance(real: NDArray[np.uint8], fake: NDArray[np.uint8]) -> float:
    """Wasserstein-1 distance of the grey levels of all pixels of two sets, in grey levels (0..255).

    W1 = integral |F_real(g) - F_fake(g)| dg
    """
    from scipy.stats import wasserstein_distance

    levels = np.arange(256)
    counts = (np.bincount(part.reshape(-1), minlength=256) for part in (real, fake))
    return float(wasserstein_distance(levels, levels, *counts))


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of two grey images, -1..1 (Wang et al. 2004, equation 13).

        SSIM = mean of (2 mu_a mu_b + C1)(2 s_ab + C2) / ((mu_a^2 + mu_b^2 + C1)(s_a^2 + s_b^2 + C2))

    Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, dynamic range 255; averaged over the places where
    the window fits into the image.

    Parameters
    ----------
    a, b : (H, W).

    Raises
    ------
    ValueError
        For images of different size, or smaller than the window.
    """
    import cv2

    if a.shape != b.shape or min(a.shape) < WINDOW:
        raise ValueError(f"SSIM needs two images of one size, {WINDOW} pixels a side or more: {a.shape}, {b.shape}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    margin = WINDOW // 2

    def smooth(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA)[margin:-margin, margin:-margin])

    mu_x, mu_y = smooth(x), smooth(y)
    var_x, var_y, cov = smooth(x * x) - mu_x**2, smooth(y * y) - mu_y**2, smooth(x * y) - mu_x * mu_y
    top = (2 * mu_x * mu_y + C1) * (2 * cov + C2)
    return float((top / ((mu_x**2 + mu_y**2 + C1) * (var_x + var_y + C2))).mean())


def pairs_by_class(labels: NDArray[np.integer], n_pairs: int, *, seed: int) -> dict[int, NDArray[np.int64]]:
    """Random pairs of different rows that share a label, by class.

    Every class gets n_pairs / K of them (or all it has). Where findings co-occur, label vectors take the place of
    classes: the k-th distinct vector is class k.

    Returns
    -------
    int (P, 2) by class; classes with one row have none.
    """
    kinds, kind = np.unique(labels, axis=0, return_inverse=True)
    found = {}
    for k in range(len(kinds)):
        rows = np.flatnonzero(kind.reshape(-1) == k)
        n = len(rows) * (len(rows) - 1) // 2
        if n:
            rng = np.random.default_rng(seed_from(seed, "pairs", k))
            drawn = rng.choice(n, min(n, -(-n_pairs // len(kinds))), replace=False)
            found[k] = rows[np.stack(unrank(drawn), axis=1)]
    return found


def enough_pairs(labels: NDArray[np.integer], n_pairs: int, *, seed: int) -> dict[int, NDArray[np.int64]]:
    """`pairs_by_class`, or the reason why they are too few.

    Raises
    ------
    Unavailable
        With fewer than `MIN_PAIRS` in all.
    """
    pairs = pairs_by_class(labels, n_pairs, seed=seed)
    there = sum(map(len, pairs.values()))
    if there < MIN_PAIRS:
        raise Unavailable(f"needs {MIN_PAIRS} pairs of images with one label; {len(labels)} images make {there}")
    return pairs


def unrank(number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pair i < j of number j (j - 1) / 2 + i."""
    high = np.floor((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    return number - high * (high - 1) // 2, high


DISTANCE = {name: Quantity(name, "lower") for name in (*STATISTICS, "histogram_distance")}


@metric(*DISTANCE.values(), minimum_n=MIN_N)
def measure_radiograph(*, real_images: Tensor, fake_images: Tensor, seed: int) -> dict[str, Value]:
    """`STATISTICS` and `histogram_distance` of synthetic images against real ones.

    The value of a statistic is the Wasserstein-1 distance between its distributions over the images of either set, in
    the unit of the statistic (grey levels; shares of pixels): 0 where they are the same. Both means stand in
    `extra`. Null with a note below `MIN_N`.

    Parameters
    ----------
    real_images, fake_images : uint8 (N, C, H, W).
    """
    from scipy.stats import wasserstein_distance

    n = len(fake_images)
    real, fake = (to_grey(some(images, seed=seed)) for images in (real_images, fake_images))
    ours, theirs = image_statistics(real), image_statistics(fake)
    found = {}
    for name in STATISTICS:
        extra = {"real": float(ours[name].mean()), "synthetic": float(theirs[name].mean())}
        if name == "edge_density":
            extra |= {"canny_low": CANNY[0], "canny_high": CANNY[1]}
        distance = float(wasserstein_distance(ours[name], theirs[name]))
        found[name] = DISTANCE[name].value(distance, n, extra=extra)
    grey_levels = DISTANCE["histogram_distance"]
    found[grey_levels.name] = grey_levels.value(histogram_distance(real, fake), n)
    return found


def some(images: Tensor, *, seed: int, most: int = MOST) -> Tensor:
    """At most `most` of the images, drawn by `seed`, in their own order."""
    if len(images) <= most:
        return images
    rows = np.random.default_rng(seed_from(seed, "some images")).permutation(len(images))[:most]
    return images[np.sort(rows)]


SSIM = Quantity("ssim_within", "lower", moves_with_n=False)
LPIPS = Quantity("lpips_within", "higher", moves_with_n=False)


@metric(SSIM)
def measure_ssim(
    *, fake_images: Tensor, fake_labels: NDArray[np.integer], seed: int, classes: Sequence[str] | None = None
) -> dict[str, Value]:
    """`ssim_within`: mean SSIM of random pairs of synthetic images with one label, averaged over the labels.

    Lower is more diverse; a set that has collapsed comes near 1. To be read against the same number of real images
    (its floor): far below it is noise, not diversity. Null with a note with fewer than `MIN_PAIRS`. (SSIM, not MS-SSIM,
    whose five scales need 161 pixels.)

    Parameters
    ----------
    classes : names of the means by label, where an image has one class.
    """
    n = len(fake_images)
    if fake_images.shape[-1] < WINDOW:
        raise Unavailable(f"needs images of {WINDOW} pixels a side, not {fake_images.shape[-1]}")
    pairs = enough_pairs(fake_labels, N_PAIRS, seed=seed)
    means = {}
    for k, rows in pairs.items():
        a, b = to_grey(fake_images[rows[:, 0]]), to_grey(fake_images[rows[:, 1]])
        means[k] = float(np.mean([ssim(x, y) for x, y in zip(a, b, strict=True)]))
    extra: dict[str, Any] = {"n_pairs": sum(map(len, pairs.values())), "n_labels": len(pairs)}
    if classes is not None and fake_labels.ndim == 1:
        extra["by_class"] = {classes[label]: means[k] for k, label in enumerate(np.unique(fake_labels)) if k in means}
    return {SSIM.name: SSIM.value(float(np.mean(list(means.values()))), n, extra=extra)}


@metric(LPIPS)
def measure_lpips(
    *, fake_images: Tensor, fake_labels: NDArray[np.integer], seed: int, device: str = "cpu"
) -> dict[str, Value]:
    """`lpips_within`: mean LPIPS (Zhang et al. 2018, AlexNet) of random pairs of synthetic images with one label.

    Higher is more diverse. To be read against the same number of real images. Null with a note without AlexNet's
    weights (nothing is downloaded), and with fewer than `MIN_PAIRS`.
    """
    import torch

    from generators.perceptual import FILE_NAMES, find_weights, load_lpips
    from synthworth.images import to_signed

    if find_weights() is None:
        raise Unavailable(f"LPIPS needs AlexNet's weights: put {FILE_NAMES[0]} into the folder SYNTHWORTH_WEIGHTS")
    pairs = enough_pairs(fake_labels, N_LPIPS_PAIRS, seed=seed)
    net = load_lpips(None, device=device)
    means = []
    with torch.inference_mode():
        for rows in pairs.values():
            parts = [
                net(*(to_signed(fake_images[part[:, side]]).to(device) for side in (0, 1))).cpu()
                for part in np.array_split(rows, -(-len(rows) // 32))
            ]
            means.append(float(torch.cat(parts).mean()))
    extra = {"n_pairs": sum(map(len, pairs.values())), "n_labels": len(pairs)}
    return {LPIPS.name: LPIPS.value(float(np.mean(means)), len(fake_images), extra=extra)}
