"""Your own images: class folders, or a CSV or parquet table with labels, patients, splits and attributes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.datasets.folder.other_files import note_other_files
from data.datasets.folder.rows import SPLIT_WORDS, TABLE_NAMES, Rows, rows_of_folders, rows_of_table
from data.films.dataset import FilmConfig, FilmDataset, check_sizes, digest_stats
from data.films.decode import EXTENSIONS, decode_film
from data.films.table import FilmTable
from data.films.text_table import to_marks, to_numbers
from data.films.windowing import PERCENTILES, WHOLE, check_percentiles
from data.images import Split, count_labels
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, SINCE_DEFAULT, file_sha256

PATIENT_COLUMNS = ("patient_id", "patient")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderConfig(FilmConfig):
    """Options of `folder`."""

    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder of the images: CLASS/*.png, or {train,val,test}/CLASS/*.png, or any tree with a table. The
    images of a table are named relative to this folder (without it, to the table's)."""
    table: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """CSV, TSV or parquet with one row an image. Without it, metadata.csv or metadata.parquet in `path` is
    taken if it is there."""
    missing: Literal["refuse", "skip"] = "refuse"
    """What becomes of a row of the table without a file: refuse counts them and stops, skip goes on with those that
    have one. Images that no row names are counted, and left alone."""
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
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Share of the images in train, val and test, by whole patients."""
    seed: int = 0
    """Draws the split by patients."""
    window: Literal["refuse", "percentile", "full"] = field(default="refuse", metadata=SINCE_DEFAULT)
    """What becomes of a picture of more than 8 bits (16-bit PNG, TIFF): refuse it, or window it, from one of
    `percentiles` to the other, or from its smallest value to its largest. Pictures of 8 bits stay as they are."""
    percentiles: tuple[float, float] = field(default=PERCENTILES, metadata=SINCE_DEFAULT)
    """Percentiles of a deep picture's pixels that become black and white, with window percentile."""


class Folder(FilmDataset):
    """A folder of images with class folders or a table; splits keep patients apart.

    Without a patient column each image counts as a patient of its own, which is said in a note: then one
    patient may be on both sides of the split, and intervals come out too narrow.
    """

    Config = FolderConfig
    version = 2
    licence = "yours"
    citation = ""

    def __init__(self, config: FolderConfig | None = None) -> None:
        super().__init__(config)
        check_percentiles(self.config.percentiles)

    def read(self, path: Path) -> np.ndarray:
        """One picture, as `data.films.decode.decode_film` gives it; a deep one by `window`."""
        config = self.config
        deep = {"refuse": None, "percentile": config.percentiles, "full": WHOLE}[config.window]
        target = config.resize or config.size
        return decode_film(path, channels=config.channels, target=target, fit=config.fit, deep=deep)

    def places(self) -> Mapping[str, Path]:
        """Where each image lies; nobody need be split for it."""
        rows = self._rows()
        return dict(zip(rows.ids, rows.paths, strict=True))

    def source(self) -> Mapping[str, Any]:
        """sha256 over name, size and date of every image, and over the table.

        Raises
        ------
        UserError
            When folder, table or an image file is missing.
        """
        rows = self._rows()
        found = {"files": digest_stats(rows.ids, rows.stats)}
        if rows.table is not None:
            found["table"] = file_sha256(rows.table.path)
        return found

    def films(self) -> FilmTable:
        """Read the table or the folders, and split by patient.

        Raises
        ------
        UserError
            For anything in table, labels, splits or files that is not as it should be; one line names it.
        """
        from data.splits.leaks import refuse_shared

        check_sizes(self.config)
        rows = self._rows()
        classes, labels = self._labels(rows)
        patients = self._patients(rows)
        parts = self._parts(rows, patients, labels)
        refuse_shared({split: [patients[i] for i in at] for split, at in parts.items()}, what="patient")
        _refuse_untrained(classes, labels[parts[Split.train]])
        splits = np.empty(len(rows.ids), dtype="<U7")
        for split, at in parts.items():
            splits[at] = split.value
        return FilmTable(
            paths=tuple(rows.paths),
            ids=tuple(rows.ids),
            groups=tuple(patients),
            labels=labels,
            splits=splits,
            classes=classes,
            attributes=self._attributes(rows),
            notes={
                **rows.notes(self._root(), whole_tree=self.config.path is not None),
                **self._other_files(rows),
            },
        )

    def _root(self) -> Path:
        """The folder that image names are relative to."""
        path, table = self.config.path, self.config.table
        if path is None and table is None:
            raise UserError("dataset folder needs --data.path FOLDER or --data.table FILE")
        if path is not None and not path.is_dir():
            raise UserError(f"--data.path {path}: no such folder")
        root: Path = path or table.parent
        return root

    def _other_files(self, rows: Rows) -> dict[str, str]:
        """Files in `path` that are no image, in a note; where only a table is given its folder may be anybody's."""
        if self.config.path is None:
            return {}
        tables = [rows.table.path] if rows.table else []
        return note_other_files(self._root(), taken=[*rows.paths, *tables], is_film=self.is_film)

    def is_film(self, path: Path) -> bool:
        """Whether a file is called an image."""
        return path.suffix.lower() in EXTENSIONS

    def _rows(self) -> Rows:
        config, root = self.config, self._root()
        table = config.table or next((root / name for name in TABLE_NAMES if (root / name).is_file()), None)
        if table is None:
            self._refuse_table_options(root)
            return rows_of_folders(root)
        return rows_of_table(
            table,
            root=root,
            image_column=config.image_column,
            label_column=None if config.label_columns else config.label_column,
            split_column=config.split_column,
            missing=config.missing,
        )

    def _refuse_table_options(self, path: Path) -> None:
        """Columns were asked for, and there is no table to look for them in."""
        config = self.config
        columns = [config.patient_column, config.split_column, *config.label_columns, *config.attributes]
        asked = [name for name in columns if name]
        if asked:
            raise UserError(f"column {asked[0]!r} was asked for, and {path} has no metadata.csv. Pass --data.table")

    def _labels(self, rows: Rows) -> tuple[tuple[str, ...], np.ndarray]:
        """Class names, and labels int64 (N,) or uint8 (N, K)."""
        config = self.config
        if config.label_columns:
            return self._labels_of_columns(rows)
        for i, label in enumerate(rows.labels):
            if not label:
                raise UserError(f"{rows.where(i)} has no label; label it or take it out")
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
                        f"{rows.where(i)} has label {name!r}, which is not declared; --data.classes has "
                        f"{', '.join(classes)}"
                    )
                marks[i, place[name]] = 1
        return classes, marks if multi else _single(marks)

    def _labels_of_columns(self, rows: Rows) -> tuple[tuple[str, ...], np.ndarray]:
        config = self.config
        if rows.table is None:
            raise UserError("--data.label-columns needs a table")
        if config.classes and config.classes != config.label_columns:
            raise UserError("--data.classes and --data.label-columns name different classes; leave out the first")
        marks = to_marks(rows.table, config.label_columns, flag="--data.label-columns")[rows.at]
        if config.task == "single":
            bad = np.flatnonzero(marks.sum(1) != 1)
            if len(bad):
                n = int(marks[bad[0]].sum())
                raise UserError(f"{rows.where(int(bad[0]))} has {n} classes, and task single wants one an image")
            return config.label_columns, _single(marks)
        return config.label_columns, marks

    def _patients(self, rows: Rows) -> list[str]:
        name = self.config.patient_column
        if rows.table is not None:
            name = name or next((c for c in PATIENT_COLUMNS if c in rows.table.columns), None)
        if name is None:
            logger.warning("no patient column: each image counts as a patient of its own, and splits may share one")
            return rows.ids
        patients = rows.column(name, flag="--data.patient-column")
        if "" in patients:
            raise UserError(f"{rows.where(patients.index(''))} has no patient in column {name!r}")
        return patients

    def _parts(self, rows: Rows, patients: list[str], labels: np.ndarray) -> dict[Split, np.ndarray]:
        """Rows of each split: as given, or by patient."""
        from data.splits.by_patient import split_by_patient

        config = self.config
        if rows.splits is None:
            return split_by_patient(patients, labels, fractions=config.fractions, seed=config.seed)
        given = []
        for i, word in enumerate(rows.splits):
            if word.lower() not in SPLIT_WORDS:
                raise UserError(f"{rows.where(i)} is in split {word!r}; there are train, val, test and reserve")
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
        """Train and val out of a given train split, in the proportion of `fractions`.

        Test is left as it is.
        """
        from data.splits.by_patient import split_patients_in

        learn, check, _ = self.config.fractions
        share = check / (learn + check)
        names = [patients[i] for i in train]
        kept, val = split_patients_in(names, labels[train], shares=(1 - share, share), seed=self.config.seed)
        logger.warning("no val split is given: %d of %d training images were set apart for it", len(val), len(train))
        return {Split.train: train[kept], Split.val: train[val]}

    def _attributes(self, rows: Rows) -> dict[str, np.ndarray]:
        if rows.table is None:
            return {}
        return {name: to_numbers(rows.column(name, flag="--data.attributes")) for name in self.config.attributes}


def _refuse_untrained(classes: Sequence[str], labels: np.ndarray) -> None:
    """Every class needs a training image; `labels` are those of train."""
    k = len(classes)
    if k < (1 if labels.ndim == 2 else 2):
        raise UserError(f"{k} class found ({', '.join(classes)}); two are needed to tell anything apart")
    empty = [name for name, n in count_labels(labels, classes).items() if not n]
    if empty:
        raise UserError(f"class {empty[0]!r} has no training image; add some, or take it out of the classes")


def _single(marks: np.ndarray) -> np.ndarray:
    """One-hot uint8 (N, K) -> int64 (N,)."""
    labels: np.ndarray = marks.argmax(1).astype(np.int64)
    return labels


def _numbers_first(name: str) -> tuple[int, int, str]:
    """Sort key: whole numbers by value, then words."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
