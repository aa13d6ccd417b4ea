"""What is to be decoded, before any pixel is; and a dataset made of film files."""

from __future__ import annotations

import errno
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from data.base import BaseDataset
from data.films.decode import Fit, decode_film, fit_square, in_order, to_channels
from data.films.looks import Look, look_at
from data.films.opening import MAX_PIXELS, SMALLEST
from data.films.remarks import Remark, Remarks, libraries_heard, listening
from data.films.table import FilmTable
from data.images import ImageSet, Split
from synthworth.artifacts import ensure_folder
from synthworth.errors import UserError
from synthworth.keys import SINCE_DEFAULT, sha256_of
from synthworth.progress import Progress

NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP, errno.ENAMETOOLONG)
LARGEST = 2048  # px on a side of a prepared image

logger = logging.getLogger(__name__)


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
    max_pixels: int = field(default=MAX_PIXELS, metadata=SINCE_DEFAULT)
    """Pixels that a film may have, width times height, before it is brought to `size`; decoding takes up to 16 bytes of
    memory for each, in every thread."""


class FilmDataset(BaseDataset):
    """A dataset whose subclass says which films there are: override `films` (and `read`, for another format).

    The films are decoded in parallel straight into the cache; memory does not grow with their number, and a
    `prepare` that was killed goes on where it was.
    """

    Config = FilmConfig
    heard: ClassVar[tuple[str, ...]] = ()
    """Loggers of the libraries that read films: what they warn of is said once for all films."""

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
        target = config.resize or config.size
        return decode_film(path, channels=config.channels, target=target, fit=config.fit, max_pixels=config.max_pixels)

    def look(self, path: Path) -> Look | None:
        """What can be seen of a film's file without decoding it; None where nothing can."""
        return look_at(path)

    def places(self) -> Mapping[str, Path]:
        """Where each film lies, by its id. No pixel is decoded for it."""
        return dict(zip(self.table.ids, self.table.paths, strict=True))

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
        said: list[Sequence[str]] = [table.ids, table.groups, np.asarray(table.splits).tolist(), table.classes]
        said += [[name, *map(str, np.asarray(v).tolist())] for name, v in sorted(table.attributes.items())]
        pieces = chain([table.labels.tobytes()], ("\0".join([*words, ""]) for words in said))
        stats = stat_films(table.paths)
        missing = [path for path, stat in zip(table.paths, stats, strict=True) if stat is None]
        if missing:
            raise UserError(f"{len(missing)} of {len(table)} films are missing, first {missing[0]}")
        return {"files": digest_stats(table.ids, stats), "table": sha256_of(pieces)}

    def foretold(self) -> tuple[int | None, int | None]:
        """As the options bring every film to; None for films that keep their size."""
        return self.config.channels, self.config.size

    def build(self) -> Mapping[Split, ImageSet]:
        """Every split in memory, by way of a prepared folder that is taken away again."""
        with tempfile.TemporaryDirectory(prefix="films-") as folder:
            self.prepare(Path(folder))
            sets = {split: self.load(Path(folder), split) for split in Split if len(self.table.rows(split))}
            return {split: replace(images, images=images.images.clone()) for split, images in sets.items()}

    def prepare(self, root: Path, *, scratch: Path | None = None) -> None:
        """Decode all films into `root`, in parallel, one thread a core.

        Parameters
        ----------
        scratch
            Folder that survives a kill; the next call with it goes on from what is there. Without it nothing is
            resumed.

        Raises
        ------
        UserError
            For a size that cannot be; for a patient in two splits, and for a split without a film; for a film that
            cannot be read unless `on_bad` is skip; for films of mixed sizes when no size was asked for; for a
            class that lost its last training film because films were skipped.
        """
        from data.films.cache import FilmCache
        from data.prepared import is_prepared
        from data.splits.leaks import refuse_shared

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
                libraries_heard(*self.heard),
                closing(in_order(self._film_and_remarks, (table.paths[row] for row in cache.waiting()))) as films,
            ):
                private = Remarks()
                for film, said in films:
                    private.add((s for s in said if s.private), name=str(table.paths[cache.next_row]))
                    cache.add(film, remarks=[s.text for s in said if not s.private])
                    bar.advance()
                private.log()
                cache.publish(root)

    def _film_and_remarks(self, path: Path) -> tuple[np.ndarray | UserError, list[Remark]]:
        """What `film` gives, and what is to be said about it."""
        with listening() as said:
            return self.film(path), said

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
    if config.max_pixels < SMALLEST**2:
        raise UserError(f"--data.max-pixels {config.max_pixels}: a film has {SMALLEST**2} pixels or more")
    if config.resize is not None and (config.size is None or config.resize < config.size):
        raise UserError(f"--data.resize {config.resize} needs a --data.size that is no larger, to be cut out of it")


def stat_films(paths: Sequence[Path]) -> list[os.stat_result | None]:
    """Size and date of every file; None where there is no file, nor can be one of that name."""
    return [_stat(path) for path in paths]


def _stat(path: Path) -> os.stat_result | None:
    try:
        found = path.stat()
    except OSError as error:
        if error.errno in NO_SUCH_FILE:
            return None
        raise
    except ValueError:  # a name with a byte that no file's has
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def digest_stats(ids: Sequence[str], stats: Sequence[os.stat_result | None]) -> str:
    """sha256 over name, size and date of files, whatever their order; those that are None are left out."""
    there = ((name, s) for name, s in zip(ids, stats, strict=True) if s is not None)
    lines = sorted(f"{name}\0{s.st_size}\0{s.st_mtime_ns}" for name, s in there)
    return sha256_of(["\n".join(lines)])
