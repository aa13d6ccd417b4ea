"""Speed of the image cache: writing it, reading an epoch from it, and the memory it takes for many films."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.speed.row import PEAK_OF_PROCESS, Row, best
from data.datasets.folder.dataset import Folder, FolderConfig
from data.films.decode import in_order, n_cores
from data.images import Split
from synthworth.errors import UserError

SEED, SIZE = 0, 64
N_FILMS, N_DISTINCT, FILM_SIDE = 300, 60, 1024
FEW, MANY = 1000, 5000

PEAK = (
    PEAK_OF_PROCESS
    + """
import sys
from pathlib import Path
from data.datasets.folder.dataset import Folder, FolderConfig
Folder(FolderConfig(path=Path(sys.argv[1]), size=64)).prepare(Path(sys.argv[2]), scratch=Path(sys.argv[3]))
print(peak_kib())
"""
)


def draw_film(seed: int, side: int) -> np.ndarray:
    """Wide shadows under the correlated grain of a radiograph.

    As a PNG it takes the 0.37 MB of a film of ChestX-ray14 (42 GB / 112,120) at 1,024 px, and its rows are filtered as
    those are.

    Returns
    -------
    uint8 (side, side).
    """
    import cv2

    rng = np.random.default_rng([SEED, seed])
    wide = cv2.resize(rng.normal(120, 50, (6, 6)), (side, side), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 10, (side, side)), (0, 0), 1.0)
    return np.asarray((wide + grain).clip(0, 255).astype(np.uint8))


@contextmanager
def films(n: int, n_distinct: int, side: int) -> Iterator[Path]:
    """A folder with two class folders of `n` PNGs, `n_distinct` of them different: the rest are copies."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        root = Path(folder, "films")
        names = [root / "ab"[i % 2] / f"{i:05d}.png" for i in range(n)]
        for name in names[:2]:
            name.parent.mkdir(parents=True)

        def write(i: int) -> None:
            Image.fromarray(draw_film(i, side)).save(names[i])

        for _ in in_order(write, range(n_distinct)):
            pass
        for i in range(n_distinct, n):
            shutil.copyfile(names[i % n_distinct], names[i])
        yield root


def pillow_loop(paths: list[Path], filter: int | None = None) -> np.ndarray:
    """What people write: open, grey, resize, one after another.

    Parameters
    ----------
    filter : of `Image.resize`; by itself Pillow takes the bicubic, antialiased as all of them.

    Returns
    -------
    uint8 (N, 1, S, S).
    """
    from PIL import Image

    out = np.empty((len(paths), 1, SIZE, SIZE), np.uint8)
    for i, path in enumerate(paths):
        with Image.open(path) as film:
            out[i, 0] = np.asarray(film.convert("L").resize((SIZE, SIZE), filter))
    return out


def cache_row(repeat: int) -> Row:
    """Caching 300 PNGs of 1,024 px at 64 px, index, tables and fingerprint included, against a Pillow loop."""
    from PIL import Image

    with films(N_FILMS, N_DISTINCT, FILM_SIDE) as root:
        paths = sorted(root.rglob("*.png"))

        def prepare() -> None:
            with tempfile.TemporaryDirectory(dir=root.parent) as out, tempfile.TemporaryDirectory(dir=root.parent) as s:
                Folder(FolderConfig(path=root, size=SIZE)).prepare(Path(out), scratch=Path(s))

        ours, peer = best(prepare, repeat), best(lambda: pillow_loop(paths), repeat)
        bilinear = best(lambda: pillow_loop(paths, Image.Resampling.BILINEAR), repeat)
        size = sum(path.stat().st_size for path in paths) / len(paths) / 1e6
        return Row(
            f"cache {N_FILMS} PNGs, {FILM_SIDE} to {SIZE} px", f"OpenCV, {n_cores()} threads", "Pillow, a loop",
            ours, peer, f"{size:.2f} MB a film; {bilinear / ours:.2f} times as fast as the loop with a bilinear filter",
        )  # fmt: skip


def epoch_row(repeat: int) -> Row:
    """An epoch of shuffled batches of 32 from the memory map against decoding the same films by our own decoder."""
    import torch

    with films(N_FILMS, N_DISTINCT, FILM_SIDE) as root, tempfile.TemporaryDirectory() as out:
        dataset = Folder(FolderConfig(path=root, size=SIZE))
        dataset.prepare(Path(out))
        train = dataset.load(Path(out), Split.train)
        order = torch.from_numpy(np.random.default_rng(SEED).permutation(len(train)))
        paths = [dataset.table.paths[row] for row in dataset.table.rows(Split.train)]

        def read() -> None:
            images = dataset.load(Path(out), Split.train).images
            for batch in order.split(32):
                images[batch]

        def decode() -> None:
            for _ in in_order(dataset.film, paths):
                pass

        return Row(
            f"an epoch of {len(train)} films, {SIZE} px", "memory map", f"decode, {n_cores()} threads",
            best(read, repeat), best(decode, repeat), "the cache is opened anew for each epoch",
        )  # fmt: skip


def memory_row(repeat: int) -> Row:
    """Peak memory of a process that caches 1,000 films and of one that caches 5,000 (ratio: 1 is flat)."""
    peaks = {}
    with films(MANY, N_DISTINCT, FILM_SIDE // 4) as root:
        for n in (MANY, FEW):
            for path in sorted(root.rglob("*.png"), key=lambda path: path.name)[n:]:
                path.unlink()
            peaks[n] = min(_peak(root) for _ in range(repeat))
    note = f"{peaks[MANY] / peaks[FEW] - 1:+.1%} from {FEW:,} to {MANY:,} films"
    return Row("peak memory of caching", f"{MANY:,} films", f"{FEW:,} films", peaks[MANY], peaks[FEW], note, unit="MiB")


def _peak(root: Path) -> float:
    """MiB."""
    with tempfile.TemporaryDirectory(dir=root.parent) as out, tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(root), out, scratch],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise UserError(f"the row memory could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout) / 1024
