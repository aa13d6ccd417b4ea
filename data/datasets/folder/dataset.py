"""Your own images: class folders, or a CSV or parquet table with labels, patients, splits and attributes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.datasets.folder.class_folders import rows_of_folders
from data.datasets.folder.class_names import refuse_lookalikes
from data.datasets.folder.given_splits import note_unused_splits, read_splits
from data.datasets.folder.other_files import note_other_files
from data.datasets.folder.repeats import join_rows, left, say_different
from data.datasets.folder.rows import TABLE_NAMES, Rows, by_patterns, is_image, rows_of_table, rows_of_tree
from data.datasets.folder.tables_beside import name_tables, tables_beside
from data.datasets.folder.tree import Tree, walk
from data.datasets.folder.whose import Whose, find_patients
from data.films.blanks import is_blank
from data.films.dataset import FilmDataset, check_sizes, digest_stats
from data.films.decode import EXTENSIONS, decode_film
from data.films.given_path import find_file, find_folder
from data.films.joined_tables import read_tables
from data.films.label_options import LabelConfig
from data.films.labels import Labels, read_cells, read_columns, refuse_several
from data.films.names import Found, find_files
from data.films.table import FilmTable
from data.films.text_table import to_numbers
from data.films.windowing import PERCENTILES, WHOLE, check_percentiles
from data.images import Split, count_labels
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, SINCE_DEFAULT, digest, file_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderConfig(LabelConfig):
    """Options of `folder`."""

    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder of the images: CLASS/*.png, or {train,val,test}/CLASS/*.png, or any tree with a table. The
    images of a table are named relative to this folder (without it, to the table's). What is not found by its name is
    looked for in the whole folder, and taken where one file alone fits. A folder that is not here is looked for below
    SYNTHWORTH_DATA, and so are tables."""
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
    """Column with the patient. Without it: patient_id or patient, else a column whose name says as much (PatientID,
    subject_id, mrn, ...), which a note tells; else each image is its own patient."""
    patient_pattern: str | None = field(default=None, metadata=SINCE_DEFAULT)
    """Instead of `patient_column`: a regular expression whose one group is the patient, searched for in an image's path
    below `path`."""
    split_column: str | None = None
    """Column with train, val or test. Without it (and without split folders) patients are split by
    `fractions`. Where val is missing, it is drawn from the patients of train; where test is missing, val is the
    test."""
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
        return decode_film(
            path, channels=config.channels, target=target, fit=config.fit, deep=deep, max_pixels=config.max_pixels
        )

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
        return found | self._tables_source(rows) | self._read_otherwise(rows)

    def _tables_source(self, rows: Rows) -> dict[str, Any]:
        """sha256 of the table and of those joined to it; and how labels are read, where that came later."""
        if rows.table is None:
            return {}
        found: dict[str, Any] = {"table": file_sha256(rows.table.path)}
        if self.config.join:
            found["joined"] = [file_sha256(find_file(file)) for file in self.config.join]
        if self._labels(rows).as_lists:
            found["labels"] = "lists"
        return found

    def _read_otherwise(self, rows: Rows) -> dict[str, str]:
        """Digests of what is no longer read as version 2 first did: patients, and attributes that are not given."""
        whose, found = self._whose(rows), {}
        if whose.names != whose.as_written:
            found["patients"] = digest(whose.names)
        asked = [rows.column(name, flag="--data.attributes") for name in self.config.attributes] if rows.table else []
        if any(cell and is_blank(cell) for cells in asked for cell in cells):
            found["attributes"] = digest([[i for i, cell in enumerate(cells) if is_blank(cell)] for cells in asked])
        return found

    def films(self) -> FilmTable:
        """Read the table or the folders, and split by patient.

        Raises
        ------
        UserError
            For anything in table, labels, splits or files that is not as it should be; one line names it.
        """
        listed, rows, found = self._labelled()
        patients, attributes = self._patients(rows), self._attributes(rows)
        of_row: dict[str, Any] = {"patient": patients, **({"split": rows.splits} if rows.splits else {}), **attributes}
        first, marks = self._joined(rows, found, of_row)
        repeats = {"rows of an image named before": len(rows.ids) - len(first)} if len(first) < len(rows.ids) else {}
        rows, patients = rows.take(first), [patients[i] for i in first]
        labels = _as_labels(marks, rows, found)
        parts, said = self._parts(rows, patients, labels)
        _refuse_shared_patients(parts, patients)
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
            notes={
                **listed.notes(self._root(), whole_tree=self.config.path is not None),
                **found.notes,
                **repeats,
                **self._patient_notes(rows),
                **said,
                **self._other_files(rows),
            },
        )

    def undivided(self) -> tuple[Rows, np.ndarray, Labels]:
        """All images, once each, in the order in which they are listed; patients and splits are not looked at.

        Returns
        -------
        rows : the images.
        labels : int64 (N,), one class an image, or uint8 (N, K).
        found : the classes, and what is to be said of the labels.

        Raises
        ------
        UserError
            As `films`, of labels and files.
        """
        _, rows, found = self._labelled()
        first, marks = self._joined(rows, found, {})
        rows = rows.take(first)
        return rows, _as_labels(marks, rows, found), found

    def _labelled(self) -> tuple[Rows, Rows, Labels]:
        """All rows, and those that are left with their labels."""
        check_sizes(self.config)
        listed = self._rows()
        found = self._labels(listed)
        refuse_lookalikes(found.classes, declared=self.config.classes or self.config.label_columns)
        kept = left(listed, found.dropped)
        if not len(kept):
            raise UserError(f"none of the {len(listed.ids)} images is left: {found.notes}")
        return listed, listed.take(kept), found.take(kept)

    def _joined(self, rows: Rows, found: Labels, said: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        return join_rows(rows, found, said, union=self.config.repeats == "any")

    def _root(self) -> Path:
        """The folder that image names are relative to."""
        path, table = self.config.path, self.config.table
        if path is None and table is None:
            raise UserError("dataset folder needs --data.path FOLDER or --data.table FILE")
        root: Path = find_file(table).parent if path is None else find_folder(path)
        return root

    def _other_files(self, rows: Rows) -> dict[str, str]:
        """Files in `path` that are no image, in a note; where only a table is given its folder may be anybody's."""
        if self.config.path is None:
            return {}
        tables = [rows.table.path, *map(find_file, self.config.join)] if rows.table else []
        return note_other_files(self._root(), taken=[*rows.paths, *tables], is_film=self.is_film)

    def is_film(self, path: Path) -> bool:
        """Whether a file is called an image."""
        return path.suffix.lower() in EXTENSIONS

    def _rows(self) -> Rows:
        config, root = self.config, self._root()
        return self._listed_rows(
            find=lambda names: find_files(names, root=root, listing=lambda: walk(root, is_image).files),
            tree=lambda: walk(root, is_image),
            folders=lambda: rows_of_folders(root, declared=config.classes),
        )

    def _listed_rows(
        self,
        *,
        find: Callable[[Sequence[str]], Found],
        tree: Callable[[], Tree],
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
        beside = (root / name for name in TABLE_NAMES if (root / name).is_file())
        file = find_file(config.table) if config.table else next(beside, None)
        if file is not None:
            table, unmatched = read_tables(file, [find_file(more) for more in config.join], by=config.join_by)
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
            rows = rows_of_tree(root, tree()) if config.label_pattern else folders()
        return by_patterns(rows, label=config.label_pattern, split=config.split_pattern, only=config.only)

    def _refuse_table_options(self, path: Path) -> None:
        """Columns were asked for, and there is no table to look for them in."""
        config = self.config
        columns = [config.patient_column, config.split_column, *config.label_columns, *config.attributes]
        if config.join:
            raise UserError(f"--data.join {config.join[0]} needs a table to be joined to: --data.table")
        asked = [name for name in columns if name]
        if asked:
            tables = tables_beside(path, depth=1)
            which = f" {name_tables(tables, path)}, for one" if tables else ""
            raise UserError(
                f"column {asked[0]!r} was asked for, and {path} has no metadata.csv. Pass --data.table{which}"
            )

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

    def _whose(self, rows: Rows) -> Whose:
        config = self.config
        taken = [config.image_column, config.label_column, *config.label_columns, *filter(None, [config.split_column])]
        return find_patients(rows, column=config.patient_column, pattern=config.patient_pattern, taken=taken)

    def _patients(self, rows: Rows) -> list[str]:
        return self._whose(rows).names

    def _patient_notes(self, rows: Rows) -> dict[str, Any]:
        return self._whose(rows).notes

    def _parts(
        self, rows: Rows, patients: list[str], labels: np.ndarray
    ) -> tuple[dict[Split, np.ndarray], dict[str, Any]]:
        """Rows of each split, as given or by patient; and notes on splits that were not given."""
        from data.splits.by_patient import split_by_patient

        config = self.config
        if rows.splits is None:
            parts = split_by_patient(patients, labels, fractions=config.fractions, seed=config.seed)
            return parts, note_unused_splits(rows.table.columns if rows.table else {})
        parts, said = read_splits(rows.splits, rows.where)
        for text in said.values():
            logger.warning("%s", text)
        _refuse_shared_patients(parts, patients)
        if Split.val not in parts:
            n = len(parts[Split.train])
            parts |= self._carve_val(parts[Split.train], patients, labels)
            said["val"] = f"no val split is given: {len(parts[Split.val])} of {n} training images are val"
        return parts, said

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
        cells = {name: rows.column(name, flag="--data.attributes") for name in self.config.attributes}
        return {name: to_numbers(["" if is_blank(cell) else cell for cell in of]) for name, of in cells.items()}


def _as_labels(marks: np.ndarray, rows: Rows, found: Labels) -> np.ndarray:
    """int64 (N,) where each image has one class, uint8 (N, K) otherwise."""
    if not found.multi:
        refuse_several(marks, where=rows.where)
    labels: np.ndarray = marks if found.multi else marks.argmax(1).astype(np.int64)
    return labels


def _refuse_shared_patients(parts: Mapping[Split, np.ndarray], patients: Sequence[str]) -> None:
    from data.splits.leaks import refuse_shared

    refuse_shared({split: [patients[i] for i in at] for split, at in parts.items()}, what="patient")


def _refuse_untrained(classes: Sequence[str], labels: np.ndarray) -> None:
    """Every class needs a training image; `labels` are those of train."""
    k = len(classes)
    if k < (1 if labels.ndim == 2 else 2):
        raise UserError(f"{k} class found ({', '.join(classes)}); two are needed to tell anything apart")
    empty = [name for name, n in count_labels(labels, classes).items() if not n]
    if empty:
        raise UserError(f"class {empty[0]!r} has no training image; add some, or take it out of the classes")
