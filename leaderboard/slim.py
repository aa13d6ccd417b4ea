"""What of a record its tables need: a twentieth of its size, in the record's own form, so that many fit in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.metrics.fixed_rates import HELD
from benchmarks.records.load import RECORD, Unreadable, read_sealed, record_in
from benchmarks.records.predictions import Entry
from benchmarks.records.shape import FINISHED
from synthworth.errors import Unavailable
from synthworth.keys import sha256_of

COPY_RATE = "copy_rate"
ALWAYS = ("schema", "status", "run_id", "name", "spec", "provenance", "error")
WHOLE = ("classes", "is_control", "added", "not_compared", "positive_control", "collapsed", "verdict")
UTILITY = ("metric", "label", "value", "low", "high", "n", "note")
FIDELITY = ("metric", "extractor", "features", "alias", "value", "n", "direction", "note")
PRIVACY = ("metric", "extractor", "features", "value", "low", "high", "n", "note")
FLOOR = ("floor", "floor_n", "at_floor_n")
UNREAD = frozenset({
    "precision", "recall", "specificity", "balanced_accuracy_argmax", "brier_calibrated",
    "sensitivity_at_90_specificity", "specificity_at_90_sensitivity", "specificity_at_95_sensitivity",
})  # fmt: skip
"""Built-in metrics of utility that no table shows."""
ROW = (
    "run_id", "a", "b", "difference", "low", "high", "p_value", "p_interval", "n_seeds", "n_groups", "note", "unequal",
    "support", "collapsed", "equivalence", "detectable",
)  # fmt: skip
FURTHER = ("run_id", "difference", "low", "high", "p_interval", "n_seeds", "note", "unequal")
"""What is kept of a comparison with a control that tables show no difference to."""
SHOWN = ("none", "duplicate")
MACHINE = ("synthworth", "commit", "processor", "n_cores", "gpu", "device", "when", "command")
PRETRAINED = ("part", "name", "sha256")
TRAINING = ("steps", "images_seen", "stopped")
COSTS = ("classifier_seconds", "fit_seconds", "draw_seconds_per_1000")
PER_FIT = ("gflop_per_image", "images_seen", "kwh")


@dataclass(frozen=True)
class Slim(Entry):
    """A record in short, with the digest of the file that it was read from.

    Parameters
    ----------
    record : what `slim` left of it.
    sha256 : of the bytes of record.json.
    others : other records of the same run, of other content, by their files: they do not count.
    """

    sha256: str = ""
    others: tuple[str, ...] = ()


def whole(entry: Entry) -> Mapping[str, Any]:
    """The whole record of an entry.

    Raises
    ------
    Unavailable
        When the file is not the one any more that the entry was read from.
    """
    if not isinstance(entry, Slim):
        return entry.record
    file = entry.folder / RECORD
    try:
        raw = read_sealed(file)
        if sha256_of([raw]) != entry.sha256:
            raise Unavailable(f"{RECORD} has changed since this build read it")
        return record_in(raw, file, at_home=False)
    except Unreadable as reason:
        raise Unavailable(f"{RECORD} {reason}") from reason


def slim(record: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a record that tables and figures read, in the record's own form."""
    kept = _some(record, ALWAYS)
    kept |= {"provenance": _some(record["provenance"], MACHINE)} if "provenance" in record else {}
    if record["status"] != FINISHED:
        return kept
    kept |= _some(record, WHOLE)
    kept["counts"] = {kind: {"all": sum(n.values())} for kind, n in record["counts"].items()}
    macros = {part: _macros(record.get(part, {})) for part in ("utility", "fidelity", "privacy")}
    kept["utility"] = {n: _rate(v) for n, v in macros["utility"].items() if v["metric"] not in UNREAD}
    kept["fidelity"] = {
        name: {**_some(value, FIDELITY), "extra": _some(value["extra"], FLOOR)}
        for name, value in macros["fidelity"].items()
    }
    kept["privacy"] = {n: _some(v, PRIVACY) for n, v in macros["privacy"].items() if v["metric"] == COPY_RATE}
    kept["validation"] = {"auroc": _some(record["validation"]["auroc"], ("value", "note"))}
    kept["comparisons"] = {name: slim_row(row, name) for name, row in record["comparisons"].items()}
    kept["training"] = slim_training(record["training"])
    kept["cost"] = _cost(record["cost"])
    kept["audit"] = _some(record["audit"], ("n_images", "n_patients", "patients_known"))
    kept["subgroups"] = {name: _subgroup(found) for name, found in record.get("subgroups", {}).items()}
    kept["pretrained"] = [_some(row, PRETRAINED) for row in record.get("pretrained", ())]
    kept["worth"] = slim_worth(record.get("worth"))
    return kept


def slim_worth(worth: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A worth without the points of its curve."""
    return None if worth is None else {name: part for name, part in worth.items() if name != "curve"}


def slim_row(row: Mapping[str, Any], control: str) -> dict[str, Any]:
    """A comparison with a control, without what is counted by seed, by other metric and by other test."""
    return _some(row, ROW if control in SHOWN else FURTHER)


def slim_training(training: Mapping[str, Any]) -> dict[str, Any]:
    """What a training took; of its curve of learning rates a digest, which tells two curves apart."""
    return {**_some(training, TRAINING), "learning_rate": sha256_of([repr(training["learning_rate"])])}


def _macros(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are of no single class."""
    return {name: value for name, value in values.items() if value["label"] is None}


def _rate(value: Mapping[str, Any]) -> dict[str, Any]:
    held = value["extra"].get(HELD)
    return _some(value, UTILITY) | ({} if held is None else {"extra": {HELD: held}})


def _cost(cost: Mapping[str, Any]) -> dict[str, Any]:
    kept = _some(cost, COSTS)
    if "fit" in cost:
        kept["fit"] = {"cost": _some(cost["fit"].get("cost") or {}, PER_FIT)}
    if found := [_some(one or {}, PER_FIT) for one in cost.get("classifiers", ())]:
        kept["classifiers"] = found
    return kept


def _subgroup(found: Mapping[str, Any]) -> dict[str, Any]:
    worst = found["gap"].get("worst")
    groups = {worst: {"auroc": found["groups"][worst]["auroc"]}} if worst else {}
    return {"gap": _some(found["gap"], ("value", "low", "high", "best", "worst", "note")), "groups": groups}


def _some(part: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: part[name] for name in names if name in part}
