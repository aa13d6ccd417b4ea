"""A table of films: one row an image, with labels, patient, split and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.images import Split, count_labels

WITHOUT_NUMBER = "films without a patient's number"
"""The note that says of how many films nobody knows whose they are."""


@dataclass(frozen=True)
class FilmTable:
    """The films of a dataset: which file, whose, with what label, in which split.

    Parameters
    ----------
    paths
        File of each film.
    ids : unique
        Name of each film.
    groups
        Patient of each film; no patient may be in two splits.
    labels : int64 (N,), one class a film, or uint8 (N, K), findings that co-occur
    splits : str (N,), each one of train, val, test, reserve
    classes
        Names of the K classes or findings, in the order of the labels.
    attributes : arrays (N,) by name (sex, age_band, view, ...)
        For subgroup rows.
    notes : JSON
        What a reader should know of how the table came about (rows without a file, for one). It is logged in one line
        and kept in the index of the prepared dataset.

    Raises
    ------
    ValueError
        When lengths, dtypes or values do not agree, or ids repeat.
    """

    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: np.ndarray
    splits: np.ndarray
    classes: tuple[str, ...]
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, k = len(self.ids), len(self.classes)
        lengths = {"paths": self.paths, "groups": self.groups, "labels": self.labels, "splits": self.splits}
        for what, values in {**lengths, **self.attributes}.items():
            if len(values) != n:
                raise ValueError(f"{n} films but {len(values)} {what}")
        if len(set(self.ids)) != n:
            raise ValueError("film ids repeat")
        unknown = set(np.unique(self.splits).tolist()) - {split.value for split in Split}
        if unknown:
            raise ValueError(f"no split is named {sorted(unknown)[0]!r}")
        single = self.labels.dtype == np.int64 and self.labels.ndim == 1
        multi = self.labels.dtype == np.uint8 and self.labels.shape == (n, k)
        if not (single or multi):
            raise ValueError(f"labels must be int64 (N,) or uint8 (N, {k}), not {self.labels.dtype}")
        if n and (self.labels.min() < 0 or self.labels.max() >= (k if single else 2)):
            raise ValueError(f"labels run {self.labels.min()}..{self.labels.max()} with {k} classes")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def multilabel(self) -> bool:
        """Whether findings co-occur: labels are (N, K)."""
        return self.labels.ndim == 2

    def rows(self, split: Split) -> np.ndarray:
        """Rows of one split, int64, ascending."""
        return np.flatnonzero(np.asarray(self.splits) == split.value)

    def counts(self) -> dict[str, dict[str, int]]:
        """Films by split (those with any) and class; where findings co-occur, films with each finding."""
        return {s.value: count_labels(self.labels[self.rows(s)], self.classes) for s in Split if len(self.rows(s))}

    def subset(self, rows: Sequence[int] | np.ndarray) -> FilmTable:
        """The films at `rows`, in that order."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in index),
            ids=tuple(self.ids[i] for i in index),
            groups=tuple(self.groups[i] for i in index),
            labels=self.labels[index],
            splits=np.asarray(self.splits)[index],
            attributes={name: np.asarray(values)[index] for name, values in self.attributes.items()},
        )


def columns_of(table: FilmTable) -> dict[str, list[Any]]:
    """id, split, patient; `label` with the class, or a column of 0 and 1 for each finding; then the attributes.

    A finding or attribute with the name of a column before it is written as `label:NAME` or `attribute:NAME`.
    """
    columns: dict[str, list[Any]] = {
        "id": list(table.ids),
        "split": np.asarray(table.splits).tolist(),
        "patient": list(table.groups),
    }
    if table.multilabel:
        marks = zip(table.classes, table.labels.T.tolist(), strict=True)
        columns |= {f"label:{name}" if name in columns else name: values for name, values in marks}
    else:
        columns["label"] = [table.classes[k] for k in table.labels.tolist()]
    for name, values in table.attributes.items():
        columns[f"attribute:{name}" if name in columns else name] = np.asarray(values).tolist()
    return columns
