"""Stored test predictions read again: a finished run as the bootstrap that its record was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthworth.artifacts import write_table
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled
    from data.images import ImageSet

PREDICTIONS = "predictions.parquet"

AGREEMENT = 1e-6
"""How far the AUROC of the predictions may lie from the one in the record: rounding, and no more."""


@dataclass(frozen=True)
class Entry:
    """A finished record and the folder it lies in."""

    record: Mapping[str, Any]
    folder: Path

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.record["run_id"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """The plain form of the RunSpec."""
        spec: Mapping[str, Any] = self.record["spec"]
        return spec

    @property
    def auroc(self) -> float | None:
        """Macro AUROC on test, mean over seeds."""
        value: float | None = self.record["utility"]["auroc"]["value"]
        return value


def read_auroc(entry: Entry) -> Sampled:
    """Macro AUROC of an arm on the resamples of its patients, from its stored test predictions, as in the run itself.

    Raises
    ------
    Unavailable
        When the predictions are missing, cannot be read, or are not those that the record was made from.
    """
    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.resamples import Resamples

    file = entry.folder / PREDICTIONS
    if not file.is_file():
        raise Unavailable(f"{PREDICTIONS} is missing beside the record")
    spec, classes = entry.spec, entry.record["classes"]
    try:
        scores, truth, groups = read_predictions(file, classes)
        resamples = Resamples.draw(groups, seed=seed_from(spec["seed"], "bootstrap"), n_replicates=spec["n_bootstrap"])
        made = sample_auroc(scores, truth, resamples, classes=classes)["auroc"]
    except ValueError as error:
        raise Unavailable(f"{PREDICTIONS} cannot be used: {' '.join(str(error).split())}") from error
    found, said = made.mean, entry.auroc
    if said is None or abs(found - said) > AGREEMENT or made.n_seeds != spec["seeds"]:
        shown = "null" if said is None else f"{said:.4f}"
        raise Unavailable(
            f"{PREDICTIONS} holds {made.n_seeds} seeds with AUROC {found:.4f}; the record says {spec['seeds']} "
            f"seeds with {shown}"
        )
    return made


def read_predictions(file: Path, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read the test predictions of a run.

    Returns
    -------
    scores : float64 (S, N, K)
    truth : int64 (N,) or (N, K)
    patients : the N of them.

    Raises
    ------
    ValueError
        For a file that is no parquet, lacks a column, or has not the same images for every seed.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    multi = "truth" not in table.column_names
    truths = [f"truth_{c}" for c in classes] if multi else ["truth"]
    scores = [f"score_{c}" for c in classes]
    lacking = [c for c in ("seed", "id", "group", *truths, *scores) if c not in table.column_names]
    if lacking:
        raise ValueError(f"no column {', '.join(lacking)}")
    table = table.sort_by([("seed", "ascending"), ("id", "ascending")])
    n_seeds = len(table["seed"].unique())
    if not n_seeds or len(table) % n_seeds:
        raise ValueError(f"{len(table)} rows for {n_seeds} seeds")
    n = len(table) // n_seeds
    ids = np.array(table["id"].to_pylist()).reshape(n_seeds, n)
    if (ids != ids[0]).any():
        raise ValueError("the seeds hold different images")
    labels = np.stack([table[c].to_numpy()[:n] for c in truths], axis=1).astype(np.int64)
    stack = np.stack([table[c].to_numpy().astype(np.float64).reshape(n_seeds, n) for c in scores], axis=2)
    return stack, labels if multi else labels[:, 0], table["group"].to_pylist()[:n]


def write_predictions(file: Path, test: ImageSet, scores: np.ndarray) -> None:
    """Test-set predictions as parquet, a row a seed and image: seed, id, group, truth_*, score_*.

    Parameters
    ----------
    scores : float32 (S, N, K) probabilities, classes in the order of `test.classes`.
    """
    n_seeds, n, _ = scores.shape
    labels = test.labels.numpy()
    columns: dict[str, Any] = {
        "seed": np.repeat(np.arange(n_seeds, dtype=np.int32), n),
        "id": list(test.ids) * n_seeds,
        "group": list(test.groups) * n_seeds,
    }
    if test.multilabel:
        columns |= {f"truth_{c}": np.tile(labels[:, k], n_seeds) for k, c in enumerate(test.classes)}
    else:
        columns["truth"] = np.tile(labels, n_seeds)
    columns |= {f"score_{c}": scores[:, :, k].ravel() for k, c in enumerate(test.classes)}
    write_table(file, columns)
