"""What is to be decoded, before any pixel is; and a dataset made of film files."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.base import BaseDataset, ImageSet, Split
from data.decode import SMALLEST, Fit, decode_film, fit_square, in_order, to_channels
from synthworth.artifacts import ensure_folder
from synthworth.errors import UserError
from synthworth.progress import Progress

LARGEST = 2048  # px on a side of a prepared image

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilmTable:
    """The films of a dataset: which file, whose, with what label, in which split.

    paths : file of each film.
    ids : name of each film, unique.
    groups : patient of each film; no patient may be in two splits.
    labels : int64 (N,), one class a film, or uint8 (N, K), findings that co-occur.
    splits : str (N,), each one of train, val, test, reserve.
    classes : names of the K classes or findings, in the order of the labels.
    attributes : arrays (N,) by name (sex, age_band, view, ...) for subgroup rows.
    notes : JSON; what a reader should know of how the table came about (rows without a file, for one). It is
        logged in one line and kept in the index of the prepared dataset.

    Raises
    ------
    ValueError
        When lengths, dtypes or values do not agree, or ids repeat.
    """

    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: np.ndarray
    splits: np.ndarray
    classes: tuple[str, ...]
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, k = len(self.ids), len(self.classes)
        lengths = {"paths": self.paths, "groups": self.groups, "labels": self.labels, "splits": self.splits}
        for what, values in {**lengths, **self.attributes}.items():
            if len(values) != n:
                raise ValueError(f"{n} films but {len(values)} {what}")
        if len(set(self.ids)) != n:
            raise ValueError("film ids repeat")
        unknown = set(np.unique(self.splits).tolist()) - {split.value for split in Split}
        if unknown:
            raise ValueError(f"no split is named {sorted(unknown)[0]!r}")
        single = self.labels.dtype == np.int64 and self.labels.ndim == 1
        multi = self.labels.dtype == np.uint8 and self.labels.shape == (n, k)
        if not (single or multi):
            raise ValueError(f"labels must be int64 (N,) or uint8 (N, {k}), not {self.labels.dtype}")
        if n and (self.labels.min() < 0 or self.labels.max() >= (k if single else 2)):
            raise ValueError(f"labels run {self.labels.min()}..{self.labels.max()} with {k} classes")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def multilabel(self) -> bool:
        """Whether findings co-occur: labels are (N, K)."""
        return self.labels.ndim == 2

    def rows(self, split: Split) -> np.ndarray:
        """Rows of one split, int64, ascending."""
        return np.flatnonzero(np.asarray(self.splits) == split.value)

    def counts(self) -> dict[str, dict[str, int]]:
        """Films by split (those with any) and class; where findings co-occur, films with each finding."""
        return {s.value: self._count(self.rows(s)) for s in Split if len(self.rows(s))}

    def _count(self, rows: np.ndarray) -> dict[str, int]:
        labels = self.labels[rows]
        n = labels.sum(0, dtype=np.int64) if self.multilabel else np.bincount(labels, minlength=len(self.classes))
        return dict(zip(self.classes, n.tolist(), strict=True))

    def subset(self, rows: Sequence[int] | np.ndarray) -> FilmTable:
        """The films at `rows`, in that order."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in index),
            ids=tuple(self.ids[i] for i in index),
            groups=tuple(self.groups[i] for i in index),
            labels=self.labels[index],
            splits=np.asarray(self.splits)[index],
            attributes={name: np.asarray(values)[index] for name, values in self.attributes.items()},
        )


@dataclass(frozen=True)
class FilmConfig:
    """Options of every dataset that is made of film files."""

    size: int | None = None
    """Pixels on a side to bring every film to. Without it the films keep their own size, which must be one and
    the same square."""
    resize: int | None = None
    """Bring the shorter side to this many pixels first and cut the middle `size` out of it (256 -> 224)."""
    fit: Fit = "crop"
    """What becomes of a film that is not square: crop keeps the middle and the proportions, pad adds black bars,
    squash changes the proportions."""
    channels: Literal[1, 3] = 1
    """1: grey (colour is turned into luma), 3: RGB."""
    on_bad: Literal["refuse", "skip"] = "refuse"
    """What becomes of a film that cannot be read: refuse stops and names it, skip goes on without it and names
    it in the log and in the notes of the prepared dataset."""


class FilmDataset(BaseDataset):
    """A dataset whose subclass says which films there are: override `films` (and `read`, for another format).

    The films are decoded in parallel straight into the cache; memory does not grow with their number, and a
    `prepare` that was killed goes on where it was.
    """

    Config = FilmConfig

    def films(self) -> FilmTable:
        """Which films there are; asked once. No pixel is decoded for it.

        Raises
        ------
        UserError
            For whatever is wrong with tables, labels, patients or splits; one line names it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say which films it has")

    def read(self, path: Path) -> np.ndarray:
        """One film, upright: uint8 (H, W) or (H, W, 3), in full size or reduced to what `Config` needs.

        Raises
        ------
        UserError
            When it cannot be read; the message names the file and the reason.
        """
        config = self.config
        return decode_film(path, channels=config.channels, target=config.resize or config.size, fit=config.fit)

    @cached_property
    def table(self) -> FilmTable:
        """What `films` says, asked once for each object."""
        return self.films()

    def source(self) -> Mapping[str, Any]:
        """sha256 over name, size and date of every film, and over what is said of them.

        Raises
        ------
        UserError
            As `films`, and when a file is missing.
        """
        table = self.table
        said = hashlib.sha256(table.labels.tobytes())
        for words in (table.ids, table.groups, np.asarray(table.splits).tolist(), table.classes):
            said.update("\0".join([*words, ""]).encode())
        for name, values in sorted(table.attributes.items()):
            said.update("\0".join([name, *map(str, np.asarray(values).tolist()), ""]).encode())
        stats = stat_films(table.paths)
        missing = [path for path, stat in zip(table.paths, stats, strict=True) if stat is None]
        if missing:
            raise UserError(f"{len(missing)} of {len(table)} films are missing, first {missing[0]}")
        return {"files": digest_stats(table.ids, stats), "table": said.hexdigest()}

    def build(self) -> Mapping[Split, ImageSet]:
        """Every split in memory, by way of a prepared folder that is taken away again."""
        with tempfile.TemporaryDirectory(prefix="films-") as folder:
            self.prepare(Path(folder))
            sets = {split: self.load(Path(folder), split) for split in Split if len(self.table.rows(split))}
            return {split: replace(images, images=images.images.clone()) for split, images in sets.items()}

    def prepare(self, root: Path, *, scratch: Path | None = None) -> None:
        """Decode all films into `root`, in parallel, one thread a core.

        scratch : folder that survives a kill; the next call with it goes on from what is there. Without it
            nothing is resumed.

        Raises
        ------
        UserError
            For a size that cannot be; for a patient in two splits, and for a split without a film; for a film that
            cannot be read unless `on_bad` is skip; for films of mixed sizes when no size was asked for; for a
            class that lost its last training film because films were skipped.
        """
        from data.audit import refuse_shared
        from data.cache import FilmCache, is_prepared

        if is_prepared(root):
            return
        check_sizes(self.config)
        table = self.table
        refuse_shared({s: [table.groups[i] for i in table.rows(s)] for s in Split}, what="patient")
        if table.notes:
            logger.warning("%s", ", ".join(f"{name}: {value}" for name, value in table.notes.items()))
        with _working_folder(root, scratch) as folder:
            words = [table.ids, np.asarray(table.splits).tolist()]
            cache = FilmCache(folder, table, request=[type(self).__name__, self.version, self.config, words])
            with (
                closing(cache),
                Progress("decode", len(table), done=cache.done, unit="films") as bar,
                closing(in_order(self.film, (table.paths[row] for row in cache.waiting()))) as films,
            ):
                for film in films:
                    cache.add(film)
                    bar.advance()
                cache.publish(root)

    def film(self, path: Path) -> np.ndarray | UserError:
        """uint8 (C, S, S), or with `on_bad` skip the reason why there is none."""
        config = self.config
        try:
            pixels = self.read(path)
            if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
                raise TypeError(f"read gave {pixels.dtype} {pixels.shape}, not uint8 (H, W) or (H, W, 3)")
            if min(pixels.shape[:2]) < SMALLEST:
                raise UserError(f"{path} is {pixels.shape[1]} x {pixels.shape[0]} px, which is no film")
        except UserError as error:
            if config.on_bad == "skip":
                return error
            raise UserError(f"{error}. Or go on without such films: --data.on-bad skip") from error
        if config.size is not None:
            pixels = fit_square(pixels, size=config.size, resize=config.resize, fit=config.fit)
        return to_channels(pixels, config.channels)


@contextmanager
def _working_folder(root: Path, scratch: Path | None) -> Iterator[Path]:
    """`scratch`, or a folder beside the result that goes away."""
    ensure_folder(root)
    if scratch is not None:
        yield ensure_folder(scratch)
        return
    with tempfile.TemporaryDirectory(prefix=".films-", dir=root) as folder:
        yield Path(folder)


def check_sizes(config: FilmConfig) -> None:
    """Refuse a size, or a size to cut out of, that no film can be brought to.

    Raises
    ------
    UserError
        Naming the flag.
    """
    for flag, value in (("size", config.size), ("resize", config.resize)):
        if value is not None and not SMALLEST <= value <= LARGEST:
            raise UserError(f"--data.{flag} {value}: it must lie between {SMALLEST} and {LARGEST} px")
    if config.resize is not None and (config.size is None or config.resize < config.size):
        raise UserError(f"--data.resize {config.resize} needs a --data.size that is no larger, to be cut out of it")


def stat_films(paths: Sequence[Path]) -> list[os.stat_result | None]:
    """Size and date of every file; None where there is no file."""
    return [path.stat() if path.is_file() else None for path in paths]


def digest_stats(ids: Sequence[str], stats: Sequence[os.stat_result | None]) -> str:
    """sha256 over name, size and date of files, whatever their order; those that are None are left out."""
    there = ((name, s) for name, s in zip(ids, stats, strict=True) if s is not None)
    lines = sorted(f"{name}\0{s.st_size}\0{s.st_mtime_ns}" for name, s in there)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
