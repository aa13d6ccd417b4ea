"""MedMNIST's 2D sets through their published npz, fetched and verified, or through a local npz."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data.base import BaseDataset
from data.datasets.medmnist.npz import read_npz
from data.datasets.medmnist.published import PUBLISHED, SIZES, Name, Published, file_name, url
from data.downloads.fetch import Remote, fetch
from data.downloads.files import checksum
from data.films.given_path import find_file
from data.images import ImageSet, Split
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY
from synthworth.store import Store

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MedMNISTConfig:
    """Options of `medmnist`."""

    name: Name = "pneumoniamnist"
    """Which 2D set."""
    size: Literal[28, 64, 128, 224] = 28
    """Published size in pixels. With `file` the size is the file's own."""
    file: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """A local npz with the published keys, taken as it is: its sha256 becomes part of the identity. Without
    it the published file is looked for in SYNTHWORTH_DATA and then downloaded; both are verified against the
    published MD5."""
    resize: int | None = None
    """Resize to this many pixels after loading (antialiased, bilinear); nothing keeps the size."""


class MedMNIST(BaseDataset):
    """MedMNIST v2, twelve 2D sets at 28, 64, 128 or 224 px, in their published train, val and test.

    The sets name no patients. Each image counts as a patient of its own, so intervals are narrower than a
    patient-level bootstrap would give, and a patient may be in two of the published splits (in DermaMNIST
    some lesions are). The whole set is held in memory while it is prepared.
    """

    Config = MedMNISTConfig
    version = 1
    licence = "CC BY 4.0; DermaMNIST: CC BY-NC 4.0"
    citation = "J. Yang et al.: MedMNIST v2, Scientific Data 10:41, 2023; cite the set's own source as well"

    def __init__(self, config: MedMNISTConfig | None = None) -> None:
        super().__init__(config)
        if self.config.name not in PUBLISHED:
            raise UserError(f"--data.name {self.config.name!r}: the 2D sets are {', '.join(PUBLISHED)}")
        if self.config.size not in SIZES:
            raise UserError(f"--data.size {self.config.size}: published are {', '.join(map(str, SIZES))} px")
        if self.config.resize is not None and self.config.resize < 8:
            raise UserError(f"--data.resize {self.config.resize}: at least 8 px are needed")
        self.licence = self.published.licence

    def foretold(self) -> tuple[int | None, int | None]:
        """As published; of a local file only what it is resized to."""
        c = self.config
        return (None, c.resize) if c.file is not None else (self.published.channels, c.resize or c.size)

    @property
    def published(self) -> Published:
        """The set's row of the published table."""
        return PUBLISHED[self.config.name]

    def source(self) -> Mapping[str, Any]:
        """The sha256 of `file`, or the MD5 that the published file must have; nothing is fetched.

        Raises
        ------
        UserError
            When `file` does not exist.
        """
        if self.config.file is None:
            return {"md5": self.published.md5[self.config.size]}
        return {"sha256": checksum(_existing(self.config.file), "sha256")}

    def build(self) -> Mapping[Split, ImageSet]:
        """Find or fetch the npz, and read its three splits.

        Raises
        ------
        UserError
            When the file cannot be had, is not the published one, or does not hold what it should.
        """
        config = self.config
        if config.file is not None:
            path = _existing(config.file)
            self._note_checksum(path)
        else:
            path = find(config.name, config.size) or download(config.name, config.size)
        arrays = read_npz(path)
        return {split: self._image_set(arrays, split, path) for split in (Split.train, Split.val, Split.test)}

    def _note_checksum(self, path: Path) -> None:
        found = checksum(path, "md5")
        if found not in self.published.md5.values():
            logger.warning(
                "%s has MD5 %s, which is no published %s file's: it may hold other images, or another order",
                path,
                found,
                self.config.name,
            )

    def _image_set(self, arrays: dict[str, np.ndarray], split: Split, path: Path) -> ImageSet:
        import torch

        from synthworth.images import resize

        pixels = arrays.pop(f"{split.value}_images")
        labels = arrays.pop(f"{split.value}_labels")
        images = torch.from_numpy(_to_nchw(pixels, channels=self.published.channels, path=path))
        if self.config.file is None and images.shape[-1] != self.config.size:
            raise UserError(f"{path} holds {images.shape[-1]} px images, and {self.config.size} px were asked for")
        if self.config.resize is not None:
            starts = range(0, len(images), 1024)
            images = torch.cat([resize(images[i : i + 1024], self.config.resize) for i in starts])
        names = tuple(f"{split.value}-{i:06d}" for i in range(len(images)))
        return ImageSet(
            images=images,
            labels=_to_labels(labels, n=len(images), published=self.published, path=path),
            ids=names,
            groups=names,
            split=split,
            classes=self.published.classes,
        )


def _existing(path: Path) -> Path:
    found = find_file(path)
    if not found.is_file():
        raise UserError(f"--data.file {path}: no such file")
    return found


def find(name: str, size: int) -> Path | None:
    """The published file in `$SYNTHWORTH_DATA` or among earlier downloads, its MD5 verified; None if absent.

    Raises
    ------
    UserError
        When a file of that name is there and is not the published one.
    """
    folders = [Path(os.environ["SYNTHWORTH_DATA"])] if os.environ.get("SYNTHWORTH_DATA") else []
    for folder in [*folders, downloads()]:
        path = folder / file_name(name, size)
        if path.is_file():
            found, wanted = checksum(path, "md5"), PUBLISHED[name].md5[size]
            if found != wanted:
                raise UserError(
                    f"{path} has MD5 {found}, the published file {wanted}. "
                    f"If it is the one you want, pass --data.file {path}; otherwise take it away"
                )
            return path
    return None


def downloads() -> Path:
    """Where downloaded files are kept."""
    return Store.open().home / "downloads"


def download(name: str, size: int, to: Path | None = None) -> Path:
    """Fetch the published file into `to` (by default `downloads()`); see `data.downloads.fetch.fetch`.

    Raises
    ------
    UserError
        When it cannot be fetched or arrives damaged; the message says how to bring the file by hand.
    """
    what = file_name(name, size)
    remote = Remote(url(name, size), what, f"md5:{PUBLISHED[name].md5[size]}")
    hint = f"Fetch it elsewhere and pass it as --data.file, or lay it as {what} into a folder named by SYNTHWORTH_DATA"
    return fetch(remote, to or downloads(), hint=hint)


def _to_nchw(pixels: np.ndarray, *, channels: int, path: Path) -> np.ndarray:
    """uint8 (N, S, S) or (N, S, S, 3) -> uint8 (N, C, S, S)."""
    wanted = 3 if channels == 1 else 4
    if pixels.dtype != np.uint8 or pixels.ndim != wanted or pixels.shape[1] != pixels.shape[2]:
        raise UserError(
            f"{path} holds {pixels.dtype} {pixels.shape} images; this set has square uint8 ones "
            f"of {channels} channel(s)"
        )
    if channels == 1:
        return pixels[:, None]
    if pixels.shape[3] != channels:
        raise UserError(f"{path} holds images of {pixels.shape[3]} channels; this set has {channels}")
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _to_labels(labels: np.ndarray, *, n: int, published: Published, path: Path) -> Tensor:
    """(N, 1) -> int64 (N,), or (N, K) -> uint8 (N, K); values checked."""
    import torch

    k = len(published.classes)
    columns = k if published.multilabel else 1
    labels = labels.reshape(len(labels), math.prod(labels.shape[1:])) if labels.ndim else labels
    if labels.shape != (n, columns) or labels.dtype.kind not in "iub":
        raise UserError(f"{path} holds {labels.dtype} {labels.shape} labels; {n} images need integers ({n}, {columns})")
    highest = 1 if published.multilabel else k - 1
    if n and (int(labels.min()) < 0 or int(labels.max()) > highest):
        raise UserError(f"{path} holds labels {labels.min()}..{labels.max()}; this set has 0..{highest}")
    if published.multilabel:
        return torch.from_numpy(np.ascontiguousarray(labels, dtype=np.uint8))
    return torch.from_numpy(labels[:, 0].astype(np.int64))
