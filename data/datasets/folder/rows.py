"""Which images a folder holds: by its table, or by its class folders, before anything is said of labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.films.dataset import stat_films
from data.films.decode import EXTENSIONS
from data.films.text_table import Table, read_table
from data.images import Split
from data.splits.words import SPLIT_WORDS
from synthworth.errors import UserError

TABLE_NAMES = ("metadata.csv", "metadata.parquet")


@dataclass(frozen=True)
class Rows:
    """The images there are: one entry an image.

    Parameters
    ----------
    labels
        Class or joined findings of each; empty where they stand in columns of their own.
    splits
        The word for each image's split, where one is given.
    table, at
        The table, and the row of it (from 0) that speaks of each image.
    stats
        Size and date of each file; None where it is missing.
    """

    ids: list[str]
    paths: list[Path]
    labels: list[str]
    splits: list[str] | None
    table: Table | None
    at: list[int]
    stats: list[os.stat_result | None]

    def column(self, name: str, *, flag: str) -> list[str]:
        """The cells of a column, one an image."""
        assert self.table is not None
        cells = self.table.column(name, flag=flag)
        return [cells[row] for row in self.at]

    def where(self, i: int) -> str:
        """How a message names image i."""
        return f"{self.table.path}, row {self.at[i] + 1} ({self.ids[i]})" if self.table else f"image {self.ids[i]}"

    def notes(self, root: Path, *, whole_tree: bool) -> dict[str, Any]:
        """How table and disk differ; empty when they do not.

        Parameters
        ----------
        whole_tree
            Look for images that no row names in all of `root`, not only in folders that rows name.
        """
        if self.table is None:
            return {}
        files = _walk(root) if whole_tree else (f for top in {path.parent for path in self.paths} for f in _images(top))
        known = {os.path.normpath(path) for path in self.paths}
        notes = {
            "without_file": len(self.table) - len(self.ids),
            "not_in_table": len({os.path.normpath(file) for file in files} - known),
        }
        odd = {name: n for name, n in notes.items() if n}
        return {"rows": len(self.table), **odd} if odd else {}


def _images(folder: Path) -> list[Path]:
    """Image files directly in a folder; none where it does not exist."""
    return [p for p in folder.iterdir() if _is_image(p)] if folder.is_dir() else []


def _walk(root: Path) -> list[Path]:
    return [Path(folder, name) for folder, _, names in os.walk(root) for name in names if _is_image(Path(name))]


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")


def rows_of_table(
    file: Path, *, root: Path, image_column: str, label_column: str | None, split_column: str | None, missing: str
) -> Rows:
    """The rows of a table whose images lie below `root`.

    Parameters
    ----------
    label_column
        None where findings have columns of their own.
    missing
        "refuse" a row without a file, or "skip" it.

    Raises
    ------
    UserError
        For a missing column, a row without a name, a name given twice, a missing file unless it is skipped, and
        when no row has a file.
    """
    table = read_table(file)
    names = table.column(image_column, flag="--data.image-column")
    paths = [root / name for name in names]
    seen: dict[str, int] = {}
    for row, (name, path) in enumerate(zip(names, paths, strict=True), start=1):
        if not name:
            raise UserError(f"{file}, row {row}: no image is named in column {image_column!r}")
        first = seen.setdefault(os.path.normpath(path), row)
        if first != row:
            raise UserError(f"{file} names image {name!r} twice, in rows {first} and {row}")
    labels = table.column(label_column, flag="--data.label-column") if label_column else []
    splits = table.column(split_column, flag="--data.split-column") if split_column else None
    stats = stat_films(paths)
    there = [i for i, stat in enumerate(stats) if stat is not None]
    if len(there) < len(table) and (missing == "refuse" or not there):
        _refuse_missing(file, names, stats)
    return Rows(
        ids=[names[i] for i in there],
        paths=[paths[i] for i in there],
        labels=[labels[i] for i in there] if labels else [],
        splits=[splits[i] for i in there] if splits else None,
        table=table,
        at=there,
        stats=[stats[i] for i in there],
    )


def _refuse_missing(file: Path, names: Sequence[str], stats: Sequence[os.stat_result | None]) -> None:
    missing = [name for name, stat in zip(names, stats, strict=True) if stat is None]
    raise UserError(
        f"{file}: {len(missing)} of {len(names)} image files are missing: {', '.join(missing[:3])}"
        f"{', ...' if len(missing) > 3 else ''}. Take them out of the table, set --data.path, or go on without them: "
        "--data.missing skip"
    )


def rows_of_folders(root: Path) -> Rows:
    """CLASS/**/image, or SPLIT/CLASS/**/image; names are paths below `root`.

    Raises
    ------
    UserError
        When there is no class folder, or one without an image.
    """
    tops = _subfolders(root)
    by_split = {top.name: top for top in tops if top.name.lower() in SPLIT_WORDS}
    split_given = {SPLIT_WORDS[name.lower()] for name in by_split} >= {Split.train, Split.test}
    ids: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    for split, base in by_split.items() if split_given else [("", root)]:
        for folder in _subfolders(base):
            files = sorted(p for p in folder.rglob("*") if _is_image(p))
            if not files:
                raise UserError(f"class folder {folder} holds no image ({', '.join(sorted(EXTENSIONS))})")
            ids += [file.relative_to(root).as_posix() for file in files]
            labels += [folder.name] * len(files)
            splits += [split] * len(files)
    if not ids:
        raise UserError(f"{root} holds neither class folders with images nor {' nor '.join(TABLE_NAMES)}")
    paths = [root / name for name in ids]
    return Rows(ids, paths, labels, splits if split_given else None, None, [], stat_films(paths))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
