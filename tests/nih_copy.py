"""Made copies of NIH's folder: its table in both editions, and films of a few pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data.datasets.nih.table import NO_FINDING
from data.films.table import FilmTable

HEAD_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
HEAD_2020 = HEAD_2017.rstrip(",")
Row = tuple[int, str]  # patient, labels
Made = Callable[..., FilmTable]
MIX = (
    NO_FINDING,
    "Effusion",
    "Mass",
    "Effusion|Mass",
    "Hernia",
    "Atelectasis|Infiltration",
    NO_FINDING,
    "Infiltration",
)


def rows_of(n_patients: int = 40, n_each: int = 2, labels: Sequence[str] = MIX) -> list[Row]:
    """Patients with `n_each` films, the labels in turn."""
    return [(p, labels[(p + i) % len(labels)]) for p in range(1, n_patients + 1) for i in range(n_each)]


def names_of(rows: Sequence[Row]) -> list[str]:
    seen: dict[int, int] = {}
    names = []
    for patient, _ in rows:
        seen[patient] = seen.get(patient, -1) + 1
        names.append(f"{patient:08d}_{seen[patient]:03d}.png")
    return names


def lines_of(rows: Sequence[Row], *, old: bool = False) -> list[str]:
    out = []
    for i, (name, (patient, labels)) in enumerate(zip(names_of(rows), rows, strict=True)):
        who = f"{patient:08d},{i % 90:03d}Y" if old else f"{patient},{i % 90}"
        out.append(f"{name},{labels},0,{who},{'MF'[patient % 2]},{('PA', 'AP')[i // 3 % 2]},2048,2500,0.143,0.143")
    return [line + "," * old for line in out]


def write_table(
    folder: Path, lines: Sequence[str], *, head: str = HEAD_2020, name: str = "Data_Entry_2017_v2020.csv"
) -> Path:
    file = folder / name
    file.write_text("\n".join([head, *lines]) + "\n")
    return file


def write_films(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def touch_films(folder: Path, names: Sequence[str]) -> None:
    """Files that are never decoded."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


BOX_HEAD = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
