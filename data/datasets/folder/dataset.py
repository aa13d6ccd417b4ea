"""Your own images: class folders, or a CSV or parquet table with labels, patients, splits and attributes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.datasets.folder.repeats import join_rows, left, say_different
from data.datasets.folder.rows import (
    TABLE_NAMES,
    Rows,
    by_patterns,
    rows_of_folders,
    rows_of_table,
    rows_of_tree,
    walk_images,
)
from data.films.dataset import FilmDataset, check_sizes, digest_stats
from data.films.joined_tables import read_tables
from data.films.label_options import LabelConfig
from data.films.labels import Labels, read_cells, read_columns, refuse_several
from data.films.names import Found, find_files
from data.films.table import FilmTable
from data.films.text_table import to_numbers
from data.images import Split, count_labels
from data.splits.words import SPLIT_WORDS
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, SINCE_DEFAULT, file_sha256

PATIENT_COLUMNS = ("patient_id", "patient")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderConfig(LabelConfig):
    """Options of `folder`."""

    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder of the images: CLASS/*.png, or {train,val,test}/CLASS/*.png, or any tree with a table. The
    images of a table are named relative to this folder (without it, to the table's). What is not found by its name is
    looked for in the whole folder, and taken where one file alone fits."""
    table: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """CSV, TSV (also gzipped) or parquet with one row an image, or several rows that agree. Without it, metadata.csv or
    metadata.parquet in `path` is taken if it is there."""
    join: tuple[Path, ...] = field(default=(), metadata=NOT_IDENTITY)
    """Further tables. One with the same columns adds its rows (and a column `table` says which file each row is from);
    any other adds its columns, by the values of `join_by`."""
    join_by: tuple[str, ...] = field(default=(), metadata=SINCE_DEFAULT)
    """Columns by which tables are joined. Without it: all that both have."""
    missing: Literal["refuse", "skip"] = "refuse"
    """What becomes of a row of the table without a file: refuse counts them and stops, skip goes on with those that
    have one. Images that no row names are counted, and left alone."""
    image_column: str = "image"
    """Column with the image file."""
    label_column: str = "label"
    """Column with the class, or with findings that co-occur, joined by "|" (or by `separator`)."""
    label_pattern: str | None = field(default=None, metadata=SINCE_DEFAULT)
    """Instead of `label_column`: a regular expression whose one group is the class, searched for in an image's path
    below `path`. Without a table it takes the place of class folders."""
    patient_column: str | None = None
    """Column with the patient. Without it: patient_id or patient if there; else each image is its own
    patient."""
    split_column: str | None = None
    """Column with train, val or test. Without it (and without split folders) patients are split by
    `fractions`. Where val is missing, it is drawn from the patients of train."""
    split_pattern: str | None = field(default=None, metadata=SINCE_DEFAULT)
    """Instead of `split_column`: a regular expression whose one group is the word for the split, as `label_pattern`."""
    only: str | None = field(default=None, metadata=SINCE_DEFAULT)
    """A regular expression: images without it in their path below `path` are left out, and counted."""
    attributes: tuple[str, ...] = ()
    """Columns carried along for subgroup rows (sex, age_band, view, ...)."""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Share of the images in train, val and test, by whole patients."""
    seed: int = 0
    """Draws the split by patients."""


class Folder(FilmDataset):
    """A folder of images with class folders or a table; splits keep patients apart.

    Without a patient column each image counts as a patient of its own, which is said in a note: then one
    patient may be on both sides of the split, and intervals come out too narrow.
    """

    Config = FolderConfig
    version = 2
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
        found = {"files": digest_stats(rows.ids, rows.stats)}
        return found | self._tables_source(rows)

    def _tables_source(self, rows: Rows) -> dict[str, Any]:
        """sha256 of the table and of those joined to it; and how labels are read, where that came later."""
        if rows.table is None:
            return {}
        found: dict[str, Any] = {"table": file_sha256(rows.table.path)}
        if self.config.join:
            found["joined"] = [file_sha256(file) for file in self.config.join]
        if self._labels(rows).as_lists:
            found["labels"] = "lists"
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
        listed = self._rows()
        found = self._labels(listed)
        kept = left(listed, found.dropped)
        if not len(kept):
            raise UserError(f"none of the {len(listed.ids)} images is left: {found.notes}")
        rows, found = listed.take(kept), found.take(kept)
        patients, attributes = self._patients(rows), self._attributes(rows)
        said: dict[str, Any] = {"patient": patients, **({"split": rows.splits} if rows.splits else {}), **attributes}
        first, marks = join_rows(rows, found, said, union=self.config.repeats == "any")
        repeats = {"rows of an image named before": len(rows.ids) - len(first)} if len(first) < len(rows.ids) else {}
        rows, patients = rows.take(first), [patients[i] for i in first]
        if not found.multi:
            refuse_several(marks, where=rows.where)
        labels = marks if found.multi else marks.argmax(1).astype(np.int64)
        parts = self._parts(rows, patients, labels)
        refuse_shared({split: [patients[i] for i in at] for split, at in parts.items()}, what="patient")
        _refuse_untrained(found.classes, labels[parts[Split.train]])
        splits = np.empty(len(rows.ids), dtype="<U7")
        for split, at in parts.items():
            splits[at] = split.value
        return FilmTable(
            paths=tuple(rows.paths),
            ids=tuple(rows.ids),
            groups=tuple(patients),
            labels=labels,
            splits=splits,
            classes=found.classes,
            attributes={name: values[first] for name, values in attributes.items()},
            notes=listed.notes(self._root(), whole_tree=self.config.path is not None) | found.notes | repeats,
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

    def _rows(self) -> Rows:
        root = self._root()
        return self._listed_rows(
            find=lambda names: find_files(names, root=root, listing=lambda: walk_images(root)),
            tree=lambda: walk_images(root),
            folders=lambda: rows_of_folders(root),
        )

    def _listed_rows(
        self,
        *,
        find: Callable[[Sequence[str]], Found],
        tree: Callable[[], Sequence[Path]],
        folders: Callable[[], Rows],
        uid_columns: Sequence[str] = (),
    ) -> Rows:
        """The rows of the table, of all images where `label_pattern` says what they are, or of class folders.

        Parameters
        ----------
        find
            Which file each name in a table is.
        tree, folders
            The image files below `path`, and the rows of its class folders.
        uid_columns
            Columns that name images where there is no `image_column`.
        """
        config, root = self.config, self._root()
        file = config.table or next((root / name for name in TABLE_NAMES if (root / name).is_file()), None)
        if file is not None:
            table, unmatched = read_tables(file, config.join, by=config.join_by)
            column = next((c for c in (config.image_column, *uid_columns) if c in table.columns), config.image_column)
            no_label_column = config.label_columns or config.label_pattern
            rows = rows_of_table(
                table,
                root=root,
                find=find,
                image_column=column,
                label_column=None if no_label_column else config.label_column,
                split_column=config.split_column,
                missing=config.missing,
            )
            if unmatched:
                rows = replace(rows, said={"rows that a joined table does not know": unmatched, **rows.said})
        else:
            self._refuse_table_options(root)
            rows = rows_of_tree(root, sorted(tree())) if config.label_pattern else folders()
        return by_patterns(rows, label=config.label_pattern, split=config.split_pattern, only=config.only)

    def _refuse_table_options(self, path: Path) -> None:
        """Columns were asked for, and there is no table to look for them in."""
        config = self.config
        columns = [config.patient_column, config.split_column, *config.label_columns, *config.attributes]
        if config.join:
            raise UserError(f"--data.join {config.join[0]} needs a table to be joined to: --data.table")
        asked = [name for name in columns if name]
        if asked:
            raise UserError(f"column {asked[0]!r} was asked for, and {path} has no metadata.csv. Pass --data.table")

    def _labels(self, rows: Rows) -> Labels:
        config = self.config
        if not config.label_columns:
            differ = config.repeats == "any" and say_different(rows, rows.labels)
            from_table = rows.table is not None and config.label_pattern is None
            return read_cells(rows.labels, config, where=rows.where, table=from_table, differ=differ)
        if rows.table is None:
            raise UserError("--data.label-columns needs a table")
        if config.label_pattern is not None:
            raise UserError("--data.label-columns and --data.label-pattern both say where labels stand; leave out one")
        path = rows.table.path
        columns = [rows.column(name, flag="--data.label-columns") for name in config.label_columns]
        return read_columns(columns, config, where=lambda i, name: f"{path}, row {rows.at[i] + 1}, column {name!r}")

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
