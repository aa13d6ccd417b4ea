"""Which images a folder holds by its table, before anything is said of labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.datasets.folder.tree import Tree, walk
from data.films.dataset import stat_films
from data.films.decode import EXTENSIONS
from data.films.masks import masks_among
from data.films.names import Found
from data.films.patterns import compile_pattern, find_in_paths
from data.films.text_table import Table
from synthworth.errors import UserError

LONGEST = 200  # characters of a name in a message
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
    said
        What of the tree was left out, or lies beside it unread; how files and names were matched.
    lost
        Rows of the table without a file.
    aside
        Files that a row names, and that are left out.
    """

    ids: list[str]
    paths: list[Path]
    labels: list[str]
    splits: list[str] | None
    table: Table | None
    at: list[int]
    stats: list[os.stat_result | None]
    said: Mapping[str, Any] = field(default_factory=dict)
    lost: int = 0
    aside: tuple[Path, ...] = ()

    def take(self, kept: Sequence[int] | np.ndarray) -> Rows:
        """The images at `kept`, in that order."""
        index = [int(i) for i in kept]

        def pick(values: Sequence[Any]) -> list[Any]:
            return [values[i] for i in index] if values else []

        return replace(
            self,
            ids=pick(self.ids),
            paths=pick(self.paths),
            labels=pick(self.labels),
            splits=pick(self.splits) if self.splits is not None else None,
            at=pick(self.at),
            stats=pick(self.stats),
        )

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
            return dict(self.said)
        tops = {path.parent for path in self.paths}
        files = walk(root, is_image).files if whole_tree else (f for top in tops for f in _images(top))
        known = {os.path.normpath(path) for path in (*self.paths, *self.aside)}
        notes = {
            "without_file": self.lost,
            "not_in_table": len({os.path.normpath(file) for file in files} - known),
        }
        odd = {name: n for name, n in notes.items() if n}
        return {"rows": len(self.table), **odd, **self.said} if odd else dict(self.said)


def _images(folder: Path) -> list[Path]:
    """Image files directly in a folder; none where it does not exist."""
    return [p for p in folder.iterdir() if is_image(p)] if folder.is_dir() else []


def is_image(file: Path) -> bool:
    """Whether a file is called an image, and is not hidden."""
    return file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")


def rows_of_table(
    table: Table,
    *,
    root: Path,
    find: Callable[[Sequence[str]], Found],
    image_column: str,
    label_column: str | None,
    split_column: str | None,
    missing: str,
) -> Rows:
    """The rows of a table whose images lie below `root`; several may speak of one image.

    Parameters
    ----------
    find
        Which file each name is.
    label_column
        None where findings have columns of their own.
    missing
        "refuse" a row without a file, or "skip" it.

    Raises
    ------
    UserError
        For a missing column, a row without a name, a missing file unless it is skipped, and when no row has a file.
    """
    names = table.column(image_column, flag="--data.image-column")
    if "" in names:
        raise UserError(f"{table.path}, row {names.index('') + 1}: no image is named in column {image_column!r}")
    labels = table.column(label_column, flag="--data.label-column") if label_column else []
    splits = table.column(split_column, flag="--data.split-column") if split_column else None
    found = find(names)
    there = [i for i, path in enumerate(found.paths) if path is not None]
    if len(there) < len(table) and (missing == "refuse" or not there):
        _refuse_missing(table.path, names, found)
    seen: dict[str, tuple[str, Path]] = {}
    images = []
    for i in there:
        path = found.paths[i]
        assert path is not None
        name = names[i] if found.exact[i] else path.relative_to(root).as_posix()
        images.append(seen.setdefault(os.path.normpath(path), (name, path)))
    return Rows(
        ids=[name for name, _ in images],
        paths=[path for _, path in images],
        labels=[labels[i] for i in there] if labels else [],
        splits=[splits[i] for i in there] if splits else None,
        table=table,
        at=there,
        stats=[found.stats[i] for i in there],
        said=found.notes,
        lost=len(table) - len(there),
    )


def _refuse_missing(file: Path, names: Sequence[str], found: Found) -> None:
    missing = [name[:LONGEST] for name, path in zip(names, found.paths, strict=True) if path is None]
    raise UserError(
        f"{file}: {len(missing)} of {len(names)} image files are missing: {', '.join(missing[:3])}"
        f"{', ...' if len(missing) > 3 else ''}. {found.doubt}. Take them out of the table, set --data.path, or go on "
        "without them: --data.missing skip"
    )


def rows_of_tree(root: Path, tree: Tree) -> Rows:
    """Every image below `root` but masks, before its path says what it shows; what is left out is counted.

    Raises
    ------
    UserError
        When there is none.
    """
    names = [file.relative_to(root).as_posix() for file in tree.files]
    films = [i for i, is_mask in enumerate(masks_among(names)) if not is_mask]
    if not films:
        raise UserError(f"{root} holds {'masks alone' if names else 'no image'}")
    left = {"images in hidden folders, left out": tree.n_hidden, "masks, left out": len(names) - len(films)}
    files = [tree.files[i] for i in films]
    said = {what: n for what, n in left.items() if n}
    return Rows([names[i] for i in films], files, [""] * len(files), None, None, [], stat_films(files), said)


def by_patterns(rows: Rows, *, label: str | None, split: str | None, only: str | None) -> Rows:
    """The rows with labels and splits as their paths say, where a pattern is given; less those without `only`.

    Raises
    ------
    UserError
        When a pattern cannot be used, is not in a path, or no image is left.
    """
    if only is not None:
        pattern = compile_pattern(only, flag="--data.only", groups=None)
        kept = [i for i, name in enumerate(rows.ids) if pattern.search(name)]
        if not kept:
            raise UserError(f"--data.only {only!r} is in none of {len(rows.ids)} paths, {rows.ids[0]} for one")
        n = len(rows.ids) - len(kept)
        said = {**rows.said, **({f"without {only!r} in the path": n} if n else {})}
        rows = replace(rows.take(kept), said=said, aside=tuple(rows.paths))
    if label is not None:
        rows = replace(rows, labels=find_in_paths(rows.ids, label, flag="--data.label-pattern"))
    if split is not None:
        rows = replace(rows, splits=find_in_paths(rows.ids, split, flag="--data.split-pattern"))
    return rows
