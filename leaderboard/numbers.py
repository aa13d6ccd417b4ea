"""The numbers of a row: each with its interval or its floor, or null with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.judging.positive_control import POSITIVE
from benchmarks.metrics.fixed_rates import HELD
from benchmarks.report.columns import UTILITY, utility_columns, value_of
from benchmarks.request.spec import NONE, is_real_only
from leaderboard.best_ratio import Best
from leaderboard.rank import Standing

RATES = ("sensitivity_at_95_specificity", "ece", "ece_calibrated", "brier")
"""Metrics of utility that stand in a row beside `UTILITY`."""
INTERVAL = ("auroc", "vs_none", "vs_duplicate", "worth", *UTILITY[1:], *RATES, "copy_rate", "copy_rate_features")
"""Numbers that have an interval."""
CALIBRATED = {"ece_calibrated": "ece", "brier_calibrated": "brier"}
"""Numbers after temperature scaling, and the one before it: where that is not believed, neither is."""
LITE, INCEPTION = "efficientnet_lite0", "inception"
"""Extractors in whose features a row has numbers: the one whose weights everybody has, and that of the literature."""
MANIFOLD = ("manifold_precision", "manifold_recall", "density", "coverage")
FIDELITY = {
    "fid": {"metric": "fd", "alias": "fid"},
    "kid": {"metric": "kd", "alias": "kid"},
    **{f"{name}_{LITE}": {"metric": name, "extractor": LITE} for name in ("fd", "kd", *MANIFOLD)},
    **{name: {"metric": name, "extractor": INCEPTION} for name in (*MANIFOLD, "inception_score")},
}
"""Columns of numbers that stand beside their real-real floor, and the fields by which a value belongs there."""
PRIVACY = {
    "copy_rate": {"metric": "copy_rate", "features": "pixels"},
    "copy_rate_features": {"metric": "copy_rate", "extractor": LITE},
}
CONSISTENCY = ("class_consistency_auroc", "class_consistency")
COSTS = ("fit_gflop", "fit_seconds", "draw_seconds_per_1000", "classifier_gflop", "classifier_seconds")
NUMBERS = (
    "auroc", "vs_none", "p_none", "holm_none", "vs_duplicate", "p_duplicate", "holm_duplicate", "worth", "best_ratio",
    *UTILITY[1:], *RATES, HELD, *FIDELITY, *PRIVACY, *CONSISTENCY, *COSTS,
)  # fmt: skip
"""Every number of a row, in order; those of added metrics follow."""
NOT_MEASURED = "this metric was not measured"
NOT_KEPT = "this record was written before what a threshold holds on test was kept"
NO_GENERATOR = "real images alone: nothing was fitted or drawn"
NOT_TRAINED = "nothing was trained to draw these images"
NO_OPERATIONS = "the operations of these networks are not known, or this record was written before they were counted"


@dataclass(frozen=True, slots=True)
class Number:
    """One cell: a value with its interval or its real-real floor; None with a note where it is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    floor: float | None = None
    floor_n: int | None = None
    at_floor_n: float | None = None
    """The value of as many images as the floor stands on, where these are fewer than n."""
    note: str | None = None


def numbers_of(standing: Standing, best: Best, added: Iterable[str]) -> dict[str, Number]:
    """Every number of an arm, in the order of `NUMBERS`, then those of the metrics in `added`.

    Of an arm whose record says another thing than its predictions every one is null, with the reason.
    """
    added = tuple(added)
    if standing.contradicted:
        return {name: Number(None, note=standing.contradicted) for name in (*NUMBERS, *added)}
    record = standing.entry.record
    alone = is_real_only(record["spec"])
    believed = not_doubted(standing)
    numbers = {name: of_value(believed.get(name), NOT_MEASURED) for name in (*UTILITY, *RATES)}
    numbers[HELD] = _held_on_test(believed.get(RATES[0]))
    for control in (NONE, "duplicate"):
        numbers |= _differences(standing, control)
    numbers["worth"] = _worth(standing)
    numbers["best_ratio"] = Number(best.ratio, note=best.note)
    for name, fields in FIDELITY.items():
        numbers[name] = Number(None, note=NO_GENERATOR) if alone else _beside_floor(record, fields)
    for name, fields in PRIVACY.items():
        value = _first(record.get("privacy", {}).values(), fields)
        numbers[name] = of_value(value, NO_GENERATOR if alone else NOT_MEASURED)
    for name in CONSISTENCY:
        reason = "needs one class an image" if name == "class_consistency" else NOT_MEASURED
        numbers[name] = of_value(record["fidelity"].get(name), NO_GENERATOR if alone else reason)
    numbers |= _costs(record["cost"], alone=alone)
    in_order = {name: numbers[name] for name in NUMBERS}
    return in_order | {name: of_value(value_of(believed, name), NOT_MEASURED) for name in added}


def added_columns() -> dict[str, str]:
    """Metric -> heading of the utility metrics that are not built in."""
    return {name: heading for name, heading in utility_columns().items() if name not in UTILITY}


def not_doubted(standing: Standing) -> dict[str, Any]:
    """The utility that the record holds; null, with the reason, where its predictions say another thing."""
    null = {"value": None, "low": None, "high": None}
    doubted = {name: note for name, note in standing.doubted.items() if name != "worth"}
    for name, plain in CALIBRATED.items():  # it needs predictions on val, which lie beside no record
        if plain in doubted:
            doubted[name] = f"{plain}, which it is made from, is not what the predictions give"
    utility = standing.entry.record["utility"]
    known = {name: note for name, note in doubted.items() if name in utility}
    return {**utility, **{name: {**utility[name], **null, "note": note} for name, note in known.items()}}


def of_value(value: Mapping[str, Any] | None, why: str) -> Number:
    """A value of a record as a cell; `why` where it has none."""
    if value is None:
        return Number(None, note=why)
    return Number(value["value"], value.get("low"), value.get("high"), value["n"], note=value["note"])


def _held_on_test(sensitivity: Mapping[str, Any] | None) -> Number:
    """The specificity on test at the threshold that the sensitivity beside it has from val."""
    if sensitivity is None or sensitivity["value"] is None:
        return of_value(sensitivity, NOT_MEASURED)
    held = sensitivity.get("extra", {}).get(HELD)
    return Number(None, note=NOT_KEPT) if held is None else Number(held, n=sensitivity["n"])


def _worth(standing: Standing) -> Number:
    record, found = standing.entry.record, standing.worth
    if is_real_only(record["spec"]):
        return Number(None, note="real images alone: nothing was added")
    if not found:
        return Number(None, note="no worth: run it with --curve")
    note = "; ".join(part for part in (found["note"], standing.doubted.get("worth")) if part) or None
    if found["worth"] is None and found["low"] is not None:
        note = f"{found['where']}: above {found['low']:.2f}; {note}"
    elif found["worth"] is None and found["high"] is not None:
        note = f"{found['where']}: below {found['high']:.2f}; {note}"
    return Number(found["worth"], found["low"], found["high"], found["n_synthetic"], note=note)


def _differences(standing: Standing, control: str) -> dict[str, Number]:
    names = f"vs_{control}", f"p_{control}", f"holm_{control}"
    row = standing.against.get(control)
    if row is None:
        return {name: Number(None, note=standing.missing[control]) for name in names}
    p = Number(row["p_interval"]) if row["n_seeds"] > 1 else Number(None, note="one seed gives no p")
    corrected = standing.holm if control == NONE else standing.holm_duplicate
    adjusted = Number(corrected) if row["n_seeds"] > 1 else p
    of_positive = standing.noted.get(POSITIVE) if control == NONE else None
    notes = [note for note in (row["note"], standing.noted.get(control), of_positive) if note]
    found = Number(row["difference"], row["low"], row["high"], note="; ".join(notes) or None)
    return dict(zip(names, (found, p, adjusted), strict=True))


def _first(values: Iterable[Mapping[str, Any]], fields: Mapping[str, str]) -> Mapping[str, Any] | None:
    return next((v for v in values if all(v.get(name) == wanted for name, wanted in fields.items())), None)


def _beside_floor(record: Mapping[str, Any], fields: Mapping[str, str]) -> Number:
    """The number with these fields, at its n, with its floor."""
    value = _first(record["fidelity"].values(), fields)
    if value is None:
        asked = fields.get("extractor") or fields.get("alias")
        return Number(None, note="the extractor was not among those asked for" if asked else NOT_MEASURED)
    extra, floor = value["extra"], value["extra"].get("floor")
    note = value["note"]
    if note is None and floor is None:
        note = "the real-real floor could not be measured"
    if note is None and record["spec"]["extractor_precision"] == "bf16":
        note = f"features in bf16 ({value['features']}): not to be compared with fp32"
    if note is None and floor is not None and extra["floor_n"] < value["n"] and extra.get("at_floor_n") is None:
        note = "the floor stands on fewer images than the distance, which makes it larger: the two do not compare"
    return Number(
        value["value"], n=value["n"], floor=floor, floor_n=extra.get("floor_n"), at_floor_n=extra.get("at_floor_n"),
        note=note,
    )  # fmt: skip


def _costs(cost: Mapping[str, Any], *, alone: bool) -> dict[str, Number]:
    """What fitting, drawing and one training of the classifier took, in GFLOP (forward and backward) and seconds."""
    found = {name: cost.get(name) for name in COSTS if name.endswith("_seconds") or name == "draw_seconds_per_1000"}
    made = {name: Number(value, note=NO_GENERATOR if value is None else None) for name, value in found.items()}
    if found["classifier_seconds"] is None:
        made["classifier_seconds"] = Number(None, note=NOT_MEASURED)
    fit = _gflop([cost.get("fit", {}).get("cost") or {}])
    why = NO_GENERATOR if alone else NOT_TRAINED if found["fit_seconds"] is None else NO_OPERATIONS
    made["fit_gflop"] = Number(fit, note=why if fit is None else None)
    one = _gflop(cost.get("classifiers", ()))
    made["classifier_gflop"] = Number(one, note=NO_OPERATIONS if one is None else None)
    return made


def _gflop(fits: Sequence[Mapping[str, Any]]) -> float | None:
    """GFLOP of one fit, the mean where there are several; None where one is not known."""
    if not fits or any(one.get("gflop_per_image") is None for one in fits):
        return None
    return float(sum(one["gflop_per_image"] * one["images_seen"] for one in fits) / len(fits))
