"""A folder of DICOM films: class folders or a table, patients from the headers, names that give nobody away."""

from __future__ import annotations

import logging
import re
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
from data.datasets.folder.class_folders import rows_of_folders
from data.datasets.folder.dataset import Folder, FolderConfig
from data.datasets.folder.rows import Rows
from data.datasets.folder.tree import walk
from data.datasets.folder.whose import FLAG, PATIENT_COLUMNS, note_unused
from data.films.dataset import FilmDataset, digest_stats
from data.films.looks import Look
from data.films.names import OTHER_NAME, Found, find_files
from data.films.patients import SPELLINGS, is_nobody, one_name_each, patient_column, unused_columns
from data.films.remarks import Remarks, libraries_heard, listening
from data.films.table import WITHOUT_NUMBER, FilmTable
from data.films.windowing import PERCENTILES
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY
from synthworth.progress import track

UID = re.compile(r"[0-9]+(\.[0-9]+){3,}")
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

    Patients are the headers' PatientID, or what `patient_column` or `patient_pattern` says; a film without one belongs
    with those of its study, and without that stands alone.

    Neither patients' numbers nor file names cross into caches, tables or records: see `pseudonyms`. Error messages
    and the log, which stay on the screen, name files. The header's sex, age band and view become attributes.
    """

    Config = DicomConfig
    version = 3
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
        found |= self._tables_source(rows)
        if self.config.patient_column is not None:
            found |= self._read_otherwise(rows)
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
        there = set(self._listed.paths)
        lost = len(there) - len({facts.film for path in there if isinstance(facts := self._headers[path], Facts)})
        if lost:
            notes["films without a readable header, or there twice"] = lost
        return replace(table, ids=tuple(names), notes=notes)

    def read(self, path: Path) -> np.ndarray:
        """One film at 8 bits, uint8 (H, W), or (H, W, 3) where it has colour.

        Raises
        ------
        UserError
            As `data.datasets.dicom.header.read_film`.
        """
        return read_film(path, self.windowing, max_pixels=self.config.max_pixels)

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
        return self._listed_rows(
            find=self._find,
            tree=lambda: walk(root, is_film),
            folders=lambda: rows_of_folders(
                root,
                declared=config.classes,
                wanted=is_film,
                nothing="no DICOM film: CLASS/*.dcm is looked for, or a table",
                refuse_loose=True,
            ),
            uid_columns=UID_COLUMNS,
        )

    def _find(self, names: Sequence[str]) -> Found:
        """The films by file name; names that are instance UIDs and no files, by the headers of all films."""
        root = self._root()
        found = find_files(names, root=root, listing=lambda: _films_below(root))
        notes = {OTHER_NAME: found.notes[OTHER_NAME]} if found.notes else {}  # counted, and no name kept
        found = replace(found, notes=notes)
        lost = [i for i, path in enumerate(found.paths) if path is None and UID.fullmatch(names[i])]
        if not lost:
            return found
        below = _films_below(root)
        self._learn(below)
        by_uid: dict[str, Path] = {}
        for path in below:
            facts = self._headers[path]
            if isinstance(facts, Facts):
                by_uid.setdefault(facts.film, path)
        paths, stats = list(found.paths), list(found.stats)
        for i in lost:
            if names[i] in by_uid:
                paths[i] = by_uid[names[i]]
                stats[i] = by_uid[names[i]].stat()
        return replace(found, paths=paths, stats=stats)

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
            if first.get(facts.film, path) != path:
                said = f"{path} is the same film as {first[facts.film]} (one SOPInstanceUID)"
                if self.config.on_bad == "refuse":
                    raise UserError(f"{said}. Take one out, or go on with the first by --data.on-bad skip")
                logger.warning("skipped: %s", said)
                continue
            first[facts.film] = path
            kept.append(i)
        if not kept:
            raise UserError(f"none of the {len(rows.paths)} files below {self._root()} is a film that can be read")
        return rows.take(kept)

    def _patients(self, rows: Rows) -> list[str]:
        """Pseudonyms of the patients.

        By the named column or pattern, else by the headers; where no header has a number, by a column of the table
        whose name says that it holds patients.
        """
        facts = [self._facts(path) for path in rows.paths]
        if self._is_by_header(rows):
            groups, _ = one_name_each(_groups(facts), rows.where, column="PatientID")
            if len(set(groups)) == 1 and len(groups) > 1:
                raise UserError(
                    f"all {len(groups)} films name one and the same patient in their headers, as some anonymisers "
                    "leave it. Name the patients in a table: --data.patient-column"
                )
        else:
            groups = self._whose(rows).names
        return name_groups(groups, [f.film for f in facts], kind="patient", key=self._key)

    def _is_by_header(self, rows: Rows) -> bool:
        """Whether the headers say whose a film is, and not a column or a pattern."""
        config = self.config
        if config.patient_column is not None or config.patient_pattern is not None:
            return False
        known = any(_is_named(self._facts(path)) for path in rows.paths)
        return known or rows.table is None or patient_column(rows.table.columns, first=PATIENT_COLUMNS) is None

    def _patient_notes(self, rows: Rows) -> dict[str, Any]:
        """What `find_patients` says, but for the patients' numbers; nothing where the headers say who they are."""
        if not self._is_by_header(rows):
            notes = self._whose(rows).notes
            return {name: str(note).partition(" ")[0] if name == SPELLINGS else note for name, note in notes.items()}
        unknown = sum(not _is_named(self._facts(path)) for path in rows.paths)
        notes = {WITHOUT_NUMBER: unknown} if unknown else {}
        if rows.table is None:
            return notes
        said = {name: rows.column(name, flag=FLAG) for name in rows.table.columns}
        return notes | note_unused(unused_columns({"header": self._patients(rows), **said}, chosen="header", taken=()))

    def _attributes(self, rows: Rows) -> dict[str, np.ndarray]:
        """The header's sex, age band and view, as far as any film has them; columns of the table go before."""
        facts = [self._facts(path) for path in rows.paths]
        said = {name: np.array([getattr(f, name) for f in facts]) for name in ("sex", "age_band", "view")}
        return {name: values for name, values in said.items() if (values != UNKNOWN).any()} | super()._attributes(rows)


def _is_named(facts: Facts) -> bool:
    """Whether a header names a patient, and not nobody: ANONYMOUS, UNKNOWN, NONE."""
    return facts.known and not is_nobody(str(facts.patient).removeprefix("number "))


def _groups(facts: Sequence[Facts]) -> list[str]:
    """The patient of each film as its header has him; where others are named, those of ANONYMOUS stand alone."""
    some = any(map(_is_named, facts))
    return [
        f"film {f.film}" if f.patient is None or (some and f.known and not _is_named(f)) else f.patient for f in facts
    ]


def _films_below(folder: Path) -> list[Path]:
    """Files that are called .dcm or .dicom, and others that carry DICOM's mark, in the order of their names."""
    return walk(folder, is_film).files
