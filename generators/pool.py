"""The generator `pool`: images that somebody else made, from a folder or a table, in their order and each once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from data.datasets.folder.content import content_sha256
from data.images import ImageSet, count_labels
from data.mixing import VECTORS
from generators.base import BaseGenerator
from generators.in_turn import rows_in_turn
from generators.matching import require_alike
from synthworth.artifacts import read_array, read_json, write_array, write_json
from synthworth.errors import UserError, bounded
from synthworth.keys import NOT_IDENTITY
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

    from data.datasets.folder.dataset import Folder

logger = logging.getLogger(__name__)
SEEN = "what drew these images may have learned from the test films (--gen.saw-test yes): a gain may be memory"
UNKNOWN = (
    "whether what drew these images learned from the test films is not known; say so with --gen.saw-test no or yes"
)


@dataclass(frozen=True)
class PoolConfig:
    """Options of `pool`: where the images lie, how they are read, and where they come from.

    Raises
    ------
    UserError
        For a folder or table that is missing, and for images of another sha256 than was asked for.
    """

    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder of the images: CLASS/*.png, or any tree with a table."""
    table: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """CSV, TSV or parquet with one row an image; metadata.csv or metadata.parquet in `path` is taken if it is there."""
    image_column: str = "image"
    """Column with the image file, relative to `path` (without it, to the table)."""
    label_column: str = "label"
    """Column with the class, or with findings that co-occur, joined by "|" (or by `separator`)."""
    label_columns: tuple[str, ...] = ()
    """Instead of a label column: columns of 0 and 1, one a finding."""
    separator: tuple[str, ...] = ()
    """What stands between the findings of one cell. Without it: "|"."""
    negative: tuple[str, ...] = ("No Finding",)
    """Labels that mean "none of the findings"."""
    rename: tuple[str, ...] = ()
    """The dataset's classes by what the pool calls them, NAME=CELL: "Pneumonia=1"."""
    fit: Literal["crop", "pad", "squash"] = "crop"
    """What becomes of an image that is not square, as `--data.fit`; its size becomes that of the dataset's images."""
    repeat: bool = False
    """Let images come again once all of their class have come; without it a demand for more than there are is
    refused."""
    made_by: str = ""
    """Who or what drew the images: a model and its version."""
    trained_on: str = ""
    """What that learned from."""
    licence: str = ""
    """Under which the images may be used."""
    address: str = ""
    """Where they were got: a URL or DOI."""
    saw_test: Literal["unknown", "no", "yes"] = "unknown"
    """Whether what drew them may have learned from this dataset's test films."""
    sha256: str = ""
    """Of all images and the table: filled in from them, checked against them where given, and in the key in their
    place."""

    def __post_init__(self) -> None:
        if self.path is None and self.table is None:
            return
        found = content_sha256(self.path, self.table, flag="--gen.path")
        if self.sha256 not in ("", found):
            where = self.path or self.table
            raise UserError(f"--gen.path {where}: its images have sha256 {found}, not {self.sha256} as asked")
        object.__setattr__(self, "sha256", found)

    def folder(self, train: ImageSet) -> Folder:
        """The images as a dataset has them, read for a training set: its classes, channels and size."""
        from data.datasets.folder.dataset import Folder, FolderConfig

        return Folder(FolderConfig(
            path=self.path, table=self.table, image_column=self.image_column, label_column=self.label_column,
            label_columns=self.label_columns, separator=self.separator, negative=self.negative, rename=self.rename,
            classes=() if self.label_columns else train.classes, task="multi" if train.multilabel else "single",
            size=train.size, channels=1 if train.channels == 1 else 3, fit=self.fit,
        ))  # fmt: skip


class Pool(BaseGenerator):
    """Images that somebody else made, brought to the size of the training images; nothing is learned here.

    A label is answered by the images that have it (where findings co-occur: exactly these findings), in the order in
    which they are listed, each once. What comes next is said by what came before (`sample_next`), so that no image
    comes twice over all shards of an arm. A seed changes nothing: there is one pool, and no second training of it.
    """

    Config: ClassVar[type] = PoolConfig
    trains: ClassVar[bool] = False
    one_training: ClassVar[bool] = True
    config: PoolConfig

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse a pool that was not named. See `BaseGenerator`."""
        c = self.config
        if c.path is None and c.table is None:
            known = f", with the images of sha256 {c.sha256}" if c.sha256 else ""
            raise UserError(f"pool needs --gen.path FOLDER or --gen.table FILE{known}")

    def check_demand(self, train: ImageSet, streams: Mapping[str, int]) -> None:
        """Refuse, before anything is made, a demand that the pool cannot meet, as far as counts say.

        Parameters
        ----------
        streams : images that are asked for, by stream (`data.mixing.Demand`).

        Raises
        ------
        UserError
            For too few images, saying how many there are, and for labels that are none of the dataset's.
        """
        _, labels = self._listed(train)
        there = count_labels(labels, train.classes)
        for stream, n in streams.items():
            has = len(labels) if stream == VECTORS else there[stream]
            if n > has and not (self.config.repeat and has):
                raise UserError(self._too_few("" if stream == VECTORS else f" of {stream}", has, n))

    def _too_few(self, which: str, there: int, asked: int) -> str:
        where = self.config.path or self.config.table or "the pool"
        return (
            f"{where} holds {there:,} images{which}, and {asked:,} are asked for. Lower --ratio, or let images come "
            "again: --gen.repeat"
        )

    def _listed(self, train: ImageSet) -> tuple[list[Path], np.ndarray]:
        self.check_files(fetch=True, channels=None, size=None)
        try:
            rows, labels, found = self.config.folder(train).undivided()
        except UserError as error:
            raise UserError(f"the pool: {str(error).replace('--data.', '--gen.')}") from error
        if tuple(found.classes) != tuple(train.classes):
            raise UserError(
                f"the pool tells {bounded(', '.join(found.classes))} apart, and the dataset "
                f"{', '.join(train.classes)}. Name the columns in the dataset's order, or --gen.rename"
            )
        if len(missing := [path for path, stat in zip(rows.paths, rows.stats, strict=True) if stat is None]):
            raise UserError(f"{len(missing)} of {len(rows.paths)} images of the pool are missing, first {missing[0]}")
        return rows.paths, labels

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Decode all images; the training images only say what they are brought to.

        Raises
        ------
        UserError
            For an image that cannot be read, labels that are none of the dataset's, and files that have changed since
            they were asked for.
        """
        import torch

        from data.films.decode import in_order
        from synthworth.progress import track

        self.require(train)
        paths, labels = self._listed(train)
        if (now := content_sha256(self.config.path, self.config.table, flag="--gen.path")) != self.config.sha256:
            raise UserError(f"the images of the pool have changed: sha256 {now}, not {self.config.sha256}")
        reader = self.config.folder(train)
        images = np.empty((len(paths), train.channels, train.size, train.size), dtype=np.uint8)
        for row, film in enumerate(
            track(in_order(reader.film, paths), "reading the pool", total=len(paths), unit="images")
        ):
            if isinstance(film, UserError):
                raise film
            images[row] = film
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        if self.config.saw_test != "no":
            logger.warning("%s", UNKNOWN if self.config.saw_test == "unknown" else SEEN)
        facts = {"n_images": len(images), "by_class": count_labels(labels, train.classes)}
        return FitReport(steps=0, images_seen=0, seconds=0.0, facts=facts)

    @cached_property
    def _rows(self) -> dict[bytes, np.ndarray]:
        """Rows of the images that have a label, by the label's bytes, in their order."""
        found: dict[bytes, list[int]] = {}
        for row, label in enumerate(self.labels.numpy()):
            found.setdefault(label.tobytes(), []).append(row)
        return {label: np.array(rows) for label, rows in found.items()}

    def sample_next(self, labels: Tensor, *, earlier: Tensor) -> Tensor:
        """The images that come next.

        Parameters
        ----------
        labels : int64 (N,) or uint8 (N, K).
        earlier : the labels that were answered before, in the same form: what answered them does not come again.

        Returns
        -------
        uint8 (M, C, H, W)
            Row i shows `labels[i]`. M is below N where the first label that no image is left for stands at M.
        """
        asked = labels.cpu().numpy()
        require_alike(asked, self.labels.numpy())
        none = np.empty(0, dtype=np.int64)
        rows = rows_in_turn(
            asked, earlier.cpu().numpy(), lambda label: self._rows.get(label.tobytes(), none),
            repeat=self.config.repeat,
        )  # fmt: skip
        return self.images[rows]

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """The first images with these labels: uint8 (N, C, H, W); `seed` changes nothing.

        Raises
        ------
        UserError
            When there are too few.
        """
        made = self.sample_next(labels, earlier=labels[:0])
        if len(made) < len(labels):
            wanted = labels[len(made)]
            same = labels == wanted if labels.ndim == 1 else (labels == wanted).all(1)
            there = len(self._rows.get(wanted.numpy().tobytes(), ()))
            raise UserError(self._too_few(" with one of the labels", there, int(same.sum())))
        return made

    def save(self, folder: Path) -> None:
        """Write images and labels as .npy, and what is said of them."""
        write_array(folder / "images.npy", self.images.numpy())
        write_array(folder / "labels.npy", self.labels.numpy())
        write_json(folder / "model.json", {"repeat": self.config.repeat})

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote, the images as a memory map; `device` changes nothing."""
        import torch

        pool = cls(replace(cls.Config(), repeat=read_json(folder / "model.json")["repeat"]))
        pool.images = torch.from_numpy(read_array(folder / "images.npy", mapped=True))
        pool.labels = torch.from_numpy(read_array(folder / "labels.npy"))
        return pool
