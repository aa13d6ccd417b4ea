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
from data.datasets.dicom.pseudonyms import name_groups, pseudonym, read_key
from data.datasets.dicom.windowing import Window, Windowing
from data.datasets.folder.dataset import PATIENT_COLUMNS, Folder, FolderConfig
from data.datasets.folder.rows import TABLE_NAMES, Rows
from data.films.dataset import digest_stats, stat_films
from data.films.names import OTHER_NAME, Found, find_files
from data.films.table import FilmTable
from data.splits.words import SPLIT_WORDS
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY
from synthworth.progress import track

EXTENSIONS = (".dcm", ".dicom")
UID = re.compile(r"[0-9]+(\.[0-9]+){3,}")
UID_COLUMNS = ("SOPInstanceUID", "sop_instance_uid")
MARK = b"DICM"  # at byte 128 of every DICOM file (PS3.10)

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
    percentiles: tuple[float, float] = (0.5, 99.5)
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
    version = 1
    licence = "yours"
    citation = ""

    def __init__(self, config: DicomConfig | None = None) -> None:
        super().__init__(config)
        low, high = self.config.percentiles
        if not 0 <= low < high <= 100:
            raise UserError(f"--data.percentiles {low:g} {high:g}: two ascending numbers from 0 to 100 are needed")
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
        return {**found, **self._tables_source(rows), "key": pseudonym("key", "", key=self._key)}

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
        for path in track(waiting, "read headers", unit="films"):
            try:
                self._headers[path] = read_facts(path)
            except UserError as error:
                if self.config.on_bad == "refuse":
                    raise UserError(
                        f"{error}. Take it out, or go on without such films by --data.on-bad skip"
                    ) from error
                logger.warning("skipped: %s", error)
                self._headers[path] = error

    @cached_property
    def _listed(self) -> Rows:
        """The films there are, by table or class folders, before any header is read (but for a table of UIDs)."""
        require_pydicom()
        root = self._root()
        return self._listed_rows(
            find=self._find,
            tree=lambda: _films_below(root),
            folders=lambda: _rows_of_folders(root),
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


def _films_below(folder: Path) -> list[Path]:
    """Files that are called .dcm or .dicom, and others that carry DICOM's mark, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and _is_film(path))


def _is_film(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    if path.suffix.lower() in EXTENSIONS:
        return True
    with path.open("rb") as handle:
        return handle.read(132)[128:] == MARK


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
