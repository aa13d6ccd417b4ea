"""Prepared splits on disk: uint8 arrays to be memory-mapped, tables of what each image is, and the half-made."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.images import ImageSet, Split
from synthworth.artifacts import read_array, read_json, read_rows, write_array, write_bytes, write_json, write_table
from synthworth.errors import UserError
from synthworth.keys import sha256_of

INDEX, METADATA = "dataset.json", "metadata.parquet"
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
    ValueError
        When the splits do not name the same classes: the index holds one list for all.
    """
    for split in (Split.train, Split.val, Split.test):
        if split not in sets or not len(sets[split]):
            raise UserError(f"the {split.value} split holds no image; a run needs train, val and test")
    if len({images.classes for images in sets.values()}) > 1:
        raise ValueError("the splits do not name the same classes in the same order")
    for split, images in sets.items():
        write_array(root / f"{split.value}-images.npy", images.images.numpy())
        write_rows(root, split, images.labels.numpy(), images.ids, images.groups, images.attributes)
    train = sets[Split.train]
    write_index(
        root,
        {split: (len(images), images.fingerprint()) for split, images in sets.items()},
        {"classes": list(train.classes), "channels": train.channels, "size": train.size,
         "multilabel": train.multilabel},
    )  # fmt: skip


def write_rows(
    root: Path,
    split: Split,
    labels: np.ndarray,
    ids: Sequence[str],
    groups: Sequence[str],
    attributes: Mapping[str, np.ndarray],
) -> None:
    """What each image of a split is; row i speaks of image i."""
    write_array(root / f"{split.value}-labels.npy", labels)
    columns = {"id": list(ids), "group": list(groups)}
    columns |= {f"attribute:{k}": np.asarray(v).tolist() for k, v in attributes.items()}
    write_table(root / f"{split.value}-rows.parquet", columns)


def write_index(root: Path, splits: Mapping[Split, tuple[int, str]], facts: Mapping[str, Any]) -> None:
    """The index, written last. `splits` gives each split's images and fingerprint."""
    fingerprints = {split.value: fingerprint for split, (_, fingerprint) in splits.items()}
    index = {
        "cache_version": CACHE_VERSION,
        "fingerprint": _joined(fingerprints),
        "splits": {s.value: {"n": n, "fingerprint": fingerprint} for s, (n, fingerprint) in splits.items()},
        **facts,
    }
    write_json(root / INDEX, index)


def read_index(root: Path) -> dict[str, Any]:
    """The index of a prepared folder: fingerprint, splits, classes, channels, size, multilabel, and for films notes.

    Raises
    ------
    UserError
        When the cache was written by another version.
    """
    index: dict[str, Any] = read_json(root / INDEX)
    if index.get("cache_version") != CACHE_VERSION:
        raise UserError(
            f"{root} is a cache of version {index.get('cache_version')}, this is {CACHE_VERSION}. Delete the folder"
        )
    prints = {name: facts.get("fingerprint") for name, facts in index["splits"].items()}
    if None not in prints.values() and index["fingerprint"] != _joined(prints):
        raise UserError(f"{root / INDEX} has a fingerprint that is not that of its splits. Delete the folder {root}")
    return index


def _joined(fingerprints: Mapping[str, str]) -> str:
    """The fingerprint of a dataset from those of its splits."""
    return sha256_of(["\n".join(f"{k} {fingerprints[k]}" for k in sorted(fingerprints))])


def read_split(root: Path, split: Split) -> ImageSet:
    """One split, its pixels memory-mapped (copy-on-write: nothing written to it reaches the file).

    Its fingerprint must be the one in the index: this is checked when it is first asked for. An index without it (an
    older or foreign one) is believed.

    Raises
    ------
    UserError
        When the dataset has no such split.
    """
    import torch

    index = read_index(root)
    if split.value not in index["splits"]:
        raise UserError(f"the dataset has no {split.value} split; it has {', '.join(index['splits'])}")
    columns = read_rows(root / f"{split.value}-rows.parquet").to_pydict()
    images = ImageSet(
        images=torch.from_numpy(read_array(root / f"{split.value}-images.npy", mapped=True)),
        labels=torch.from_numpy(read_array(root / f"{split.value}-labels.npy")),
        ids=tuple(columns.pop("id")),
        groups=tuple(columns.pop("group")),
        split=split,
        classes=tuple(index["classes"]),
        attributes={name.removeprefix("attribute:"): np.asarray(v) for name, v in columns.items()},
    )
    fingerprint = index["splits"][split.value].get("fingerprint")
    return images if fingerprint is None else images.as_written(fingerprint, root)


def write_csv(file: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Columns of equal length as CSV, quoted where they must be."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_bytes(file, text.getvalue().encode())


def data_preparation(name: str, dataset: Any) -> dict[str, Any]:
    """Identity of a dataset's prepared form, known before anything is decoded."""
    return {
        "dataset": name,
        "config": dataset.config,
        "version": dataset.version,
        "source": dict(dataset.source()),
    }


def preparer(dataset: Any) -> Callable[[Path, Path], None]:
    """What `Store.get_or_make` calls.

    `prepare(out, scratch=scratch)`, or `prepare(out)` for a dataset whose own `prepare` knows no scratch folder.
    """
    if "scratch" in inspect.signature(dataset.prepare).parameters:
        return lambda out, scratch: dataset.prepare(out, scratch=scratch)
    return lambda out, _: dataset.prepare(out)
