"""Stored test predictions read again: a finished run as the bootstrap that its record was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.records.rest import REST, adds_up, from_steps, steps_to
from benchmarks.records.seal import check_file, read_seal
from synthworth.artifacts import write_table
from synthworth.errors import Unavailable
from synthworth.keys import seed_from
from synthworth.printable import one_line

if TYPE_CHECKING:
    from benchmarks.stages.external import Films
    from benchmarks.statistics.resamples import Resamples
    from benchmarks.statistics.sampled import Sampled
    from data.images import ImageSet

PREDICTIONS = "predictions.parquet"

AGREEMENT = 1e-6
"""How far the AUROC of the predictions may lie from the one in the record: rounding, and no more."""
MOST_ROWS = 50_000_000
"""Rows of the largest file of predictions that is read: 100 seeds of half a million images."""


LEVEL = 19
"""How hard zstd tries: predictions are written once, and lie in every checkout of a leaderboard."""


class Contradicted(Unavailable):
    """The predictions are there, and are none that the record which they lie beside can have been made from.

    They say another thing than the record, or what no run writes: other labels for another seed, a label that is no
    class, a score that is not finite. A file that is damaged is another matter: it has changed since it was sealed.
    """


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


@dataclass(frozen=True)
class Evidence:
    """Stored test predictions with the resamples that their record was judged on."""

    scores: np.ndarray
    """float64 (S, N, K), finite."""
    truth: np.ndarray
    """int64 (N,) or (N, K)."""
    patients: Sequence[str]
    """N of them."""
    resamples: Resamples


def read_evidence(entry: Entry) -> Evidence:
    """The predictions beside a record.

    Raises
    ------
    Unavailable
        When they are missing or cannot be read.
    Contradicted
        When no run can have written them.
    """
    from benchmarks.statistics.resamples import Resamples

    file, spec = entry.folder / PREDICTIONS, entry.spec
    if not file.is_file():
        raise Unavailable(f"{PREDICTIONS} is missing beside the record")
    try:
        scores, truth, groups = read_predictions(entry)
        resamples = Resamples.draw(groups, seed=seed_from(spec["seed"], "bootstrap"), n_replicates=spec["n_bootstrap"])
    except ValueError as error:
        raise _unusable(error) from error
    return Evidence(scores, truth, groups, resamples)


def read_auroc(entry: Entry) -> Sampled:
    """Macro AUROC of an arm on the resamples of its patients, from its stored test predictions, as in the run itself.

    Raises
    ------
    Unavailable
        When the predictions are missing or cannot be read.
    Contradicted
        When they are not those that the record was made from.
    """
    return ranked(entry, read_evidence(entry))["auroc"]


def ranked(entry: Entry, evidence: Evidence) -> dict[str, Sampled]:
    """AUROC of an arm by its predictions, the macro and every class by name.

    Raises
    ------
    Unavailable
        When no class can be judged, and the record has no AUROC either.
    Contradicted
        When the macro is not the one of the record.
    """
    from benchmarks.statistics.auroc import sample_auroc

    spec = entry.spec
    try:
        found = sample_auroc(evidence.scores, evidence.truth, evidence.resamples, classes=entry.record["classes"])
    except ValueError as error:
        raise _unusable(error) from error
    except Unavailable as reason:
        if entry.auroc is None:
            raise
        raise Contradicted(f"{PREDICTIONS} give no AUROC ({reason}); the record says {entry.auroc:.4f}") from reason
    made, said = found["auroc"], entry.auroc
    if said is None or abs(made.mean - said) > AGREEMENT or made.n_seeds != spec["seeds"]:
        digits = 4 if said is None or abs(made.mean - said) > 1e-4 else 8
        shown = "null" if said is None else f"{said:.{digits}f}"
        raise Contradicted(
            f"{PREDICTIONS} holds {made.n_seeds} seeds with AUROC {made.mean:.{digits}f}; the record says "
            f"{spec['seeds']} seeds with {shown}"
        )
    return found


def _unusable(error: ValueError) -> Unavailable:
    return Unavailable(f"{PREDICTIONS} cannot be used: {' '.join(str(error).split())}")


def read_predictions(entry: Entry) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read the test predictions of a run.

    Returns
    -------
    scores : float64 (S, N, K), finite
    truth : int64 (N,) in 0..K-1, or (N, K) of 0 and 1
    patients : the N of them.

    Raises
    ------
    ValueError
        For a file that is not the one its seal was written for; for one without a seal that is no parquet.
    Contradicted
        For another number of rows than the record has seeds and images: no more than that is read. For a file that
        lacks a column, has cells of another kind, has an image twice, has not the same images, labels and patients for
        every seed, or is no parquet and was sealed as it is.
    """
    return read_table_of(entry, PREDICTIONS, entry.record["utility"]["auroc"]["n"])


def read_table_of(entry: Entry, name: str, n_images: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """As `read_predictions`, of any file of predictions beside a record.

    Parameters
    ----------
    name : of the file.
    n_images : that the record says it is of.
    """
    import pyarrow as pa

    file = entry.folder / name
    check_file(file)
    try:
        table = _read_table(file, entry, n_images)
    except (pa.ArrowException, OSError, KeyError, MemoryError) as error:
        why = f"it is no parquet that can be read ({one_line(' '.join(str(error).split()))[:200]})"
        here = isinstance(error, (MemoryError, NotImplementedError))  # this machine cannot, another might
        if here or read_seal(entry.folder) is None:
            raise ValueError(why) from error
        raise _impossible(name, why) from error
    try:
        return _arrays_in(table, entry.record["classes"])
    except ValueError as error:
        raise _impossible(name, str(error)) from error


def _impossible(name: str, why: str) -> Contradicted:
    return Contradicted(f"{name} is none that the record can have been made from: {' '.join(why.split())}")


def _arrays_in(table: Any, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores, truth and patients in the columns of predictions. Raises ValueError for what no run writes."""
    multi = "truth" not in table.column_names
    truths = [f"truth_{c}" for c in classes] if multi else ["truth"]
    scores = [f"score_{c}" for c in classes]
    packed = not multi and REST in table.column_names and scores[-1] not in table.column_names
    _check_columns(table, truths, scores[:-1] if packed else scores, [REST] if packed else [])
    table = table.sort_by([("seed", "ascending"), ("id", "ascending")])
    n_seeds = len(table["seed"].unique())
    if len(table) % n_seeds:
        raise ValueError(f"{len(table)} rows for {n_seeds} seeds")
    n = len(table) // n_seeds
    for name, what in (("id", "images"), ("group", "patients")):
        cells = np.array(table[name].to_pylist(), dtype=object).reshape(n_seeds, n)
        if (cells != cells[0]).any():
            raise ValueError(f"the seeds hold different {what}")
        if name == "id" and len(set(cells[0])) < n:
            raise ValueError("an image is there twice")
    labels = np.stack([table[c].to_numpy().reshape(n_seeds, n) for c in truths], axis=2).astype(np.int64)
    if (labels != labels[0]).any() or labels.min() < 0 or labels.max() > (1 if multi else len(classes) - 1):
        raise ValueError("the labels are none of the classes, or differ between the seeds")
    columns = [table[c].to_numpy() for c in (scores[:-1] if packed else scores)]
    if packed:
        columns.append(from_steps(table[REST].to_numpy(), columns))
    stack = np.stack([column.astype(np.float64).reshape(n_seeds, n) for column in columns], axis=2)
    if not np.isfinite(stack).all():
        raise ValueError("a score is not finite")
    return stack, labels[0] if multi else labels[0, :, 0], table["group"].to_pylist()[:n]


def _read_table(file: Path, entry: Entry, n: int) -> Any:
    """The columns of predictions in a file, with names as they print, where it has as many rows as it should."""
    import pyarrow.parquet as pq

    seeds, classes = entry.spec["seeds"], entry.record["classes"]
    wanted = {"seed", "id", "group", "truth", REST, *(f"{what}_{c}" for c in classes for what in ("truth", "score"))}
    with pq.ParquetFile(file) as found:
        rows = found.metadata.num_rows
        if rows != seeds * n:
            raise Contradicted(f"{file.name} has {rows} rows; the record says {seeds} seeds of {n} test images")
        if not 0 < rows <= MOST_ROWS:
            raise ValueError(f"it has {rows} rows")
        names = {name: one_line(name) for name in found.schema_arrow.names if one_line(name) in wanted}
        table = found.read(columns=list(names))
    return table.rename_columns([names[name] for name in table.column_names])


def _check_columns(table: Any, truths: Sequence[str], scores: Sequence[str], rest: Sequence[str]) -> None:
    """Refuse a table that lacks a column, or has one of another kind or with empty cells."""
    from pyarrow import types

    text = types.is_string, types.is_large_string
    kinds = {"seed": (types.is_integer,), "id": text, "group": text}
    kinds |= dict.fromkeys((*truths, *rest), (types.is_integer,)) | dict.fromkeys(scores, (types.is_floating,))
    lacking = [c for c in kinds if table.column_names.count(c) != 1]
    if lacking:
        raise ValueError(f"no column {', '.join(lacking)}")
    for name, allowed in kinds.items():
        column = table[name]
        if not any(fits(column.type) for fits in allowed) or column.null_count:
            raise ValueError(f"column {name} holds {column.type}, or empty cells")


def write_predictions(file: Path, test: ImageSet | Films, scores: np.ndarray) -> None:
    """Test-set predictions as parquet, a row a seed and image: seed, id, group, truth_*, score_*.

    Of one class an image, the last class has `rest` in the place of its score (`benchmarks.records.rest`).

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
    write_table(file, _packed(columns, test.classes), level=LEVEL)


def write_again(file: Path, to: Path, classes: Sequence[str]) -> None:
    """Predictions in a file, of whatever version, as `write_predictions` writes them today; not a bit of them changes.

    Raises
    ------
    ValueError
        Where they are not what they were when they are read again.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, Any] = {name: column.combine_chunks() for name, column in _columns_in(pq.read_table(file))}
    packed = _packed({name: _as_array(column) for name, column in found.items()}, classes)
    write_table(to, packed, level=LEVEL)
    made = dict(_columns_in(pq.read_table(to)))
    if REST in made and REST not in found:
        others = [made[f"score_{c}"].to_numpy() for c in classes[:-1]]
        made[f"score_{classes[-1]}"] = pa.chunked_array([from_steps(made.pop(REST).to_numpy(), others)])
    if any(not made[name].equals(pa.chunked_array([column])) for name, column in found.items()):
        raise ValueError(f"{file} would say another thing in today's layout")


def _columns_in(table: Any) -> list[tuple[str, Any]]:
    return [(name, table[name]) for name in table.column_names]


def _as_array(column: Any) -> Any:
    """A column that holds numbers as NumPy's, others as they are."""
    from pyarrow import types

    return column.to_numpy() if types.is_floating(column.type) else column


def _packed(columns: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The columns of predictions as they are stored: of one class an image, without the score that the others tell."""
    scores = [columns.get(f"score_{c}") for c in classes]
    if "truth" not in columns or any(one is None for one in scores) or not adds_up(np.stack(scores, axis=1)):
        return dict(columns)
    kept = {name: column for name, column in columns.items() if name != f"score_{classes[-1]}"}
    return {**kept, REST: steps_to(scores[-1], scores[:-1])}
