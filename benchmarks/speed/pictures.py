"""The images that trainings are timed on: phantom films, rendered once a process, and a folder to work in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.speed.row import SEED

if TYPE_CHECKING:
    from data.images import ImageSet
    from data.mixing import TrainingMix
    from synthworth.work import Work

N_FILMS, SIDE = 256, 32


@lru_cache
def phantom_films(n: int = N_FILMS, *, split: str = "train", side: int = SIDE) -> ImageSet:
    """The first n films of a split of `phantom`: uint8 (n, 1, side, side), six classes."""
    from data.datasets.phantom.dataset import Phantom, PhantomConfig
    from data.images import Split

    return Phantom(PhantomConfig(size=side, seed=SEED)).draw(Split(split), n)


def as_mixture(train: ImageSet) -> TrainingMix:
    """The films alone, as an arm without synthetic ones trains on them."""
    from data.mixing import mix

    return mix(train, None, keep_real=len(train), seed=SEED)


@contextmanager
def bench(*, steps: int, device: str = "cpu", precision: str = "fp32") -> Iterator[Work]:
    """What a fit of so many steps is given: an empty folder, and no checkpoint before the end."""
    from synthworth.work import Budget, Work

    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        yield Work(
            folder=Path(folder), device=device, precision=precision, budget=Budget(steps=steps), checkpoint_seconds=1e9
        )
