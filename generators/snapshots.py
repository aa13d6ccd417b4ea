"""Pictures of what a generator draws while it learns, each beside the weights it was drawn with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from synthworth.artifacts import ensure_folder, write_tensors
from synthworth.devices import isolated_randomness
from synthworth.work import Work

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "snapshots"


class Snapshots:
    """Pictures of what is drawn, every `work.snapshot_epochs` passes over the images.

    They are `snapshots/step-000500.png` and `.safetensors`, below `work.folder`. The labels and the seed of the picture
    are the same each time, so that the pictures compare.

    Call it with the number of finished steps. Only the first of several processes draws.

    Parameters
    ----------
    labels : what the picture shows, one image each; a row of the picture holds `n_columns`.
    draw : `draw(labels, seed)` gives uint8 (N, C, H, W) with the weights of this moment.
    weights : `weights()` gives what would be exported now: name -> tensor.
    """

    def __init__(
        self,
        work: Work,
        *,
        n_images: int,
        batch: int,
        labels: Tensor,
        draw: Callable[[Tensor, int], Tensor],
        weights: Callable[[], Mapping[str, Tensor]],
        n_columns: int = 4,
        is_first: bool = True,
    ) -> None:
        self.folder, self.labels, self.draw, self.weights = work.folder / FOLDER, labels, draw, weights
        self.every = max(1, round(work.snapshot_epochs * n_images / batch)) if work.snapshot_epochs > 0 else 0
        self.n_columns, self.is_first = n_columns, is_first

    def __call__(self, step: int) -> None:
        """Draw and write, if it is time."""
        if not self.every or step % self.every or not self.is_first:
            return
        with isolated_randomness(0):
            images, weights = self.draw(self.labels, 0), self.weights()
        ensure_folder(self.folder)
        write_tensors(self.folder / f"step-{step:06d}.safetensors", weights)
        write_grid(self.folder / f"step-{step:06d}.png", images, n_columns=self.n_columns)


def first_of_each(labels: Tensor, n_each: int = 4) -> Tensor:
    """Labels for a picture: `n_each` rows of every class in turn.

    Where findings co-occur, the first distinct vectors of the set, at most 16.
    """
    import torch

    if labels.ndim == 1:
        return torch.unique(labels).repeat_interleave(n_each)
    distinct = torch.unique(labels, dim=0)[:16]
    return distinct.repeat_interleave(n_each, dim=0)


def write_grid(file: Path, images: Tensor, *, n_columns: int) -> None:
    """Write images as a PNG.

    Parameters
    ----------
    images : uint8 (N, C, H, W).
    n_columns : images in a row.
    """
    import io

    from PIL import Image
    from torchvision.utils import make_grid

    from synthworth.artifacts import write_bytes

    grid = make_grid(images, nrow=n_columns, padding=2, pad_value=255)
    buffer = io.BytesIO()
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    write_bytes(file, buffer.getvalue())
