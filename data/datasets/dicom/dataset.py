"""A folder of DICOM films: class folders or a table, patients from the headers, names that give nobody away."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data.attributes import UNKNOWN
from data.datasets.dicom.header import Facts, read_facts, read_film, require_pydicom
from data.datasets.dicom.opening import is_film
from data.datasets.dicom.pseudonyms import name_groups, pseudonym, read_key
from data.datasets.dicom.windowing import Window, Windowing
from data.datasets.folder.dataset import PATIENT_COLUMNS, Folder, FolderConfig
from data.datasets.folder.rows import SPLIT_WORDS, TABLE_NAMES, Rows, rows_of_table
from data.films.dataset import FilmDataset, digest_stats, stat_films
from data.films.looks import Look
from data.films.remarks import Remarks, libraries_heard, listening
from data.films.table import FilmTable
from data.films.text_table import Table, read_table
from data.films.windowing import PERCENTILES
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, file_sha256
from synthworth.progress import track

UID_COLUMNS = ("SOPInstanceUID", "sop_instance_uid")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DicomConfig(FolderConfig):
    """Options of `dicom`: those of `folder`, and how a film is brought to 8 bits.

    The image column may hold files, or there is a column SOPInstanceUID in its place; the patient column is the
    header's unless one is named.
    """

    window: Window = "header"
    """header: the film's own VOI LUT or window, and `percentiles` where it has none. percentile: `percentiles`
    always. full: from the film's smallest value to its largest."""
    percentiles: tuple[float, float] = PERCENTILES
    """Percentiles of the film's values that become black and white."""
    key: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """File with a secret (16 random bytes or more) that enters the names of films and patients: without it, whoever
    can list the archive's instance UIDs can tell which film is which. The same key gives the same split again."""


class Dicom(Folder):
    """DICOM films in class folders, or with a table.

    Patients are the headers' PatientID; a film without one belongs with those of its study, and without that stands
    alone.

    Neither patients' numbers nor file names cross into caches, tables or records: see `pseudonyms`. Error messages
    and the log, which stay on the screen, name files. The header's sex, age band and view become attributes.
    """

    Config = DicomConfig
    version = 2
    heard = ("pydicom",)
    licence = "yours"
    citation = ""

    def __init__(self, config: DicomConfig | None = None) -> None:
        super().__init__(config)
        self.windowing = Windowing(self.config.window, self.config.percentiles)

    def source(self) -> Mapping[str, Any]:
        """sha256 over name, size and date of every film, over the table, and a sign of the key.

        Raises
        ------
        UserError
            When folder, table, key or a film is missing, and when pydicom is.
        """
        rows = self._listed
        found = {"files": digest_stats(rows.ids, [stat for stat in rows.stats if stat is not None])}
        if rows.table is not None:
            found["table"] = file_sha256(rows.table.path)
        return {**found, "key": pseudonym("key", "", key=self._key)}

    def films(self) -> FilmTable:
        """Read the headers, then what `Folder.films` does; ids and groups are pseudonyms.

        Raises
        ------
        UserError
            As `Folder.films`; for a file whose header cannot be read, and for one that is there twice, unless `on_bad`
            is skip; when all films name one and the same patient.
        """
        table = super().films()
        names = [pseudonym("film", self._facts(path).film, key=self._key) for path in table.paths]
        notes = dict(table.notes)
        lost = len(self._listed.ids) - len(table)
        if lost:
            notes["films without a readable header, or there twice"] = lost
        unknown = sum(not self._facts(path).known for path in table.paths)
        if unknown and self.config.patient_column is None:
            notes["films without a patient's number"] = unknown
        return replace(table, ids=tuple(names), notes=notes)

    def read(self, path: Path) -> np.ndarray:
        """One film at 8 bits, uint8 (H, W), or (H, W, 3) where it has colour.

        Raises
        ------
        UserError
            As `data.datasets.dicom.header.read_film`.
        """
        return read_film(path, self.windowing)

    def places(self) -> Mapping[str, Path]:
        """Where each film lies, by its pseudonym."""
        return FilmDataset.places(self)

    def look(self, path: Path) -> Look:
        """What its header says of a film's file."""
        return self._facts(path).look

    def is_film(self, path: Path) -> bool:
        """Whether a file is called .dcm or .dicom, or begins as a DICOM file does."""
        return is_film(path)

    @cached_property
    def _key(self) -> bytes:
        return read_key(self.config.key)

    @cached_property
    def _headers(self) -> dict[Path, Facts | UserError]:
        """What is known of the headers read so far, or why one cannot be read."""
        return {}

    def _facts(self, path: Path) -> Facts:
        facts = self._headers[path]
        assert isinstance(facts, Facts)
        return facts

    def _learn(self, paths: Sequence[Path]) -> None:
        """Read the headers that have not been; refuse one that cannot be unless `on_bad` is skip."""
        waiting = [path for path in paths if path not in self._headers]
        remarks = Remarks()
        with libraries_heard(*self.heard):
            for path in track(waiting, "read headers", unit="films"):
                with listening() as said:
                    self._headers[path] = self._facts_or_refusal(path)
                remarks.add(said, name=str(path))
        remarks.log()

    def _facts_or_refusal(self, path: Path) -> Facts | UserError:
        try:
            return read_facts(path)
        except UserError as error:
            if self.config.on_bad == "refuse":
                raise UserError(f"{error}. Take it out, or go on without such films by --data.on-bad skip") from error
            logger.warning("skipped: %s", error)
            return error

    @cached_property
    def _listed(self) -> Rows:
        """The films there are, by table or class folders, before any header is read (but for a table of UIDs)."""
        require_pydicom()
        config, root = self.config, self._root()
        file = config.table or next((root / name for name in TABLE_NAMES if (root / name).is_file()), None)
        if file is None:
            self._refuse_table_options(root)
            return _rows_of_folders(root)
        table = read_table(file)
        uids = next((name for name in UID_COLUMNS if name in table.columns), None)
        if config.image_column in UID_COLUMNS or (config.image_column not in table.columns and uids):
            return self._rows_of_uids(table, column=uids or config.image_column, root=root)
        return rows_of_table(
            file,
            root=root,
            image_column=config.image_column,
            label_column=None if config.label_columns else config.label_column,
            split_column=config.split_column,
            missing=config.missing,
        )

    def _rows(self) -> Rows:
        """The listed films without those whose header cannot be read and those that are there twice."""
        rows = self._listed
        self._learn(rows.paths)
        first: dict[str, Path] = {}
        kept = []
        for i, path in enumerate(rows.paths):
            facts = self._headers[path]
            if not isinstance(facts, Facts):
                continue
            if facts.film in first:
                said = f"{path} is the same film as {first[facts.film]} (one SOPInstanceUID)"
                if self.config.on_bad == "refuse":
                    raise UserError(f"{said}. Take one out, or go on with the first by --data.on-bad skip")
                logger.warning("skipped: %s", said)
                continue
            first[facts.film] = path
            kept.append(i)
        if not kept:
            raise UserError(f"none of the {len(rows.paths)} files below {self._root()} is a film that can be read")
        return _take(rows, kept)

    def _rows_of_uids(self, table: Table, *, column: str, root: Path) -> Rows:
        """The rows of a table that names films by SOPInstanceUID; every header below `root` is read."""
        config = self.config
        paths = _films_below(root)
        self._learn(paths)
        by_uid: dict[str, Path] = {}
        for path in paths:
            facts = self._headers[path]
            if isinstance(facts, Facts):
                by_uid.setdefault(facts.film, path)
        names = table.column(column, flag="--data.image-column")
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise UserError(f"{table.path} names film {twice[0]!r} twice in column {column!r}")
        there = [i for i, name in enumerate(names) if name in by_uid]
        if len(there) < len(names) and (config.missing == "refuse" or not there):
            missing = next(name for name in names if name not in by_uid)
            raise UserError(
                f"{table.path}: {len(names) - len(there)} of {len(names)} films are not below {root}, first {missing}. "
                "Take them out of the table, set --data.path, or go on without them: --data.missing skip"
            )
        labels = table.column(config.label_column, flag="--data.label-column") if not config.label_columns else []
        splits = table.column(config.split_column, flag="--data.split-column") if config.split_column else None
        found = [by_uid[name] for name in names if name in by_uid]
        return Rows(
            ids=[path.relative_to(root).as_posix() for path in found],
            paths=found,
            labels=[labels[i] for i in there] if labels else [],
            splits=[splits[i] for i in there] if splits else None,
            table=table,
            at=there,
            stats=stat_films(found),
        )

    def _patients(self, rows: Rows) -> list[str]:
        """Pseudonyms of the patients.

        By the named column, else by the headers; where no header has a number, by the table's column patient_id or
        patient.
        """
        facts = [self._facts(path) for path in rows.paths]
        column = self.config.patient_column
        if column is None and rows.table is not None and not any(f.known for f in facts):
            column = next((c for c in PATIENT_COLUMNS if c in rows.table.columns), None)
        if column is not None and rows.table is not None:
            groups = rows.column(column, flag="--data.patient-column")
            if "" in groups:
                raise UserError(f"{rows.where(groups.index(''))} has no patient in column {column!r}")
        else:
            groups = [f.patient or f"film {f.film}" for f in facts]
            if len(set(groups)) == 1 and len(groups) > 1:
                raise UserError(
                    f"all {len(groups)} films name one and the same patient in their headers, as some anonymisers "
                    "leave it. Name the patients in a table: --data.patient-column"
                )
        return name_groups(groups, [f.film for f in facts], kind="patient", key=self._key)

    def _attributes(self, rows: Rows) -> dict[str, np.ndarray]:
        """The header's sex, age band and view, as far as any film has them; columns of the table go before."""
        facts = [self._facts(path) for path in rows.paths]
        said = {name: np.array([getattr(f, name) for f in facts]) for name in ("sex", "age_band", "view")}
        return {name: values for name, values in said.items() if (values != UNKNOWN).any()} | super()._attributes(rows)


def _take(rows: Rows, kept: Sequence[int]) -> Rows:
    def pick(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in kept] if values else []

    return replace(
        rows,
        ids=pick(rows.ids),
        paths=pick(rows.paths),
        labels=pick(rows.labels),
        splits=pick(rows.splits) if rows.splits is not None else None,
        at=pick(rows.at),
        stats=pick(rows.stats),
    )


def _films_below(folder: Path) -> list[Path]:
    """Files that are called .dcm or .dicom, and others that carry DICOM's mark, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and is_film(path))


def _rows_of_folders(root: Path) -> Rows:
    """CLASS/**/film, or SPLIT/CLASS/**/film."""
    paths = _films_below(root)
    parts = [path.relative_to(root).parts for path in paths]
    by_split = {SPLIT_WORDS[p[0].lower()].value for p in parts if p[0].lower() in SPLIT_WORDS}
    depth = 1 if {"train", "test"} <= by_split else 0
    loose = next((path for path, p in zip(paths, parts, strict=True) if len(p) < depth + 2), None)
    if not paths or loose is not None:
        what = f"{loose} lies in no class folder" if loose else f"{root} holds no DICOM film"
        raise UserError(f"{what}: CLASS/*.dcm is looked for, or a table, {' or '.join(TABLE_NAMES)}")
    return Rows(
        ids=["/".join(p) for p in parts],
        paths=paths,
        labels=[p[depth] for p in parts],
        splits=[p[0] for p in parts] if depth else None,
        table=None,
        at=[],
        stats=stat_films(paths),
    )
