"""The films of an external test set: every split of another dataset, in the classes of the experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.request.elsewhere import FLAG
from data.images import ImageSet, Split, marks_of, pixel_digests
from data.prepared import read_index
from data.registry import datasets
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.stages.images import Images

CHUNK = 2048
"""Images that a classifier is given at once."""


@dataclass(frozen=True)
class Films:
    """The films of a test set that are judged, without their pixels; what reads a test set reads these too.

    Parameters
    ----------
    rows : int64 (N,), their places among all films of the dataset.
    labels : int64 (N,), or uint8 (N, K) where findings co-occur; in the experiment's classes.
    ids, groups : names of the films, and of their patients.
    left_out : films by reason: of a class that the mapping leaves out, and the same pixels as one of train or val.
    shared : what cannot be left out and is told: films with the pixels of one of the experiment's test films, and
        patients with the name of one of the experiment's.
    n_without : films no patient is given for.
    """

    rows: np.ndarray
    labels: Tensor
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    left_out: Mapping[str, int]
    shared: Mapping[str, int]
    n_without: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def multilabel(self) -> bool:
        """Whether findings co-occur."""
        return self.labels.ndim == 2


class External:
    """Another dataset, prepared, as a test set: nothing is learned from it, so all its splits are test films.

    It crosses to a worker process by what it is made of.
    """

    def __init__(self, told: Mapping[str, Any], folder: Path, config: Any) -> None:
        """Open it; nothing is read yet.

        Parameters
        ----------
        told : as it stands in a spec's `test_on`.
        folder : of the prepared dataset.
        config : of the dataset, as given.
        """
        self.told, self.folder, self.config = told, folder, config
        self._films: dict[tuple[Path, str], Films] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return External, (self.told, self.folder, self.config)

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.told["name"])

    @cached_property
    def parts(self) -> tuple[ImageSet, ...]:
        """Its splits, in the order of `Split`; pixels are memory maps."""
        dataset = datasets.get(self.told["dataset"])(self.config)
        there = read_index(self.folder)["splits"]
        return tuple(dataset.load(self.folder, split) for split in Split if split.value in there)

    def chunks(self) -> Iterator[Tensor]:
        """Pixels of all its films, in order: uint8 (up to `CHUNK`, C, H, W)."""
        for part in self.parts:
            for start in range(0, len(part), CHUNK):
                yield part.images[start : start + CHUNK]

    def films(self, images: Images) -> Films:
        """The films that an experiment is tested on.

        Raises
        ------
        UserError
            For a class of the experiment that none of them shows.
        """
        of = images.folder, images.spec.donor
        if of not in self._films:
            self._films[of] = self._judged(images)
        return self._films[of]

    def _judged(self, images: Images) -> Films:
        import torch

        marks, known = self._marks(images.test.classes)
        ids = [name for part in self.parts for name in part.ids]
        groups = [name for part in self.parts for name in part.groups]
        own_patient = [one == other for one, other in zip(ids, groups, strict=True)]
        if len(set(ids)) < len(ids):  # unique within a split alone
            ids = [f"{part.split.value}/{name}" for part in self.parts for name in part.ids]
        found = [digest for part in self.parts for digest in pixel_digests(part.images)]
        own = {split: images.dataset.load(images.folder, split) for split in Split if split.value in _splits(images)}
        learned = {
            digest for split, part in own.items() if split is not Split.test for digest in pixel_digests(part.images)
        }
        tested = set(pixel_digests(images.test.images))
        seen = np.array([digest in learned for digest in found], dtype=bool)
        rows = np.flatnonzero(known & ~seen)
        labels = marks[rows] if self.parts[0].multilabel else marks[rows].argmax(axis=1).astype(np.int64)
        absent = [name for name, n in zip(images.test.classes, marks[rows].sum(axis=0), strict=True) if not n]
        if absent:
            raise UserError(
                f"{FLAG} {self.name}: none of its {len(rows)} films that can be judged shows {', '.join(absent)}. "
                "Test on a dataset that has every class"
            )
        names = {name for part in own.values() for name in part.groups}
        patients = {groups[row] for row in rows}
        shared = {
            "films of test": sum(found[row] in tested for row in rows),
            "names of patients": len(patients & names) if _one_source(self.told, images.spec) else 0,
        }
        return Films(
            rows=rows,
            labels=torch.from_numpy(labels),
            ids=tuple(ids[row] for row in rows),
            groups=tuple(groups[row] for row in rows),
            classes=tuple(images.test.classes),
            left_out={"of other classes": int((~known).sum()), "learned from": int((known & seen).sum())},
            shared=shared,
            n_without=sum(own_patient[row] for row in rows),
        )

    def _marks(self, ours: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (N, K), which classes of ours each film shows; and bool (N,), whether no class of it is left out."""
        marks, known = [], []
        for part in self.parts:
            its = marks_of(part.labels.numpy(), n_classes=part.n_classes)
            found, keeps = np.zeros((len(part), len(ours)), dtype=np.uint8), np.ones(len(part), dtype=bool)
            for column, name in enumerate(part.classes):
                to = self.told["classes"][name]
                if to is None:
                    keeps &= its[:, column] == 0
                else:
                    found[:, ours.index(to)] |= its[:, column]
            marks.append(found)
            known.append(keeps)
        return np.concatenate(marks), np.concatenate(known)


def _splits(images: Images) -> Mapping[str, Any]:
    splits: Mapping[str, Any] = read_index(images.folder)["splits"]
    return splits


def _one_source(told: Mapping[str, Any], spec: Any) -> bool:
    """Whether the names of patients mean the same in both: a published set numbers its patients, a folder any."""
    return bool(told["dataset"] == spec.dataset and told["dataset"] not in ("folder", "dicom"))
