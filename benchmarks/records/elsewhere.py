"""Predictions elsewhere beside a record: which files they are in, and how they are written and read again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.records.predictions import PREDICTIONS, Entry, read_table_of, write_predictions
from benchmarks.records.seal import check_file
from data.corruptions import CORRUPTIONS, STRENGTHS
from synthworth.artifacts import read_array, write_array
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.stages.external import Films
    from data.images import ImageSet

CORRUPTED = "corrupted.npy"
ORDER = [(name, strength) for name in CORRUPTIONS for strength in STRENGTHS]
"""Of the first axis of `CORRUPTED`."""


def external_file(name: str) -> str:
    """The file with an arm's predictions on an external set."""
    return f"predictions-{name}.parquet"


def holds_predictions(name: str) -> bool:
    """Whether a file beside a record holds what its numbers are made from."""
    return name in (PREDICTIONS, CORRUPTED) or (name.startswith("predictions-") and name.endswith(".parquet"))


def write_external(films: Films, scores: np.ndarray) -> Callable[[Path], None]:
    """What writes predictions on an external set, in the form of `predictions.parquet`.

    Parameters
    ----------
    scores : float32 (S, N, K)
    """
    return partial(write_predictions, test=films, scores=scores)


def write_corrupted(test: ImageSet, scores: Mapping[tuple[str, int], np.ndarray]) -> Callable[[Path], None]:
    """What writes predictions on corrupted test images: float32 (25, S, N, K), images in the order of their ids.

    Parameters
    ----------
    scores : (S, N, K) by corruption and strength, images in the order of `test`.
    """
    rows = sorted(range(len(test)), key=lambda row: test.ids[row])
    return lambda file: write_array(file, np.stack([scores[one][:, rows] for one in ORDER]).astype(np.float32))


def read_external(entry: Entry, name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Predictions on an external set, as `benchmarks.records.predictions.read_predictions` gives those on test.

    Raises
    ------
    Unavailable
        When the file is missing or cannot be used.
    """
    file = external_file(name)
    if not (entry.folder / file).is_file():
        raise Unavailable(f"{file} is missing beside the record")
    try:
        return read_table_of(entry, file, entry.record["elsewhere"][name]["utility"]["auroc"]["n"])
    except ValueError as error:
        raise Unavailable(f"{file} cannot be used: {' '.join(str(error).split())}") from error


def read_corrupted(entry: Entry, *, shape: Sequence[int]) -> dict[tuple[str, int], np.ndarray]:
    """Predictions on corrupted test images: float64 (S, N, K) by corruption and strength, in the order of the ids.

    Parameters
    ----------
    shape : (S, N, K) of the predictions on the images as they are, which are read in the same order.

    Raises
    ------
    Unavailable
        When the file is missing, is not the one its seal was written for, has another shape, or holds what is no
        finite number.
    """
    file = entry.folder / CORRUPTED
    if not file.is_file():
        raise Unavailable(f"{CORRUPTED} is missing beside the record")
    try:
        check_file(file)
        found: Any = read_array(file)
    except (ValueError, OSError) as error:
        raise Unavailable(f"{CORRUPTED} cannot be used: {' '.join(str(error).split())}") from error
    if found.shape != (len(ORDER), *shape) or found.dtype != np.float32:
        raise Unavailable(f"{CORRUPTED} holds {found.dtype} {found.shape}, not float32 {(len(ORDER), *shape)}")
    if not np.isfinite(found).all():
        raise Unavailable(f"{CORRUPTED} holds a score that is not finite")
    return {one: found[place].astype(np.float64) for place, one in enumerate(ORDER)}
