"""Films decoded into a cache on disk: resumable, published whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from data.films.remarks import Remark, Remarks, how_many
from data.films.table import columns_of
from data.images import Split, fingerprint_of
from data.prepared import CACHE_VERSION, METADATA, write_csv, write_index, write_rows
from synthworth.artifacts import from_json, write_table
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.sealed import read_sealed, set_aside, write_sealed

if TYPE_CHECKING:
    from data.films.table import FilmTable

import logging

logger = logging.getLogger(__name__)

JOURNAL = "journal.json"
CHECKPOINT_SECONDS = 2.0  # between two entries of the journal: what a kill during decoding can cost
PIECE = 1 << 20  # bytes read at a time


# -- films: written one by one --------------------------------------------------------------------------------------


class _GrowingArray:
    """A .npy file of uint8 images whose number is known at the end.

    It is written to, not mapped: pages of a map would count as this process's memory.
    """

    def __init__(self, file: Path, shape: Sequence[int], n: int) -> None:
        """Go on after the first `n` images, or begin. What stands after them, half an image say, is cut off."""
        self.shape, self.n = tuple(shape), n
        self.hash = hashlib.sha256()
        self.handle: BinaryIO = file.open("r+b" if n else "w+b")
        self._write_header()
        self.start = self.handle.tell()
        self.handle.truncate(self.start + n * int(np.prod(self.shape)))
        self.handle.seek(0, os.SEEK_END)

    def _write_header(self) -> None:
        """Numpy leaves room for the first axis to grow: the header is as long for any number of images."""
        self.handle.seek(0)
        facts = {"descr": "|u1", "fortran_order": False, "shape": (self.n, *self.shape)}
        np.lib.format.write_array_header_2_0(self.handle, facts)

    def append(self, image: np.ndarray) -> None:
        pixels = np.ascontiguousarray(image).data
        self.handle.write(pixels)
        self.hash.update(pixels)
        self.n += 1

    def close(self) -> None:
        """Close the file."""
        self.handle.close()

    def sync(self) -> str:
        """Wait until all images so far are on disk; sha256 of those that came since the last call."""
        self.handle.flush()
        os.fsync(self.handle.fileno())
        piece, self.hash = self.hash.hexdigest(), hashlib.sha256()
        return piece

    def finish(self) -> None:
        """Say in the header how many there are."""
        self._write_header()
        self.sync()

    def pieces(self, said: Sequence[tuple[int, str]]) -> Iterator[bytes]:
        """The pixels, in order, some at a time; `said` are the counts and digests of what was brought to disk.

        Raises
        ------
        UserError
            When the file holds other pixels.
        """
        self.handle.seek(self.start)
        image = int(np.prod(self.shape))
        for n, digest_then in said:
            found, left = hashlib.sha256(), n * image
            while left and (piece := self.handle.read(min(PIECE, left))):
                found.update(piece)
                left -= len(piece)
                yield piece
            if found.hexdigest() != digest_then:
                raise DamagedPixels(
                    f"{self.handle.name} does not hold the pixels that were decoded. The same command decodes them "
                    "again"
                )


@dataclass
class _Journal:
    """What of the films is safely on disk.

    `done` films were taken, in order; `kept` has for each array the pieces that it grew by: images, and the sha256 of
    their pixels.

    `remarks` has for each text how many films it is about, and the id of the first.
    """

    key: str
    done: int
    shape: list[int] | None
    kept: dict[str, list[tuple[int, str]]]
    skipped: list[dict[str, Any]]
    remarks: dict[str, tuple[int, str]] = field(default_factory=dict)


class DamagedPixels(UserError):
    """A half-made cache that holds other pixels than were decoded; it is begun anew by the next call."""


class FilmCache:
    """The half-made cache of a film dataset, in a folder that survives a kill.

    Films come one by one, in the order of `waiting`. Every two seconds what came is brought to disk, and only then
    entered in the journal; whoever opens the folder again goes on from the last entry, and what was written after
    it is cut off.
    """

    def __init__(self, folder: Path, table: FilmTable, *, request: Any) -> None:
        """Open the folder, or begin it.

        Parameters
        ----------
        request
            Whatever decides how a film is decoded, and the films; for another request the folder begins anew.
        """
        self.folder, self.table = folder, table
        self.order = np.concatenate([table.rows(split) for split in Split])
        self.splits = [Split(name) for name in np.asarray(table.splits)[self.order].tolist()]
        self.journal = self._resume(digest([CACHE_VERSION, request]))
        self.arrays: dict[Split, _GrowingArray] = {}
        self.seen = time.monotonic()

    def _resume(self, key: str) -> _Journal:
        file = self.folder / JOURNAL
        held = read_sealed(file)
        if held is not None and (said := json.load(held)).get("key") == key:
            journal = from_json(_Journal, said)
            try:
                for split in journal.kept:
                    with closing(self._array(Split(split), journal)) as array:
                        deque(array.pieces(journal.kept[split]), maxlen=0)
            except (DamagedPixels, OSError) as error:
                set_aside(file, str(error))
            else:
                return journal
        return _Journal(key, 0, None, {}, [])

    def _array(self, split: Split, journal: _Journal) -> _GrowingArray:
        """The pixels of a split as far as the journal speaks of them."""
        assert journal.shape is not None
        return _GrowingArray(self._file(split), journal.shape, sum(n for n, _ in journal.kept.get(split.value, [])))

    def _file(self, split: Split) -> Path:
        return self.folder / f"{split.value}-images.npy"

    @property
    def done(self) -> int:
        """Films taken so far, those skipped included."""
        return self.journal.done

    def waiting(self) -> list[int]:
        """Rows of the films that are still to come, in the order in which they must."""
        rows: list[int] = self.order[self.done :].tolist()
        return rows

    @property
    def next_row(self) -> int:
        """Row of the film that comes next."""
        return int(self.order[self.done])

    def add(self, film: np.ndarray | UserError, *, remarks: Sequence[str] = ()) -> None:
        """Take the next film.

        Parameters
        ----------
        film : uint8 (C, S, S)
            Or the reason why there is none.
        remarks
            What is to be said about it: counted, and kept among the notes.

        Raises
        ------
        UserError
            When it is not square, or not as large as those before.
        """
        journal, row, split = self.journal, self.next_row, self.splits[self.done]
        if isinstance(film, UserError):
            logger.warning("skipped: %s", film)
            reason = str(film).replace(str(self.table.paths[row]), "the film")  # where it lies is no fact about it
            journal.skipped.append({"id": self.table.ids[row], "split": split.value, "reason": reason})
        else:
            self._check_shape(row, film.shape)
            if split not in self.arrays:
                self.arrays[split] = self._array(split, journal)
            self.arrays[split].append(film)
            for text in remarks:
                n, first = journal.remarks.get(text, (0, self.table.ids[row]))
                journal.remarks[text] = n + 1, first
        journal.done += 1
        if time.monotonic() - self.seen >= CHECKPOINT_SECONDS:
            self.checkpoint()

    def _check_shape(self, row: int, shape: tuple[int, ...]) -> None:
        (_, height, width), path = shape, self.table.paths[row]
        if self.journal.shape is None:
            if height != width:
                raise UserError(f"{path} is {width} x {height}, and the suite takes squares. Give one with --data.size")
            self.journal.shape = list(shape)
        elif list(shape) != self.journal.shape:
            skipped = {skip["id"] for skip in self.journal.skipped}
            first = next(i for i in self.order if self.table.ids[i] not in skipped)
            side = self.journal.shape[-1]
            raise UserError(
                f"images of mixed sizes: {self.table.paths[first]} is {side} x {side}, {path} is {width} x {height} "
                "(width x height). Give one with --data.size"
            )

    def checkpoint(self) -> None:
        """Bring what came to disk, then say so in the journal."""
        for split, array in self.arrays.items():
            kept, piece = self.journal.kept.setdefault(split.value, []), array.sync()
            if came := array.n - sum(n for n, _ in kept):
                kept.append((came, piece))
        write_sealed(self.folder / JOURNAL, json.dumps(vars(self.journal)).encode(), sync=True)
        self.seen = time.monotonic()

    def close(self) -> None:
        """Close the files; what is not in the journal will be decoded again."""
        for array in self.arrays.values():
            array.close()

    def publish(self, root: Path) -> None:
        """Write the finished cache into `root`, the index last. To be called when nothing is waiting.

        Raises
        ------
        UserError
            When train, val or test holds no film, or a class lost its last training film, for films that were
            skipped.
        """
        skipped = {skip["id"] for skip in self.journal.skipped}
        kept = self.table.subset([row for row in self.order.tolist() if self.table.ids[row] not in skipped])
        self._check_what_is_left(kept)
        self.checkpoint()
        assert self.journal.shape is not None
        splits = {}
        for split in (split for split in Split if len(kept.rows(split))):
            part = kept.subset(kept.rows(split))
            array = self.arrays[split] = self.arrays.get(split) or self._array(split, self.journal)
            array.finish()
            fingerprint = fingerprint_of(
                self._verified(split), shape=(array.n, *array.shape), labels=part.labels, ids=part.ids,
                groups=part.groups, classes=part.classes, split=split,
            )  # fmt: skip
            splits[split] = (array.n, fingerprint)
            array.close()
            write_rows(root, split, part.labels, part.ids, part.groups, part.attributes)
            write_csv(root / f"{split.value}.csv", columns_of(part))
        write_table(root / METADATA, columns_of(kept))
        self._log_remarks()
        remarks = {text: how_many(n, first) for text, (n, first) in self.journal.remarks.items()}
        notes = {**kept.notes, **remarks, "skipped": self.journal.skipped}
        facts = {"classes": list(kept.classes), "channels": self.journal.shape[0], "size": self.journal.shape[-1],
                 "multilabel": kept.multilabel, "notes": notes}  # fmt: skip
        for split in splits:  # last: until they are moved, a kill costs nothing
            shutil.move(self._file(split), root / f"{split.value}-images.npy")
        write_index(root, splits, facts)

    def _verified(self, split: Split) -> Iterator[bytes]:
        """The pixels of a split; a file that was changed since ends it, and the next call begins anew."""
        try:
            yield from self.arrays[split].pieces(self.journal.kept[split.value])
        except DamagedPixels as error:
            set_aside(self.folder / JOURNAL, str(error))
            raise

    def _log_remarks(self) -> None:
        """One line each, with the file of the first film: the log stays on the screen."""
        paths = dict(zip(self.table.ids, self.table.paths, strict=True))
        Remarks({t: (Remark(t), n, str(paths[first])) for t, (n, first) in self.journal.remarks.items()}).log()

    def _check_what_is_left(self, kept: FilmTable) -> None:
        skips = self.journal.skipped
        lost = f" ({len(skips)} were skipped, first {skips[0]['id']})" if skips else ""
        for split in (Split.train, Split.val, Split.test):
            if not len(kept.rows(split)):
                raise UserError(f"the {split.value} split holds no film{lost}; a run needs train, val and test")
        before, after = (table.counts()[Split.train.value] for table in (self.table, kept))
        emptied = [name for name, n in after.items() if before[name] and not n]
        if emptied:
            raise UserError(f"class {emptied[0]!r} has no training film left{lost}. Replace them, or leave it out")
