"""Two tiny folders of films, and runs on one of them that are tested on the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.job.carry_out import Outcome, carry_out
from benchmarks.request.options import parse

SMALL = (
    "--preset", "smoke", "--device", "cpu", "--workers", "1", "--dataset", "folder", "--data.size", "16",
    "--generator", "noise", "--controls", "none", "--ratio", "0.5", "--seeds", "2", "--extractors",
)  # fmt: skip


def films(
    folder: Path, *, classes: Sequence[str], n: int = 40, seed: int = 0, channels: int = 1, shift: int = 0
) -> Path:
    """A folder with a class folder for each name, n films of n / 2 patients each; all but the first have spots."""
    rng = np.random.default_rng(seed)
    rows = ["image,label,patient"]
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            levels = rng.normal(90 + shift, 20, (16, 16, channels))
            if k:
                levels[4:10, 4:10] += 60 if rng.random() < 0.8 else 0
            picture = np.clip(levels, 0, 255).astype(np.uint8)
            Image.fromarray(picture[..., 0] if channels == 1 else picture).save(folder / name / f"{i:03d}.png")
            rows.append(f"{name}/{i:03d}.png,{name},{seed}-{k}-{i // 2}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def words(home: Path, own: Path, *more: str) -> list[str]:
    """The command line of a run on the folder `own`."""
    return [*SMALL, "--data.path", str(own), "--home", str(home / "home"), "--results", str(home / "runs"), *more]


def run(home: Path, own: Path, *more: str) -> Outcome:
    """Carry it out in this process."""
    return carry_out(parse(words(home, own, *more), prog="python -m benchmarks.run"))
