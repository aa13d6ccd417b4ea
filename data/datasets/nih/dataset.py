"""The dataset `nih`: table, files, task and split come together as the films to decode."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data.attributes import UNKNOWN
from data.datasets.nih.files import Layout, find_films
from data.datasets.nih.splits import NOWHERE, By, by_file, by_lists, by_patients, carve_val, check_classes
from data.datasets.nih.table import Entries, read_boxes, read_entries
from data.datasets.nih.tasks import Others, Selection, Task, select
from data.films.dataset import FilmConfig, FilmDataset
from data.films.given_path import find_file, find_folder
from data.films.table import FilmTable
from data.images import Split
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
BOXES = "*BBox_List_2017*.csv*"
BOXES_FILE = "bounding_boxes.parquet"
HOMES = ("nih14", "nih")  # below SYNTHWORTH_DATA
N_NAMED = 3  # files that a note names; the count is complete

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NIHConfig(FilmConfig):
    """Options of `nih`."""

    size: int | None = 64
    """Pixels on a side to bring every film to; the published films have 1024."""
    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder with the films, in images_001/images ... images_012/images, in images, or loose, and with NIH's tables.
    Without it: nih14 or nih in SYNTHWORTH_DATA, or SYNTHWORTH_DATA itself."""
    table: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """NIH's table of all films. Without it: Data_Entry_2017_v2020.csv or Data_Entry_2017.csv in `path`."""
    task: Task = "multilabel14"
    """multilabel14: every film, 14 findings that co-occur. progressive: the `k` most frequent findings, films with no
    other. single: one class a film, films with one finding. binary: a balanced extraction, one finding against No
    Finding."""
    findings: tuple[str, ...] = ()
    """The labels to choose from, in order, for single, binary and progressive. Without it: No Finding, Atelectasis,
    Cardiomegaly, Effusion, Pneumonia, Pneumothorax (single); Infiltration (binary); the most frequent (progressive). A
    single name stands against No Finding."""
    others: Others = "auto"
    """Films that show a finding outside the list as well: exclude leaves them out, allow takes them under the label in
    the list. auto: allow for binary, exclude for the rest."""
    k: int = 4
    """How many findings progressive takes: 2, 4, 6, 8, 14 for the ablation."""
    cap: int | None = None
    """Films of each class at most (single, binary), drawn by patient. Without it: 20,000 for binary, no bound for
    single."""
    views: Literal["all", "PA", "AP"] = "all"
    """Take the films of one view only: the view alone tells some findings apart."""
    split: By = "patients"
    """patients: drawn by `fractions`. official: train_val_list.txt and test_list.txt. file: `split_file`. No patient is
    ever in two splits; where val is not given, it is drawn from the patients of train."""
    split_file: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """CSV, TSV or parquet with columns image (or patient) and split: train, val, test, reserve. Films it does not name
    are left out."""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Share of the films in train, val and test, by whole patients; with other splits only val's share of train."""
    seed: int = 0
    """Draws the split by patients, and the films under `cap`."""


class NIH(FilmDataset):
    """NIH ChestX-ray14: frontal films of 30,805 patients, with labels read from reports by a program.

    The labels were mined from radiology reports (the authors put their accuracy above 90 %); what they say was not
    checked by eye. Rows whose film is not on disk are counted and left out: any part of a download will do. Films are
    taken in the order of their names, so that neither the order of the table's rows nor its edition changes anything.
    """

    Config = NIHConfig
    version = 1
    licence = "NIH Clinical Center: free use; name the NIH Clinical Center as provider and cite Wang et al., CVPR 2017"
    citation = (
        "X. Wang, Y. Peng, L. Lu, Z. Lu, M. Bagheri, R. M. Summers: ChestX-ray8: Hospital-scale Chest X-ray Database "
        "and Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax Diseases, CVPR 2017, "
        "3462-3471. Films: https://nihcc.app.box.com/v/ChestXray-NIHCC"
    )

    def films(self) -> FilmTable:
        """The films of the task that are on disk, each with label, patient and split.

        Raises
        ------
        UserError
            When nothing is found, for whatever is wrong in a table, for a class without a film, and for splits that
            share a patient or cannot be judged on.
        """
        from data.splits.leaks import refuse_shared

        config, root = self.config, self.root
        whole = read_entries(self.table_file)
        layout = find_films(root)
        entries, notes = on_disk(whole, layout, root=root, table=self.table_file)
        if config.views != "all":
            entries = entries.take(entries.views == config.views)
            if not len(entries):
                raise UserError(f"--data.views {config.views}: no film on disk has that view")
        chosen = select(
            entries,
            task=config.task,
            findings=config.findings,
            k=config.k,
            cap=config.cap,
            others=config.others,
            seed=config.seed,
        )
        splits = self._split(entries, chosen)
        stays = splits != NOWHERE
        if not stays.all():
            notes[f"films in no split ({config.split})"] = int((~stays).sum())
        rows, labels, splits = chosen.rows[stays], chosen.labels[stays], splits[stays]
        films = entries.take(rows)
        refuse_shared({split: films.patients[splits == split.value].tolist() for split in Split}, what="patient")
        notes[f"films of task {config.task}"] = len(films)
        notes |= check_classes(splits, labels, chosen.classes, by=f"split {config.split}")
        images = films.images.tolist()
        return FilmTable(
            paths=tuple(Path(layout.files[image]) for image in images),
            ids=tuple(images),
            groups=tuple(films.patients.tolist()),
            labels=labels,
            splits=splits,
            classes=chosen.classes,
            attributes={"sex": films.sexes, "age_band": films.age_bands, "view": films.views},
            notes=notes,
        )

    def _split(self, entries: Entries, chosen: Selection) -> np.ndarray:
        """Split of each chosen film, str (M,); "" for a film that a list does not name."""
        config, films, strata = self.config, entries.take(chosen.pool), chosen.strata
        if config.split == "patients":
            splits = by_patients(films, strata, fractions=config.fractions, seed=config.seed)
        else:
            if config.split == "official":
                splits = by_lists(films, list(dict.fromkeys((self.table_file.parent, self.root))))
            else:
                splits = by_file(films, config.split_file)
            splits = carve_val(splits, films, strata, fractions=config.fractions, seed=config.seed)
        return splits[np.searchsorted(chosen.pool, chosen.rows)]

    @cached_property
    def root(self) -> Path:
        """The folder of the films.

        Raises
        ------
        UserError
            When it does not exist, or none is named and none is found.
        """
        if self.config.path is not None:
            return find_folder(self.config.path)
        home = os.environ.get("SYNTHWORTH_DATA")
        looked = [Path(home) / name for name in (*HOMES, "")] if home else []
        for folder in looked:
            if any((folder / name).is_file() for name in TABLES):
                return folder
        where = f"there is no {TABLES[0]} in {', '.join(map(str, looked))}" if home else "SYNTHWORTH_DATA is not set"
        raise UserError(f"dataset nih needs --data.path FOLDER with NIH's films and tables; {where}")

    @cached_property
    def table_file(self) -> Path:
        """NIH's table of all films.

        Raises
        ------
        UserError
            When it is not there.
        """
        if self.config.table is not None:
            return find_file(self.config.table)
        for name in TABLES:
            if (self.root / name).is_file():
                return self.root / name
        raise UserError(f"{self.root} holds neither {' nor '.join(TABLES)}; pass --data.table FILE")

    @cached_property
    def boxes(self) -> dict[str, list[Any]]:
        """Bounding boxes on the films taken: columns id, finding, x, y, w, h, in pixels of the published 1024 x 1024.

        Empty columns where there is no list of boxes beside the table or the films.
        """
        for folder in dict.fromkeys((self.table_file.parent, self.root)):
            for file in sorted(folder.glob(BOXES)):
                return read_boxes(file, self.table.ids)
        return {}

    def source(self) -> Mapping[str, Any]:
        """As for every dataset of films; and a digest of the bounding boxes, where there are some."""
        return {**super().source(), **({"boxes": digest(self.boxes)} if self.boxes else {})}

    def prepare(self, root: Path, *, scratch: Path | None = None) -> None:
        """Decode the films into `root`, and write the bounding boxes on them to bounding_boxes.parquet."""
        from data.prepared import is_prepared
        from synthworth.artifacts import write_table

        if not is_prepared(root) and self.boxes.get("id"):
            write_table(root / BOXES_FILE, self.boxes)  # first: what is prepared is whole once the index is there
        super().prepare(root, scratch=scratch)


def on_disk(whole: Entries, layout: Layout, *, root: Path, table: Path) -> tuple[Entries, dict[str, Any]]:
    """The rows whose film is there, in the order of their names; and notes on what is not.

    Raises
    ------
    UserError
        When no row has a film.
    """
    there = np.fromiter((image in layout.files for image in whole.images.tolist()), bool, len(whole))
    named = set(whole.images.tolist())
    strangers = sorted(name for name in layout.files if name not in named)
    if not there.any():
        example = f", {strangers[0]} for one" if strangers else ""
        raise UserError(
            f"none of the {len(whole):,} films of {table} is in {root}: {len(layout.files):,} image files are in "
            f"{', '.join(layout.folders)}{example}. Point --data.path at the folder that holds images or images_001"
        )
    notes: dict[str, Any] = {
        "rows of the table": len(whole),
        "rows without a film on disk": int((~there).sum()),
        "films on disk": int(there.sum()),
    }
    if strangers:
        notes["images on disk that are not in the table"] = _named(strangers)
    if layout.twins:
        notes["images that lie in two folders, the first of which counts"] = _named(layout.twins)
    films = whole.take(np.flatnonzero(there))
    films = films.take(np.argsort(films.images, kind="stable"))
    n_ageless = int((films.age_bands == UNKNOWN).sum())
    if n_ageless:
        notes["films of unknown age (none given, or above 100 years)"] = n_ageless
    return films, notes


def _named(names: Sequence[str]) -> str:
    """How many, and the first of them."""
    more = ", ..." if len(names) > N_NAMED else ""
    return f"{len(names):,} ({', '.join(names[:N_NAMED])}{more})"
