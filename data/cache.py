"""Prepared splits on disk: uint8 arrays to be memory-mapped, and a table of what each image is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data.base import ImageSet, Split
from synthworth.artifacts import read_array, read_json, write_array, write_json, write_table
from synthworth.errors import UserError

INDEX = "dataset.json"
CACHE_VERSION = 1


def is_prepared(root: Path) -> bool:
    """Whether `root` holds a finished cache (the index is written last)."""
    return (root / INDEX).is_file()


def write_splits(root: Path, sets: Mapping[Split, ImageSet]) -> None:
    """Write every split, then the index with the content fingerprint.

    Raises
    ------
    UserError
        When train, val or test is missing or empty.
    """
    for split in (Split.train, Split.val, Split.test):
        if split not in sets or not len(sets[split]):
            raise UserError(f"the {split.value} split holds no image; a run needs train, val and test")
    fingerprints = {}
    for split, images in sets.items():
        write_array(root / f"{split.value}-images.npy", images.images.numpy())
        write_array(root / f"{split.value}-labels.npy", images.labels.numpy())
        columns = {"id": list(images.ids), "group": list(images.groups)}
        columns |= {f"attribute:{k}": np.asarray(v).tolist() for k, v in images.attributes.items()}
        write_table(root / f"{split.value}-rows.parquet", columns)
        fingerprints[split.value] = images.fingerprint()
    train = sets[Split.train]
    whole = hashlib.sha256("\n".join(f"{k} {fingerprints[k]}" for k in sorted(fingerprints)).encode())
    write_json(
        root / INDEX,
        {
            "cache_version": CACHE_VERSION,
            "fingerprint": whole.hexdigest(),
            "splits": {s.value: {"n": len(x), "fingerprint": fingerprints[s.value]} for s, x in sets.items()},
            "classes": list(train.classes),
            "channels": train.channels,
            "size": train.size,
            "multilabel": train.multilabel,
        },
    )


def read_index(root: Path) -> dict[str, object]:
    """The index of a prepared folder: fingerprint, splits, classes, channels, size, multilabel.

    Raises
    ------
    UserError
        When the cache was written by another version.
    """
    index: dict[str, object] = read_json(root / INDEX)
    if index.get("cache_version") != CACHE_VERSION:
        raise UserError(
            f"{root} is a cache of version {index.get('cache_version')}, this is {CACHE_VERSION}. Delete the folder"
        )
    return index


def read_split(root: Path, split: Split) -> ImageSet:
    """One split, its pixels memory-mapped (copy-on-write: nothing written to it reaches the file).

    Raises
    ------
    UserError
        When the dataset has no such split.
    """
    import pyarrow.parquet as pq
    import torch

    index = read_index(root)
    if split.value not in index["splits"]:  # type: ignore[operator]
        raise UserError(f"the dataset has no {split.value} split; it has {', '.join(index['splits'])}")  # type: ignore[arg-type]
    columns = pq.read_table(root / f"{split.value}-rows.parquet").to_pydict()
    return ImageSet(
        images=torch.from_numpy(read_array(root / f"{split.value}-images.npy", mapped=True)),
        labels=torch.from_numpy(read_array(root / f"{split.value}-labels.npy")),
        ids=tuple(columns.pop("id")),
        groups=tuple(columns.pop("group")),
        split=split,
        classes=tuple(index["classes"]),  # type: ignore[arg-type]
        attributes={name.removeprefix("attribute:"): np.asarray(v) for name, v in columns.items()},
    )
