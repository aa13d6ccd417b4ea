"""One flat row an arm, with every number, its interval and its reason: as CSV and as Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from typing import Any, BinaryIO

from benchmarks.records.shape import reason_of
from benchmarks.request.situations import situation_of
from leaderboard.contamination import contamination_of
from leaderboard.numbers import FIDELITY, INTERVAL, NUMBERS
from leaderboard.suite import dataset_of
from leaderboard.tables import Row, Table
from synthworth.escape import csv_cell

TEXTS = frozenset({
    "setting", "dataset", "classifier", "precision", "arm", "kind", "generator", "mode", "situation", "status",
    "status_why", "status_beside", "contaminated", "verdict", "notes", "heading", "run_id",
})  # fmt: skip
"""Columns of text, as are those that end in `_group`."""
WHOLE = frozenset({"steps", "seeds", "seed", "rank", "place", "labels_real", "labels_synthetic"})
"""Columns of whole numbers, as are those of how many images a number is of."""
AT_ONCE = 1000
"""Rows that are laid out as columns at a time."""


def flat_rows(tables: Sequence[Table]) -> Iterator[dict[str, Any]]:
    """A mapping an arm, all with the same columns: finished arms of each table best first, then those that are not.

    A number that is missing is None, and `notes` says why. An arm that did not finish has the status `failed` or
    `skipped`, and no number.
    """
    attributes = sorted({attribute for table in tables for attribute in table.attributes})
    columns: list[str] | None = None
    for table in tables:
        for row in table.rows:
            flat = _flat_row(table, row, attributes)
            columns = columns or list(flat)
            yield flat
    for table in tables:
        for record in table.failed:
            flat = _unfinished(table, record)
            yield {name: flat.get(name) for name in columns} if columns else flat


def csv_text(tables: Sequence[Table]) -> str:
    """The rows of tables as CSV; missing numbers are `null`, and `notes` says why."""
    made = io.BytesIO()
    write_flat(tables, csv_to=made)
    return made.getvalue().decode()


def write_flat(tables: Sequence[Table], *, csv_to: BinaryIO | None = None, parquet_to: BinaryIO | None = None) -> None:
    """The rows of tables into open files, some at a time.

    Parameters
    ----------
    csv_to : takes them as CSV, as `csv_text` gives it.
    parquet_to : takes them as Parquet: text, booleans, whole and real numbers, and nulls.
    """
    rows = flat_rows(tables)
    first = next(rows, {})
    with ExitStack() as open_files:
        takers = [open_files.enter_context(_csv(csv_to, first))] if csv_to is not None else []
        takers += [open_files.enter_context(_parquet(parquet_to, first))] if parquet_to is not None else []
        for some in _parts(first, rows) if first else ():
            for take in takers:
                take(some)


Rows = Sequence[Mapping[str, Any]]


@contextmanager
def _csv(out: BinaryIO, first: Mapping[str, Any]) -> Iterator[Callable[[Rows], object]]:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    lines = csv.writer(text, lineterminator="\n")
    if first:
        lines.writerow(map(csv_cell, first))
    yield lambda some: lines.writerows(map(csv_cell, row.values()) for row in some)
    text.detach()  # the file is closed by who opened it


@contextmanager
def _parquet(out: BinaryIO, first: Mapping[str, Any]) -> Iterator[Callable[[Rows], object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _type_of(name)) for name in first])

    def columns(some: Rows) -> list[Any]:
        return [pa.array([row[name] for row in some], type=schema.field(name).type) for name in schema.names]

    with pq.ParquetWriter(out, schema) as parquet:
        yield lambda some: parquet.write_table(pa.table(columns(some), schema=schema))


def _parts(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    every = chain([first], rest)
    return iter(lambda: list(islice(every, AT_ONCE)), [])


def _type_of(name: str) -> Any:
    import pyarrow as pa

    if name in TEXTS or name.endswith("_group"):
        return pa.string()
    if name in WHOLE or name.removesuffix("_n") in FIDELITY or name.removesuffix("_floor_n") in FIDELITY:
        return pa.int64()
    return pa.bool_() if name == "is_control" else pa.float64()


def _begin(table: Table, spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of its setting."""
    return {
        "setting": table.key, "dataset": dataset_of(spec), "classifier": spec["classifier"],
        "real_fraction": spec["real_fraction"], "steps": spec["train"]["steps"], "seeds": spec["seeds"],
        "seed": spec["seed"], "precision": spec["precision"],
    }  # fmt: skip


def _flat_row(table: Table, row: Row, attributes: Sequence[str]) -> dict[str, Any]:
    record, spec = row.standing.entry.record, row.standing.entry.spec
    lied = row.standing.contradicted
    counts = {kind: None if lied else sum(record["counts"].get(kind, {}).values()) for kind in ("real", "synthetic")}
    flat: dict[str, Any] = _begin(table, spec) | {
        "rank": row.standing.rank, "place": row.place, "arm": row.label, "kind": row.kind,
        "generator": spec["generator"],
        "mode": spec["mode"], "ratio": spec["ratio"], "situation": row.situation, "is_control": record["is_control"],
        "labels_real": counts["real"], "labels_synthetic": counts["synthetic"], "status": row.status.word,
        "status_beside": row.status.beside or None, "status_why": row.status.why, "contaminated": row.contaminated,
    }  # fmt: skip
    for name, number in row.numbers.items():
        flat[name] = number.value
        if name in INTERVAL or name not in NUMBERS:
            flat |= {f"{name}_low": number.low, f"{name}_high": number.high}
        if name in FIDELITY:
            flat |= {f"{name}_n": number.n, f"{name}_floor": number.floor, f"{name}_floor_n": number.floor_n}
            flat[f"{name}_at_floor_n"] = number.at_floor_n
    gaps, gap_notes = _gaps({} if lied else record, attributes, lied or "there are no groups of this attribute")
    flat |= gaps
    notes: dict[str, list[str]] = {}
    said = {"rank": row.standing.missing.get("rank"), **{k: v.note for k, v in row.numbers.items()}, **gap_notes}
    for name, note in said.items():
        if note:
            notes.setdefault(note, []).append(name)
    flat["verdict"] = row.verdict
    flat["notes"] = "; ".join(f"{', '.join(names)}: {note}" for note, names in notes.items()) or None
    return flat | {"heading": table.heading, "run_id": record["run_id"]}


def _unfinished(table: Table, record: Mapping[str, Any]) -> dict[str, Any]:
    spec = record["spec"]
    return _begin(table, spec) | {
        "arm": record["name"], "kind": "unfinished", "generator": spec["generator"], "mode": spec["mode"],
        "ratio": spec["ratio"], "situation": situation_of(spec), "status": record["status"],
        "status_why": reason_of(record), "contaminated": contamination_of(spec), "verdict": "not finished",
        "notes": f"not finished: {reason_of(record)}", "heading": table.heading, "run_id": record["run_id"],
    }  # fmt: skip


def _gaps(record: Mapping[str, Any], attributes: Sequence[str], why: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Columns of the worst-group gap of each attribute, and why a gap is missing."""
    flat: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for attribute in attributes:
        name, found = f"gap_{attribute}", record.get("subgroups", {}).get(attribute)
        gap = found["gap"] if found else {"note": why}
        worst = gap.get("worst")
        flat |= {name: gap.get("value"), f"{name}_low": gap.get("low"), f"{name}_high": gap.get("high")}
        flat |= {f"{name}_best_group": gap.get("best"), f"{name}_worst_group": worst}
        flat[f"{name}_worst_auroc"] = found["groups"][worst]["auroc"] if worst else None
        if gap["note"]:
            notes[name] = gap["note"]
    return flat, notes
