"""Which split a film stands in: by patient, by the official lists, or by a user's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.datasets.nih.table import Entries, read_patient
from data.images import Split, count_labels
from data.splits.words import SPLIT_WORDS
from synthworth.errors import UserError

By = Literal["patients", "official", "file"]
TRAIN_VAL, TEST = "train_val_list.txt", "test_list.txt"
IMAGE_COLUMNS = ("image", "id", "Image Index")
PATIENT_COLUMNS = ("patient", "patient_id", "group", "Patient ID")
NOWHERE = ""


def by_patients(
    entries: Entries, labels: np.ndarray, *, fractions: tuple[float, float, float], seed: int
) -> np.ndarray:
    """A seeded split by patient, stratified over `labels`; see `split_by_patient`.

    Parameters
    ----------
    labels : (N,) or (N, K)

    Returns
    -------
    str (N,)
        Name of the split of each film.
    """
    from data.splits.by_patient import split_by_patient

    splits = np.full(len(entries), NOWHERE, dtype="<U7")
    for split, rows in split_by_patient(entries.patients.tolist(), labels, fractions=fractions, seed=seed).items():
        splits[rows] = split.value
    return splits


def by_lists(entries: Entries, folders: Sequence[Path]) -> np.ndarray:
    """The official lists, found in the first of `folders` that has both: train, test, or "" for a film in neither.

    Raises
    ------
    UserError
        When a list is missing, or a film is in both.
    """
    folder = next((f for f in folders if (f / TRAIN_VAL).is_file() and (f / TEST).is_file()), None)
    if folder is None:
        raise UserError(
            f"--data.split official needs {TRAIN_VAL} and {TEST}; they are not in {' nor '.join(map(str, folders))}"
        )
    splits = np.full(len(entries), NOWHERE, dtype="<U7")
    for name, split in ((TRAIN_VAL, Split.train), (TEST, Split.test)):
        listed = set((folder / name).read_text(encoding="utf-8-sig").split())
        mine = np.fromiter((image in listed for image in entries.images.tolist()), bool, len(entries))
        twice = np.flatnonzero(mine & (splits != NOWHERE))
        if len(twice):
            raise UserError(f"{entries.images[twice[0]]} is in both {folder / TRAIN_VAL} and {folder / TEST}")
        splits[mine] = split.value
    return splits


def by_file(entries: Entries, file: Path | None) -> np.ndarray:
    """A user's table (CSV, TSV or parquet) with a column `split` and one of images or patients.

    Split words: train, val (valid, validation), test, reserve. Images are named as in NIH's table; where there is no
    such column, patients are named by their number, with or without leading zeros. A film it does not name is in "".

    Raises
    ------
    UserError
        When the file or a column is missing, a word is none of a split, a name stands twice with different splits, or
        no film at hand is named.
    """
    from data.films.text_table import read_table

    if file is None:
        raise UserError("--data.split file needs --data.split-file FILE with columns image (or patient) and split")
    table = read_table(file)
    words = table.column("split", flag="--data.split-file")
    columns = [name for name in (*IMAGE_COLUMNS, *PATIENT_COLUMNS) if name in table.columns]
    if not columns:
        raise UserError(
            f"{file} has neither an image column ({', '.join(IMAGE_COLUMNS)}) nor a patient column "
            f"({', '.join(PATIENT_COLUMNS)}); it has {', '.join(table.columns)}"
        )
    column = columns[0]
    by_patient = column in PATIENT_COLUMNS
    given: dict[str, str] = {}
    for row, (cell, word) in enumerate(zip(table.columns[column], words, strict=True), start=1):
        if word.lower() not in SPLIT_WORDS:
            raise UserError(f"{file}, row {row}: {word!r} is no split; there are train, val, test and reserve")
        name = _patient(cell, f"{file}, row {row}, column {column!r}") if by_patient else cell
        split = SPLIT_WORDS[word.lower()].value
        if given.setdefault(name, split) != split:
            raise UserError(f"{file}, row {row}: {cell!r} is in {split} and, in an earlier row, in {given[name]}")
    names = entries.patients if by_patient else entries.images
    splits = np.array([given.get(name, NOWHERE) for name in names.tolist()], dtype="<U7")
    if not (splits != NOWHERE).any():
        raise UserError(
            f"{file}, column {column!r}, names none of the {len(entries):,} films at hand, {names[0]} for one"
        )
    return splits


def _patient(cell: str, where: str) -> str:
    try:
        return read_patient(cell)
    except ValueError as error:
        raise UserError(f"{where}: {cell!r} {error}") from error


def carve_val(
    splits: np.ndarray, entries: Entries, labels: np.ndarray, *, fractions: tuple[float, float, float], seed: int
) -> np.ndarray:
    """Where no film is in val: some of train's patients, in the proportion of `fractions`, become val.

    Raises
    ------
    UserError
        When train has fewer than two patients, or the fractions are no shares.
    """
    from data.splits.by_patient import split_patients_in

    train = np.flatnonzero(splits == Split.train.value)
    if not len(train) or (splits == Split.val.value).any():
        return splits
    learn, check, _ = fractions
    if not (learn > 0 and check > 0):
        raise UserError(f"--data.fractions {fractions}: train and val need positive shares")
    share = check / (learn + check)
    patients = entries.patients[train].tolist()
    _, val = split_patients_in(patients, labels[train], shares=(1 - share, share), seed=seed)
    splits = splits.copy()
    splits[train[val]] = Split.val.value
    return splits


def check_classes(splits: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, by: str) -> dict[str, Any]:
    """Refuse splits that cannot be learned from or judged on; say which classes a split lacks.

    Parameters
    ----------
    labels : int64 (N,) or uint8 (N, K)
    by
        How the films were split, for the message.

    Returns
    -------
    notes
        For each of val and test, the classes of which it has no film, or nothing but films.

    Raises
    ------
    UserError
        When train, val or test is empty, when a class has no training film, and when val or test holds no class that
        can be told from another.
    """
    notes: dict[str, Any] = {}
    for split in (Split.train, Split.val, Split.test):
        here = labels[splits == split.value]
        counts = count_labels(here, classes)
        shown = ", ".join(f"{name} {n:,}" for name, n in counts.items())
        if not len(here):
            raise UserError(f"no film at hand is in the {split.value} split ({by}); take --data.split patients")
        without = [name for name, n in counts.items() if not n]
        one_sided = [name for name, n in counts.items() if n in (0, len(here))]
        if split is Split.train and without:
            raise UserError(
                f"no training film shows {', '.join(without)} ({by}; training films: {shown}). Ask for fewer "
                "classes (--data.findings, --data.k), bring more films, or split them otherwise (--data.split)"
            )
        if split is not Split.train and len(one_sided) == len(classes):
            raise UserError(
                f"nothing can be judged on the {split.value} split ({by}): its {len(here):,} films are {shown}. Take "
                "--data.split patients, or another --data.seed"
            )
        if split is not Split.train and one_sided:
            notes[f"cannot be judged in {split.value}"] = ", ".join(f"{name} ({counts[name]})" for name in one_sided)
    return notes
