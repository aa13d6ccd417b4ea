"""What a folder of exported synthetic images holds: pictures by class, a table of them, and a card."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.images import marks_of
from synthworth.artifacts import ensure_folder, write_bytes
from synthworth.errors import UserError
from synthworth.escape import csv_cell, plain_text
from synthworth.files import Unfit, read_file
from synthworth.keys import sha256_of

if TYPE_CHECKING:
    from data.mixing import SyntheticSet

TABLE, CARD = "metadata.csv", "README.md"
"""`generators.pool` takes a table of this name by itself."""
COLUMNS = ("image", "sha256", "label", "generator", "run_id", "seed", "generator_seed", "row")
TOGETHER = "images"
"""Folder of the pictures where findings co-occur."""
LICENCE = "licence of the images"
"""The row of the card that says it."""
NO_FINDING = "No Finding"
"""Label of an image without any of the findings; `generators.pool` reads it so."""
WARNING = "Synthetic images: no patient was imaged. Not for diagnosis, and no evidence about any person."
LARGEST, LARGEST_CARD = 1 << 30, 1 << 20
"""Bytes of the largest table, and of the largest card, that is read."""


@dataclass(frozen=True)
class Picture:
    """One row of the table.

    Parameters
    ----------
    image : path below the folder, with forward slashes.
    sha256 : of the file.
    label : the class; the findings joined by "|"; `NO_FINDING`.
    row : number of the image among those of its arm, from 0.
    """

    image: str
    sha256: str
    label: str
    generator: str
    run_id: str
    seed: int
    generator_seed: int
    row: int


def labels_in_words(pool: SyntheticSet) -> list[str]:
    """What each image was asked to show, as the table says it."""
    marks = marks_of(pool.labels.numpy(), n_classes=len(pool.classes))
    return ["|".join(c for c, mark in zip(pool.classes, row, strict=True) if mark) or NO_FINDING for row in marks]


def marks_in_words(label: str, classes: Sequence[str]) -> list[str]:
    """The classes or findings that a label of the table names."""
    return [label] if label in classes else [name for name in label.split("|") if name != NO_FINDING]


def licence_on_card(folder: Path) -> str | None:
    """The licence of the images as the card in an exported folder says it; None without a card, or without that row.

    Raises
    ------
    UserError
        For a card that cannot be read.
    """
    file, row = folder / CARD, f"| {LICENCE} | "
    if not file.is_file():
        return None
    try:
        lines = read_file(file, at_most=LARGEST_CARD).decode("utf-8").splitlines()
    except (Unfit, OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as the card of exported images: {error}") from error
    said = next((line for line in lines if line.startswith(row)), row)
    return plain_text(said.removeprefix(row).removesuffix("|").strip()) or None


def folder_names(classes: Sequence[str]) -> dict[str, str]:
    """A folder for each class: its name where that can be one, with what cannot stand in it left out."""
    found: dict[str, str] = {}
    for k, name in enumerate(classes):
        plain = re.sub(r"[^\w-]+", "_", name, flags=re.ASCII).strip("_")[:60] or f"class_{k}"
        taken = {other.lower() for other in found.values()}
        found[name] = plain if plain.lower() not in taken else f"{plain}_{k}"
    return found


def write_pictures(
    folder: Path, pool: SyntheticSet, *, generator: str, run_id: str, seed: int, generator_seed: int
) -> list[Picture]:
    """Write every image as PNG, and the table, in the order of the pool.

    Returns
    -------
    The rows of the table.
    """
    multilabel = pool.labels.ndim == 2
    places = {} if multilabel else folder_names(pool.classes)
    rows = []
    for row, (image, label) in enumerate(zip(pool.images.numpy(), labels_in_words(pool), strict=True)):
        name = f"{TOGETHER if multilabel else places[label]}/{row:06}.png"
        raw = _png(image)
        write_bytes(ensure_folder((folder / name).parent) / Path(name).name, raw, sync=False)
        rows.append(Picture(name, sha256_of([raw]), label, generator, run_id, seed, generator_seed, row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(getattr(one, column)) for column in COLUMNS] for one in rows)
    write_bytes(folder / TABLE, text.getvalue().encode())
    return rows


def _png(image: object) -> bytes:
    """uint8 (C, H, W) as the bytes of a PNG: grey for one channel, RGB for three."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image)
    to = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(to, "PNG")
    return to.getvalue()


def read_pictures(folder: Path) -> list[Picture]:
    """The rows of an exported folder's table, each picture checked against its sha256.

    Raises
    ------
    UserError
        For a folder without such a table, a picture that is gone or has changed, and one that lies elsewhere.
    """
    file = folder / TABLE
    if not file.is_file():
        raise UserError(f"{folder} holds no {TABLE} of exported images. Make one: python -m benchmarks.pool export")
    try:
        table = csv.DictReader(io.StringIO(read_file(file, at_most=LARGEST).decode("utf-8"), newline=""))
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise UserError(f"{file} has not the columns {', '.join(COLUMNS)} of exported images")
        found = [_picture(row) for row in table]
    except (Unfit, OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a table of exported images: {error}") from error
    for one in found:
        place = folder / one.image
        if not place.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{file} names {one.image!r}, which lies outside the folder")
        if not place.is_file():
            raise UserError(f"{place} is gone, which {TABLE} names. Export the pool again")
        if sha256_of([place.read_bytes()]) != one.sha256:
            raise UserError(f"{place} has changed since it was exported: it has another sha256 than {TABLE} says")
    return found


def _picture(row: dict[str, str]) -> Picture:
    numbers = {name: int(row[name]) for name in ("seed", "generator_seed", "row")}
    words = {name: row[name] for name in COLUMNS if name not in numbers}
    return Picture(**words, **numbers)  # type: ignore[arg-type]
