"""The stages of a run whose cost grows with the films, from rendering them to the record's intervals.

Films beyond the first thousand are those again under grey noise of their own: rendering 100,000 takes a quarter of an
hour, and no other stage asks what a film shows. Stages begin from a memory map, as those of a run do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.neighbours import CHUNK
from benchmarks.speed.growth import SIZES, Growth, Stage, grow
from benchmarks.speed.row import SEED
from data.audit.duplicates import BLOCK
from synthworth.artifacts import ensure_folder

if TYPE_CHECKING:
    from data.images import ImageSet, Split

SIDE, N_RENDERED, N_SEEDS, DIM = 32, 1000, 6, 64
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
MOST_RENDERED, MOST_NEIGHBOURS = 10_000, 20_000
Work = Callable[[], object]


def films_rows(sizes: Sequence[int] = ()) -> list[Growth]:
    """Every stage at 1,000 and 10,000 films of 32 px, or at other sizes."""
    return grow("films", __name__, sizes=sizes or SIZES["films"], lay_out=lay_out)


def lay_out(folder: Path, n: int) -> None:
    """Prepared splits of n films in all."""
    from data.prepared import write_splits

    write_splits(folder, {s.split: s for s in _many(n)})


def _many(n: int) -> list[ImageSet]:
    """Train, val and test of n films in all, 8 : 1 : 1, three films a patient."""
    from data.datasets.phantom.dataset import Phantom, PhantomConfig
    from data.images import Split

    phantom = Phantom(PhantomConfig(size=SIDE, seed=SEED))
    n_split = {name: max(1, round(share * n)) for name, share in SHARES.items()}
    few = phantom.draw(Split.train, min(N_RENDERED, n_split["train"]))
    return [repeated(few, k, Split(name)) for name, k in n_split.items()]


def repeated(few: ImageSet, n: int, split: Split) -> ImageSet:
    """So many films of a split: those of `few` in turn, each with noise of its own, so that no two are equal."""
    import torch

    from data.images import ImageSet

    rng = np.random.default_rng([SEED, n, len(split.value)])
    rows = np.arange(n) % len(few)
    images = few.images.numpy()[rows].astype(np.int16)
    for start in range(0, n, 4096):
        part = images[start : start + 4096]
        part += rng.integers(-12, 13, part.shape, dtype=np.int16)
    return ImageSet(
        images=torch.from_numpy(images.clip(0, 255).astype(np.uint8)), labels=few.labels[torch.from_numpy(rows)],
        ids=tuple(f"{split.value}-{i:07d}" for i in range(n)),
        groups=tuple(f"{split.value}-p{i // 3:07d}" for i in range(n)), split=split, classes=few.classes,
        attributes={name: values[rows] for name, values in few.attributes.items()},
    )  # fmt: skip


def _sets(folder: Path) -> dict[Split, ImageSet]:
    from data.images import Split
    from data.prepared import read_split

    return {split: read_split(folder, split) for split in (Split.train, Split.val, Split.test)}


def _train(folder: Path) -> ImageSet:
    return next(iter(_sets(folder).values()))


def _render(folder: Path, n: int) -> Work:
    from data.datasets.phantom.dataset import Phantom, PhantomConfig

    out = ensure_folder(folder / "rendered")
    n_split = {f"n_{name}": max(1, round(share * n)) for name, share in SHARES.items()}
    return lambda: Phantom(PhantomConfig(size=SIDE, seed=SEED, **n_split)).prepare(out)


def _write(folder: Path, n: int) -> Work:
    from data.prepared import write_splits

    made, out = {s.split: s for s in _many(n)}, ensure_folder(folder / "written")
    return lambda: write_splits(out, made)


def _read(folder: Path, n: int) -> Work:
    return lambda: [images.fingerprint() for images in _sets(folder).values()]


def _leaks(folder: Path, n: int) -> Work:
    from data.audit.leaks import audit

    sets = _sets(folder)
    return lambda: audit(sets)


def _near(folder: Path, n: int) -> Work:
    from data.audit.duplicates import describe, near_duplicates

    sets = _sets(folder)
    return lambda: near_duplicates(sets, {split: describe(images.images) for split, images in sets.items()})


def _shortcuts(folder: Path, n: int) -> Work:
    from data.audit.seen import shortcuts_seen
    from data.audit.shortcuts import measure_shortcuts

    sets = _sets(folder)
    return lambda: (measure_shortcuts(sets, seed=SEED), shortcuts_seen(sets, seed=SEED))


def _fit_start(folder: Path, n: int) -> Work:
    from generators.pixel_ddpm import PixelDDPM
    from synthworth.work import Budget
    from synthworth.work import Work as Bench

    def fit(train: ImageSet, name: str) -> None:
        work = Bench(ensure_folder(folder / name), budget=Budget(steps=1))
        PixelDDPM(PixelDDPM.tiny_config()).fit(train, seed=SEED, work=work)

    train = _train(folder)
    fit(train.subset(range(64)), "warm")
    return lambda: fit(train, "fit")


def _mixture(folder: Path, n: int) -> Work:
    from data.mixing import SyntheticSet, mix

    train = _train(folder)
    made = SyntheticSet(train.images, train.labels, train.classes, "growth", train.fingerprint())
    return lambda: mix(train, made, keep_real=len(train), seed=SEED)


def _features(folder: Path, n: int) -> Work:
    from torch import nn
    from torch.nn.functional import adaptive_avg_pool2d

    from benchmarks.metrics.extractors.base import Extractor

    class Thumbnails(Extractor):
        """Grey thumbnails of 8 x 8: all of an extractor but its network, whose time an image is the same at any n."""

        name, size, weights_sha256 = "thumbnails", 8, ""

        def build(self) -> nn.Module:
            return nn.Identity()

        def forward(self, net: nn.Module, images: Any) -> tuple[Any, None]:
            return adaptive_avg_pool2d(images.float().mean(1, keepdim=True), self.size).flatten(1), None

    train = _train(folder)
    return lambda: Thumbnails().extract(train.images)


def _pair(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(SEED)
    return {side: rng.standard_normal((n, DIM), dtype=np.float32) for side in ("real", "fake")}


def _frechet(folder: Path, n: int) -> Work:
    from benchmarks.metrics.frechet import frechet_distance

    made = _pair(n)
    return lambda: frechet_distance(**made)


def _prdc(folder: Path, n: int) -> Work:
    from benchmarks.metrics.manifold import prdc

    made = _pair(n)
    return lambda: prdc(**made)


def _intervals(folder: Path, n: int) -> Work:
    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.resamples import Resamples
    from benchmarks.statistics.utility import sample_utility

    groups, truth, scores = judged(n)

    def work() -> None:
        resamples = Resamples.draw(groups, seed=SEED)
        sample_auroc(scores, truth, resamples)
        sample_utility(scores, truth, resamples)

    return work


def judged(n: int, n_seeds: int = N_SEEDS, n_classes: int = 6) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Patients, truth (n,) and scores (n_seeds, n, n_classes) of a classifier that sees a little."""
    rng = np.random.default_rng(SEED)
    truth = rng.integers(n_classes, size=n)
    logits = np.eye(n_classes)[truth] + rng.standard_normal((n_seeds, n, n_classes))
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return (np.arange(n) // 3).tolist(), truth, scores


def _predictions(folder: Path, n: int) -> Work:
    from benchmarks.records.predictions import write_predictions

    train = _train(folder)
    scores = judged(len(train))[2].astype(np.float32)
    return lambda: write_predictions(folder / "predictions.parquet", train, scores)


STAGES = {
    "prepare: render": Stage(_render, f"phantom, at most {MOST_RENDERED:,} films", most=MOST_RENDERED),
    "prepare: write": Stage(_write),
    "read, verify": Stage(_read),
    "audit: what splits share": Stage(_leaks),
    "audit: near duplicates": Stage(
        _near, f"n^2 between splits, {BLOCK[0]:,} x {BLOCK[1]:,} similarities at a time", power=2
    ),
    "audit: shortcuts": Stage(_shortcuts),
    "fit: start": Stage(_fit_start, "pixel_ddpm at its smallest, one step"),
    "mixture": Stage(_mixture, "as many synthetic films as real ones"),
    "features": Stage(_features, "without a network"),
    "Frechet distance": Stage(_frechet, f"n x {DIM} on each side"),
    "PRDC": Stage(
        _prdc, f"n^2, {CHUNK:,} distances at a time; at most {MOST_NEIGHBOURS:,}", most=MOST_NEIGHBOURS, power=2
    ),
    "record: intervals": Stage(_intervals, f"n test films, {N_SEEDS} seeds, 2,000 resamples"),
    "record: predictions": Stage(_predictions, f"{N_SEEDS} seeds"),
}
"""In the order of a run."""
