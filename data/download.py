"""The command `python -m data.download nih|medmnist`: published files, verified, resumed, unpacked."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data.datasets.medmnist.dataset import download, downloads
from data.datasets.medmnist.published import PUBLISHED, Name
from data.datasets.nih.archives import PAGE, fetch_nih
from synthworth.commands import guarded


@dataclass(frozen=True)
class NIHOptions:
    """NIH ChestX-ray14 from its publisher: twelve archives of films (42 GiB), the table, the boxes, the official lists.

    What is there is verified and not fetched again; after an interruption the same command goes on. Of use with
    `--dataset nih --data.path DIR`.
    """

    to: Path
    """Folder for all of it: the tables, and a folder images_NNN for each archive."""
    parts: tuple[int, ...] = tuple(range(1, 13))
    """Which of the twelve archives; `--parts` alone fetches the tables only. Part 1 is the smallest, 2 GB."""
    keep_archives: bool = False
    """Keep each archive after it has been unpacked."""


@dataclass(frozen=True)
class MedMNISTOptions:
    """One 2D set of MedMNIST v2 from its publisher."""

    name: Annotated[Name, tyro.conf.Positional]
    """Which set."""
    size: Literal[28, 64, 128, 224] = 28
    """Published size in pixels."""
    to: Path | None = None
    """Folder for the file. Without it, where `--dataset medmnist` looks: downloads in SYNTHWORTH_HOME."""


Options = (
    Annotated[NIHOptions, tyro.conf.subcommand("nih")] | Annotated[MedMNISTOptions, tyro.conf.subcommand("medmnist")]
)


def main(args: Sequence[str]) -> int:
    """Fetch what was asked for, and print where it lies."""
    options = tyro.cli(Options, args=list(args), prog="python -m data.download")
    if isinstance(options, NIHOptions):
        for path in fetch_nih(options.to, parts=options.parts, keep_archives=options.keep_archives):
            print(path)
        print(f"NIH Clinical Center, {PAGE}: cite X. Wang et al., ChestX-ray8, CVPR 2017")
    else:
        print(download(options.name, options.size, options.to or downloads()))
        print(f"MedMNIST v2, {PUBLISHED[options.name].licence}: cite J. Yang et al., Scientific Data 10:41, 2023")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
