"""What a folder of images holds, by content: names and bytes of all images, and the table."""

from __future__ import annotations

from pathlib import Path

from data.datasets.folder.rows import TABLE_NAMES, is_image
from data.datasets.folder.tree import walk
from data.films.given_path import find_file, find_folder
from synthworth.keys import sha256_of, unchanged_sha256


def content_sha256(path: Path | None, table: Path | None, *, flag: str) -> str:
    """sha256 over names and contents of all image files below a folder, and over the table; wherever they lie.

    Parameters
    ----------
    path : the folder; None for the table's.
    table : None for metadata.csv or metadata.parquet in the folder, if one is there.
    flag : that names the folder, for the error.

    Raises
    ------
    UserError
        When folder or table are missing.
    """
    file = find_file(table) if table is not None else None
    root = find_folder(path, flag=flag) if path is not None or file is None else file.parent
    if file is None:
        file = next((root / name for name in TABLE_NAMES if (root / name).is_file()), None)
    told = [
        f"{image.relative_to(root).as_posix()}\0{unchanged_sha256(image)}\n" for image in walk(root, is_image).files
    ]
    return sha256_of([*told, unchanged_sha256(file) if file is not None else ""])
