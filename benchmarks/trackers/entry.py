"""What of a record a tracker is sent: its spec as parameters, its numbers as metrics, curves, and files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records.load import ID_DIGITS, RECORD
from benchmarks.stages.arm import Arm
from synthworth.artifacts import read_json
from synthworth.keys import file_sha256
from synthworth.store import Store

PARTS = ("utility", "validation", "fidelity", "privacy")
"""Parts of a record that hold one value a name."""
SECONDS = ("classifier_seconds", "fit_seconds", "draw_seconds_per_1000")
LONGEST = 250
"""Letters of a name, and of a parameter's value: the least that any tracker takes."""

Plain = str | int | float


@dataclass(frozen=True)
class Point:
    """A point of a curve."""

    name: str
    step: int
    value: float


@dataclass(frozen=True)
class Entry:
    """What a tracker is sent of one record.

    Parameters
    ----------
    id : first digits of the run id, as its folder has them.
    name : what people call the run.
    digest : sha256 of the record's file; the same record is sent once.
    verdict : the sentence of the record.
    params : the spec, flat: a dot leads into a mapping; numbers as they are, the rest as text.
    metrics : the finite numbers, each by a name that every tracker takes.
    curves : losses of the generator's training, and val curves of the classifiers', by step.
    record : the file.
    figures : PNG files. They show real images beside drawn ones.
    """

    id: str
    name: str
    digest: str
    verdict: str
    params: Mapping[str, Plain]
    metrics: Mapping[str, float]
    curves: Sequence[Point]
    record: Path
    figures: Sequence[Path]


def entry_of(record: Mapping[str, Any], folder: Path, arm: Arm, store: Store) -> Entry:
    """What is sent of a finished record.

    Parameters
    ----------
    folder : of the record. Its predictions, which name patients, are not sent.
    arm : whose record it is; its trainings are looked up in the store, and a curve that is not there is left out.
    """
    return Entry(
        id=record["run_id"][:ID_DIGITS],
        name=record["name"],
        digest=file_sha256(folder / RECORD),
        verdict=str(record["verdict"]),
        params={plain_name(name): value for name, value in flat(record["spec"])},
        metrics=metrics_of(record),
        curves=tuple(curves_of(arm, store)),
        record=folder / RECORD,
        figures=tuple(sorted(folder.glob("*.png"))),
    )


def flat(spec: Mapping[str, Any], *, before: str = "") -> Iterator[tuple[str, Plain]]:
    """The leaves of nested mappings by dotted names: numbers, and text of at most `LONGEST` letters; lists in a row.

    What is null is left out.
    """
    for name, value in spec.items():
        if isinstance(value, Mapping):
            yield from flat(value, before=f"{before}{name}.")
        elif value is None:
            continue
        elif isinstance(value, int | float):
            yield f"{before}{name}", value
        else:
            text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield f"{before}{name}", text[:LONGEST]


def metrics_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record by name; those that are null are left out.

    `utility/auroc` has `utility/auroc_low` and `utility/auroc_high` beside it where there is an interval;
    `comparisons/none` is the difference to that control, and `worth` is in real images.
    """
    found: dict[str, Any] = {}

    def add(name: str, value: Any, row: Mapping[str, Any]) -> None:
        found.update({name: value, f"{name}_low": row.get("low"), f"{name}_high": row.get("high")})

    for part in PARTS:
        for name, value in record[part].items():
            add(f"{part}/{name}", value["value"], value)
    for control, row in record["comparisons"].items():
        add(f"comparisons/{control}", row["difference"], row)
        found[f"comparisons/{control}_p"] = row["p_interval"]
    if record.get("worth"):
        add("worth/real_images", record["worth"]["worth"], record["worth"])
    found |= {f"cost/{name}": record["cost"].get(name) for name in SECONDS}
    found |= {f"images/{kind}": sum(counts.values()) for kind, counts in record["counts"].items()}
    return {plain_name(name): float(value) for name, value in found.items() if value is not None}


def plain_name(name: str) -> str:
    """A name of letters, digits, dots, dashes and slashes alone, as every tracker takes it.

    `auprc[effusion]` is `auprc_effusion`, and `coverage@60/vgg16` is `coverage_60/vgg16`.
    """
    parts = [re.sub(r"[^\w.-]+", "_", part).strip("_. ") or "_" for part in name.split("/")]
    return "/".join(parts)[:LONGEST]


def curves_of(arm: Arm, store: Store) -> Iterator[Point]:
    """Every number of the generator's training by step, and of each classifier's its loss and what was seen on val."""
    if arm.draws and store.has("fit", arm.fit_key):
        yield from _points(store.path("fit", arm.fit_key), "generator")
    for number, key in enumerate(arm.classify_keys):
        if store.has("classify", key):
            yield from _points(store.path("classify", key), f"classifier/seed_{number}", only=("loss", "val"))


def _points(folder: Path, name: str, *, only: tuple[str, ...] = ("",)) -> Iterator[Point]:
    """Points of a training's history, where the names begin with one of `only`; trainings in turn count on."""
    offset, last = 0, 0
    for row in read_json(folder / "fit.json")["history"]:
        step = int(row["step"])
        if step + offset < last:  # the next phase, or the network of the next class, counts from 1 again
            offset = last
        last = step + offset
        for key, value in row.items():
            if key != "step" and key.startswith(only):
                yield Point(f"{name}/{plain_name(key)}", last, float(value))
