"""What a set of real images is: pixels, labels, ids, patients, and the split they belong to."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from synthworth.errors import UserError
from synthworth.keys import sha256_of

if TYPE_CHECKING:
    from torch import Tensor


class Split(str, enum.Enum):
    """Which part of a dataset images belong to; code that learns refuses anything but `train` (and `donor`)."""

    train = "train"
    val = "val"
    test = "test"
    reserve = "reserve"
    """Real images that no arm trains on: the positive control draws from them."""
    donor = "donor"
    """Training images of another hospital: a generator may learn from them, a classifier only in an arm that shares
    them (`data.splits.sharing`)."""


@dataclass(frozen=True)
class ImageSet:
    """Real images of one split.

    Synthetic images have another type (`data.mixing.SyntheticSet`) and cannot become one of these: nothing
    drawn by a generator can reach val or test.

    Parameters
    ----------
    images : uint8 (N, C, H, W), 0..255
        May be a memory map.
    labels : int64 (N,), one class an image, or uint8 (N, K), findings that co-occur
    ids : unique within the dataset
        Stable name of each image.
    groups
        Patient of each image, the unit of splitting and of the bootstrap.
    split
        The part of the dataset.
    classes
        Names of the K classes or findings, in the order of the labels.
    attributes : arrays (N,) by name (sex, age_band, view, ...)
        For subgroup rows.

    Raises
    ------
    TypeError, ValueError
        When shapes, dtypes or lengths do not agree, or ids repeat.
    """

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    split: Split
    classes: tuple[str, ...]
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from synthworth.images import check_batch

        check_batch(self.images)
        check_labels(self.labels, n_classes=len(self.classes))
        n = len(self.images)
        lengths = {"labels": len(self.labels), "ids": len(self.ids), "groups": len(self.groups)}
        lengths |= {f"attribute {name}": len(values) for name, values in self.attributes.items()}
        for what, length in lengths.items():
            if length != n:
                raise ValueError(f"{n} images but {length} {what}")
        if len(set(self.ids)) != n:
            raise ValueError("image ids repeat within one set")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def multilabel(self) -> bool:
        """Whether findings co-occur: labels are (N, K)."""
        return self.labels.ndim == 2

    @property
    def n_classes(self) -> int:
        """Number of classes or findings, K."""
        return len(self.classes)

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return int(self.images.shape[1])

    @property
    def size(self) -> int:
        """Height, which is also the width, in pixels."""
        return int(self.images.shape[-1])

    def subset(self, rows: Sequence[int] | np.ndarray, *, split: Split | None = None) -> Self:
        """The images at `rows`, in that order; `split` re-labels the part (only ever to `reserve` or `donor`)."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            images=self.images[index],
            labels=self.labels[index],
            ids=tuple(self.ids[i] for i in index),
            groups=tuple(self.groups[i] for i in index),
            split=split or self.split,
            attributes={name: values[index] for name, values in self.attributes.items()},
        )

    def counts(self) -> dict[str, int]:
        """Images by class; where findings co-occur, images with each finding."""
        return count_labels(self.labels, self.classes)

    def fingerprint(self) -> str:
        """sha256 over pixels, labels, ids and patients, in order.

        It is computed at most once for each object, so the pixels must not be changed afterwards.

        Raises
        ------
        UserError
            When a prepared split holds something else than was written.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        starts = range(0, len(self), 1024)
        found = fingerprint_of(
            (np.ascontiguousarray(self.images[start : start + 1024].numpy()).data for start in starts),
            shape=tuple(self.images.shape),
            labels=self.labels.numpy(),
            ids=self.ids,
            groups=self.groups,
            classes=self.classes,
            split=self.split,
        )
        written, place = vars(self).get("_written", (found, ""))
        if found != written:
            raise UserError(
                f"the prepared {self.split.value} split in {place} is damaged: it was written with fingerprint "
                f"{written[:12]} and has {found[:12]}. Delete that folder; the next run prepares it again"
            )
        return found

    def as_written(self, fingerprint: str, place: Path) -> Self:
        """This object, told the fingerprint it was written to disk with: `fingerprint` refuses another one.

        Parameters
        ----------
        place
            The folder it was read from.
        """
        vars(self)["_written"] = (fingerprint, place)
        return self


def fingerprint_of(
    pixels: Iterable[bytes | memoryview],
    *,
    shape: tuple[int, ...],
    labels: np.ndarray,
    ids: Sequence[str],
    groups: Sequence[str],
    classes: tuple[str, ...],
    split: Split,
) -> str:
    """`ImageSet.fingerprint` of images whose pixels come in pieces: memory stays flat.

    Parameters
    ----------
    pixels : uint8, `shape`, C order
    """
    facts = repr((shape, labels.shape, classes, split.value))
    names = "\0".join([*ids, "", *groups])
    return sha256_of(chain([facts], pixels, [np.ascontiguousarray(labels).data, names]))


def check_labels(labels: Tensor, *, n_classes: int) -> None:
    """Raise unless labels are int64 (N,) in 0..K-1 or uint8 (N, K) of zeros and ones."""
    import torch

    from synthworth.images import from_array

    if not isinstance(labels, torch.Tensor):
        raise TypeError(f"labels must be a tensor, not {type(labels).__name__}{from_array(labels)}")
    if labels.ndim == 1 and labels.dtype == torch.int64:
        if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < n_classes):
            raise ValueError(f"labels run {int(labels.min())}..{int(labels.max())} but there are {n_classes} classes")
    elif labels.ndim == 2 and labels.dtype == torch.uint8:
        if labels.shape[1] != n_classes:
            raise ValueError(f"labels have {labels.shape[1]} columns but there are {n_classes} classes")
        if len(labels) and int(labels.max()) > 1:
            raise ValueError("multi-label columns hold only 0 and 1")
    else:
        raise TypeError(f"labels must be int64 (N,) or uint8 (N, K), not {labels.dtype} {tuple(labels.shape)}")


def marks_of(labels: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Which classes each image shows, whichever form its labels have.

    Parameters
    ----------
    labels : int64 (N,), one class an image, or (N, K) zeros and ones, which pass through as they are
    n_classes
        Number of classes, K.

    Returns
    -------
    (N, K), zeros and ones
        uint8 where labels are classes.
    """
    if labels.ndim == 2:
        return labels
    marks: np.ndarray = (labels[:, None] == np.arange(n_classes)).astype(np.uint8)
    return marks


def count_labels(labels: Tensor | np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """Images by class name; for (N, K) labels, images with each finding."""
    counts = marks_of(np.asarray(labels), n_classes=len(classes)).sum(0, dtype=np.int64)
    return dict(zip(classes, counts.tolist(), strict=True))


def require_train(images: ImageSet, *, what: str, from_donor: bool = True) -> None:
    """Refuse to learn from anything but training images.

    Parameters
    ----------
    from_donor : whether they may be those of a donor: a generator may learn from another hospital's films, and nothing
        that is mixed with the recipient's own may be one.

    Raises
    ------
    UserError
        When the split is another one.
    """
    allowed = (Split.train, Split.donor) if from_donor else (Split.train,)
    if not isinstance(images, ImageSet) or images.split not in allowed:
        found = images.split.value if isinstance(images, ImageSet) else type(images).__name__
        raise UserError(f"{what} learns from the train split only, and was given {found!r}")


def showing(labels: Tensor, k: int) -> np.ndarray:
    """Rows whose label is, or contains, class k: int (n,)."""
    return np.flatnonzero((labels[:, k] == 1 if labels.ndim == 2 else labels == k).numpy())


def pixel_digests(images: Tensor) -> list[bytes]:
    """A 128-bit BLAKE2b digest of each image's bytes; equal pixels, equal digests.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
    """
    digests = []
    for start in range(0, len(images), 1024):
        block = np.ascontiguousarray(images[start : start + 1024].numpy())
        digests += [hashlib.blake2b(image.data, digest_size=16).digest() for image in block]
    return digests
