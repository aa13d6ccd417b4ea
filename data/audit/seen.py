"""What can be seen of films without looking at their content: the file's mode, format and size, border, mean grey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.audit.shortcuts import Shortcut, measure_shortcuts
from data.films.dataset import FilmDataset
from data.films.decode import n_cores
from data.films.looks import Look
from data.images import ImageSet, Split

if TYPE_CHECKING:
    from torch import Tensor

EVEN = 10  # grey levels between the darkest and the lightest pixel of a row or column that belongs to a border
BLACK, WHITE = 64, 192  # mean grey of a border, below and from which it is called so
BLOCK = 256  # films at a time

MEAN_GREY, BORDER = "mean grey", "border"
OF_PIXELS = (MEAN_GREY, BORDER)
"""What may be the disease as well as the machine: a consolidated lung is lighter."""


def shortcuts_seen(
    sets: Mapping[Split, ImageSet], dataset: Any = None, *, n_replicates: int = 500, seed: int = 0
) -> tuple[Shortcut, ...]:
    """AUROC of everything that can be seen of a film at a glance, as `measure_shortcuts` has it for attributes.

    Each by itself, and with an interval only where the AUROC is above the one from which on a shortcut is warned of.

    Parameters
    ----------
    dataset
        Where the films come from: of one made of files, these are looked at too (their headers are read).
    """
    used = {split: images for split, images in sets.items() if split is not Split.reserve}
    found = {split: of_pixels(images.images) for split, images in used.items()}
    if isinstance(dataset, FilmDataset):
        for split, values in of_files(used, dataset).items():
            found[split] = {**values, **found[split]}
    seen = {split: replace(images, attributes=found[split]) for split, images in used.items()}
    return measure_shortcuts(seen, n_replicates=n_replicates, seed=seed, in_short=True)


def of_files(sets: Mapping[Split, ImageSet], dataset: FilmDataset) -> dict[Split, dict[str, np.ndarray]]:
    """By split, the file's mode, format, number of pixels and shape (width by height), arrays (N,).

    A file that cannot be looked at has "" and NaN.
    """
    place = dataset.places()
    found = {}
    for split, images in sets.items():
        looks = _look_at_all([place[name] for name in images.ids], dataset)
        sides = np.array([(look.width, look.height) if look else (np.nan, np.nan) for look in looks]).reshape(-1, 2)
        found[split] = {
            "file mode": np.array([look.mode if look else "" for look in looks]),
            "file format": np.array([look.format if look else "" for look in looks]),
            "file size in px": sides.prod(1),
            "file shape": np.round(sides[:, 0] / sides[:, 1], 2),
        }
    return found


def _look_at_all(paths: Sequence[Path], dataset: FilmDataset) -> list[Look | None]:
    """Looks side by side, some hundred films at a time: one is so short that handing it to a thread would cost more."""
    parts = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
    with ThreadPoolExecutor(n_cores()) as pool:
        return [look for part in pool.map(lambda part: [dataset.look(path) for path in part], parts) for look in part]


def of_pixels(images: Tensor) -> dict[str, np.ndarray]:
    """The mean grey of prepared images, float64 (N,), and what border they have, str (N,).

    Parameters
    ----------
    images : uint8 (N, C, H, W)
    """
    means, borders = [np.empty(0)], [np.empty(0, "<U20")]
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK].numpy()
        means.append(block.mean(axis=(1, 2, 3)))
        borders.append(_borders(block))
    return {MEAN_GREY: np.concatenate(means), BORDER: np.concatenate(borders)}


def _borders(block: np.ndarray) -> np.ndarray:  # uint8 (N, C, H, W) -> str (N,)
    """Colour and width of the even rows and columns at the edges, "black 10 %" in steps of 5 % of the side; or none."""
    width, grey, n_edges = np.zeros((3, len(block)))
    for axis in (3, 2):  # rows, then columns
        even = block.max(axis=(1, axis)).astype(np.int16) - block.min(axis=(1, axis)) <= EVEN  # (N, side)
        means = block.mean(axis=(1, axis))
        for way in (slice(None), slice(None, None, -1)):
            depth = np.cumprod(even[:, way], axis=1).sum(1)
            width += depth / even.shape[1]
            grey += np.where(depth, means[:, way][:, 0], 0)
            n_edges += depth > 0
    grey /= np.maximum(n_edges, 1)
    colour = np.where(grey < BLACK, "black", np.where(grey < WHITE, "grey", "white"))
    share = np.minimum(width / 4, 0.5)  # a frame all round counts as wide as each of its four sides
    step = np.ceil(np.round(share * 100, 6) / 5).astype(int) * 5
    named = np.char.add(np.char.add(colour, " "), np.char.add(step.astype(str), " %"))
    return np.where(n_edges > 0, named, "none")
