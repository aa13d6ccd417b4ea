"""Metrics that are registered after a record was written: computed from its predictions, or said to be missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judging.utility import mean_over_seeds
from benchmarks.metrics.declare import PREDICTIONS, STORED, Metric
from benchmarks.metrics.registry import EXTRACTORS, added_metrics
from benchmarks.metrics.utility import AUROC, auroc
from benchmarks.metrics.value import Value
from benchmarks.records.predictions import AGREEMENT, Entry, read_predictions
from benchmarks.records.predictions import PREDICTIONS as FILE
from synthworth.errors import Unavailable

NOT_KEPT = frozenset({"val_truth", "val_scores"})
"""Evidence that a run offers and no record keeps. A metric that takes it would give another number without it."""


def complete(entry: Entry, *, plugins: Sequence[Path] = ()) -> Mapping[str, Any]:
    """The record with every added metric that it lacks; what is stored is not changed.

    Each is computed from the record's predictions, as the mean over seeds, or is null with the reason and the command
    that computes it.

    Parameters
    ----------
    plugins : the files that registered them, for the command.
    """
    if not any(_lacking(entry.record)):
        return entry.record
    record = dict(entry.record)
    evidence = cache(lambda: _evidence(entry))
    for part, metric in _lacking(record):
        try:
            if missing := _beyond(metric):
                raise Unavailable(f"{missing}; computed by: {_command(record, plugins)}")
            values = _mean(metric, evidence())
        except Unavailable as reason:
            values = _null(record, part, metric, reason)
        record[part] = {**record[part], **{value.name: value.to_json() for value in values}}
    return record


def lacks_a_metric(record: Mapping[str, Any]) -> bool:
    """Whether an added metric that applies is not in the record and cannot be computed from what is stored with it."""
    return any(_beyond(metric) for _, metric in _lacking(record))


def _lacking(record: Mapping[str, Any]) -> Iterator[tuple[str, Metric]]:
    """The added metrics that apply to an arm and that its record lacks, with the part they belong in."""
    for metric in added_metrics():
        part = "utility" if metric.asked_with in PREDICTIONS else "fidelity"
        there = {value["metric"] for value in record[part].values()}
        if _applies(record, metric) and there.isdisjoint(q.name for q in metric.quantities):
            yield part, metric


def _applies(record: Mapping[str, Any], metric: Metric) -> bool:
    if metric.asked_with in PREDICTIONS:
        return True
    return bool(_spaces(record, metric) if metric.per_extractor else metric.asked_with and record["fidelity"])


def _spaces(record: Mapping[str, Any], metric: Metric) -> dict[str, str | None]:
    """The extractors that a metric is asked of, and the id of each one's features."""
    there = {v["extractor"]: v["features"] for v in record["fidelity"].values() if v["extractor"]}
    if "logits" not in metric.needs:
        return there
    return {name: f for name, f in there.items() if name in EXTRACTORS and EXTRACTORS.get(name).gives_logits}


def _beyond(metric: Metric) -> str | None:
    """Why a metric cannot be computed from what a record keeps, or None."""
    missing = [name for name in metric.takes if name in NOT_KEPT or (name in metric.needs and name not in STORED)]
    return f"needs {', '.join(missing)}, which records do not keep" if missing else None


def _command(record: Mapping[str, Any], plugins: Sequence[Path]) -> str:
    """What completes a record: the command that made it, which finds all stages in the store."""
    words = str(record["provenance"]["command"]).split(" ")
    if not plugins:
        return " ".join(words)
    if "--plugin" not in words:
        return " ".join([*words, "--plugin", *map(str, plugins)])
    begin = words.index("--plugin") + 1
    end = next((k for k in range(begin, len(words)) if words[k].startswith("-")), len(words))
    further = [str(plugin) for plugin in plugins if str(plugin) not in words[begin:end]]
    return " ".join([*words[:end], *further, *words[end:]])


def _null(record: Mapping[str, Any], part: str, metric: Metric, reason: Unavailable) -> list[Value]:
    n = int(next(v["n"] for v in record[part].values()))
    nulls = list(metric.missing(reason, n).values())
    if not metric.per_extractor:
        return nulls
    values = []
    for extractor, features in _spaces(record, metric).items():
        literature = any(v["alias"] for v in record["fidelity"].values() if v["extractor"] == extractor)
        values += [metric.on_features(v, extractor=extractor, features=features, literature=literature) for v in nulls]
    return values


def _evidence(entry: Entry) -> list[dict[str, Any]]:
    """What a record keeps for each seed. Raises Unavailable where it cannot be used."""
    file, classes = entry.folder / FILE, entry.record["classes"]
    if not file.is_file():
        raise Unavailable(f"{FILE} is missing beside the record")
    try:
        scores, truth, patients = read_predictions(entry)
    except ValueError as error:
        raise Unavailable(f"{FILE} cannot be used: {' '.join(str(error).split())}") from error
    rows = [{"truth": truth, "scores": one, "classes": classes, "patients": patients} for one in scores]
    found, said = [auroc(**row)[AUROC.name].value for row in rows], entry.auroc
    if said is not None and (None in found or abs(np.mean(found) - said) > AGREEMENT):
        raise Unavailable(f"{FILE} does not hold the predictions that the record was made from")
    return rows


def _mean(metric: Metric, evidence: Sequence[Mapping[str, Any]]) -> list[Value]:
    by_seed = [metric.measure(**row) for row in evidence]
    return [mean_over_seeds([found[name] for found in by_seed]) for name in by_seed[0]]
