"""The picture of phantom in docs/data.md: films of every class, and the same films as a 32 px classifier sees them.

`python -m data.datasets.phantom.gallery [FILE.png] [SEED]` writes docs/images/phantom.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.datasets.phantom.patients import CLASSES, draw_films
from data.datasets.phantom.render import render

SIDE = 150
GAP = 4
LABEL = 18


def gallery(*, seed: int = 0, columns: int = 7) -> NDArray[np.uint8]:
    """Picture of films of every class, (H, W), 0 to 255.

    A row of films for each class, each of another patient, at SIDE px; below them one film of each class at 32 px,
    enlarged without smoothing.
    """
    films = draw_films(150 * columns, seed=seed, stream="reserve", task="single", difficulty=1.0)
    rows, strip = [], []
    for k, name in enumerate(CLASSES):
        first_of = {films.groups[i]: i for i in np.flatnonzero(films.labels == k)[::-1]}
        chosen = sorted(first_of.values())[:columns]
        pictures = [render(films.rows(i, i + 1), SIDE)[0, 0] for i in chosen]
        rows.append(_titled(_side_by_side(pictures), name.replace("_", " ")))
        strip += [np.kron(render(films.rows(i, i + 1), 32)[0, 0], np.ones((2, 2), np.uint8)) for i in chosen[:2]]
    rows.append(_titled(_side_by_side(strip), "the first two of each row at 32 px, enlarged"))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, GAP), (0, width - row.shape[1])), constant_values=255) for row in rows])


def _side_by_side(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one height in a row, with white between them."""
    padded = [np.pad(picture, ((0, 0), (0, GAP)), constant_values=255) for picture in pictures]
    return np.concatenate(padded, 1)[:, :-GAP]


def _titled(picture: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """The picture below a line of text."""
    from PIL import Image, ImageDraw

    line = Image.new("L", (picture.shape[1], LABEL), 255)
    ImageDraw.Draw(line).text((2, 3), title, fill=0)
    return np.concatenate([np.asarray(line), picture])


def main() -> None:
    """Write the picture."""
    from PIL import Image

    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/phantom.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = gallery(seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    Image.fromarray(picture).save(path, optimize=True)
    print(f"{path}: {picture.shape[1]} x {picture.shape[0]} px")


if __name__ == "__main__":
    main()
