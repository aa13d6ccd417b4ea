"""Your own images: class folders, or a CSV or parquet table with labels, patients, splits and attributes."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.base import BaseDataset, ImageSet, Split
from data.decode import EXTENSIONS, Fit, decode_files
from data.tables import Table, read_table, to_marks, to_numbers
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY

TABLE_NAMES = ("metadata.csv", "metadata.parquet")
PATIENT_COLUMNS = ("patient_id", "patient")
SPLIT_WORDS = {
    "train": Split.train,
    "training": Split.train,
    "val": Split.val,
    "valid": Split.val,
    "validation": Split.val,
    "test": Split.test,
    "testing": Split.test,
    "reserve": Split.reserve,
}
SMALLEST, LARGEST = 8, 2048

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderConfig:
    """Options of `folder`."""

    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder of the images: CLASS/*.png, or {train,val,test}/CLASS/*.png, or any tree with a table. The
    images of a table are named relative to this folder (without it, to the table's)."""
    table: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """CSV, TSV or parquet with one row an image. Without it, metadata.csv or metadata.parquet in `path` is
    taken if it is there."""
    image_column: str = "image"
    """Column with the image file."""
    label_column: str = "label"
    """Column with the class, or with findings that co-occur, joined by "|"."""
    label_columns: tuple[str, ...] = ()
    """Instead of `label_column`: columns of 0 and 1, one a finding (or one a class, with task single)."""
    classes: tuple[str, ...] = ()
    """Declared classes, in order; any other label is an error. Without it: all labels found, sorted."""
    negative: tuple[str, ...] = ("No Finding",)
    """Labels that mean "none of the findings" where findings co-occur."""
    task: Literal["auto", "single", "multi"] = "auto"
    """One class an image, or findings that co-occur. auto: multi with `label_columns` or where a label holds
    "|"."""
    patient_column: str | None = None
    """Column with the patient. Without it: patient_id or patient if there; else each image is its own
    patient."""
    split_column: str | None = None
    """Column with train, val or test. Without it (and without split folders) patients are split by
    `fractions`. Where val is missing, it is drawn from the patients of train."""
    attributes: tuple[str, ...] = ()
    """Columns carried along for subgroup rows (sex, age_band, view, ...)."""
    size: int | None = None
    """Pixels on a side to bring every image to. Without it the images keep their own size, which must be one
    and the same square."""
    fit: Fit = "crop"
    """What becomes of a picture that is not square: crop keeps the middle and the proportions, pad adds black
    bars, squash changes the proportions."""
    channels: Literal[1, 3] = 1
    """1: grey (colour is turned into luma), 3: RGB."""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Share of the images in train, val and test, by whole patients."""
    seed: int = 0
    """Draws the split by patients."""


@dataclass(frozen=True)
class _Rows:
    """What is to be read, before any pixel is: one entry an image."""

    ids: list[str]
    paths: list[Path]
    labels: list[str]
    splits: list[str] | None = None
    table: Table | None = None


class Folder(BaseDataset):
    """A folder of images with class folders or a table; splits keep patients apart.

    Without a patient column each image counts as a patient of its own, which is said in a note: then one
    patient may be on both sides of the split, and intervals come out too narrow.
    """

    Config = FolderConfig
    version = 1
    licence = "yours"
    citation = ""

    def source(self) -> Mapping[str, Any]:
        """sha256 over name, size and date of every image, and over the table.

        Raises
        ------
        UserError
            When folder, table or an image file is missing.
        """
        rows = self._rows()
        stats = _stat_files(rows)
        lines = sorted(f"{name}\0{s.st_size}\0{s.st_mtime_ns}" for name, s in zip(rows.ids, stats, strict=True))
        found = {"files": hashlib.sha256("\n".join(lines).encode()).hexdigest()}
        if rows.table is not None:
            found["table"] = hashlib.sha256(rows.table.path.read_bytes()).hexdigest()
        return found

    def build(self) -> Mapping[Split, ImageSet]:
        """Read the table, split by patient, then decode every image.

        Raises
        ------
        UserError
            For anything in table, labels, splits or files that is not as it should be; one line names it.
        """
        import torch

        from data.audit import refuse_shared

        config = self.config
        if config.size is not None and not SMALLEST <= config.size <= LARGEST:
            raise UserError(f"--data.size {config.size}: it must lie between {SMALLEST} and {LARGEST} px")
        rows = self._rows()
        _stat_files(rows)
        classes, labels = self._labels(rows)
        patients = self._patients(rows)
        parts = self._parts(rows, patients, labels)
        refuse_shared({split: [patients[i] for i in at] for split, at in parts.items()}, what="patient")
        _refuse_untrained(classes, labels[parts[Split.train]])
        attributes = self._attributes(rows)
        order = np.concatenate(list(parts.values()))
        paths = [rows.paths[i] for i in order]
        pixels = decode_files(paths, size=config.size, channels=config.channels, fit=config.fit)
        sets, start = {}, 0
        for split, at in parts.items():
            sets[split] = ImageSet(
                images=torch.from_numpy(pixels[start : start + len(at)]),
                labels=torch.from_numpy(labels[at]),
                ids=tuple(rows.ids[i] for i in at),
                groups=tuple(patients[i] for i in at),
                split=split,
                classes=classes,
                attributes={name: values[at] for name, values in attributes.items()},
            )
            start += len(at)
        return sets

    def _rows(self) -> _Rows:
        path, table = self.config.path, self.config.table
        if path is None and table is None:
            raise UserError("dataset folder needs --data.path FOLDER or --data.table FILE")
        if path is not None and not path.is_dir():
            raise UserError(f"--data.path {path}: no such folder")
        if table is None and path is not None:
            table = next((path / name for name in TABLE_NAMES if (path / name).is_file()), None)
        if table is not None:
            return self._rows_of_table(table, root=path or table.parent)
        assert path is not None
        self._refuse_table_options(path)
        return _rows_of_folders(path)

    def _refuse_table_options(self, path: Path) -> None:
        """Columns were asked for, and there is no table to look for them in."""
        config = self.config
        columns = [config.patient_column, config.split_column, *config.label_columns, *config.attributes]
        asked = [name for name in columns if name]
        if asked:
            raise UserError(f"column {asked[0]!r} was asked for, and {path} has no metadata.csv. Pass --data.table")

    def _rows_of_table(self, file: Path, *, root: Path) -> _Rows:
        config, table = self.config, read_table(file)
        names = table.column(config.image_column, flag="--data.image-column")
        paths = [root / name for name in names]
        seen: dict[str, int] = {}
        for row, (name, path) in enumerate(zip(names, paths, strict=True), start=1):
            if not name:
                raise UserError(f"{file}, row {row}: no image is named in column {config.image_column!r}")
            first = seen.setdefault(os.path.normpath(path), row)
            if first != row:
                raise UserError(f"{file} names image {name!r} twice, in rows {first} and {row}")
        labels = [] if config.label_columns else table.column(config.label_column, flag="--data.label-column")
        splits = None
        if config.split_column is not None:
            splits = table.column(config.split_column, flag="--data.split-column")
        return _Rows(list(names), paths, list(labels), splits, table)

    def _labels(self, rows: _Rows) -> tuple[tuple[str, ...], np.ndarray]:
        """Class names, and labels int64 (N,) or uint8 (N, K)."""
        config = self.config
        if config.label_columns:
            return self._labels_of_columns(rows)
        for i, label in enumerate(rows.labels):
            if not label:
                raise UserError(f"{_where(rows, i)} has no label; label it or take it out")
        multi = config.task == "multi" or (config.task == "auto" and any("|" in label for label in rows.labels))
        if multi:
            parts = [[part.strip() for part in label.split("|")] for label in rows.labels]
            found = [[part for part in of_image if part not in config.negative] for of_image in parts]
        else:
            found = [[label] for label in rows.labels]
        names = sorted({name for of_image in found for name in of_image}, key=_numbers_first)
        classes = config.classes or tuple(names)
        place = {name: k for k, name in enumerate(classes)}
        marks = np.zeros((len(found), len(classes)), np.uint8)
        for i, of_image in enumerate(found):
            for name in of_image:
                if name not in place:
                    raise UserError(
                        f"{_where(rows, i)} has label {name!r}, which is not declared; --data.classes has "
                        f"{', '.join(classes)}"
                    )
                marks[i, place[name]] = 1
        return classes, marks if multi else _single(marks)

    def _labels_of_columns(self, rows: _Rows) -> tuple[tuple[str, ...], np.ndarray]:
        config = self.config
        if rows.table is None:
            raise UserError("--data.label-columns needs a table")
        if config.classes and config.classes != config.label_columns:
            raise UserError("--data.classes and --data.label-columns name different classes; leave out the first")
        marks = to_marks(rows.table, config.label_columns, flag="--data.label-columns")
        if config.task == "single":
            bad = np.flatnonzero(marks.sum(1) != 1)
            if len(bad):
                n = int(marks[bad[0]].sum())
                raise UserError(f"{_where(rows, int(bad[0]))} has {n} classes, and task single wants one an image")
            return config.label_columns, _single(marks)
        return config.label_columns, marks

    def _patients(self, rows: _Rows) -> list[str]:
        name = self.config.patient_column
        if rows.table is not None:
            name = name or next((c for c in PATIENT_COLUMNS if c in rows.table.columns), None)
        if name is None:
            logger.warning("no patient column: each image counts as a patient of its own, and splits may share one")
            return rows.ids
        assert rows.table is not None
        patients = rows.table.column(name, flag="--data.patient-column")
        if "" in patients:
            raise UserError(f"{_where(rows, patients.index(''))} has no patient in column {name!r}")
        return patients

    def _parts(self, rows: _Rows, patients: list[str], labels: np.ndarray) -> dict[Split, np.ndarray]:
        """Rows of each split: as given, or by patient."""
        from data.splits import split_by_patient

        config = self.config
        if rows.splits is None:
            return split_by_patient(patients, labels, fractions=config.fractions, seed=config.seed)
        given = []
        for i, word in enumerate(rows.splits):
            if word.lower() not in SPLIT_WORDS:
                raise UserError(f"{_where(rows, i)} is in split {word!r}; there are train, val, test and reserve")
            given.append(SPLIT_WORDS[word.lower()])
        parts = {split: np.flatnonzero([g is split for g in given]) for split in Split}
        parts = {split: at for split, at in parts.items() if len(at)}
        for split in (Split.train, Split.test):
            if split not in parts:
                raise UserError(
                    f"no image is in the {split.value} split; there are {', '.join(s.value for s in parts)}"
                )
        if Split.val not in parts:
            parts |= self._carve_val(parts[Split.train], patients, labels)
        return parts

    def _carve_val(self, train: np.ndarray, patients: list[str], labels: np.ndarray) -> dict[Split, np.ndarray]:
        """Train and val out of a given train split, in the proportion of `fractions`; test is left as it
        is."""
        from data.splits import split_patients_in

        learn, check, _ = self.config.fractions
        share = check / (learn + check)
        names = [patients[i] for i in train]
        kept, val = split_patients_in(names, labels[train], shares=(1 - share, share), seed=self.config.seed)
        logger.warning("no val split is given: %d of %d training images were set apart for it", len(val), len(train))
        return {Split.train: train[kept], Split.val: train[val]}

    def _attributes(self, rows: _Rows) -> dict[str, np.ndarray]:
        if rows.table is None:
            return {}
        return {name: to_numbers(rows.table.column(name, flag="--data.attributes")) for name in self.config.attributes}


def _rows_of_folders(root: Path) -> _Rows:
    """CLASS/**/image, or SPLIT/CLASS/**/image; names are paths below `root`."""
    tops = _subfolders(root)
    by_split = {top.name: top for top in tops if top.name.lower() in SPLIT_WORDS}
    split_given = {SPLIT_WORDS[name.lower()] for name in by_split} >= {Split.train, Split.test}
    ids, labels, splits = [], [], []
    for split, base in by_split.items() if split_given else [("", root)]:
        for folder in _subfolders(base):
            files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS and p.name[0] != ".")
            if not files:
                raise UserError(f"class folder {folder} holds no image ({', '.join(sorted(EXTENSIONS))})")
            ids += [file.relative_to(root).as_posix() for file in files]
            labels += [folder.name] * len(files)
            splits += [split] * len(files)
    if not ids:
        raise UserError(f"{root} holds neither class folders with images nor {' nor '.join(TABLE_NAMES)}")
    return _Rows(ids, [root / name for name in ids], labels, splits if split_given else None)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _stat_files(rows: _Rows) -> list[os.stat_result]:
    """Size and date of every file; those missing are counted and the first are named."""
    found, missing = [], []
    for name, path in zip(rows.ids, rows.paths, strict=True):
        if path.is_file():
            found.append(path.stat())
        else:
            missing.append(name)
    if missing:
        where = f"{rows.table.path}: " if rows.table else ""
        raise UserError(
            f"{where}{len(missing)} of {len(rows.ids)} image files are missing: {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}. Take them out of the table, or set --data.path"
        )
    return found


def _refuse_untrained(classes: Sequence[str], labels: np.ndarray) -> None:
    """Every class needs a training image; `labels` are those of train."""
    k = len(classes)
    if k < (1 if labels.ndim == 2 else 2):
        raise UserError(f"{k} class found ({', '.join(classes)}); two are needed to tell anything apart")
    counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=k)
    empty = [name for name, n in zip(classes, counts, strict=True) if not n]
    if empty:
        raise UserError(f"class {empty[0]!r} has no training image; add some, or take it out of the classes")


def _single(marks: np.ndarray) -> np.ndarray:
    """One-hot uint8 (N, K) -> int64 (N,)."""
    labels: np.ndarray = marks.argmax(1).astype(np.int64)
    return labels


def _where(rows: _Rows, row: int) -> str:
    return f"{rows.table.path}, row {row + 1} ({rows.ids[row]})" if rows.table else f"image {rows.ids[row]}"


def _numbers_first(name: str) -> tuple[int, int, str]:
    """Sort key: whole numbers by value, then words."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
